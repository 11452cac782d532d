"""Columns far from 0 and huge columns: every way of scoring gives the scores of centred columns."""

import io

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from skdistill import TwoTowerRetriever
from skdistill.serving import compile_scorer, load, save, score_table, to_onnx
from skdistill.students import (
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)

STUDENTS = {
    "linear": LinearRanker(),
    "fm": FactorizationMachineRanker(),
    "mlp": MLPRanker((8,)),
    "objectives": MultiObjectiveRanker(objectives={"click": "listwise", "buy": "logistic"}),
}
HEADS = {
    "none": [],
    "standard": [StandardScaler()],
    "robust": [RobustScaler()],
    "minmax": [MinMaxScaler()],
    "imputed": [SimpleImputer(add_indicator=True), StandardScaler()],
}
# Steps of whole seconds within ten minutes, in unix time; days within a year; a year; a price.
FAR = {"seconds": (1.7e9, 173.0), "time": (1.7e9, 9e6), "year": (2020.0, 5.0), "low": (-1e7, 0.1)}


def far(table, name):
    """The table with its first column moved; float64."""
    origin, spread = FAR[name]
    X = table.X.astype(np.float64)
    X[:, 0] = np.round(X[:, 0] * spread, 3) + origin
    return X


def trained(model, X, table):
    last = model[-1] if hasattr(model, "steps") else model
    y = table.y
    if isinstance(last, MultiObjectiveRanker):
        y = np.column_stack([y, y > 1])
    last.set_params(max_iter=5, random_state=0)
    params = {"qid": table.qid}
    if hasattr(model, "steps"):
        params = {f"{model.steps[-1][0]}__qid": table.qid}
    return model.fit(X, y, **params)


def ways_of_scoring(model, X, tmp_path):
    """Scores of rows in float64 by each way, by its name."""
    yield "rows one by one", np.concatenate([model.predict(X[row : row + 1]) for row in range(60)])
    for engine in ("numpy", "onnxruntime"):
        scorer = compile_scorer(model, engine)
        yield engine, scorer(X)
        yield f"{engine} in threads", compile_scorer(model, engine, n_threads=2)(X)
        yield f"{engine}, one row", scorer(X[:1].copy())
    frame = pd.DataFrame(X, columns=[f"x{column}" for column in range(X.shape[1])])
    frame.to_parquet(tmp_path / "rows.parquet")
    score_table(model, tmp_path / "rows.parquet", tmp_path / "scores", resume=False)
    yield "score_table", pd.read_parquet(tmp_path / "scores")["score"].to_numpy()
    save(model, tmp_path / "model.skd")
    yield "save and load", load(tmp_path / "model.skd").predict(X)
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    buffer.seek(0)
    yield "joblib", joblib.load(buffer).predict(X)


@pytest.mark.parametrize("place", FAR)
@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_scores_as_if_the_column_were_centred(name, place, table, tmp_path):
    student = STUDENTS[name]
    X = far(table, place)
    centred = X.copy()
    centred[:, 0] -= np.median(X[:, 0])
    expected = trained(student, centred, table).predict(centred)
    assert np.ptp(expected) > 0.1
    student = trained(student, X, table)
    scores = student.predict(X)
    # Rounding moves all scores together, because a ranking loss leaves the bias to chance.
    assert_allclose(scores - scores.mean(), expected - expected.mean(), atol=2e-3)
    for way, found in ways_of_scoring(student, X, tmp_path):
        assert_allclose(found, scores[: len(found)], atol=1e-5, err_msg=way)


@pytest.mark.parametrize("place", FAR)
@pytest.mark.parametrize("head", HEADS)
def test_a_pipeline_scores_alike_by_every_way(head, place, table, tmp_path):
    X = far(table, place)
    model = trained(make_pipeline(*HEADS[head], MLPRanker((8,))), X, table)
    scores = model.predict(X)
    for way, found in ways_of_scoring(model, X, tmp_path):
        assert_allclose(found, scores[: len(found)], atol=2e-5, err_msg=way)


@pytest.mark.parametrize("name", STUDENTS)
def test_float32_rows_are_scored_alike_too(name, table):
    """Of rows that are float32 already, nothing more is lost."""
    onnxruntime = pytest.importorskip("onnxruntime")
    X = far(table, "time").astype(np.float32)
    student = trained(STUDENTS[name], X, table)
    scores = student.predict(X)
    assert_allclose(student.predict(X.astype(np.float64)), scores, atol=1e-6)
    for engine in ("numpy", "onnxruntime"):
        assert_allclose(compile_scorer(student, engine)(X), scores, atol=1e-5)
    session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
    assert_allclose(session.run(None, {"X": X})[0][:, 0], scores, atol=1e-5)


