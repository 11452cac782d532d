"""Asking a teacher for scores, and refusing what is no score."""

import lightgbm
import numpy as np
import pandas as pd
import polars
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdistill import DistilledRanker
from skdistill.inputs.queries import Queries
from skdistill.teachers import asking, score_rows


def test_a_teacher_that_returns_nan_or_too_much_is_refused():
    class Bad:
        def __init__(self, value):
            self.value = value

        def predict(self, X):
            return self.value(len(X))

    X = np.zeros((3, 2))
    with pytest.raises(
        ValueError,
        match=r"^The teacher Bad must give finite .* the score of row 1 \(sorted by query\) is nan",
    ):
        score_rows(Bad(lambda n: np.array([0, np.nan, np.inf])), X)
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(3, 2\)"):
        score_rows(Bad(lambda n: np.zeros((n, 2))), X)


X = np.random.default_rng(0).normal(size=(60, 2))


def test_an_error_of_a_teacher_says_what_it_was_asked():
    def by_price(table):
        return table["price"]

    frame = pd.DataFrame(X, columns=["stars", "cost"])
    with pytest.raises(KeyError, match="price") as caught:
        score_rows(by_price, frame)
    (note,) = caught.value.__notes__
    assert note.startswith(
        "The teacher by_price was given a pandas DataFrame with 2 columns: 'stars', 'cost'. A func"
    )
    model = LogisticRegression().fit(frame, X[:, 0] > 0)
    with pytest.raises(ValueError, match="feature names") as caught:
        score_rows(model.predict, polars.DataFrame({"stars": X[:, 0], "price": X[:, 1]}))
    (note,) = caught.value.__notes__
    assert "was given a polars DataFrame with 2 columns: 'stars', 'price'. It is a method" in note
    assert "Pass FrozenEstimator(model) instead" in note


def test_a_classifier_of_two_classes_scores_by_the_second():
    teacher = LogisticRegression().fit(X, np.where(X[:, 0] > 0, "yes", "no"))
    assert_array_equal(score_rows(teacher, X), teacher.predict_proba(X)[:, 1])


def test_a_classifier_of_more_classes_scores_by_the_expected_one():
    teacher = LogisticRegression().fit(X, np.digitize(X[:, 0], [-0.5, 0.5]) * 3 - 1)
    p = teacher.predict_proba(X)
    assert_allclose(score_rows(teacher, X), -1 * p[:, 0] + 2 * p[:, 1] + 5 * p[:, 2])


def test_a_classifier_without_probabilities_scores_by_its_decision_function():
    teacher = RidgeClassifier().fit(X, X[:, 0] > 0)
    assert_array_equal(score_rows(teacher, X), teacher.decision_function(X))


def test_a_rule_may_have_any_of_the_methods():
    class Probability:
        def predict_proba(self, X):
            return np.column_stack([1 - X[:, 0], X[:, 0]])

    class Decision:
        def decision_function(self, X):
            return 2 * X[:, 0]

    class Both(Probability, Decision):
        """Not a classifier of scikit-learn: ``predict`` is its score."""

        def predict(self, X):
            return 3 * X[:, 0]

    for rule, factor in ((Probability(), 1), (Decision(), 2), (Both(), 3)):
        assert_array_equal(score_rows(rule, X), factor * X[:, 0])


@pytest.mark.parametrize(("block", "sizes"), [(2, [2, 2, 1]), (5, [5]), (6, [5])])
def test_rows_are_scored_in_blocks_and_in_order(block, sizes, monkeypatch):
    monkeypatch.setattr(asking, "BLOCK", block)
    asked = []

    class Rule:
        def predict(self, X):
            asked.append(len(X))
            return X[:, 0]

    assert_array_equal(score_rows(Rule(), X[:5]), X[:5, 0])
    assert asked == sizes


class ByQuery(RegressorMixin, BaseEstimator):
    """Scores rows by their place in the query."""

    def fit(self, X, y):
        return self

    def predict(self, X, qid=None):
        return np.zeros(len(X)) if qid is None else X[:, 0] + 10 * qid


