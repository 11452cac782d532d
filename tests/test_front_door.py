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
from sklearn.frozen import FrozenEstimator

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.metrics import ndcg_score
from skdistill.serving import compile_scorer, load, save, score_table, to_onnx
from skdistill.students import MLPRanker


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
