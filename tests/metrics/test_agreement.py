"""Measures of agreement between two orders against SciPy, scikit-learn and brute force."""

import numpy as np
import scipy.stats
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skdistill import metrics
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
