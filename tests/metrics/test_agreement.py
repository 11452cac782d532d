"""Measures of agreement between two orders against SciPy, scikit-learn and brute force."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skdistill import metrics
from skdistill.metrics.agreement import fraction_of_top
from tests.numeric import by_query, ragged


@given(ragged())
def test_grouped_auc_is_the_mean_of_scikit_learns(data):
    values = [
        (sklearn.metrics.roc_auc_score(y > 0, score), len(y))
        for y, score in by_query(*data)
        if 0 < (y > 0).sum() < len(y)
    ]
    assume(values)
    auc, size = np.array(values).T
    assert_allclose(metrics.grouped_auc(*data), auc.mean(), atol=1e-12)
    weighted = metrics.grouped_auc(*data, weighted=True)
    assert_allclose(weighted, np.average(auc, weights=size), atol=1e-12)


def test_grouped_auc_by_size_uses_row_weights_too():
    """A query counts by its number of rows times the mean weight of its rows."""
    y, score, qid = [1, 0, 1, 0, 0], [2, 1, 1, 2, 0], [1, 1, 2, 2, 2]
    weight = [1, 3, 5, 6, 7]  # means 2 and 6
    auc = [1, 1 / 2]
    expected = (2 * 2 * auc[0] + 3 * 6 * auc[1]) / (2 * 2 + 3 * 6)
    found = metrics.grouped_auc(y, score, qid, weighted=True, sample_weight=weight)
    assert found == pytest.approx(expected)
    by_weight = metrics.grouped_auc(y, score, qid, sample_weight=weight)
    assert by_weight == pytest.approx((2 * auc[0] + 6 * auc[1]) / (2 + 6))


@given(ragged())
def test_kendall_tau_is_scipys(data):
    values = [
        scipy.stats.kendalltau(y, score).statistic
        for y, score in by_query(*data)
        if len(set(y)) > 1 and len(set(score)) > 1
    ]
    assume(values)
    assert_allclose(metrics.kendall_tau(*data), np.mean(values), atol=1e-12)


@given(ragged(), st.integers(1, 4), st.integers(1, 6))
def test_teacher_recall_by_brute_force(data, k, m):
    values = []
    for teacher, student in by_query(*data):
        n = len(teacher)
        top = sorted(range(n), key=lambda i: -teacher[i])[:k]
        returned = sorted(range(n), key=lambda i: (-student[i], i in top))[:m]
        values.append(len(set(top) & set(returned)) / len(top))
    assert_allclose(metrics.teacher_recall(*data, k=k, m=m), np.mean(values))


def test_ten_of_fifty_are_the_default():
    """The student has the teacher's 10th row in place 50, its 9th in place 51, its 11th last."""
    order = [*range(8), *range(11, 52), 9, 8, *range(52, 60), 10]
    student = np.empty(60)
    student[order] = -np.arange(60)
    assert metrics.teacher_recall(-np.arange(60), student, None) == 9 / 10


def test_a_number_of_returned_rows_is_checked_under_its_own_name():
    with pytest.raises(ValueError, match="^m must be an integer of at least 1, got 0"):
        metrics.teacher_recall([1, 0], [1, 0], None, m=0)


def test_teacher_recall_weighs_queries_by_the_mean_of_their_rows():
    """The student is right in the first query and wrong in the second, of two rows more."""
    teacher, student = [2, 1, 4, 3, 2, 1], [2, 1, 1, 2, 3, 4]
    weight = [1, 5, 1, 2, 3, 2]  # means 3 and 2
    found = metrics.teacher_recall(teacher, student, [1, 1, 2, 2, 2, 2], k=1, m=1)
    assert found == (1 + 0) / 2
    weighted = metrics.teacher_recall(
        teacher, student, [1, 1, 2, 2, 2, 2], k=1, m=1, sample_weight=weight
    )
    assert weighted == pytest.approx((3 * 1 + 2 * 0) / (3 + 2))


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9))
def test_fraction_of_top_is_teacher_recall_of_each_row(seed, k, m):
    """With ties on both sides, and in several rows that must not see each other."""
    rng = np.random.default_rng(seed)
    teacher, student = rng.integers(0, 4, (2, 5, 7)).astype(float)
    expected = [
        metrics.teacher_recall(t, s, None, k=k, m=m) for t, s in zip(teacher, student, strict=True)
    ]
    assert_allclose(fraction_of_top(teacher, student, k, m), expected)


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_scores_that_are_not_finite_are_named_by_side_and_query(side):
    scores = {"teacher": np.eye(3), "student": np.eye(3)}
    scores[side] = np.array([[1.0, 0, 0], [0, np.nan, 0], [0, 0, np.inf]])
    with pytest.raises(
        ValueError,
        match=rf"^The scores of the {side} must .* query number 1 \(in sorted order\) are not\.$",
    ):
        fraction_of_top(scores["teacher"], scores["student"], 1, 1)


@given(ragged(), st.sampled_from([0.5, 0.9]))
def test_rank_biased_overlap_is_the_sum_over_depths(data, p):
    values = []
    for y, score in by_query(*data):
        n, agreements = len(y), []
        for depth in range(1, n + 1):
            begin_y, begin_score = (
                {i for i in range(n) if (of > of[i]).sum() < depth} for of in (y, score)
            )
            both = len(begin_y & begin_score)
            agreements.append(2 * both / (len(begin_y) + len(begin_score)))
        values.append((1 - p) / p * (agreements * p ** np.arange(1, n + 1)).sum() + p**n)
    assert_allclose(metrics.rank_biased_overlap(*data, p=p), np.mean(values), atol=1e-12)


def test_rank_biased_overlap_of_equal_orders_is_1_and_p_is_checked():
    assert metrics.rank_biased_overlap([3, 2, 1], [9, 8, 7], None) == pytest.approx(1)
    # Webber et al. extrapolate the agreement at the last depth, which is 1 for the same rows.
    assert metrics.rank_biased_overlap([2, 1], [1, 2], None, p=0.5) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="p must lie between 0 and 1"):
        metrics.rank_biased_overlap([2, 1], [1, 2], None, p=1.0)
