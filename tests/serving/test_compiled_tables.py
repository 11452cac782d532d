"""Compiled scorers, ONNX and files of students on data frames, against predict."""

import pickle
import threading

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdistill.datasets import make_ranking
from skdistill.serving import compile_scorer, load, save, to_onnx
from skdistill.students import (
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)

ENGINES = ["numpy", "onnxruntime"]
HEADS = {"click": "listwise", "teacher": "listwise"}
STUDENTS = {
    "linear": LinearRanker(max_iter=3, random_state=0),
    "piecewise linear": LinearRanker(n_knots=4, max_iter=3, random_state=0),
    "fm": FactorizationMachineRanker(4, max_iter=3, random_state=0),
    "mlp": MLPRanker((16, 8), max_iter=3, random_state=0),
    "mlp with knots": MLPRanker((16, 8), n_knots=3, max_iter=3, random_state=0),
    "heads": MultiObjectiveRanker(HEADS, (8,), max_iter=3, random_state=0),
}


@pytest.fixture(scope="module")
def data():
    data = make_ranking(60, 20, 5, categories=(4, 40), missing=0.1, random_state=0)
    n_rows = len(data.y)
    rng = np.random.default_rng(0)
    data.X["shop"] = pd.Categorical(rng.choice([7, 70, 700], n_rows))
    data.X["flag"] = pd.array(np.where(rng.random(n_rows) < 0.1, None, True), dtype="boolean")
    return data


@pytest.fixture(scope="module")
def later(data):
    """Rows of next week: unknown categories, more missing values, another order of columns."""
    X = data.X.copy()
    rng = np.random.default_rng(1)
    X["category_1"] = X["category_1"].astype(object).where(rng.random(len(X)) < 0.7, "new")
    X.loc[rng.random(len(X)) < 0.3, "number_3"] = np.nan
    X.loc[rng.random(len(X)) < 0.3, "category_0"] = None
    return X


def fitted(name, data, X=None):
    student = clone(STUDENTS[name])
    X = data.X if X is None else X
    return student.fit(X, data.y, qid=data.qid, teacher_scores=data.utility)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", STUDENTS)
def test_every_face_gives_the_scores_of_predict(name, engine, data, later):
    student = fitted(name, data)
    expected = student.predict(later)
    assert expected.std() > 1e-3
    scorer = compile_scorer(student, engine)
    assert scorer.engine == engine
    assert scorer.allows_missing
    turned = later[later.columns[::-1]].assign(more="x")
    for frame in (
        later,
        turned,
        pl.from_pandas(turned.astype({"shop": object})),
        pa.Table.from_pandas(turned),
    ):
        assert_allclose(scorer(frame), expected, atol=1e-5)
    numbers, codes = scorer.encode(turned)
    assert numbers.dtype == np.float32
    assert (numbers.shape[1], codes.shape[1]) == (scorer.n_features, 3) == (6, 3)
    assert_allclose(scorer(numbers, codes), expected, atol=1e-5)
    assert_allclose(scorer(numbers.astype(np.float64), codes.astype(np.int64)), expected, atol=1e-5)
    dictionaries = later.astype(object).where(later.notna(), None).to_dict("records")
    assert_allclose(scorer.rows(dictionaries), expected, atol=1e-5)
    for n_rows in (0, 1, 2, 9, 33, 449):
        out = np.empty(n_rows, dtype=np.float32)
        assert_allclose(scorer(numbers[:n_rows], codes[:n_rows]), expected[:n_rows], atol=1e-5)
        assert scorer.into(numbers[:n_rows], out, codes[:n_rows]) is out
        assert_allclose(out, expected[:n_rows], atol=1e-5)
        assert_allclose(scorer.rows(dictionaries[:n_rows]), expected[:n_rows], atol=1e-5)
    again = pickle.loads(pickle.dumps(scorer))
    assert_array_equal(again(later), scorer(later))
    assert_allclose(compile_scorer(student, engine, n_threads=3)(later), expected, atol=1e-5)


