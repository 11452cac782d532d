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


VALUES, BASELINE = [0.4, 0.6, 0.8, 0.3], [0.5, 0.6, 0.9, 0.1]


def test_a_seed_gives_the_same_interval_in_every_release():
    found = bootstrap_ratio(VALUES, BASELINE, n_resamples=50, random_state=0)
    assert_allclose(found, [2.1 / 2.1, 0.8611607142857143, 1.2857142857142858])


def test_two_thousand_samples_and_95_percent_are_the_default():
    values, baseline = np.random.default_rng(0).uniform(1, 2, (2, 20))
    found = bootstrap_ratio(values, baseline, random_state=3)
    explicit = {"n_resamples": 2000, "confidence_level": 0.95}
    assert found == bootstrap_ratio(values, baseline, random_state=3, **explicit)


def test_columns_of_objects_are_numbers():
    found = bootstrap_ratio(
        np.array(VALUES, dtype=object), np.array(BASELINE, dtype=object), random_state=3
    )
    assert found == bootstrap_ratio(VALUES, BASELINE, random_state=3)


def test_an_infinite_baseline_is_named():
    with pytest.raises(ValueError, match="^baseline must be .* query number 1 holds -inf"):
        bootstrap_ratio([1, 1], [1, -np.inf])


@pytest.mark.parametrize("level", [0, 1, 1.5])
def test_a_confidence_level_lies_between_0_and_1(level):
    with pytest.raises(ValueError, match="^confidence_level must lie between 0 and 1"):
        bootstrap_ratio([1, 2], [1, 2], confidence_level=level)


@pytest.mark.filterwarnings("ignore::scipy.stats.DegenerateDataWarning")
@pytest.mark.parametrize("values", [[1.0, 2.0], [0.0, 0.0]])
def test_a_division_by_0_is_an_error_of_its_own(values):
    with np.errstate(all="raise"), pytest.raises(ValueError, match="^The ratio is undefined"):
        bootstrap_ratio(values, [0.0, 0.0])
