"""Teacher scores of queries that the teacher did not see."""

import lightgbm
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.dummy import DummyRegressor

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