@pytest.mark.parametrize("name", STUDENTS)
def test_onnx_has_a_typed_input_per_column(name, data, later, tmp_path):
    student = fitted(name, data)
    session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
    types = {one.name: one.type for one in session.get_inputs()}
    assert list(types) == list(data.X.columns)
    assert types["number_0"] == types["flag"] == "tensor(float)"
    assert types["category_1"] == "tensor(string)"
    assert types["shop"] == "tensor(int64)"
    feed = {}
    for column, type_ in types.items():
        values = later[column]
        if type_ == "tensor(string)":
            values = values.astype(object).where(values.notna(), "").to_numpy(dtype=object)
        elif type_ == "tensor(int64)":
            values = values.to_numpy(dtype=np.int64)
        else:
            values = values.to_numpy(dtype=np.float32, na_value=np.nan)
        feed[column] = values.reshape(-1, 1)
    scores, *_ = session.run(None, feed)
    assert_allclose(scores[:, 0], student.predict(later), atol=1e-5)


@pytest.mark.parametrize("name", STUDENTS)
def test_files_keep_encoders(name, data, later, tmp_path):
    student = fitted(name, data)
    save(student, tmp_path / "student.skd")
    loaded = load(tmp_path / "student.skd")
    assert_array_equal(loaded.predict(later), student.predict(later))
    assert_array_equal(
        compile_scorer(loaded, "numpy")(later), compile_scorer(student, "numpy")(later)
    )


def test_times_keep_their_digits(data):
    seconds = pd.to_timedelta(np.arange(len(data.y)), unit="s")
    X = data.X.assign(when=pd.Timestamp("2026-01-01") + seconds)
    student = clone(STUDENTS["mlp"]).fit(X, qid=data.qid, teacher_scores=np.arange(len(X)) / 100)
    expected = student.predict(X)
    for engine in ENGINES:
        scorer = compile_scorer(student, engine)
        assert scorer.needs_float64
        assert_allclose(scorer(X), expected, atol=1e-5)
        assert_allclose(scorer(*scorer.encode(X)), expected, atol=1e-5)
        assert_allclose(
            scorer.rows(X.head(5).astype(object).where(X.head(5).notna(), None).to_dict("records")),
            expected[:5],
            atol=1e-5,
        )


def test_an_array_with_gaps_is_scored_as_by_predict(data):
    numbers = np.ascontiguousarray(data.X.filter(like="number"))
    for name in ("linear", "fm", "mlp"):
        student = fitted(name, data, numbers)
        for engine in ENGINES:
            scorer = compile_scorer(student, engine)
            assert scorer.allows_missing
            assert_allclose(scorer(numbers), student.predict(numbers), atol=1e-5)
        session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
        (scores,) = session.run(None, {"X": numbers.astype(np.float32)})
        assert_allclose(scores[:, 0], student.predict(numbers), atol=1e-5)


def test_a_frame_of_numbers_is_scored_by_name(data):
    X = data.X.filter(like="number").fillna(0.0)
    student = fitted("mlp", data, X)
    scorer = compile_scorer(student)
    expected = student.predict(X)
    turned = X[X.columns[::-1]]
    assert_allclose(scorer(turned), expected, atol=1e-5)
    assert_allclose(scorer(np.ascontiguousarray(X, dtype=np.float32)), expected, atol=1e-5)
    assert_allclose(scorer.rows(turned.to_dict("records")), expected, atol=1e-5)
    numbers, codes = scorer.encode(turned)
    assert codes.shape == (len(X), 0)
    assert_allclose(scorer(numbers, codes), expected, atol=1e-5)


