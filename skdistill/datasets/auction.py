"""Synthetic auctions in which the probability of every click and every bid are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils import Bunch, check_random_state

from skdistill.datasets.synthetic import utility_of

# Standard deviation of the log-odds of a click.
SPREAD_OF_LOG_ODDS = 1.5


def make_auction(
    n_queries: int = 200,
    n_ads: int = 500,
    query_size: int = 40,
    *,
    n_features: int = 6,
    click_rate: float = 0.05,
    bid_spread: float = 1.0,
    random_state: Any = None,
) -> Bunch:
    """Make a log of auctions: ads that compete for a query by bid x click probability.

    The log-odds of a click are a nonlinear function of the columns of the ad and of their products
    with the columns of the query. An ad has the same bid in all auctions, which is independent of
    its columns.

    Parameters
    ----------
    n_queries : int, default=200
        Number of queries, each with an auction.
    n_ads : int, default=500
        Number of ads.
    query_size : int, default=40
        Number of ads that compete for a query, drawn at random.
    n_features : int, default=6
        Number of columns of a query, and of an ad. The clicks depend on the first 4 at most.
    click_rate : float, default=0.05
        Mean probability of a click.
    bid_spread : float, default=1.0
        Standard deviation of the logarithm of a bid, whose mean is 0.
    random_state : int, RandomState or None, default=None
        Pass an int for reproducible data.

    Returns
    -------
    Bunch
        With the attributes:

        - ``X``: ndarray of shape (n_rows, 2 * n_features), float32, the columns of the query, then
          those of the ad;
        - ``y``: ndarray of shape (n_rows,), float64, 1 for a click and 0 for none;
        - ``qid``: ndarray of shape (n_rows,), int64, the query;
        - ``ad``: ndarray of shape (n_rows,), int64, the position of the ad in ``ads``;
        - ``probability``: ndarray of shape (n_rows,), float64, the true probability of a click;
        - ``bid``: ndarray of shape (n_rows,), float64, the bid of the ad;
        - ``ads``: ndarray of shape (n_ads, n_features), float32, the columns of all ads;
        - ``ad_bid``: ndarray of shape (n_ads,), float64, the bids of all ads;
        - ``query_columns``, ``item_columns``: slice, the columns of X that describe the query and
          the ad.

    Raises
    ------
    ValueError
        If there are fewer ads than compete for a query, or ``click_rate`` is not between 0 and 1.

    Examples
    --------
    >>> from skdistill.datasets import make_auction
    >>> data = make_auction(n_queries=3, n_ads=5, query_size=2, random_state=0)
    >>> data.X.shape, data.qid.tolist()
    ((6, 12), [0, 0, 1, 1, 2, 2])
    """
    if query_size > n_ads:
        raise ValueError(f"query_size={query_size} ads compete for a query, but n_ads={n_ads}.")
    if not 0 < click_rate < 1:
        raise ValueError(f"click_rate must lie between 0 and 1, got {click_rate}.")
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    queries = rng.standard_normal((n_queries, n_features)).astype(np.float32)
    ads = rng.standard_normal((n_ads, n_features)).astype(np.float32)
    ad_bid = np.exp(bid_spread * rng.standard_normal(n_ads))
    qid = np.repeat(np.arange(n_queries), query_size)
    ad = np.argsort(rng.random((n_queries, n_ads)), axis=1)[:, :query_size].ravel()
    left, right = queries[qid], ads[ad]
    used = right[:, :4].astype(np.float64)
    numbers = np.column_stack([used, left[:, :4] * used])
    log_odds = SPREAD_OF_LOG_ODDS * utility_of(numbers, "nonlinear", rng)
    level = brentq(lambda level: expit(log_odds + level).mean() - click_rate, -50, 50)
    probability = expit(log_odds + level)
    return Bunch(
        X=np.column_stack([left, right]),
        y=(rng.random(len(qid)) < probability).astype(np.float64),
        qid=qid,
        ad=ad,
        probability=probability,
        bid=ad_bid[ad],
        ads=ads,
        ad_bid=ad_bid,
        query_columns=slice(0, n_features),
        item_columns=slice(n_features, 2 * n_features),
    )
