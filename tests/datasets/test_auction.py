"""Synthetic auctions: they repeat, and clicks follow the given probabilities."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skdistill.datasets import make_auction


def test_an_auction_repeats_and_its_clicks_follow_their_probability():
    data, again = (make_auction(500, 300, 40, random_state=3) for _ in range(2))
    for name in data:
        if isinstance(data[name], np.ndarray):
            assert_array_equal(data[name], again[name])
    assert data.X.shape == (20_000, 12)
    assert data.X.dtype == np.float32
    assert data.probability.mean() == pytest.approx(0.05)
    for part in np.array_split(np.argsort(data.probability), 5):
        deviation = np.sqrt(data.probability[part].mean() / len(part))
        assert data.y[part].mean() == pytest.approx(
            data.probability[part].mean(), abs=4 * deviation
        )


def test_ads_compete_once_for_a_query_with_their_bid():
    data = make_auction(30, 50, 20, n_features=3, bid_spread=0.5, random_state=0)
    assert all(len(set(data.ad[data.qid == query])) == 20 for query in range(30))
    assert_array_equal(data.bid, data.ad_bid[data.ad])
    assert_array_equal(data.X[:, data.item_columns], data.ads[data.ad])
    assert (np.ptp(data.X[data.qid == 7][:, data.query_columns], axis=0) == 0).all()
    assert 0.3 < np.log(data.ad_bid).std() < 0.7


def test_impossible_auctions_are_refused():
    with pytest.raises(ValueError, match=r"query_size=40 ads compete for a query, but n_ads=10"):
        make_auction(n_ads=10)
    with pytest.raises(ValueError, match="click_rate must lie between 0 and 1"):
        make_auction(click_rate=0)
