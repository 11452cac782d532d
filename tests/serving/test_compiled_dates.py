"""Dates, with gaps, through every face of a served model, against predict."""

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skdistill import TwoTowerRetriever
from skdistill.inputs import TableEncoder, cycles
from skdistill.inputs.cycles import DAY, WEEK
from skdistill.serving import compile_scorer, load, save, score_table, to_onnx
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker

ENGINES = ["numpy", "onnxruntime"]
STUDENTS = {
    "linear": LinearRanker(max_iter=5, random_state=0),
    "piecewise linear": LinearRanker(n_knots=4, max_iter=5, random_state=0),
    "fm": FactorizationMachineRanker(4, max_iter=5, random_state=0),
    "mlp": MLPRanker((8,), max_iter=5, random_state=0),
    "mlp with knots": MLPRanker((8,), n_knots=3, max_iter=5, random_state=0),
}


def times(rng, n_rows, first="2026-01-01"):
    values = pd.Timestamp(first) + pd.to_timedelta(rng.integers(0, 60 * DAY, n_rows), unit="s")
    return values.where(rng.random(n_rows) < 0.8)


def table(random_state=0, *, categories=True, first="2026-01-01"):
    rng = np.random.default_rng(random_state)
    n_rows = 600
    X = pd.DataFrame({"x": rng.normal(size=n_rows), "when": times(rng, n_rows, first)})
    X["day"] = times(rng, n_rows).normalize()
    X["took"] = pd.to_timedelta(rng.integers(0, 100, n_rows), unit="s")
    if categories:
        X["shop"] = rng.choice(["a", "b", "c"], n_rows)
    return X


def utility(X):
    seconds = (X["when"] - pd.Timestamp(0)).dt.total_seconds().fillna(0)
    return (np.cos(2 * np.pi * seconds / DAY) + X["x"] + X["when"].isna()).to_numpy()


