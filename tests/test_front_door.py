"""The job that most users have: last night's LightGBM ranker becomes a service on its table."""

import json
import pickle
import subprocess
import sys

import lightgbm
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.parquet as parquet
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, OneHotEncoder, StandardScaler

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.metrics import ndcg_score
from skdistill.serving import TableError, compile_scorer, load, save, score_table, to_onnx
from skdistill.students import LinearRanker, MLPRanker


@pytest.fixture(scope="module")
def job():
    """A frame with four category columns and gaps, a later week, weights, text query ids."""
    data = make_ranking(
        160, 20, 20, categories=(5, 20, 60, 400), missing=0.05, truth="interactions",
        random_state=0,
    )  # fmt: skip
    qid = np.array([f"q{query:05d}" for query in data.qid])
    weight = np.random.default_rng(0).uniform(0.5, 2, len(qid))
    week = data.qid >= 120
    ranker = lightgbm.LGBMRanker(n_estimators=60, num_leaves=15, verbose=-1, n_jobs=1)
    ranker.fit(
        data.X[~week], data.y[~week], group=[20] * 120, sample_weight=weight[~week],
        eval_set=[(data.X[week], data.y[week])], eval_group=[[20] * 40],
        callbacks=[lightgbm.early_stopping(10, verbose=False)],
    )  # fmt: skip
    return data, qid, weight, week, pickle.dumps(ranker)


@pytest.fixture(scope="module")
def distilled(job):
    data, qid, weight, week, pickled = job
    teacher = pickle.loads(pickled)
    ranker = DistilledRanker(FrozenEstimator(teacher), MLPRanker((32,)), random_state=0)
    return ranker.fit(
        data.X[~week], data.y[~week], qid=qid[~week], sample_weight=weight[~week],
        X_val=data.X[week], y_val=data.y[week], qid_val=qid[week],
    )  # fmt: skip


