"""The best rows of each query, with ties, in any order of the queries."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skdistill.serving.batch.best_rows import best_rows


@pytest.mark.parametrize(
    ("k", "expected"), [(1, [0, 1]), (2, [0, 1, 2, 3]), (3, [0, 1, 2, 3, 4]), (9, range(6))]
)
def test_of_equal_scores_the_earlier_row_wins(k, expected):
    """Query 1 has the rows 0, 2, 4 and 5, of which three tie; query 0 has rows 1 and 3, a tie."""
    query = np.array([1, 0, 1, 0, 1, 1])
    scores = np.array([0.5, 7.0, 0.5, 7.0, 0.5, -1.0], dtype=np.float32)
    assert_array_equal(best_rows(query, scores, k), expected)


def test_a_higher_score_wins_over_an_earlier_row():
    query, scores = np.array([0, 0, 0]), np.array([1.0, 3.0, 2.0], dtype=np.float32)
    assert_array_equal(best_rows(query, scores, 2), [1, 2])
