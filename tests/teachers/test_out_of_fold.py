"""Teacher scores of queries that the teacher did not see."""

import lightgbm
import numpy as np
import pytest
from numpy.testing import assert_allclose

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
