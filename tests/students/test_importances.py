"""Coefficients and importances of fitted students."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inputs import Queries
from skdistill.models import Linear
from skdistill.students import (
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)
from skdistill.students.importances import MOST_SPARSE_COLUMNS, SAMPLED_ROWS, column_effects

STUDENTS = [
    LinearRanker(random_state=0),
    FactorizationMachineRanker(n_factors=4, max_iter=40, learning_rate_init=0.01, random_state=0),
    MLPRanker((16,), random_state=0),
    MultiObjectiveRanker({"label": "listwise"}, (16,), random_state=0),
]
each_student = pytest.mark.parametrize("student", STUDENTS, ids=lambda s: type(s).__name__)


def units_of(X):
    """The same table in other units: prices in cents, times since 1970."""
    scale = np.array([1, 1e-4, 100, 1, 1e3, 1.0])[: X.shape[1]]
    return X * scale + np.array([0, 0, 0, 1.7e9, 0, 0.0])[: X.shape[1]]


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize(
    "student",
    [
        LinearRanker(squash=False, random_state=0),
        LinearRanker(squash=False, standardize=False, random_state=0),
        MLPRanker((), squash=False, random_state=0),
        MultiObjectiveRanker(
            {"label": "listwise", "teacher": "listwise"},
            (),
            combine={"label": 2.0, "teacher": 0.5},
            squash=False,
            random_state=0,
        ),
    ],
    ids=lambda s: f"{type(s).__name__}, {s.standardize}",
)
def test_a_linear_score_is_the_product_with_the_coefficients(student, is_sparse):
    data = make_ranking(60, n_features=6, random_state=0)
    X = units_of(data.X) if student.standardize else data.X
    table = sparse.csr_array(X) if is_sparse else X
    student = clone(student).fit(table, data.y, qid=data.qid, teacher_scores=data.utility)
    assert student.coef_.shape == (6,)
    scores = student.predict(table)
    assert_allclose(X @ student.coef_ + student.intercept_, scores, atol=1e-4 * np.ptp(scores))
    assert np.ptp(scores) > 0.1


@pytest.mark.parametrize("query_column", [0, 2, -1, "query"])
def test_the_query_column_has_the_weight_zero(query_column):
    data = make_ranking(40, n_features=4, random_state=0)
    if query_column == "query":
        X = pd.DataFrame(data.X, columns=list("abcd"))
        X.insert(1, "query", data.qid)
        place = 1
    else:
        place = query_column % 5
        X = np.insert(data.X, place, data.qid, axis=1)
    student = LinearRanker(query_column=query_column, squash=False, random_state=0).fit(X, data.y)
    for values in (student.coef_, student.feature_importances_):
        assert values.shape == (student.n_features_in_,) == (5,)
        assert_array_equal(np.flatnonzero(values == 0), [place])
    scores = student.predict(X)
    assert_allclose(np.asarray(X) @ student.coef_ + student.intercept_, scores, atol=1e-4)


def test_a_student_without_coefficients_says_why():
    data = make_ranking(40, n_features=4, random_state=0)
    X = pd.DataFrame(data.X, columns=["a", "price", "b", "c"])
    X["price"] = np.exp(3 * X["price"])
    with pytest.raises(NotFittedError):
        _ = LinearRanker().coef_
    student = LinearRanker(random_state=0).fit(X, data.y, qid=data.qid)
    with pytest.raises(AttributeError, match=r"columns \['price'\].*squash=False, or use feature"):
        _ = student.coef_
    student.partial_fit(X, data.y, qid=data.qid)
    with pytest.raises(AttributeError, match="squash=False, or use skdistill.inspection"):
        _ = student.coef_
    for kind in (MLPRanker((4,)), FactorizationMachineRanker(2)):
        student = kind.fit(X, data.y, qid=data.qid)
        with pytest.raises(AttributeError, match="times each column. Use feature_importances_, or"):
            _ = student.coef_
        assert not hasattr(student, "intercept_")
    linear = LinearRanker(squash=False).fit(X, data.y, qid=data.qid)
    assert hasattr(linear, "coef_")
    linear.encoder_ = object()  # several inputs of the model for a column
    assert not hasattr(linear, "coef_")


@each_student
def test_importances_find_the_columns_that_matter_whatever_their_units(student):
    data = make_ranking(150, n_features=3, truth="linear", noise=0.05, random_state=0)
    noise = np.random.default_rng(1).standard_normal((len(data.y), 3))
    X = np.column_stack([data.X, noise])
    student = clone(student)
    importances = student.fit(X, data.y, qid=data.qid).feature_importances_
    assert importances.shape == (6,)
    assert importances.sum() == pytest.approx(1)
    assert importances[:3].min() > 1.5 * importances[3:].max()
    again = student.fit(units_of(X), data.y, qid=data.qid).feature_importances_
    assert_allclose(again, importances, atol=0.02)
    assert_array_equal(pickle.loads(pickle.dumps(student)).feature_importances_, again)


def test_a_query_column_matters_by_its_interactions_only():
    rng = np.random.default_rng(0)
    qid = np.repeat(np.arange(200), 15)
    mood = rng.choice([-1.0, 1.0], 200)[qid]
    item, unused = rng.standard_normal((2, len(qid)))
    unused_of_query = rng.standard_normal(200)[qid]
    X = np.column_stack([mood, item, unused_of_query, unused])
    relevance = (mood * item > 0.8).astype(float)
    student = MLPRanker((16,), max_iter=40, random_state=0).fit(X, relevance, qid=qid)
    importances = student.feature_importances_
    assert importances[:2].min() > 3 * importances[2:].max()
    linear = LinearRanker(random_state=0).fit(X, item > 1, qid=qid)
    assert_allclose(linear.feature_importances_[[0, 2]], 0, atol=1e-6)
    # The probability of a single row depends on such a column too.
    logistic = LinearRanker(loss="logistic", random_state=0).fit(X, mood > 0, qid=qid)
    assert logistic.feature_importances_.argmax() == 0


def test_the_importance_of_a_linear_column_is_weight_times_deviation_within_queries():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3)).astype(np.float32) * [1, 2, 3]
    X = X.astype(np.float32)
    queries = Queries.from_sizes([10, 10, 15, 5])
    weights = np.array([[3.0], [-2.0], [0.5]], np.float32)
    params = {"weights_0": weights, "bias_0": np.zeros(1, np.float32)}
    within = np.split(X.astype(float), queries.offsets[1:-1])
    deviation = np.sqrt(sum(((x - x.mean(axis=0)) ** 2).sum(axis=0) for x in within) / 40)
    expected = np.abs(weights[:, 0]) * deviation
    found = column_effects(Linear(), params, X, queries)
    assert_allclose(found, expected / expected.sum(), rtol=1e-5)


def effects_of_permutation(student, X, qid):
    """Root mean square by which scores move within queries if a column is permuted."""
    rng = np.random.default_rng(0)
    scores, effects = student.predict(X).astype(float), []
    for column in range(X.shape[1]):
        moved = X.copy()
        moved[:, column] = rng.permutation(X[:, column])
        change = pd.Series(student.predict(moved) - scores)
        change -= change.groupby(qid).transform("mean")
        effects.append(np.sqrt((change**2).mean()))
    return np.array(effects) / np.sum(effects)


@each_student
@pytest.mark.parametrize("seed", [0, 1])
def test_the_views_of_a_column_have_one_importance(student, seed):
    data = make_ranking(150, n_features=4, truth="linear", noise=0.05, random_state=seed)
    X = data.X.copy()
    X[:, [1, 3]] = np.exp(2 * X[:, [1, 3]])
    student = clone(student).fit(X, data.y, qid=data.qid)
    assert list(student.scaler_.sources) == [0, 1, 2, 3, 1, 3]
    found = student.feature_importances_
    assert found.shape == (4,)
    assert found.sum() == pytest.approx(1)
    assert_allclose(found, effects_of_permutation(student, X, data.qid), atol=0.04)
    with pytest.raises(AttributeError, match=r"columns \[1, 3\]|not a sum of one number"):
        _ = student.coef_


def test_the_views_of_a_linear_column_matter_by_their_sum():
    """Views of opposite weights cancel out where they move alike; a query's column is nothing."""
    rng = np.random.default_rng(0)
    queries = Queries.from_sizes(rng.integers(5, 15, 100))
    values = np.exp(2 * rng.standard_normal((queries.n_rows, 3)))
    values[:, 2] = values[queries.starts[queries.segment], 2]
    X = np.column_stack([values / (50 + values), values[:, 1:] / (1 + values[:, 1:])])
    X = (X / X.std(axis=0)).astype(np.float32)
    params = {
        "weights_0": np.array([[1.0], [3.0], [2.0], [-2.0], [1.0]], np.float32),
        "bias_0": np.zeros(1, np.float32),
    }
    terms = X.astype(float) * params["weights_0"][:, 0]
    of_columns = np.column_stack(
        [terms[:, 0], terms[:, 1] + terms[:, 3], terms[:, 2] + terms[:, 4]]
    )
    within = np.split(of_columns, queries.offsets[1:-1])
    expected = np.sqrt(sum(((x - x.mean(axis=0)) ** 2).sum(axis=0) for x in within))
    found = column_effects(Linear(), params, X, queries, np.array([0, 1, 2, 1, 2]))
    assert_allclose(found, expected / expected.sum(), rtol=0.03, atol=1e-6)