def test_every_way_to_serve_gives_the_scores_of_predict(job, distilled, tmp_path):
    data, qid, _, week, _ = job
    X = data.X[week].reset_index(drop=True)
    expected = distilled.predict(X)
    assert expected.std() > 0.1
    scorer = compile_scorer(distilled)
    assert_allclose(scorer(X), expected, atol=1e-5)

    save(distilled, tmp_path / "student.skd")
    assert_allclose(load(tmp_path / "student.skd").predict(X), expected, atol=1e-5)

    session = onnxruntime.InferenceSession(to_onnx(distilled).SerializeToString())
    feed = {}
    for one in session.get_inputs():
        column = X[one.name]
        if one.type == "tensor(string)":
            values = column.astype(object).where(column.notna(), "").to_numpy(dtype=object)
        else:
            values = column.to_numpy(dtype=np.float32)
        feed[one.name] = values.reshape(-1, 1)
    assert_allclose(session.run(None, feed)[0][:, 0], expected, atol=1e-5)

    X.assign(query=qid[week], row=np.arange(len(X))).to_parquet(tmp_path / "week.parquet")
    command = [sys.executable, "-m", "skdistill", "score", "student.skd", "week.parquet"]
    subprocess.run(
        [*command, "-o", "scores"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    written = parquet.read_table(tmp_path / "scores").to_pandas().sort_values("row")
    assert_allclose(written["score"], expected, atol=1e-5)
    # The categories are features: only ids are carried through.
    assert list(written.columns) == ["query", "row", "score"]


def test_text_files_are_scored_as_the_frame(job, distilled, tmp_path):
    data, qid, _, week, _ = job
    X = data.X[week].reset_index(drop=True)
    expected = distilled.predict(X)
    scored = {}
    for name in ("week.csv", "week.jsonl"):
        table = X.astype(dict.fromkeys(X.select_dtypes("category"), object)).assign(query=qid[week])
        if name.endswith("csv"):
            table.to_csv(tmp_path / name, index=False)
        else:
            rows = table.where(table.notna(), None).to_dict("records")
            lines = [json.dumps({k: None if v != v else v for k, v in row.items()}) for row in rows]
            (tmp_path / name).write_text("\n".join(lines))
        score_table(distilled, tmp_path / name, tmp_path / f"{name}_out")
        files = sorted((tmp_path / f"{name}_out").glob("*.*"))
        read = [f for f in files if f.suffix in (".csv", ".parquet", ".jsonl")]
        scored[name] = pd.concat(
            pd.read_csv(f) if f.suffix == ".csv" else pd.read_parquet(f) for f in read
        )
        assert_allclose(scored[name]["score"], expected, atol=1e-5)


def test_a_bad_row_is_set_aside_with_its_column(job, distilled, tmp_path):
    data, _, _, week, _ = job
    X = data.X[week].reset_index(drop=True).head(50)
    X.loc[7, "number_3"] = np.inf
    X.to_parquet(tmp_path / "bad.parquet")
    score_table(
        distilled, tmp_path / "bad.parquet", tmp_path / "out", rejects=tmp_path / "rejects.csv"
    )
    (reject,) = pd.read_csv(tmp_path / "rejects.csv").to_dict("records")
    assert (reject["row"], reject["column"]) == (7, "number_3")


def test_the_student_keeps_the_teachers_quality_and_stops_by_the_week(job, distilled):
    data, qid, _, week, pickled = job
    teacher = pickle.loads(pickled)
    X, y = data.X[week], data.y[week]
    best = ndcg_score(y, teacher.predict(X), qid=qid[week], k=10)
    assert distilled.score(X, y, qid=qid[week]) > 0.93 * best
    assert len(distilled.student_.validation_scores_) >= 1


def columns_and_models():
    """Tables whose columns are read in more than one way, and models of them."""
    rng = np.random.default_rng(0)
    n_rows = 300
    number, code = rng.standard_normal(n_rows), rng.integers(0, 4, n_rows)
    floats = pd.DataFrame({"x": number, "code": np.where(number > 1, np.nan, code)})
    both = pd.DataFrame({"x": number, "code": code})
    twice = ColumnTransformer(
        [("number", StandardScaler(), ["x", "code"]), ("category", OneHotEncoder(), ["code"])]
    )
    unused = both.assign(unused=code, text=np.array(list("abcd"))[code])
    other = ColumnTransformer(
        [("step", Binarizer(), ["x"]), ("category", OneHotEncoder(), ["text"])]
    )
    linear = LinearRanker(max_iter=3, random_state=0)
    return {
        "float categories": (floats, clone(linear).set_params(categorical_features=["code"])),
        "twice": (both, make_pipeline(twice, clone(linear))),
        "unused": (unused, make_pipeline(other, clone(linear))),
    }


@pytest.mark.parametrize("name", columns_and_models())
def test_a_file_is_scored_as_the_frame(name, tmp_path):
    frame, model = columns_and_models()[name]
    model.fit(frame, np.arange(len(frame)) % 3)
    frame.to_parquet(tmp_path / "a.parquet")
    score_table(model, tmp_path / "a.parquet", tmp_path / "out")
    scores = parquet.read_table(tmp_path / "out")["score"].to_numpy()
    assert_allclose(scores, model.predict(frame), atol=1e-5)


def test_what_cannot_be_read_is_named_before_anything_is_fitted(tmp_path):
    frame = pd.DataFrame({"x": np.arange(20.0), "day": pd.date_range("2026-01-01", periods=20)})
    ranker = DistilledRanker(lightgbm.LGBMRanker(verbose=-1), LinearRanker(max_iter=1))
    with pytest.raises(ValueError, match=r"LightGBM takes no times, but the columns \['day'\]"):
        ranker.fit(frame, np.arange(20) % 2, qid=np.repeat([0, 1], 10))
    ranker.set_params(teacher_columns=["x"]).fit(
        frame, np.arange(20) % 2, qid=np.repeat([0, 1], 10)
    )
    numbered = pd.DataFrame({0: np.arange(20.0), 1: list("ab") * 10})
    student = LinearRanker(max_iter=1).fit(numbered, np.arange(20) % 3)
    numbered.rename(columns=str).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(TableError, match="names are not text"):
        score_table(student, tmp_path / "a.parquet", tmp_path / "out")


def test_onnx_takes_dates_in_double_precision():
    seconds = np.arange(200.0)
    frame = pd.DataFrame({"t": pd.Timestamp("2026-01-01") + pd.to_timedelta(seconds, unit="s")})
    frame["x"] = np.sin(seconds)
    student = LinearRanker(max_iter=5, random_state=0).fit(frame, qid=np.repeat(range(20), 10),
                                                          teacher_scores=seconds % 7)  # fmt: skip
    session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
    assert {one.type for one in session.get_inputs()} == {"tensor(double)"}
    ticks = frame["t"].astype("datetime64[us]").astype("int64").to_numpy() / 1e6
    feed = {"t": ticks.reshape(-1, 1), "x": frame[["x"]].to_numpy()}
    assert_allclose(session.run(None, feed)[0][:, 0], student.predict(frame), atol=1e-5)