@pytest.mark.parametrize("wrap", [lambda teacher: teacher, FrozenEstimator])
def test_a_teacher_that_takes_queries_gets_all_rows_with_them(wrap, monkeypatch):
    monkeypatch.setattr(asking, "BLOCK", 2)
    queries = Queries.from_sizes([2, 3])
    scores = score_rows(wrap(ByQuery()), X[:5], queries)
    assert_array_equal(scores, X[:5, 0] + 10 * np.array([0, 0, 1, 1, 1]))
    assert_array_equal(score_rows(wrap(ByQuery()), X[:5]), np.zeros(5))


def test_a_teacher_gets_sparse_rows_with_each_cell_once():
    class Rule:
        def predict(self, table):
            return np.diff(table.indptr)

    twice = sparse.coo_array(([1.0, 2.0, 3.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert score_rows(Rule(), twice).tolist() == [1, 1]


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_an_answer_with_another_index_is_refused(method):
    """pandas would combine it with the rows by index, in another order."""

    def shuffled(self, table):
        return table["a"].iloc[::-1]

    teacher = type("Rule", (), {method: shuffled})()
    with pytest.raises(ValueError, match="^The teacher Rule must return one row per row"):
        score_rows(teacher, pd.DataFrame(X, columns=["a", "b"]))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_an_answer_with_the_index_of_the_table_is_taken(method):
    frame = pd.DataFrame(X[:3], columns=["a", "b"], index=[7, 9, 8])
    rule = type(
        "Rule", (), {method: lambda self, table: table[["a", "b"]].set_axis([0, 1], axis=1)}
    )
    if method != "predict_proba":
        rule = type("Rule", (), {method: lambda self, table: table["b"].astype(object)})
    assert_array_equal(score_rows(rule(), frame), X[:3, 1])


def test_an_answer_by_query_is_checked_like_any_other():
    class Shuffled(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            return self

        def predict(self, table, qid):
            return table["a"] if self.keeps_order else table["a"].iloc[::-1]

    frame = pd.DataFrame(X[:3], columns=["a", "b"], index=[7, 9, 8])
    teacher, queries = Shuffled(), Queries.single(3)
    teacher.keeps_order = True
    assert_array_equal(score_rows(teacher, frame, queries), X[:3, 0])
    teacher.keeps_order = False
    with pytest.raises(ValueError, match="^The teacher Shuffled must return one row per row"):
        score_rows(teacher, frame, queries)


@pytest.mark.parametrize("frozen", [False, True], ids=["as it is", "frozen"])
def test_a_booster_may_stand_behind_the_step_that_computes_its_columns(frozen):
    rng = np.random.default_rng(0)
    day = pd.to_datetime("2026-01-01") + pd.to_timedelta(rng.integers(0, 300, 200), "D")
    city = pd.Categorical(rng.choice(["Bonn", "Kiel", "Ulm"], 200))
    frame = pd.DataFrame({"price": rng.normal(size=200), "day": day, "city": city})

    def compute(table):
        return table.assign(day=table["day"].dt.day_of_year)

    y = (frame["day"].dt.day_of_year % 30 + (city == "Ulm") * 9 > 20).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(compute(frame), y)
    pipeline = make_pipeline(FunctionTransformer(compute), model.booster_)
    teacher = FrozenEstimator(pipeline) if frozen else pipeline
    # The categories are matched behind the step, too.
    other = frame.assign(city=frame["city"].cat.set_categories(["Ulm", "Kiel", "Bonn"]))
    expected = model.predict_proba(compute(frame))[:, 1]
    assert_array_equal(score_rows(teacher, other), expected)
    assert_array_equal(score_rows(clone(teacher), other), expected)
    with pytest.raises(ValueError, match=r"make_pipeline\(FunctionTransformer\(compute\), model\)"):
        score_rows(model, frame)
    ranker = DistilledRanker(teacher, alpha=1.0, keep_teacher=True, random_state=0)
    ranker.fit(frame, qid=np.repeat(np.arange(20), 10))
    assert_array_equal(score_rows(ranker.teacher_, other), expected)


def test_blocks_of_a_pipeline_score_as_the_whole(monkeypatch):
    teacher = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, X[:, 0] > 0)
    expected = teacher.predict_proba(X)[:, 1]
    monkeypatch.setattr(asking, "BLOCK", 7)
    assert_allclose(score_rows(FrozenEstimator(teacher), X), expected)
