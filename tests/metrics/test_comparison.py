"""Per-query NDCG and the paired bootstrap."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skdistill.metrics import bootstrap_ratio, ndcg_per_query, ndcg_score


def test_the_mean_over_queries_is_the_score():
    rng = np.random.default_rng(0)
    y, scores, qid = rng.integers(0, 3, 200), rng.standard_normal(200), rng.integers(0, 30, 200)
    y[qid == 4] = 0
    values = ndcg_per_query(y, scores, qid, k=10)
    assert values.shape == (30,)
    assert np.flatnonzero(np.isnan(values)).tolist() == [4]
    assert_allclose(np.nanmean(values), ndcg_score(y, scores, qid, k=10))


def test_bootstrap_against_resampling_by_hand():
    rng = np.random.default_rng(1)
    hard = rng.uniform(0.1, 1, 300)
    one, other = hard * rng.normal(1.1, 0.05, 300), hard.copy()
    one[3] = np.nan
    found = bootstrap_ratio(one, other, n_resamples=5000, random_state=0)
    kept = np.arange(300) != 3
    drawn = rng.integers(0, 299, (5000, 299))
    ratios = one[kept][drawn].mean(axis=1) / other[kept][drawn].mean(axis=1)
    assert_allclose(found.ratio, one[kept].mean() / other[kept].mean())
    assert_allclose([found.low, found.high], np.quantile(ratios, [0.025, 0.975]), atol=1e-3)
    # Paired: what is hard for both cancels out, drawn apart the interval is far wider.
    apart = one[kept][drawn].mean(axis=1) / other[kept][rng.permutation(drawn)].mean(axis=1)
    assert found.high - found.low < 0.4 * np.diff(np.quantile(apart, [0.025, 0.975]))[0]
    narrow = bootstrap_ratio(one, other, confidence_level=0.5, random_state=0)
    assert found.low < narrow.low < narrow.high < found.high


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"got shapes \(2,\) and \(3,\)"):
        bootstrap_ratio([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="at least 2 queries with both values, got 1"):
        bootstrap_ratio([1, np.nan, 2], [1, 2, np.nan])


def test_two_queries_are_enough_and_missing_values_of_either_side_are_left_out():
    found = bootstrap_ratio([1.0, 3.0], [2.0, 4.0], random_state=0)
    assert found.ratio == (1 + 3) / (2 + 4)
    assert (found.low, found.high) == (1 / 2, 3 / 4)
    padded = bootstrap_ratio([1, np.nan, 3, 7], [2, 9, 4, np.nan], random_state=0)
    assert padded == found