def test_threads_share_a_scorer_while_frames_differ(data, later):
    student = fitted("mlp", data)
    scorer = compile_scorer(student)
    frames = [data.X, later, later.iloc[::-1], data.X.astype({"category_0": object})]
    expected = [scorer(frame) for frame in frames]
    failures = []

    def work(place):
        for _ in range(30):
            if not np.array_equal(scorer(frames[place]), expected[place]):
                failures.append(place)

    threads = [threading.Thread(target=work, args=(place % 4,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_what_does_not_fit_is_refused(data):
    scorer = compile_scorer(fitted("mlp", data))
    numbers, codes = scorer.encode(data.X)
    with pytest.raises(
        ValueError, match="reads categories, which an array of numbers does not hold"
    ):
        scorer(numbers)
    for wrong in (codes[:5], codes[:, :2], codes.astype(np.float32), codes.tolist()):
        with pytest.raises(ValueError, match="codes"):
            scorer(numbers, wrong)
    for value in (-1, scorer.n_codes):
        wrong = codes.copy()
        wrong[3, 1] = value
        with pytest.raises(
            ValueError, match=f"codes must be integers from 0 to {scorer.n_codes - 1}"
        ):
            scorer(numbers, wrong)
    for dictionaries in ({"number_0": 1.0}, [{"number_0": 1.0}]):
        with pytest.raises(ValueError, match="Pass a list of dictionaries to scorer.rows"):
            scorer(dictionaries)
    for one_row in (data.X.iloc[0], numbers[0]):
        with pytest.raises(ValueError, match=r"Pass one row as a table, such as frame.iloc"):
            scorer(one_row)
    with pytest.raises(ValueError, match=r"X lacks the columns \['category_0'\]"):
        scorer(data.X.drop(columns="category_0"))
    array = compile_scorer(fitted("mlp", data, data.X.filter(like="number").to_numpy()))
    with pytest.raises(ValueError, match="columns have no names"):
        array.rows([{"number_0": 1.0}])


def test_a_step_that_does_nothing_passes_categories_on(data, later):
    behind = make_pipeline(FunctionTransformer(), clone(STUDENTS["mlp"]))
    behind.fit(data.X, data.y, mlpranker__qid=data.qid, mlpranker__teacher_scores=data.utility)
    assert_allclose(compile_scorer(behind)(later), behind.predict(later), atol=1e-5)


def test_probabilities_and_objectives_are_outputs(data):
    numbers = np.ascontiguousarray(data.X.filter(like="number").fillna(0), dtype=np.float32)
    clicks = (data.y > 1).astype(float)
    logistic = MLPRanker((8,), loss="logistic", max_iter=3, random_state=0)
    heads = MultiObjectiveRanker(
        {"click": "logistic", "grade": "listwise"}, (8,), max_iter=3, combine={"grade": 2.0},
        random_state=0,
    )  # fmt: skip
    both = np.column_stack([clicks, data.y])
    for wrap in (lambda s: s, lambda s: make_pipeline(StandardScaler(), s)):
        student = wrap(clone(logistic)).fit(numbers, clicks)
        session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
        found = dict(
            zip(
                [o.name for o in session.get_outputs()],
                session.run(None, {"X": numbers}),
                strict=True,
            )
        )
        assert list(found) == ["scores", "probabilities"]
        assert_allclose(found["probabilities"], student.predict_proba(numbers), atol=1e-5)
        student = wrap(clone(heads)).fit(numbers, both)
        session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
        found = dict(
            zip(
                [o.name for o in session.get_outputs()],
                session.run(None, {"X": numbers}),
                strict=True,
            )
        )
        assert list(found) == ["scores", "objective_click", "objective_grade"]
        assert_allclose(found["scores"][:, 0], student.predict(numbers), atol=1e-5)
        last = student if hasattr(student, "predict_objectives") else student[-1]
        seen = numbers if last is student else student[:-1].transform(numbers)
        for name, values in last.predict_objectives(seen).items():
            assert_allclose(found[f"objective_{name}"][:, 0], values, atol=1e-5)


def test_columns_may_have_any_name_but_that_of_an_output(data):
    X = data.X.rename(columns={"number_0": "gather_0", "number_1": "X", "category_0": "codes"})
    student = fitted("mlp", data, X)
    session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
    assert [one.name for one in session.get_inputs()] == list(X.columns)
    with pytest.raises(ValueError, match=r"columns \['scores'\] have the names of outputs"):
        to_onnx(fitted("mlp", data, data.X.rename(columns={"number_0": "scores"})))


def test_frames_and_dictionaries_are_checked_as_by_predict(data):
    X = data.X.filter(like="number").fillna(0.0)
    student = fitted("mlp", data, X)
    gap, huge = X.copy(), X.copy()
    gap.iloc[3, 1], huge.iloc[4, 2] = np.nan, np.inf
    for engine in ENGINES:
        scorer = compile_scorer(student, engine)
        with pytest.raises(ValueError, match="Row 3 of column 'number_1' is nan.*finite numbers"):
            scorer(gap)
        with pytest.raises(ValueError, match="Row 4 of column 'number_2' is inf"):
            scorer.rows(huge.to_dict("records"))
    scorer = compile_scorer(fitted("mlp", data))
    huge = data.X.copy()
    huge.iloc[4, 2] = -np.inf
    with pytest.raises(ValueError, match="'number_2' is -inf.*finite numbers or missing ones"):
        scorer(huge)