def fitted(student, X):
    return clone(student).fit(X, qid=np.arange(len(X)) // 20, teacher_scores=utility(X))


def dictionaries(X):
    return X.astype(object).where(X.notna(), None).to_dict("records")


def onnx_scores(model, X):
    session = onnxruntime.InferenceSession(to_onnx(model).SerializeToString())
    feed = {}
    for one in session.get_inputs():
        values = X[one.name]
        if values.dtype.kind in "mM":
            assert one.type == "tensor(double)"
            ticks = values.to_numpy(f"{values.dtype.kind}8[us]").astype(np.int64)
            values = np.where(values.isna(), np.nan, ticks / 1e6)
        dtype = {"tensor(double)": np.float64, "tensor(string)": object}[one.type]
        feed[one.name] = np.asarray(values, dtype=dtype).reshape(-1, 1)
    return session.run(None, feed)[0][:, 0]


@pytest.mark.parametrize("categories", [True, False])
@pytest.mark.parametrize("name", STUDENTS)
def test_every_face_gives_the_scores_of_predict(name, categories, tmp_path):
    X, later = (table(seed, categories=categories) for seed in (0, 1))
    student = fitted(STUDENTS[name], X)
    assert student.encoder_.periods[1:3] == ((DAY, WEEK), (WEEK,))
    expected = student.predict(later)
    # The hour moves the scores, and so does a missing date.
    shifted = later.assign(when=later["when"] + pd.Timedelta(hours=12))
    assert np.abs(student.predict(shifted) - expected).max() > 0.05
    for engine in ENGINES:
        scorer = compile_scorer(student, engine)
        assert scorer.n_features == 10
        assert scorer.kinds[:4] == ("float", "date", "date", "timedelta")
        for frame in (later, later[later.columns[::-1]], pl.from_pandas(later),
                      pa.Table.from_pandas(later)):  # fmt: skip
            assert_allclose(scorer(frame), expected, atol=1e-5)
        numbers, codes = scorer.encode(later)
        given = (numbers, codes) if categories else (numbers,)
        assert_allclose(scorer(*given), expected, atol=1e-5)
        assert_allclose(scorer.rows(dictionaries(later)), expected, atol=1e-5)
        assert_allclose(scorer.rows(dictionaries(later[:1])), expected[:1], atol=1e-5)
    assert_allclose(onnx_scores(student, later), expected, atol=1e-5)
    save(student, tmp_path / "student.skd")
    assert_array_equal(load(tmp_path / "student.skd").predict(later), expected)
    pq.write_table(pa.Table.from_pandas(later), tmp_path / "later.parquet")
    score_table(student, tmp_path / "later.parquet", tmp_path / "out.parquet")
    scores = pq.read_table(tmp_path / "out.parquet")["score"].to_numpy()
    assert_allclose(scores, expected, atol=1e-5)


def test_onnx_takes_float64_times_that_lie_around_1970():
    # Their mean is near 0, and so the scaler has no origin that would ask for float64.
    X, later = (
        pd.concat([table(seed, first="2040-01-01"), table(seed + 1, first="1900-01-01")])
        .sort_index()
        .reset_index(drop=True)
        for seed in (0, 2)
    )
    student = fitted(STUDENTS["mlp"], X[["x", "when"]])
    assert not compile_scorer(student).needs_float64
    later = later[["x", "when"]]
    assert_allclose(onnx_scores(student, later), student.predict(later), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_phases_that_hardly_differ_keep_their_digits(engine):
    """Nightly jobs that start within some seconds: the scaler enlarges tiny differences."""
    rng = np.random.default_rng(0)
    seconds = 75600 + rng.integers(0, 60, 600) + DAY * rng.integers(0, 30, 600)
    X = pd.DataFrame({"x": rng.normal(size=600)})
    X["when"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(seconds, unit="s")
    student = clone(STUDENTS["mlp"]).fit(
        X, qid=np.arange(600) // 20, teacher_scores=seconds % DAY / 10
    )
    expected = student.predict(X)
    assert_allclose(onnx_scores(student, X), expected, atol=1e-5)
    scorer = compile_scorer(student, engine)
    assert_allclose(scorer(X), expected, atol=1e-5)
    assert_allclose(scorer(*scorer.encode(X)[:1]), expected, atol=1e-5)


def before(model):
    encoding = ColumnTransformer(
        [
            ("scaled", StandardScaler(), ["x"]),
            ("coded", OneHotEncoder(sparse_output=False), ["shop"]),
        ],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return make_pipeline(encoding.set_output(transform="pandas"), model)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_steps_before_a_student_pass_dates_on(name, engine):
    X, later = table(0), table(1)
    model = before(STUDENTS[name])
    step = model.steps[-1][0]
    model.fit(X, **{f"{step}__qid": np.arange(600) // 20, f"{step}__teacher_scores": utility(X)})
    expected = model.predict(later)
    scorer = compile_scorer(model, engine)
    assert scorer.kinds == ("float", "date", "date", "timedelta", "text")
    assert_allclose(scorer(later), expected, atol=1e-5)
    assert_allclose(scorer(*scorer.encode(later)), expected, atol=1e-5)
    assert_allclose(scorer.rows(dictionaries(later)), expected, atol=1e-5)
    assert_allclose(onnx_scores(model, later), expected, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_an_array_of_dates_is_read_as_a_frame(engine, in_pipeline):
    X = table().drop(columns=["shop", "took"])
    array = X[["when", "day"]].to_numpy(dtype="M8[us]")
    model = STUDENTS["mlp"]
    fit = {"qid": np.arange(600) // 20, "teacher_scores": utility(X)}
    if in_pipeline:
        model = make_pipeline(FunctionTransformer(), model)
        fit = {f"mlpranker__{name}": value for name, value in fit.items()}
    model = clone(model).fit(array, **fit)
    scorer = compile_scorer(model, engine)
    assert_allclose(scorer(array), model.predict(array), atol=1e-5)
    assert_allclose(scorer(scorer.encode(array)[0]), model.predict(array), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_towers_read_dates(hidden, engine, tmp_path):
    rng = np.random.default_rng(0)
    users = pd.DataFrame({"user": [f"u{n}" for n in range(30)], "asked": times(rng, 30)})
    items = pd.DataFrame(
        {"item": [f"i{n}" for n in range(40)], "listed": times(rng, 40), "size": rng.random(40)}
    )
    user, item = np.repeat(np.arange(30), 20), rng.integers(0, 40, 600)
    X = pd.concat(
        [items.iloc[item].reset_index(drop=True), users.iloc[user].reset_index(drop=True)], axis=1
    )
    model = TwoTowerRetriever(
        query_columns=["user", "asked"], item_columns=["item", "listed", "size"],
        query_hidden=hidden, item_hidden=hidden, max_iter=2, random_state=0,
    )  # fmt: skip
    hour = X["listed"].dt.hour.fillna(0).to_numpy()
    model.fit(X, (hour > 12).astype(int), qid=user)
    assert model.item_transformer_.periods[1] == (DAY, WEEK)
    assert model.item_scaler_.flagged.tolist() == [0]
    expected = model.predict(X)
    shifted = X.assign(listed=X["listed"] + pd.Timedelta(hours=12))
    assert np.abs(model.predict(shifted) - expected).max() > 1e-3
    scorer = compile_scorer(model, engine)
    assert scorer.n_features == 5 + 5 + 1
    assert_allclose(scorer(X), expected, atol=1e-5)
    assert_allclose(scorer(*scorer.encode(X)), expected, atol=1e-5)
    assert_allclose(scorer.rows(dictionaries(X)), expected, atol=1e-5)
    assert_allclose(onnx_scores(model, X), expected, atol=1e-5)
    save(model, tmp_path / "towers.skd")
    assert_array_equal(load(tmp_path / "towers.skd").predict(X), expected)


@pytest.mark.parametrize("name", STUDENTS)
def test_files_of_students_that_read_a_date_as_one_number(name, tmp_path, monkeypatch):
    X, later = table(0), table(1)
    fields = TableEncoder.__getstate__
    with monkeypatch.context() as former:
        former.setattr(cycles, "PERIODS", ())
        former.setattr(
            TableEncoder,
            "__getstate__",
            lambda self: {name: one for name, one in fields(self).items() if name != "periods"},
        )
        student = fitted(STUDENTS[name], X)
        save(student, tmp_path / "student.skd")
        expected = student.predict(later)
    loaded = load(tmp_path / "student.skd")
    assert loaded.encoder_.periods == ()
    assert_array_equal(loaded.predict(later), expected)
    assert_allclose(onnx_scores(loaded, later), expected, atol=1e-5)
    for engine in ENGINES:
        scorer = compile_scorer(loaded, engine)
        assert scorer.n_features == 4
        assert_allclose(scorer(later), expected, atol=1e-5)
        assert_allclose(scorer.rows(dictionaries(later)), expected, atol=1e-5)
