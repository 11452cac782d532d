"""The command line, run as a user runs it."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from skdistill import DistilledRanker, TwoTowerRetriever, __version__
from skdistill.cli.commands import app
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.metrics import ndcg_score
from skdistill.serving import load, save
from skdistill.students import LinearRanker, MLPRanker
from tests.small_cascade import QUERIES, fit_cascade, products, students

NAMES = [f"f{number}" for number in range(6)]


def run(*arguments, cwd="."):
    """Run a command in this process, which takes a tenth of the time of a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        app(list(map(str, arguments)), prog_name="skdistill")
    code = ended.value.code or 0
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def run_process(*arguments):
    command = [sys.executable, "-m", "skdistill", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables of a ranking, a student and its teacher."""
    folder = tmp_path_factory.mktemp("cli")
    data = make_ranking(n_queries=120, n_features=6, random_state=0)
    frame = pd.DataFrame(data.X.astype(np.float32), columns=NAMES)
    frame.insert(0, "query", data.qid)
    frame["label"] = data.y
    teacher = lightgbm.LGBMRanker(n_estimators=20, verbosity=-1, random_state=0)
    ranker = DistilledRanker(
        teacher, MLPRanker((16,), max_iter=10, random_state=0), random_state=0
    ).fit(frame[NAMES], data.y, qid=data.qid)
    frame["teacher"] = ranker.teacher_.predict(frame[NAMES])
    ranker.teacher_.booster_.save_model(folder / "teacher.txt")
    save(ranker, folder / "student.skd")
    frame.to_parquet(folder / "table.parquet", index=False)
    frame.to_csv(folder / "table.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def frame(folder):
    return pd.read_parquet(folder / "table.parquet")


def test_score_writes_what_predict_gives(folder, frame, tmp_path):
    command = ["score", folder / "student.skd", folder / "table.parquet", "-o", tmp_path / "out"]
    done = run_process(*command)
    assert done.returncode == 0, done.stderr
    assert f"1 of 1 shards, {len(frame):,} rows" in done.stderr
    result = pd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert list(result.columns) == ["query", "score"]
    expected = load(folder / "student.skd").predict(frame[NAMES])
    np.testing.assert_allclose(result["score"], expected, atol=1e-5)

    done = run(
        "score", folder / "student.skd", folder / "table.csv", "-o", tmp_path / "best",
        "--top-k", 2, "--query-column", "query", "--id-column", "teacher", "--format", "csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    best = pd.read_csv(tmp_path / "best" / "part-00000.csv")
    assert list(best.columns) == ["query", "teacher", "score"]
    assert (best.groupby("query").size() == 2).all()


def test_report_finds_what_the_function_finds(folder, frame):
    options = ["--query-column", "query", "--label-column", "label"]
    table = folder / "table.csv"
    done = run(
        "report", folder / "student.skd", table, *options, "--teacher", folder / "teacher.txt",
        "--slice", "f1", "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    scores = load(folder / "student.skd").predict(frame[NAMES])
    models = {model["name"]: model for model in found["models"]}
    assert list(models) == ["teacher", "student", "first 5 trees", "first 10 trees"]
    own = ndcg_score(frame["label"], scores, frame["query"], k=10)
    assert models["student"]["ndcg"] == pytest.approx(own, abs=1e-4)
    teacher = ndcg_score(frame["label"], frame["teacher"], frame["query"], k=10)
    assert models["teacher"]["ndcg"] == pytest.approx(teacher, abs=1e-4)
    assert {part["name"] for part in found["slices"]} == {"rows per query", "f1"}

    given = ["--teacher-column", "teacher", "--train", folder / "table.parquet"]
    done = run("report", folder / "student.skd", table, *options, *given)
    assert done.returncode == 0, done.stderr
    assert "on labels alone" in done.stdout
    assert "Checks" in done.stdout
    done = run("report", folder / "student.skd", table, *options, "--format", "html")
    assert done.stdout.startswith("<!doctype html>")
    done = run("report", folder / "student.skd", table, *options, *given[:2], "--teacher", table)
    assert done.returncode == 2
    assert "cannot be read as a LightGBM model" in done.stderr
    derived = frame.assign(extra=frame["f0"] * frame["f1"])[[*NAMES, "extra"]]
    other = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(derived, frame["label"])
    other.booster_.save_model(folder / "derived.txt")
    done = run(
        "report", folder / "student.skd", table, *options, "--teacher", folder / "derived.txt"
    )
    assert done.returncode == 3
    assert "lacks the columns ['extra'], which the teacher was fitted on" in done.stderr
    assert "name them: teacher_column (--teacher-column)" in done.stderr
    (folder / "semicolons.csv").write_text("a;query;label\n1;2;0\n")
    done = run("report", folder / "student.skd", folder / "semicolons.csv", *options, *given)
    assert done.returncode == 3
    assert "set it: delimiter (--delimiter)" in done.stderr
    shutil.copy(table, folder / "commas.tsv")
    done = run("report", folder / "student.skd", folder / "commas.tsv", *options, *given)
    assert done.returncode == 3
    assert "set it: delimiter (--delimiter)" in done.stderr
    done = run("report", folder / "student.skd", table, "--query-column", "q", *options[2:])
    assert done.returncode == 3
    assert "lacks the columns ['q']" in done.stderr


def test_inspect_describes_a_model_and_evaluate_measures_it(folder, frame):
    done = run("inspect", folder / "student.skd", "--json")
    held = json.loads(done.stdout)
    assert held["student"] == "MLPRanker"
    assert held["teacher"] == "LGBMRanker"
    assert held["settings"] == {
        "hidden_layer_sizes": "(16,)", "loss": "'plackett_luce'", "alpha": "0.5",
        "max_iter": "10", "random_state": "0",
    }  # fmt: skip
    assert held["feature_names"] == NAMES
    assert held["bytes"] == (folder / "student.skd").stat().st_size
    assert "MLPRanker" in run("inspect", folder / "student.skd").stdout

    options = ["--query-column", "query", "--label-column", "label", "--teacher-column", "teacher"]
    done = run("evaluate", folder / "student.skd", folder / "table.csv", *options, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    scores = load(folder / "student.skd").predict(frame[NAMES])
    own = ndcg_score(frame["label"], scores, frame["query"], k=10)
    teacher = ndcg_score(frame["label"], frame["teacher"], frame["query"], k=10)
    assert figures["rows"] == len(frame)
    assert figures["ndcg@10"] == pytest.approx(own, abs=1e-4)
    assert figures["ratio"] == pytest.approx(own / teacher, abs=1e-4)
    assert figures["ratio, low"] < figures["ratio"] < figures["ratio, high"]

    assert done.stderr == ""
    by_file = ["--teacher", folder / "teacher.txt"]
    done = run(
        "evaluate", folder / "student.skd", folder / "table.csv", *options[:4], *by_file, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx(figures, abs=1e-6)
    done = run("evaluate", folder / "student.skd", folder / "table.csv", *options, *by_file)
    assert done.returncode == 2
    assert "The teacher is given twice" in done.stderr

    done = run("evaluate", folder / "student.skd", folder / "table.csv", *options[2:], "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning: The model was fitted with queries, but no query column")
    assert len(done.stderr.splitlines()) == 1
    figures = json.loads(done.stdout)
    relevant = frame["label"] > 0
    assert set(figures) == {"rows", "auc", "average_precision", "teacher auc", "kendall_tau"}
    assert figures["auc"] == pytest.approx(roc_auc_score(relevant, scores), abs=1e-4)
    assert figures["teacher auc"] == pytest.approx(
        roc_auc_score(relevant, frame["teacher"]), abs=1e-4
    )


def test_retrieve_writes_what_the_retriever_finds(tmp_path):
    data = make_retrieval(random_state=0)
    columns = [f"c{number}" for number in range(data.X.shape[1])]
    query_columns = columns[data.query_columns]
    item_columns = columns[data.item_columns]
    X = pd.DataFrame(data.X, columns=columns)
    items = pd.DataFrame(data.items, columns=item_columns)
    retriever = TwoTowerRetriever(
        query_columns=query_columns, item_columns=item_columns, max_iter=2, random_state=0
    )
    retriever.fit(X, data.y, qid=data.qid)
    names = [f"item {number}" for number in range(len(items))]
    save(retriever.index(items, names), tmp_path / "towers.skd")
    queries = X[query_columns].drop_duplicates().reset_index(drop=True)
    queries.assign(asked=np.arange(len(queries))).to_parquet(tmp_path / "queries.parquet")
    done = run(
        "retrieve", tmp_path / "towers.skd", tmp_path / "queries.parquet", "-o", tmp_path / "out",
        "-k", 5,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = pd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    ids, scores = retriever.retrieve(queries, 5)
    assert list(found["item"]) == list(ids.ravel())
    assert list(found["asked"]) == list(np.repeat(np.arange(len(queries)), 5))
    assert list(found["rank"][:5]) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found["score"], scores.ravel(), atol=1e-5)


RECIPE = """
seed = 1
[data]
train = ["table.parquet"]
test = "table.csv"
query_column = "query"
label_column = "label"
ignore = ["teacher"]
[student]
estimator = "MLPRanker"
hidden_layer_sizes = [8]
max_iter = 5
[distillation]
alpha = 0.7
"""


def test_distill_follows_a_recipe(folder, frame, tmp_path):
    (folder / "recipe.toml").write_text(RECIPE + "[teacher]\nn_estimators = 10\n")
    done = run("distill", folder / "recipe.toml", "-o", tmp_path / "a.skd", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    student = load(tmp_path / "a.skd")
    assert student.hidden_layer_sizes == (8,)
    assert list(student.feature_names_in_) == NAMES
    expected = ndcg_score(frame["label"], student.predict(frame[NAMES]), frame["query"], k=10)
    assert report["student ndcg@10"] == pytest.approx(expected, abs=1e-4)
    assert 0 < report["teacher ndcg@10"] <= 1
    # The same file makes the same student.
    run("distill", folder / "recipe.toml", "-o", tmp_path / "b.skd")
    again = load(tmp_path / "b.skd")
    assert (again.predict(frame[NAMES]) == student.predict(frame[NAMES])).all()


def test_distill_says_which_columns_it_does_not_read(folder, frame, tmp_path):
    days = pd.to_datetime("2026-01-01") + pd.to_timedelta(np.arange(len(frame)), unit="D")
    wide = frame.assign(check_in=days, city="Oslo")
    wide.to_parquet(folder / "wide.parquet")
    recipe = RECIPE.replace("table.parquet", "wide.parquet").replace('test = "table.csv"', "")
    (folder / "wide.toml").write_text(recipe + "[teacher]\nn_estimators = 5\n")
    done = run("distill", folder / "wide.toml", "-o", tmp_path / "a.skd")
    assert done.returncode == 0, done.stderr
    unread = (
        r"numbers nor categories: check_in \(timestamp\[..\]\), city \((large_)?string\)\. Name the"
    )
    assert re.search(unread, " ".join(done.stderr.split()))
    ignoring = recipe.replace('["teacher"]', '["teacher", "check_in", "city"]')
    (folder / "wide.toml").write_text(ignoring + "[teacher]\nn_estimators = 5\n")
    done = run("distill", folder / "wide.toml", "-o", tmp_path / "a.skd")
    assert "not read" not in done.stderr
    names = load(tmp_path / "a.skd").feature_names_in_
    told = f"the model reads {len(names)} columns: {', '.join(names)}"
    assert told in " ".join(done.stderr.split())
    # A fitted teacher that read numbers made of the times says so, rather than that they lack.
    numbers = wide[[*NAMES, "check_in"]].assign(check_in=wide["check_in"].dt.day)
    lightgbm.LGBMRanker(n_estimators=5, verbose=-1).fit(
        numbers, frame["label"], group=[len(frame)]
    ).booster_.save_model(folder / "days.txt")
    (folder / "days.toml").write_text(recipe + '[teacher]\nbooster = "days.txt"\n')
    done = run("distill", folder / "days.toml", "-o", tmp_path / "a.skd")
    assert done.returncode == 2
    assert "columns ['check_in'] hold times" in " ".join(done.stderr.split())


def test_distill_by_a_booster_or_given_scores_without_labels(folder, frame, tmp_path):
    bare = RECIPE.replace('label_column = "label"\n', "").replace('["teacher"]', '["label"]')
    given = bare.replace("[student]", 'teacher_score_column = "teacher"\n[student]')
    given = given.replace("0.7", "1.0")
    booster = bare.replace('["label"]', '["label", "teacher"]').replace("0.7", "1.0")
    (folder / "given.toml").write_text(given)
    (folder / "booster.toml").write_text(booster + '[teacher]\nbooster = "teacher.txt"\n')
    for name in ("given", "booster"):
        done = run("distill", folder / f"{name}.toml", "-o", tmp_path / f"{name}.skd")
        assert done.returncode == 0, done.stderr
    given, booster = (load(tmp_path / f"{name}.skd") for name in ("given", "booster"))
    np.testing.assert_allclose(
        given.predict(frame[NAMES]), booster.predict(frame[NAMES]), atol=1e-4
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data", "not a valid TOML file"),
        ("[dat]", "unexpected keys at the top level: dat"),
        (
            "[data]\ntrain = 'a.csv'\nlabel_column = 'y'",
            "[data] lacks the key query_column, which is required. It may be left out only if",
        ),
        ("[data]\ntrain = 'a.csv'\nquery_column = 'q'", "[data] lacks the key label_column"),
        (RECIPE + "[teacher]\nn_trees = 3", "unexpected keys in [teacher]: n_trees"),
        (RECIPE.replace("MLPRanker", "Tree"), "must be one of ['LinearRanker'"),
        (RECIPE.replace("alpha", "alfa"), "unexpected keys in [distillation]: alfa"),
        (RECIPE + "[teacher]\nbooster = 'none.txt'", "none.txt cannot be read"),
        *(
            (
                RECIPE.replace("[data]", f"[data]\nfeatures = ['f1', '{name}']"),
                f"['{name}'] are also",
            )
            for name in ("query", "label")
        ),
        (RECIPE + "[teacher]\nbooster = 'table.csv'", "not a sound LightGBM model"),
        (RECIPE + "[teacher]\nbooster = 'table.parquet'", "table.parquet cannot be read"),
        (RECIPE + "[teacher]\nbooster = 3", "must be"),
    ],
)
def test_a_recipe_that_cannot_be_followed_says_why(folder, tmp_path, text, message):
    (folder / "wrong.toml").write_text(text)
    done = run("distill", folder / "wrong.toml", "-o", tmp_path / "a.skd")
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert message in done.stderr
    assert not (tmp_path / "a.skd").exists()


def test_rank_writes_what_the_cascade_ranks_first(tmp_path):
    save(students(), tmp_path / "cascade.skd")
    QUERIES.assign(visit=range(80)).to_csv(tmp_path / "queries.csv", index=False)
    command = ["rank", tmp_path / "cascade.skd", tmp_path / "queries.csv", "-o", tmp_path / "out"]
    done = run(*command, "-k", 7, "--format", "csv")
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(next((tmp_path / "out").glob("*.csv")))
    ids, scores = students().rank(QUERIES, 7)
    assert found.columns.tolist() == ["visit", "item", "rank", "score"]
    assert found["item"].tolist() == ids.ravel().tolist()
    np.testing.assert_allclose(found["score"], scores.ravel(), atol=1e-5)
    # The same command again has nothing left to do; another length is another run.
    assert run(*command, "-k", 7, "--format", "csv").returncode == 0
    assert run(*command, "-k", 6, "--format", "csv").returncode == 5
    done = run("score", *command[1:3], "-o", tmp_path / "scores")
    assert done.returncode == 2
    assert "got RankingCascade. Use rank_table (skdistill rank)" in done.stderr
    told = json.loads(run("inspect", tmp_path / "cascade.skd", "--json").stdout)
    assert told["stages"]["rank"] == "5 by MLPRanker"


def test_a_cascade_whose_functions_are_missing_says_so(tmp_path):
    save(fit_cascade(features=products), tmp_path / "cascade.skd")
    QUERIES.to_parquet(tmp_path / "queries.parquet")
    done = run("rank", tmp_path / "cascade.skd", tmp_path / "queries.parquet", "-o", tmp_path / "o")
    assert done.returncode == 4
    assert "Missing are those of 'prerank' (it was tests.small_cascade.products)" in done.stderr
    assert not (tmp_path / "o").exists()


def assert_ends(code, message, arguments, cwd):
    done = run(*arguments, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_exit_codes_say_who_must_act(folder, frame, tmp_path):
    student, table = folder / "student.skd", folder / "table.parquet"
    frame.drop(columns="f3").to_parquet(tmp_path / "lacking.parquet")
    frame.assign(f1=np.nan).to_parquet(tmp_path / "empty.parquet")
    (tmp_path / "filled").mkdir()
    (tmp_path / "filled" / "mine.txt").write_text("")
    (tmp_path / "cut.skd").write_bytes(student.read_bytes()[:1000])
    (tmp_path / "file").write_text("")
    for code, message, arguments in [
        (2, "No such option", ["score", student, table, "-o", tmp_path / "out", "--what"]),
        (2, "needs a query_column", ["score", student, table, "-o", "out", "--top-k", 3]),
        (2, "takes a retriever", ["retrieve", student, table, "-o", tmp_path / "out"]),
        (2, "takes a RankingCascade", ["rank", student, table, "-o", tmp_path / "out"]),
        (3, "lacks the columns", ["score", student, "lacking.parquet", "-o", tmp_path / "a"]),
        (3, "row 0: column 'f1'", ["score", student, "empty.parquet", "-o", tmp_path / "b"]),
        (3, "there is no table", ["score", student, tmp_path / "none.csv", "-o", tmp_path / "c"]),
        (4, "cut.skd", ["score", tmp_path / "cut.skd", table, "-o", tmp_path / "d"]),
        (4, "none.skd", ["inspect", tmp_path / "none.skd"]),
        (5, "cannot be written", ["score", student, table, "-o", tmp_path / "file"]),
        (5, "not written by a run", ["score", student, table, "-o", "filled"]),
    ]:  # fmt: skip
        assert_ends(code, message, arguments, tmp_path)


def test_the_exit_code_says_which_file_is_missing(folder, tmp_path):
    student, table = folder / "student.skd", folder / "table.parquet"
    named = ["--label-column", "label", "--query-column", "query"]
    report = ["report", student, table, *named]
    (tmp_path / "lacking.toml").write_text(RECIPE.replace("table.", "none."))
    for code, message, arguments in [
        (2, "none.toml: cannot be read: No such file", ["distill", "none.toml", "-o", "a.skd"]),
        (2, "none.txt cannot be read as a LightGBM", [*report, "--teacher", "none.txt"]),
        (3, "none.parquet: there is no table", ["distill", "lacking.toml", "-o", "a.skd"]),
        (3, "none.csv: there is no table", ["evaluate", student, "none.csv", *named]),
        (3, "none.csv: there is no table", [*report, "--train", "none.csv"]),
        (4, "none.skd", ["rank", "none.skd", table, "-o", "out"]),
        (4, "none.skd", ["evaluate", "none.skd", table, *named]),
        (5, "no such folder", ["score", student, table, "-o", "out", "--rejects", "no/a.csv"]),
    ]:
        assert_ends(code, message, arguments, tmp_path)


@pytest.mark.parametrize(
    "metadata", [{"format": "1"}, {"versions": None}, {"versions": {"numpy": 3}}]
)
def test_a_damaged_model_file_has_one_exit_code(folder, tmp_path, metadata):
    with zipfile.ZipFile(folder / "student.skd") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    held = json.loads(members["skdistill.json"])
    del held["metadata_digest"]
    members["skdistill.json"] = json.dumps(held | metadata)
    with zipfile.ZipFile(tmp_path / "damaged.skd", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    done = run("inspect", tmp_path / "damaged.skd")
    assert done.returncode == 4, done.stderr
    assert "damaged.skd is damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_command_replaces_what_it_reads(folder, tmp_path):
    work = shutil.copytree(folder, tmp_path / "work")
    (work / "recipe.toml").write_text(RECIPE)
    (work / "booster.toml").write_text(RECIPE + '[teacher]\nbooster = "teacher.txt"\n')
    before = {path.name: path.read_bytes() for path in work.iterdir()}
    score = ["score", "student.skd", "table.parquet", "-o", tmp_path / "out", "--rejects"]
    for arguments in [
        [*score, "student.skd"],
        [*score, "table.parquet"],
        ["distill", "recipe.toml", "-o", "recipe.toml"],
        ["distill", "recipe.toml", "-o", "table.parquet"],
        ["distill", "recipe.toml", "-o", "table.csv"],
        ["distill", "booster.toml", "-o", "teacher.txt"],
        ["distill", "recipe.toml", "-o", "none/student.skd"],
    ]:
        done = run(*arguments, cwd=work)
        assert done.returncode == 5, done.stderr
        assert "is an output, but also" in done.stderr or "there is no such folder" in done.stderr
    assert {path.name: path.read_bytes() for path in work.iterdir()} == before
    assert not (tmp_path / "out").exists()


def test_shards_that_are_done_again_are_reported(folder, tmp_path):
    command = ["score", folder / "student.skd", folder / "table.parquet", "-o", tmp_path / "out"]
    run(*command)
    (tmp_path / "out" / "part-00000.parquet").unlink()
    assert "1 shards were done again" in run(*command).stderr
    assert (tmp_path / "out" / "part-00000.parquet").exists()
    assert "done again" not in run(*command).stderr


def test_names_that_look_like_markup_are_printed(tmp_path):
    frame = pd.DataFrame({"[/red]": np.arange(8.0)})
    save(LinearRanker(max_iter=1).fit(frame, np.arange(8) % 2, qid=[0] * 8), tmp_path / "m.skd")
    done = run("inspect", tmp_path / "m.skd")
    assert done.returncode == 0, done.stderr
    assert "[/red]" in done.stdout


@pytest.fixture(scope="module")
def umlauts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("umlauts")
    frame = pd.DataFrame({"größe": np.arange(8.0) / 2})
    save(LinearRanker(max_iter=1).fit(frame, np.arange(8) % 2, qid=[0] * 8), folder / "m.skd")
    return folder


def write_csv(path, **options):
    frame = pd.DataFrame({"id": ["1,5", "2.5"] * 4, "größe": np.arange(8.0) / 2})
    frame.to_csv(path, index=False, **options)


@pytest.mark.parametrize(
    ("written", "options", "way_out"),
    [
        ({"encoding": "latin-1"}, ["--encoding", "latin-1"], "--encoding"),
        ({"sep": ";", "decimal": ","}, ["--delimiter", ";", "--decimal", ","], "--delimiter"),
        ({"sep": "\t"}, ["--delimiter", "\\t"], "--delimiter"),
        (
            {"sep": ";", "decimal": ",", "encoding": "utf-16"},
            ["--delimiter", ";", "--decimal", ","],
            "--delimiter",
        ),
    ],
)
def test_csv_files_are_read_as_they_are_written(umlauts, tmp_path, written, options, way_out):
    write_csv(tmp_path / "table.csv", **written)
    command = ["score", umlauts / "m.skd", tmp_path / "table.csv", "-o"]
    done = run(*command, tmp_path / "other")
    assert done.returncode == 3, done.stderr
    assert "table.csv" in done.stderr
    assert way_out in done.stderr
    done = run(*command, tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    scored = pd.read_parquet(tmp_path / "out")
    assert scored["id"].tolist() == ["1,5", "2.5"] * 4
    expected = load(umlauts / "m.skd").predict(pd.DataFrame({"größe": np.arange(8.0) / 2}))
    np.testing.assert_allclose(scored["score"], expected, atol=1e-6)


def test_a_byte_order_mark_tells_the_encoding(umlauts, tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        write_csv(tmp_path / "table.csv", encoding=encoding)
        done = run("score", umlauts / "m.skd", tmp_path / "table.csv", "-o", tmp_path / encoding)
        assert done.returncode == 0, done.stderr
        assert "nan" not in done.stderr
        assert pd.read_parquet(tmp_path / encoding).columns.tolist() == ["id", "score"]


def test_wrong_csv_options_are_a_wrong_command(umlauts, tmp_path):
    for options, message in {
        ("--encoding", "latin-99"): "encoding must be one that Python knows",
        ("--decimal", ";"): "decimal must be",
        ("--delimiter", "::"): "delimiter must be a single ASCII character",
        ("--decimal", ",", "--delimiter", ","): "neither the decimal point",
        ("--all-columns", "--id-column", "id"): "cannot be combined",
    }.items():
        done = run("score", umlauts / "m.skd", "none.csv", "-o", tmp_path / "out", *options)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr


def test_all_columns_are_copied_on_request(folder, frame, tmp_path):
    command = ["score", folder / "student.skd", folder / "table.parquet", "-o", tmp_path / "out"]
    assert run(*command, "--all-columns").returncode == 0
    scored = pd.read_parquet(tmp_path / "out")
    assert scored.columns.tolist() == ["query", "label", "teacher", "score"]
    np.testing.assert_array_equal(scored["teacher"], frame["teacher"])


def test_version_and_help_are_printed_at_once():
    assert run("--version").stdout == f"skdistill {__version__}\n"
    code = (
        "import sys, skdistill.cli.commands\n"
        "print({'numpy', 'scipy', 'sklearn', 'pandas', 'pyarrow', 'lightgbm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert "--version" in run("--help").stdout


def test_a_run_of_which_nothing_is_left_says_so(folder, tmp_path):
    command = ["score", folder / "student.skd", folder / "table.parquet", "-o", tmp_path / "out"]
    assert run(*command).stderr.rstrip().endswith("per second")
    assert run(*command).stderr.rstrip().endswith("done by an earlier run")


def test_other_files_than_model_files_are_called_by_name(folder, tmp_path):
    student = load(folder / "student.skd")
    for compress in (0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)):
        joblib.dump(student, tmp_path / "m.joblib", compress=compress)
        done = run("inspect", tmp_path / "m.joblib") if not compress else None
        with pytest.raises(ValueError, match="m.joblib is not a skdistill .*, but .*joblib"):
            load(tmp_path / "m.joblib")
        if done:
            assert done.returncode == 4
            assert "joblib.load reads it" in done.stderr
    with pytest.raises(ValueError, match="but a model of LightGBM"):
        load(folder / "teacher.txt")


def test_rows_that_cannot_be_scored_are_set_aside(folder, frame, tmp_path):
    frame.assign(f1=frame["f1"].where(frame.index != 7)).to_csv(tmp_path / "a.csv", index=False)
    done = run(
        "score", folder / "student.skd", tmp_path / "a.csv", "-o", tmp_path / "out", "--rejects",
        tmp_path / "rejects.csv",
    )  # fmt: skip
    assert done.returncode == 0
    assert "1 rows cannot be scored" in done.stderr
    assert list(pd.read_csv(tmp_path / "rejects.csv")["row"]) == [7]


def test_without_the_extra_the_command_names_it(monkeypatch):
    from skdistill.cli import main

    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit, match=r"skdistill\[serving\]"):
        main()
