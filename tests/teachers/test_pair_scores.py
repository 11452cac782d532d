"""A teacher's scores of pairs, dense or of the best alone."""

import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse

from skdistill.teachers.pair_scores import BestScores


def test_best_scores_count_the_rest_as_their_least():
    stored = sparse.csr_array(np.array([[0, -3.0, -1], [0, 0, 0], [5, 0, 2]]))
    scores = BestScores(stored)
    query, item = np.divmod(np.arange(9), 3)
    expected = [[-3, -3, -1], [0, 0, 0], [5, 2, 2]]
    assert_allclose(scores(query, item).reshape(3, 3), expected)
