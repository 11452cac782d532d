"""Synthetic clicks: they repeat, follow the given probabilities, and have gaps and rare ids."""

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy.special import logit

from skdistill.datasets import make_clicks


def test_clicks_repeat_and_follow_their_probability():
    log, again = (make_clicks(30_000, click_rate=0.1, random_state=3) for _ in range(2))
    assert_frame_equal(log.X, again.X)
    assert (log.y == again.y).all()
    assert log.probability.mean() == pytest.approx(0.1)
    assert logit(log.probability).std() == pytest.approx(1.5, rel=0.1)
    for part in np.array_split(np.argsort(log.probability), 5):
        deviation = np.sqrt(log.probability[part].mean() / len(part))
        assert log.y[part].mean() == pytest.approx(log.probability[part].mean(), abs=4 * deviation)


def test_ids_are_frequent_and_rare_and_numbers_have_gaps():
    log = make_clicks(20_000, n_users=3000, n_ads=95, missing=0.2, random_state=0)
    counts = log.X["user"].value_counts()
    assert counts.iloc[0] > 20 * counts.median()
    assert log.X["campaign"].nunique() == 10
    assert log.X["age"].isna().mean() == pytest.approx(0.2, abs=0.02)
    lacks_rate = log.X["ad_rate"].isna()
    assert lacks_rate.groupby(log.X["ad"], observed=True).nunique().max() == 1
    assert 0.05 < lacks_rate.mean() < 0.5


def test_an_impossible_rate_is_refused():
    with pytest.raises(ValueError, match="click_rate must lie between 0 and 1, got 0"):
        make_clicks(click_rate=0)
