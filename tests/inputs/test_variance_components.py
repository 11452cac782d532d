"""The ratio of the variances between groups and within them, by hand and by simulation."""

import numpy as np
import pytest

from skdistill.inputs.variance_components import variance_ratio


def ratio_of(values, group):
    values = values - values.mean(axis=0)
    counts = np.bincount(group)
    seen = counts > 0
    sums = np.stack([np.bincount(group, column) for column in values.T], axis=1)[seen]
    of_sums = float((sums**2).sum(axis=1) @ (1 / counts[seen]))
    return variance_ratio(float((values**2).sum()), of_sums, counts[seen])


def test_by_hand():
    """The analysis of variance of a textbook: 14 between two members' squares, 2 within."""
    values = np.array([[3.0], [1.0], [-1.0], [-3.0]])
    assert ratio_of(values, np.array([0, 0, 1, 1])) == pytest.approx((16 - 2) / 2 / 2)
    assert ratio_of(values, np.array([0, 1, 0, 1])) == pytest.approx((4 - 8) / 2 / 8)


@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.5, 3.0])
def test_it_is_the_ratio_of_what_was_drawn(ratio):
    """The groups have very different sizes, and vectors of three components as members."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        group = rng.choice(40, 300, p=rng.dirichlet(np.ones(40)))
        between = np.sqrt(ratio) * rng.normal(size=(40, 3))
        found.append(ratio_of(between[group] + rng.normal(size=(300, 3)), group))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - ratio) < 4 * error + 0.02 * ratio


def test_what_cannot_be_told_is_zero():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(6, 2))
    assert ratio_of(values, np.arange(6)) == 0  # no group has two members
    assert ratio_of(np.zeros((6, 2)), np.arange(6) // 2) == 0
    assert ratio_of(values, np.zeros(6, dtype=int)) == 0  # one group
    assert variance_ratio(0.0, 0.0, np.empty(0, dtype=np.int64)) == 0
