"""The ratio of the variances between groups and within them, by hand and by simulation."""

import numpy as np
import pytest

from skdistill.inputs.variance_components import variance_ratio


def ratio_of(values, group, weights=None):
    weights = np.ones(len(values)) if weights is None else weights
    values = values - np.average(values, axis=0, weights=weights)
    of_group = np.bincount(group, weights)
    seen = of_group > 0
    sums = np.stack([np.bincount(group, weights * column) for column in values.T], axis=1)[seen]
    of_groups = float((sums**2).sum(axis=1) @ (1 / of_group[seen]))
    squares = float(weights @ (values**2).sum(axis=1))
    return variance_ratio(squares, of_groups, len(values), of_group[seen])


def test_by_hand():
    """The analysis of variance of a textbook: 14 between two members' squares, 2 within."""
    values = np.array([[3.0], [1.0], [-1.0], [-3.0]])
    assert ratio_of(values, np.array([0, 0, 1, 1])) == pytest.approx((16 - 2) / 2 / 2)
    assert ratio_of(values, np.array([0, 1, 0, 1])) == pytest.approx((4 - 8) / 2 / 8)


@pytest.mark.parametrize("is_even", [True, False])
@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.5, 3.0])
def test_it_is_the_ratio_of_what_was_drawn(ratio, is_even):
    """The groups have very different sizes, and vectors of three components as members."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        group = rng.choice(40, 300, p=rng.dirichlet(np.ones(40)))
        weights = np.ones(300) if is_even else rng.integers(1, 30, 300).astype(float)
        between = np.sqrt(ratio) * rng.normal(size=(40, 3))
        noise = rng.normal(size=(300, 3)) / np.sqrt(weights)[:, None]
        found.append(ratio_of(between[group] + noise, group, weights))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - ratio) < 4 * error + 0.02 * ratio


@pytest.mark.parametrize("seed", range(20))
def test_what_cannot_be_told_is_zero(seed):
    """Not the rounding error of a variance, divided by another."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(500, 12))
    assert ratio_of(values, np.arange(500)) == 0  # no group has two members
    assert ratio_of(np.zeros((6, 2)), np.arange(6) // 2) == 0
    assert ratio_of(values, np.zeros(500, dtype=int)) == 0  # one group
    assert variance_ratio(0.0, 0.0, 0, np.empty(0)) == 0
