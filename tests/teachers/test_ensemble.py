"""What ensembles share: one scale for all members, with queries and without."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from skdistill.inputs.queries import Queries
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble
from skdistill.teachers.ensemble import Ensemble, rank_fraction, scores_of, standardize_by_query

QUERIES = Queries.from_sizes([3, 2, 1])


class Column(RegressorMixin, BaseEstimator):
    """Scores by one column."""

    def __init__(self, column):
        self.column = column

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.asarray(X)[:, self.column]


class Two(Ensemble):
    """The base with two members, by column."""

    averaging = "score"

    def fit(self, X, y, qid=None, sample_weight=None):
        data = self._read(X, y, qid, sample_weight)
        self.estimators_ = [Column(0), Column(1)]
        self._remember_deviations(data)
        return self

    def _validate_params(self):
        pass


def test_scores_of_a_query_have_mean_0_and_deviation_1_and_constants_are_0():
    found = standardize_by_query(np.array([1.0, 3, 5, 4, 4, 9]), QUERIES)
    deviation = np.sqrt(((1 - 3) ** 2 + 0 + (5 - 3) ** 2) / 3)
    assert_allclose(found, [(1 - 3) / deviation, 0, (5 - 3) / deviation, 0, 0, 0])


def test_rank_fractions_fall_from_1_to_0_and_ties_keep_the_order():
    found = rank_fraction(np.array([1.0, 3, 5, 4, 4, 9]), QUERIES)
    assert found.tolist() == [0, 1 / 2, 1, 1, 0, 1]


def test_scores_of_members_are_columns():
    X = np.arange(6.0).reshape(3, 2)
    assert_array_equal(scores_of([Column(1), Column(0)], X), X[:, [1, 0]])


# Standard deviations within the queries: 1 and 2 of the first column, 10 and 0 of the second.
X = np.array([[1.0, 10], [3, 30], [0, 7], [4, 7]])
QID = np.array([5, 5, 6, 6])


def test_without_queries_members_are_divided_by_their_mean_deviation():
    ensemble = Two().fit(X, np.zeros(4), qid=QID)
    assert_allclose(ensemble.deviations_, [(1 + 2) / 2, (10 + 0) / 2])
    assert_allclose(ensemble.predict(X), (X[:, 0] / 1.5 + X[:, 1] / 5) / 2)


def test_a_member_of_small_scores_is_not_taken_for_a_constant():
    ensemble = Two().fit(X / 100, np.zeros(4), qid=QID)
    assert_allclose(ensemble.deviations_, [1.5 / 100, 5 / 100])


def test_a_constant_member_is_divided_by_1():
    ensemble = Two().fit(X * [1, 0] + [0, 3], np.zeros(4), qid=QID)
    assert ensemble.deviations_.tolist() == [(1 + 2) / 2, 1]


def test_with_queries_members_are_standardised_in_each():
    ensemble = Two().fit(X, np.zeros(4), qid=QID)
    expected = np.array([(-1 - 1) / 2, (1 + 1) / 2, (-1 + 0) / 2, (1 + 0) / 2])
    assert_allclose(ensemble.predict(X, qid=QID), expected)
    order = np.array([2, 0, 3, 1])
    assert_allclose(ensemble.predict(X[order], qid=QID[order]), expected[order])


def test_ranks_are_averaged_in_each_query_and_need_queries():
    ensemble = Two().fit(X, np.zeros(4), qid=QID)
    ensemble.averaging = "rank"
    expected = [(0 + 0) / 2, (1 + 1) / 2, (0 + 1) / 2, (1 + 0) / 2]
    assert_allclose(ensemble.predict(X, qid=QID), expected)
    with pytest.raises(
        ValueError,
        match=r"^averaging='rank' ranks .* needs qid\. Pass qid=, or set averaging='score'\.$",
    ):
        ensemble.predict(X)


def test_columns_and_fit_are_checked_before_scoring():
    with pytest.raises(NotFittedError):
        Two().predict(X)
    ensemble = Two().fit(pd.DataFrame(X, columns=["a", "b"]), np.zeros(4), qid=QID)
    assert ensemble.n_features_in_ == 2
    with pytest.raises(ValueError, match="feature"):
        ensemble.predict(X[:, :1])


@pytest.mark.parametrize(
    "ensemble", [RankEnsemble([("ridge", Ridge())]), MLPEnsembleRanker(1)], ids=["ranks", "nets"]
)
def test_labels_are_needed_and_checked(ensemble):
    name = type(ensemble).__name__
    with pytest.raises(ValueError, match=f"^{name} requires y to be passed, but the target y is"):
        ensemble.fit(X, None, qid=QID)
    with pytest.raises(ValueError, match="^y must hold one value per row"):
        ensemble.fit(X, np.zeros(3), qid=QID)
    with pytest.raises(ValueError, match="^sample_weight must be 0 or more"):
        ensemble.fit(X, np.zeros(4), qid=QID, sample_weight=[1, 1, 1, -1])
