"""Teacher scores of queries that the teacher did not see."""

import lightgbm
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold

from skdistill.inputs.queries import Queries
from skdistill.metrics import ndcg_score
from skdistill.teachers import fit_and_score

QUICK = {"n_estimators": 30, "min_child_samples": 5, "verbose": -1, "n_jobs": 1, "random_state": 0}


def test_out_of_fold_scores_come_from_teachers_that_did_not_see_the_query(table):
    sizes = np.unique(table.qid, return_counts=True)[1]
    queries = Queries.from_sizes(sizes)
    teacher = lightgbm.LGBMRanker(**{**QUICK, "n_estimators": 200})
    in_fold = fit_and_score(teacher, table.X, table.y, queries)
    out_of_fold = fit_and_score(teacher, table.X, table.y, queries, cv=4, random_state=0)
    fits = ndcg_score(table.y, in_fold.scores, table.qid, k=10)
    honest = ndcg_score(table.y, out_of_fold.scores, table.qid, k=10)
    assert fits > 0.99
    assert honest < fits - 0.05
    assert_allclose(out_of_fold.teacher.predict(table.X), in_fold.scores)
    without = fit_and_score(
        teacher, table.X, table.y, queries, cv=4, keep_teacher=False, random_state=0
    )
    assert without.teacher is None
    assert_allclose(without.scores, out_of_fold.scores)
    with pytest.raises(ValueError, match="there are 60"):
        fit_and_score(teacher, table.X, table.y, queries, cv=61)


def test_folds_are_drawn_by_the_seed():
    """The mean label of the other folds tells which queries share a fold: labels 1, 2, 4, ..."""
    queries, teacher = Queries.even(12, 2), DummyRegressor()
    y = queries.spread(2.0 ** np.arange(12))

    def folds(seed):
        scores = fit_and_score(teacher, y[:, None], y, queries, cv=3, random_state=seed).scores
        kept_out = {y[scores == score].sum() / 2 for score in scores}
        # Each score is the mean label of the 2 / 3 of the queries that are not in its fold.
        expected = [(sum(2.0 ** np.arange(12)) - labels) / 8 for labels in kept_out]
        assert_allclose(sorted(set(scores)), sorted(expected))
        return kept_out

    assert len(folds(0)) == 3
    assert folds(0) == folds(0)
    assert len({frozenset(folds(seed)) for seed in range(4)}) == 4


class MeanLabel(RegressorMixin, BaseEstimator):
    """Scores every row by the mean label of its fit, which tells the rows that it saw."""

    def fit(self, X, y):
        self.mean_ = y.mean()
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


X, QUERIES = np.zeros((8, 1)), Queries.from_sizes([2, 2, 2, 2])
Y = 2.0 ** np.arange(8)
FIRST, SECOND = np.arange(4), np.arange(4, 8)


def test_each_fold_is_scored_by_the_teacher_of_the_others():
    taught = fit_and_score(MeanLabel(), X, Y, QUERIES, cv=[(FIRST, SECOND), (SECOND, FIRST)])
    assert_array_equal(taught.scores, np.repeat([Y[SECOND].mean(), Y[FIRST].mean()], 4))
    assert taught.teacher.mean_ == Y.mean()


def test_rows_of_no_fold_and_without_a_label_are_scored_by_the_whole_teacher():
    y = np.where(np.arange(8) == 5, np.nan, Y)
    labelled = Y[np.arange(8) != 5]
    # Rows of the folds count labelled rows only: 0 to 6.
    for keep_teacher in (True, False):
        taught = fit_and_score(
            MeanLabel(), X, y, QUERIES, cv=[(FIRST, [5, 6])], keep_teacher=keep_teacher
        )
        expected = np.full(8, labelled.mean())
        expected[[6, 7]] = Y[FIRST].mean()
        assert_array_equal(taught.scores, expected)
        assert taught.teacher.mean_ == labelled.mean()


def test_a_number_of_folds_makes_shuffled_folds_of_whole_queries():
    taught = fit_and_score(MeanLabel(), X, Y, QUERIES, cv=2, random_state=3)
    folds = GroupKFold(2, shuffle=True, random_state=3).split(X, Y, QUERIES.segment)
    for train, test in folds:
        assert_array_equal(taught.scores[test], np.full(4, Y[train].mean()))
    numpy_int = fit_and_score(MeanLabel(), X, Y, QUERIES, cv=np.int64(2), random_state=3)
    assert_array_equal(numpy_int.scores, taught.scores)
    assert fit_and_score(MeanLabel(), X, Y, QUERIES, cv=4).scores.shape == (8,)
    for wrong in (1, 5):
        with pytest.raises(
            ValueError, match=f"^teacher_cv={wrong} must be between 2 and .* there are 4 labelled"
        ):
            fit_and_score(MeanLabel(), X, Y, QUERIES, cv=wrong)


def test_a_prefit_teacher_has_no_folds():
    frozen = FrozenEstimator(MeanLabel().fit(X, Y))
    with pytest.raises(ValueError, match="^teacher_cv=2 fits .* but FrozenEstimator is already"):
        fit_and_score(frozen, X, Y, QUERIES, cv=2)
    assert fit_and_score(frozen, X, None, QUERIES).teacher is frozen


def test_metadata_of_a_fold_are_those_of_its_rows():
    class Weighted(MeanLabel):
        def fit(self, X, y, sample_weight=None):
            self.mean_ = np.average(y, weights=sample_weight)
            return self

    weight = np.arange(8.0) + 1
    taught = fit_and_score(
        Weighted(), X, Y, QUERIES, sample_weight=weight, cv=[(FIRST, SECOND), (SECOND, FIRST)]
    )
    expected = [np.average(Y[rows], weights=weight[rows]) for rows in (SECOND, FIRST)]
    assert_allclose(taught.scores, np.repeat(expected, 4))


def test_teachers_of_folds_are_told_the_queries_that_they_score():
    """Also the whole teacher, of the query that is in no fold."""

    class ByQuery(MeanLabel):
        def predict(self, X, qid=None):
            return np.full(len(X), np.nan) if qid is None else 10.0 * qid + X[:, 0]

    table = np.arange(8.0)[:, None]
    folds = [(FIRST, [4, 5]), (SECOND, FIRST)]
    taught = fit_and_score(ByQuery(), table, Y, QUERIES, cv=folds)
    # Queries are numbered anew among the rows that are scored at once.
    assert taught.scores.tolist() == [0, 1, 12, 13, 4, 5, 6, 7]
