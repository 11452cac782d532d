"""Every block of Python in the documentation is run, one after the other, on tables of its own."""

import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightgbm
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker, RankingCascade, TwoTowerRetriever
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.serving import compile_scorer, load, save, trusted_types
from skdistill.students import LinearRanker, MLPRanker

pandas = pytest.importorskip("pandas")

DOCS = Path(__file__).parent.parent / "docs"
# Pages whose blocks other tests run, and the one that needs what no machine has by itself.
ELSEWHERE = {
    "clicks.md": "test_documentation.py",
    "examples.md": "test_examples.py",
    "extending.md": "extending/test_extending.py",
    "from_a_lightgbm_file.md": "test_documentation.py",
    "quality.md": "test_documentation.py",
    "spark.md": "needs Java",
}
FEATURES = ["title_score", "clicks", "price", "country", "hour"]
PAIR_COLUMNS = ["age", "year", "kind"]
# What a block is given, or a function that makes it when its turn comes.
Given = dict[str, Any] | Callable[[], dict[str, Any]] | None


def blocks_of(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


def run(page, *given: Given):
    """Run the blocks of a page in one namespace, each with what it is given; return all names."""
    blocks = blocks_of(page)
    assert len(blocks) >= max(len(given), 1)
    names: dict[str, Any] = {}
    with sklearn.config_context():
        for block, new in zip_longest(blocks, given):
            names |= new() if callable(new) else new or {}
            exec(compile(block, page, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of its own, and no windows."""
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def parts():
    """Rows, labels and queries of training, of a later week, and of a test."""
    data = make_ranking(n_queries=120, n_features=5, random_state=0)
    frame = pandas.DataFrame(data.X.astype(np.float64), columns=FEATURES)
    week = data.qid // 40
    return [(frame[week == w], data.y[week == w], data.qid[week == w]) for w in range(3)]


@pytest.fixture(scope="module")
def teacher(parts):
    X, y, qid = parts[0]
    ranker = lightgbm.LGBMRanker(n_estimators=20, verbose=-1)
    return ranker.fit(X, y, group=np.unique(qid, return_counts=True)[1]).booster_


@pytest.fixture(scope="module")
def ranker(parts, teacher):
    X, y, qid = parts[0]
    return DistilledRanker(teacher, MLPRanker((8,), max_iter=60), random_state=0).fit(X, y, qid=qid)


@pytest.fixture
def tables(parts, teacher, ranker):
    """What the pages about rankers begin with."""
    names = {"teacher": teacher, "ranker": ranker}
    suffixes = [("",), ("_val", "_new", "_now"), ("_test",)]
    for (X, y, qid), endings in zip(parts, suffixes, strict=True):
        for ending in endings:
            names |= {f"X{ending}": X, f"y{ending}": y, f"qid{ending}": qid}
    return names


@pytest.fixture(scope="module")
def shop():
    """A log of users and films, and what the pages about retrieval and cascades call it."""
    data = make_retrieval(n_queries=80, n_items=60, n_features=3, random_state=0)
    users = pandas.DataFrame(data.queries, columns=["age", "gender", "income"])
    films = pandas.DataFrame(data.items, columns=["year", "kind", "length"])
    users.insert(0, "user", np.arange(80))
    films.insert(0, "film", np.arange(60))
    log = pandas.concat(
        [users.iloc[data.qid].reset_index(drop=True), films.iloc[data.item].reset_index(drop=True)],
        axis=1,
    )

    def my_features(user, film):
        pairs = users.iloc[np.asarray(user)].to_numpy() * films.iloc[np.asarray(film)].to_numpy()
        return pandas.DataFrame(pairs[:, 1:], columns=["a", "b", "c"])

    def lightgbm_ranker(features):
        ranker = lightgbm.LGBMRanker(n_estimators=10, min_child_samples=5, verbose=-1)
        return ranker.fit(features, data.y, group=np.unique(data.qid, return_counts=True)[1])

    return {
        "users": users, "log": log, "catalogue": films, "y": data.y, "clicks": data.y,
        "my_features": my_features,
        "my_lightgbm_ranker": lightgbm_ranker(my_features(log["user"], log["film"])),
        "ranker_by_columns": lightgbm_ranker(log[PAIR_COLUMNS]),
        "already_seen": sparse.csr_array((80, 60)), "held_out_users": users,
    }  # fmt: skip


def small_towers(**options):
    return TwoTowerRetriever(
        query_columns=["age", "gender", "income"], item_columns=["year", "kind", "length"],
        embedding_dim=8, max_iter=2, teacher_check=False, **options,
    )  # fmt: skip


def fit_cascade(shop, features, teacher="ranker_by_columns", towers=None, **fit_options):
    """A small cascade."""
    cascade = RankingCascade(
        [("retrieve", towers or small_towers(), 30), ("prerank", LinearRanker(max_iter=2), 15),
         ("rank", MLPRanker((8,), max_iter=2), 10)],
        teacher=FrozenEstimator(shop[teacher]),
        features=features,
        query_columns=["user", "age", "gender", "income"],
        item_columns=["film", "year", "kind", "length"],
        sources=("passed", "logged"),
        random_state=0,
    )  # fmt: skip
    log = shop["log"]
    return cascade.fit(log, shop["clicks"], qid=log["user"], items=shop["catalogue"], **fit_options)


def test_every_page_with_python_is_run():
    here = Path(__file__).read_text("utf-8")
    with_blocks = {page.name for page in DOCS.glob("*.md") if blocks_of(page.name)}
    run_here = set(re.findall(r'run\("(\w+\.md)"', here))
    assert with_blocks == run_here | ELSEWHERE.keys()
    assert not run_here & ELSEWHERE.keys()
    compile("\n".join(blocks_of("spark.md")), "spark.md", "exec")


def test_the_page_about_worth(tables, capsys):
    found = run("worth.md", tables)
    assert found["report"].n_queries == 40
    assert found["suggestion"].best in {shape.name for shape in found["suggestion"].shapes}
    assert found["explanation"].error < 1e-4
    assert Path("quality_and_speed.png").stat().st_size > 0
    assert "Checks" in capsys.readouterr().out


def test_the_page_about_students(tables, capsys):
    run("students.md", tables)
    assert "MLP" in capsys.readouterr().out


def test_the_page_about_losses(tables, capsys):
    ranker = run("losses.md", tables)["ranker"]
    assert f"{ranker.alpha_} {ranker.alpha_scores_}" in capsys.readouterr().out


def test_the_page_about_students_that_are_worse(tables, capsys):
    found = run("worse_than_teacher.md", tables)
    printed = dict(re.findall(r"^(.{19})(0\.\d+)$", capsys.readouterr().out, re.MULTILINE))
    assert [name.strip() for name in printed] == list(found["tries"])
    assert min(map(float, printed.values())) > 0.5


def test_the_page_about_queries(tables):
    log = tables["X"].assign(query=tables["qid"], label=tables["y"], week=0)
    log.to_parquet("log.parquet", index=False)
    found = run("queries.md", tables)
    assert_array_equal(
        load("student.skd").predict(tables["X"]), found["search"].predict(found["X"])
    )
    assert set(found["search"].cv_results_["param_alpha"]) == {0.0, 0.5, 1.0}
    assert len(found["ranker"].student_.validation_scores_) == found["ranker"].n_iter_


def test_the_page_about_columns(tables):
    found = run("columns.md", tables)
    assert found["found"].importances_mean.shape == (5,)


def test_the_page_about_retraining(tables, capsys):
    rows = len(tables["X"])
    scores = {"scores": tables["ranker"].predict(tables["X"])}
    scores["scores_new"] = tables["ranker"].predict(tables["X_new"])
    found = run("daily.md", tables | scores | {"time": np.arange(rows)})
    assert re.search(r"^\d\.\d{3} \[", capsys.readouterr().out, re.MULTILINE)
    assert found["student"].n_iter_ == 20
    assert found["ranker"].fit(tables["X"], tables["y"], qid=tables["qid"]).n_iter_ > 0


def test_the_page_about_monitoring(tables, capsys):
    logged = {"logged_rows": tables["X_new"], "student": tables["ranker"].export_student()}
    logged["logged_scores"] = compile_scorer(logged["student"])(tables["X_new"])
    found = run("monitoring.md", tables | logged)
    assert set(found["alarms"]) <= {check.name for check in found["report"].checks}
    tau, overlap = map(float, capsys.readouterr().out.split()[-2:])
    assert tau > 0.3
    assert overlap > 0.3


def test_the_page_about_objectives(tables):
    labels = pandas.DataFrame({"click": tables["y"] > 0, "purchase": tables["y"] > 2}, dtype=float)
    found = run("objectives.md", tables | {"y": labels})
    assert found["scores"].shape == found["purchase"].shape
    assert 0 < found["purchase"].min() < found["purchase"].max() < 1


def test_the_page_about_probabilities(tables):
    ranker = DistilledRanker(tables["teacher"], calibrate="sigmoid", random_state=0)
    ranker.fit(tables["X"], tables["y"] > 0, qid=tables["qid"])
    request = tables["X_now"].head(9)
    found = run("probabilities.md", {"ranker": ranker, "request": request.to_dict("records")})
    expected = ranker.predict_proba(request)[:, 1]
    np.testing.assert_allclose(found["clicks_expected"], expected, atol=1e-5)


def test_the_page_about_bids(tables, shop):
    def auction():
        cascade = fit_cascade(
            shop, PAIR_COLUMNS, towers=small_towers(loss="listwise"), offset=np.zeros(60)
        )
        ids = {"changed_ids": [3, 5], "new_ids": [f"ad {i}" for i in range(60)]}
        ads = shop["catalogue"].assign(ad=np.arange(60))
        bids = {"ads": ads, "ad_bid": np.linspace(1, 2, 60)}
        new = {"new_ads": shop["catalogue"], "bid_of_new_ads": np.ones(60)}
        return (
            shop
            | {"cascade": cascade, "new_bid": [0.5, 2.0], "bid_of_today": np.linspace(2, 1, 60)}
            | ids
            | bids
            | new
        )

    clicks = {f"clicks{part}": (tables[f"y{part}"] > 1).astype(float) for part in ("", "_test")}
    bids = {f"bid{part}": np.ones(len(tables[f"X{part}"])) for part in ("", "_now", "_test")}
    found = run("bids.md", tables | clicks | bids, auction)
    assert found["scores"].shape[0] == 80


def test_the_page_about_retrieval(shop):
    columns = {"user": "user_id", "film": "item_id"}
    log = shop["log"].rename(columns=columns)
    of_shop = shop | {
        "log": log, "users": shop["users"].rename(columns=columns),
        "catalogue": shop["catalogue"].rename(columns=columns),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    factors = SimpleNamespace(user_factors=rng.random((80, 4)), item_factors=rng.random((60, 4)))
    user, item = log["user_id"].to_numpy(), log["item_id"].to_numpy()
    of_ids = {
        "sparse": sparse, "np": np, "user": user, "item": item, "teacher": factors,
        "pairs": pandas.DataFrame({"user": user, "item": item}),
        "users": pandas.DataFrame({"user": np.arange(80)}),
        "catalogue": pandas.DataFrame({"item": np.arange(60)}),
    }  # fmt: skip

    def later():
        is_new = shop["log"]["user"] >= 60
        week = [shop["log"][~is_new], shop["log"][is_new]]
        retriever = small_towers().set_params(teacher=shop["my_lightgbm_ranker"])
        pair_features = lambda users, films: shop["my_features"](users["user"], films["film"])  # noqa: E731
        retriever.set_params(
            teacher=FrozenEstimator(shop["my_lightgbm_ranker"]), pair_features=pair_features,
            query_columns=["user", "age", "gender", "income"],
            item_columns=["film", "year", "kind", "length"],
        )  # fmt: skip
        names = {"retriever": retriever, "items": shop["catalogue"], "catalogue": shop["catalogue"]}
        for part, rows, clicks in zip(
            ("", "_val"), week, (shop["y"][~is_new], shop["y"][is_new]), strict=True
        ):
            names |= {f"X{part}": rows, f"y{part}": clicks, f"qid{part}": rows["user"]}
        return names | {"log": shop["log"]}

    def today():
        return {
            "today": shop["log"][shop["log"]["user"] >= 75],
            "scores_of_todays_users": rng.random((5, 60)),
        }

    found = run("retrieval.md", of_shop, of_ids, later, today)
    assert found["ids"].shape == (80, 10)
    assert found["retriever"].retrieve(shop["users"].iloc[75:], k=3)[0].shape == (5, 3)


def test_the_page_about_cascades(shop, capsys):
    shop["my_lightgbm_ranker"].booster_.save_model("ranker.txt")
    offers = pandas.DataFrame({"user": [0, 1], "film": [3, 4], "price": [7.5, 8.5]})
    found = run("cascade.md", {**shop, "offers": offers, "pd": pandas})
    asked = pandas.DataFrame({"user": [1, 1, 0]}), pandas.DataFrame({"film": [4, 3, 3]})
    np.testing.assert_array_equal(found["with_price"](*asked)["price"], [8.5, np.nan, 7.5])
    by_pair = found["all_features"](shop["users"].head(3), shop["catalogue"].head(3))
    assert by_pair.columns.tolist() == ["age", "year", "years_apart"]
    assert found["ids"].shape == (80, 10)
    assert found["plan"].recall >= 0.95
    assert found["report"].rivals
    assert "sizes retrieve" in capsys.readouterr().out


def test_the_page_about_serving(tables, shop, ranker):
    X = np.ascontiguousarray(tables["X"], dtype=np.float32)
    pipeline = make_pipeline(StandardScaler(), MLPRanker((8,), max_iter=2, random_state=0))
    pipeline.fit(X, tables["y"], mlpranker__qid=tables["qid"])
    arrays = {"pipeline": pipeline, "X": X, "out": np.empty(len(X), dtype=np.float32)}
    frames = {
        "scorer": compile_scorer(ranker), "frame": tables["X"],
        "request": tables["X"].head(3).to_dict("records"), "ranker": ranker,
    }  # fmt: skip

    def log_model(model, *, name, serialization_format, skops_trusted_types):
        """What MLflow does with it: dump by skops, and load what is trusted."""
        import skops.io

        assert (name, serialization_format) == ("student", "skops")
        again = skops.io.loads(skops.io.dumps(model), trusted=skops_trusted_types)
        np.testing.assert_array_equal(again.predict(tables["X"]), ranker.predict(tables["X"]))

    mlflow = SimpleNamespace(sklearn=SimpleNamespace(log_model=log_model))

    def by_function():
        function = lambda users, films: shop["my_features"](users["user"], films["film"])  # noqa: E731
        features = {"prerank": PAIR_COLUMNS, "rank": function}
        cascade = fit_cascade(shop, features, "my_lightgbm_ranker")
        save(cascade, "cascade.skd")
        return {"all_features": function, "expected": cascade.rank(shop["users"], k=10)}

    def by_columns():
        cascade = fit_cascade(shop, PAIR_COLUMNS)
        save(cascade, "cascade.skd")
        return {"user": shop["users"].head(1)}

    plain = fit_cascade(shop, PAIR_COLUMNS)
    of_cascade = {"cascade": plain, "users": shop["users"], "seen": shop["already_seen"]}
    candidates = tables["X"].assign(
        listed=pandas.Timestamp("2026-01-01") + pandas.to_timedelta(np.arange(len(X)), "h"),
        shop=np.where(np.arange(len(X)) % 7, "abroad", None),
        month=np.arange(len(X)) % 12,
    )
    candidates.loc[3, "listed"] = None
    student = MLPRanker((8,), max_iter=2, categorical_features=["month", "shop"], random_state=0)
    student.fit(candidates, tables["y"], qid=tables["qid"])

    of_onnx = {"student": student, "candidates": candidates}
    given = [arrays, frames, of_onnx, None, {"mlflow": mlflow, "trusted_types": trusted_types}]
    found = run("serving.md", *given, of_cascade, by_function, by_columns)
    np.testing.assert_allclose(found["out"], pipeline.predict(X), atol=1e-5)
    fed = found["session"].run(["scores"], dict(found["inputs"](candidates)))[0]
    np.testing.assert_allclose(fed[:, 0], student.predict(candidates), rtol=1e-4, atol=1e-4)
    assert found["ids"].shape == (1, 10)
    assert set(found["trace"].seconds)


def test_the_page_of_questions(capsys):
    """What the page prints is what it says is printed."""
    run("faq.md")
    shown = re.search(r"```text\n(.*?)```", (DOCS / "faq.md").read_text("utf-8"), re.DOTALL)
    assert shown is not None
    assert capsys.readouterr().out == shown[1]


def test_the_page_about_search_engines(tables, capsys):
    pytest.importorskip("skl2onnx")
    Path("application/files").mkdir(parents=True)
    run("search_engines.md", tables)
    assert Path("model.json").stat().st_size > 0
    assert Path("application/files/student.onnx").stat().st_size > 0
    assert "bm25(title)" in capsys.readouterr().out


def clustered(parts, ranker):
    """Files of a log, and a student, as the pages about clusters have them."""
    X, y, qid = parts[0]
    log = X.assign(query=qid, item=np.arange(len(X)), clicked=y)
    Path("logs").mkdir()
    log.to_parquet("logs/part.parquet")
    save(ranker, "student.skd")
    return log


def test_the_page_about_dask(parts, ranker, client):
    log = clustered(parts, ranker)
    found = run("dask.md", None, {"client": client, "features": FEATURES})
    scores = pandas.read_parquet("scores/")
    np.testing.assert_allclose(
        np.sort(scores["score"]), np.sort(ranker.predict(log[FEATURES])), atol=1e-5
    )
    assert found["student"].predict(log[FEATURES]).std() > 0


def test_the_page_about_ray(parts, ranker):
    pytest.importorskip("ray")
    log = clustered(parts, ranker)
    run("ray.md")
    scores = pandas.read_parquet("scores/")
    np.testing.assert_allclose(
        np.sort(scores["score"]), np.sort(ranker.predict(log[FEATURES])), atol=1e-5
    )
    assert load("student.skd")
