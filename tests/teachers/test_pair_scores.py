"""A teacher's scores of pairs, dense or of the best alone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.teachers import pair_scores
from skdistill.teachers.pair_scores import (
    BestScores,
    DenseScores,
    FunctionScores,
    check_pair_scores,
    score_grid,
)

SCORES = np.arange(12.0).reshape(3, 4)


def sum_of_features(queries, items):
    """A teacher whose scores of these tables are ``SCORES``."""
    return queries[:, 0] + items[:, 0]


TABLES = np.array([[0.0], [4], [8]]), np.arange(4.0)[:, None]


def test_best_scores_count_the_rest_as_their_least():
    stored = sparse.csr_array(np.array([[0, -3.0, -1], [0, 0, 0], [5, 0, 2]]))
    scores = BestScores(stored)
    query, item = np.divmod(np.arange(9), 3)
    expected = [[-3, -3, -1], [0, 0, 0], [5, 2, 2]]
    assert_allclose(scores(query, item).reshape(3, 3), expected)


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (SCORES, DenseScores),
        (SCORES.tolist(), DenseScores),
        (sparse.csr_array(SCORES), BestScores),
        (sparse.coo_array(SCORES), BestScores),
        (sum_of_features, FunctionScores),
    ],
)
@pytest.mark.parametrize("per_block", [1, 4, 9, 1000])
def test_any_kind_of_scores_fills_a_grid_in_blocks(scores, kind, per_block, monkeypatch):
    monkeypatch.setattr(pair_scores, "GRID_PAIRS", per_block)
    monkeypatch.setattr(pair_scores, "BLOCK", 5)
    checked = check_pair_scores(scores, 3, 4, *TABLES)
    assert isinstance(checked, kind)
    query, item = np.array([2, 0, 1, 2]), np.array([3, 1])
    # Item 0 is left out: its score of 0 is not stored in the sparse matrices.
    assert_array_equal(score_grid(checked, query, item), SCORES[query][:, item])
    assert checked(query, np.array([1, 1, 1, 1])).dtype == np.float32


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, lambda far: far_function(far)])
def test_scores_far_from_0_keep_their_differences(make):
    far = SCORES / 8 + 1e8
    grid = score_grid(check_pair_scores(make(far), 3, 4, *TABLES), np.arange(3), np.arange(4))
    assert_array_equal(grid - grid[0, 0], SCORES / 8)


def far_function(far):
    return lambda queries, items: far[queries[:, 0].astype(int) // 4, items[:, 0].astype(int)]


def test_probabilities_stay_what_they_are():
    for scores in (np.full((3, 4), 0.25), 0.999 + SCORES * 1e-5, -SCORES, np.full((3, 4), 1.0)):
        grid = score_grid(check_pair_scores(scores, 3, 4, *TABLES), np.arange(3), np.arange(4))
        assert_allclose(grid, scores, rtol=1e-7)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_matrices_of_another_shape_or_with_nan_are_refused(make):
    with pytest.raises(ValueError, match=r"expected shape \(4, 3\), got \(3, 4\)"):
        check_pair_scores(make(SCORES), 4, 3, *TABLES)
    for wrong in (np.nan, np.inf):
        changed = SCORES.copy()
        changed[1, 2] = wrong
        with pytest.raises(ValueError, match="teacher_scores must be finite"):
            check_pair_scores(make(changed), 3, 4, *TABLES)


def test_a_function_must_return_a_finite_score_per_pair():
    for function in (lambda queries, items: np.zeros(3), lambda queries, items: queries[:, 0] / 0):
        scores = check_pair_scores(function, 3, 4, *TABLES)
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="teacher_scores must"):
            scores(np.array([0, 1]), np.array([0, 1]))
