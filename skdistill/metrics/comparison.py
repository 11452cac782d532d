"""Two orders of the same queries compared: per query, and with an interval."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap
from sklearn.utils import check_random_state

from skdistill.metrics.ndcg import ndcg_by_query
from skdistill.metrics.ordering import Ranking


def ndcg_per_query(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int | None = None,
    gain: str = "exponential",
    ties: str = "average",
) -> NDArray[np.float64]:
    """NDCG of each query, in the order of the sorted ids; see :func:`ndcg_score`.

    Parameters
    ----------
    y_true, y_score : array-like of shape (n_rows,)
    qid : array-like of shape (n_rows,) or None
    k : int, optional
    gain : {"exponential", "linear"}, default="exponential"
    ties : {"average", "order", "reverse", "pessimistic", "optimistic"}, default="average"

    Returns
    -------
    ndarray of shape (n_queries,), float64
        NaN for queries without a relevant row.

    Examples
    --------
    >>> from skdistill.metrics import ndcg_per_query
    >>> ndcg_per_query([1, 0, 0, 1], [2.0, 1.0, 2.0, 1.0], ["a", "a", "b", "b"]).round(3)
    array([1.   , 0.631])
    """
    ranking = Ranking.check(y_true, y_score, qid)
    values, defined = ndcg_by_query(ranking, k, gain, ties)
    return np.where(defined, values, np.nan)


class RatioInterval(NamedTuple):
    """A ratio of two means, and where it lies with some confidence."""

    ratio: float
    low: float
    high: float


def bootstrap_ratio(
    values: ArrayLike,
    baseline: ArrayLike,
    *,
    confidence_level: float = 0.95,
    n_resamples: int = 2000,
    random_state: Any = None,
) -> RatioInterval:
    """How many times the baseline's mean a mean over queries is, by the paired bootstrap.

    Queries are drawn with replacement, both values of a query together, so that what makes a query
    hard for both cancels out.

    Parameters
    ----------
    values, baseline : array-like of shape (n_queries,)
        Of the same queries in the same order; those where either is NaN are left out.
    confidence_level : float, default=0.95
    n_resamples : int, default=2000
    random_state : int, RandomState or None, default=None

    Returns
    -------
    RatioInterval
        ``ratio``, ``low``, ``high``.

    Raises
    ------
    ValueError
        For other shapes, and when fewer than two queries are left.

    References
    ----------
    Sakai, "Evaluating Evaluation Metrics Based on the Bootstrap", SIGIR 2006.
    """
    one, other = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(
            "values and baseline must hold one value for each of the same queries, got shapes "
            f"{one.shape} and {other.shape}."
        )
    both = ~np.isnan(one + other)
    one, other = one[both], other[both]
    if len(one) < 2:
        raise ValueError(
            f"The bootstrap needs at least 2 queries with both values, got {len(one)}."
        )
    seed = check_random_state(random_state).randint(2**31 - 1)
    found = bootstrap(
        (one, other),
        lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis),
        paired=True,
        vectorized=True,
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return RatioInterval(float(one.mean() / other.mean()), float(found.low), float(found.high))