def test_one_long_query_and_narrow_csr_tables_are_sampled(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20 * SAMPLED_ROWS, 3))
    seen = []
    forward = Linear.forward

    def watched(self, params, inputs):
        seen.append(inputs.n_rows)
        return forward(self, params, inputs)

    student = LinearRanker(max_iter=1, random_state=0)
    monkeypatch.setattr(Linear, "forward", watched)
    student.fit(X, X[:, 1] > 1, qid=np.zeros(len(X)))
    assert SAMPLED_ROWS / 2 < seen[-1] <= SAMPLED_ROWS
    student.fit(sparse.csr_array(X), X[:, 1] > 1, qid=np.arange(len(X)) // 7)
    assert SAMPLED_ROWS / 2 < seen[-1] <= SAMPLED_ROWS
    assert student.feature_importances_.argmax() == 1


def test_where_there_are_no_importances_an_error_says_what_to_use():
    data = make_ranking(20, n_features=3, random_state=0)
    X = sparse.csr_array(data.X)
    X.resize(len(data.y), MOST_SPARSE_COLUMNS + 1)
    wide = LinearRanker(max_iter=1).fit(X, data.y, qid=data.qid)
    streamed = LinearRanker().fit(data.X, data.y, qid=data.qid)
    streamed.partial_fit(data.X, data.y, qid=data.qid)
    formula = MultiObjectiveRanker(
        {"a": "listwise"}, (4,), max_iter=1, combine=lambda outputs, X: outputs["a"]
    ).fit(data.X, data.y, qid=data.qid)
    for student in (wide, streamed, formula):
        with pytest.raises(AttributeError, match="ranking_importance"):
            _ = student.feature_importances_
    with pytest.raises(NotFittedError):
        _ = LinearRanker().feature_importances_


def test_a_distilled_ranker_has_the_importances_of_its_student():
    data = make_ranking(60, n_features=4, random_state=0)
    X = pd.DataFrame(data.X, columns=list("abcd"))
    X.insert(2, "query", data.qid)
    teacher = FrozenEstimator(LinearRanker(max_iter=2).fit(data.X, data.y, qid=data.qid))
    ranker = DistilledRanker(
        teacher,
        LinearRanker(),
        teacher_columns=["a", "b", "c", "d"],
        student_columns=["d", "b"],
        query_column="query",
        random_state=0,
    ).fit(X, data.y)
    expected = np.zeros(5)
    expected[[4, 1]] = ranker.export_student().feature_importances_
    assert_array_equal(ranker.feature_importances_, expected)
    assert ranker.feature_importances_.sum() == pytest.approx(1)
    ranker.set_params(student=make_pipeline(StandardScaler(), LinearRanker())).fit(X, data.y)
    with pytest.raises(AttributeError, match=r"it is a Pipeline\. Use skdistill\.inspection"):
        _ = ranker.feature_importances_
    selector = SelectFromModel(ranker.set_params(student=MLPRanker((4,), max_iter=2)))
    assert selector.fit(X, data.y).get_support().shape == (5,)


def test_an_error_about_coefficients_names_only_what_there_is():
    data = make_ranking(20, n_features=3, random_state=0)
    frame = pd.DataFrame(data.X, columns=list("abc"))
    gaps = frame.assign(b=frame["b"].where(frame.index % 5 != 0))
    kinds = frame.assign(kind=np.where(data.X[:, 0] > 0, "x", "y"))
    dates = frame.assign(day=pd.Timestamp("2024-01-01") + pd.to_timedelta(frame.index, "D"))
    for table in (gaps, gaps.to_numpy(), kinds, dates):
        student = LinearRanker(max_iter=1).fit(table, data.y, qid=data.qid)
        assert not hasattr(student, "feature_importances_")
        with pytest.raises(AttributeError, match="column. Use skdistill.inspection.ranking_imp"):
            _ = student.coef_
    with pytest.raises(AttributeError, match="tables of numbers without missing values, with at"):
        _ = LinearRanker(max_iter=1).fit(gaps, data.y, qid=data.qid).feature_importances_