def test_a_full_column_of_csr_is_centred(table):
    X = far(table, "seconds")
    centred = X.copy()
    centred[:, 0] -= np.median(X[:, 0])
    expected = trained(LinearRanker(), sparse.csr_array(centred), table).predict(centred)
    student = trained(LinearRanker(), sparse.csr_array(X), table)
    scores = student.predict(sparse.csr_array(X))
    assert_allclose(scores - scores.mean(), expected - expected.mean(), atol=2e-3)
    assert_allclose(student.predict(X), scores, atol=1e-5)
    # A cell that is not stored is a 0, as in a dense table.
    X[3, 0] = X[500, 0] = 0
    assert_allclose(student.predict(sparse.csr_array(X)), student.predict(X), rtol=1e-5, atol=1e-6)


def test_towers_centre_their_columns(table):
    rng = np.random.default_rng(0)
    users, items = rng.standard_normal((40, 3)), rng.standard_normal((60, 3))
    user, item = np.repeat(np.arange(40), 15), rng.integers(60, size=600)
    scores = users @ items.T
    found = {}
    for origin, spread in ((0.0, 1.0), (1.7e9, 500.0)):
        moved_users, moved_items = users * spread + origin, items * spread + origin
        towers = TwoTowerRetriever(
            query_columns=[0, 1, 2], item_columns=[3, 4, 5], alpha=1.0, random_state=0,
            spectral_start=False, max_iter=5,
        )  # fmt: skip
        log = np.column_stack([moved_users[user], moved_items[item]])
        towers.fit(log, np.ones(600), qid=user, items=moved_items, teacher_scores=scores)
        found[origin] = towers.predict(log)
        for engine in ("numpy", "onnxruntime"):
            assert_allclose(compile_scorer(towers, engine)(log), found[origin], atol=1e-4)
    # Towers are free to move all scores of a query together.
    within = [(s.reshape(40, 15) - s.reshape(40, 15).mean(axis=1)[:, None]) for s in found.values()]
    assert np.corrcoef(within[0].ravel(), within[1].ravel())[0, 1] > 0.999


@pytest.mark.parametrize("magnitude", [1e-37, 1e30, 3e34, 1e37])
def test_a_huge_or_tiny_column_beside_a_heavy_tail(magnitude, table, tmp_path):
    X = table.X.astype(np.float64)
    X[:, 0] *= magnitude
    X[:, 1] = np.exp(3 * X[:, 1])
    for student in (LinearRanker(), MLPRanker((8,))):
        student = trained(student, X, table)
        scores = student.predict(X)
        assert np.isfinite(scores).all()
        for way, found in ways_of_scoring(student, X, tmp_path):
            assert_allclose(found, scores[: len(found)], atol=1e-4, err_msg=way)


def test_numbers_beyond_float32_are_named(table):
    X = table.X.astype(np.float64)
    student = trained(LinearRanker(), pd.DataFrame(X).add_prefix("x"), table)
    X[7, 2] = 1e39
    for table_of in (np.asarray, sparse.csr_array):
        with pytest.raises(
            ValueError, match=r"row 7 of column 2 holds 1e\+39, the limit is 1e\+38"
        ):
            LinearRanker().fit(table_of(X), table.y, qid=table.qid)
    infinite = X.copy()
    infinite[7, 2] = np.inf
    with pytest.raises(ValueError, match=r"holds inf.* Replace infinity by NaN, or by a number\.$"):
        LinearRanker().fit(infinite, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="row 7 of column 'x2'"):
        student.predict(pd.DataFrame(X).add_prefix("x"))
    with pytest.raises(ValueError, match="row 7 of column 2"):
        trained(LinearRanker(), table.X.astype(np.float64), table).predict(X)


@settings(deadline=None, max_examples=30)
@given(exponent=st.integers(-30, 30), places=st.floats(-1e12, 1e12), digits=st.integers(3, 15))
def test_no_column_that_varies_is_lost(exponent, places, digits):
    """Two values that float64 tells apart by more than rounding are ranked, wherever they lie."""
    spread = 2.0**exponent
    origin = places * spread
    y = np.arange(40) % 2
    X = (origin + y * spread)[:, None]
    if np.ptp(X) < 64 * np.spacing(abs(origin)):
        return
    student = LinearRanker(max_iter=3).fit(X, y, qid=np.arange(40) // 4)
    assert student.score(X, y, qid=np.arange(40) // 4) == 1


@pytest.mark.parametrize("engine", ["numpy", "onnxruntime"])
@pytest.mark.parametrize("head", [[], [MaxAbsScaler()], [SimpleImputer(), MaxAbsScaler()]])
def test_times_with_a_heavy_tail_keep_their_digits(head, engine, table):
    """A softsign is steep at its origin, in particular that of a second view."""
    X = table.X.astype(np.float64)
    gaps = np.random.default_rng(0).standard_normal(len(X))
    X[:, 0] = 1.7e9 + np.round(1e3 * np.exp(2.5 * gaps), 3)
    model = trained(make_pipeline(*head, LinearRanker()), X, table)
    assert list(model[-1].scaler_.sources[-1:]) == [0]
    expected = model.predict(X)
    assert_allclose(compile_scorer(model, engine)(X), expected, atol=1e-5 * expected.std())
