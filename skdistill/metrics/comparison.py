"""Comparison of two rankings of the same queries."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap
from sklearn.utils import check_random_state

from skdistill.inputs.checks import check_k
from skdistill.metrics.averaging import per_query
from skdistill.metrics.ndcg import ndcg_score


def ndcg_per_query(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int | None = None,
    gain: str = "exponential",
    ties: str = "average",
) -> NDArray[np.float64]:
    """Compute the NDCG of each query, in the order of the sorted query ids.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance of each row, 0 or more.
    y_score : array-like of shape (n_rows,)
        Score of each row; the highest ranks first.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    k : int, optional
        Number of top places that count; all by default.
    gain : {"exponential", "linear"}, default="exponential"
        Gain of a row of relevance y: :math:`2^y - 1` or :math:`y`.
    ties : {"average", "order", "reverse", "pessimistic", "optimistic"}, default="average"
        How rows with equal scores are ranked, as in :func:`ndcg_score`.

    Returns
    -------
    ndarray of shape (n_queries,), float64
        NaN for queries without a relevant row.

    Raises
    ------
    ValueError
        If a relevance is negative, if the arrays are empty, not finite or of different lengths, or
        if an option is invalid.

    Examples
    --------
    >>> from skdistill.metrics import ndcg_per_query
    >>> ndcg_per_query([1, 0, 0, 1], [2.0, 1.0, 2.0, 1.0], ["a", "a", "b", "b"]).round(3)
    array([1.   , 0.631])
    """
    return per_query(ndcg_score, y_true, y_score, qid, k=k, gain=gain, ties=ties)


class RatioInterval(NamedTuple):
    """A ratio of two means with its confidence interval.

    Attributes
    ----------
    ratio : float
        Mean of the values divided by the mean of the baseline.
    low, high : float
        Ends of the confidence interval.
    """

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
    """Compute the ratio of two means over queries, with a bootstrap confidence interval.

    The bootstrap is paired: queries are drawn with replacement, along with both of their values.
    The difficulty of a query, which affects both values, then cancels out.

    Parameters
    ----------
    values : array-like of shape (n_queries,)
        A metric per query, such as :func:`per_query` returns. Queries with NaN on either side
        are left out.
    baseline : array-like of shape (n_queries,)
        The metric to compare with, for the same queries in the same order.
    confidence_level : float, default=0.95
        Nominal probability that the interval contains the true ratio.
    n_resamples : int, default=2000
        Number of bootstrap samples.
    random_state : int, RandomState or None, default=None
        Pass an int for a reproducible interval.

    Returns
    -------
    RatioInterval
        A named tuple of ``ratio``, ``low`` and ``high``.

    Raises
    ------
    ValueError
        If the shapes differ, a value is infinite, fewer than two queries have both values, an
        option is invalid, or the ratio is undefined because the baseline's mean is 0 in all
        queries or in a bootstrap sample.

    References
    ----------
    Sakai, "Evaluating Evaluation Metrics Based on the Bootstrap", SIGIR 2006.

    Examples
    --------
    >>> from skdistill.metrics import bootstrap_ratio
    >>> interval = bootstrap_ratio([0.4, 0.6, 0.8], [0.5, 0.6, 0.9], random_state=0)
    >>> round(interval.ratio, 3)
    0.9
    """
    one, other = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(
            "values and baseline must hold one value per query for the same queries, got shapes "
            f"{one.shape} and {other.shape}."
        )
    for name, column in (("values", one), ("baseline", other)):
        if np.isinf(column).any():
            query = int(np.argmax(np.isinf(column)))
            raise ValueError(
                f"{name} must be finite, or NaN: query number {query} holds {column[query]}."
            )
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level must lie between 0 and 1, got {confidence_level!r}.")
    check_k(n_resamples, "n_resamples")
    both = ~(np.isnan(one) | np.isnan(other))
    one, other = one[both], other[both]
    if len(one) < 2:
        raise ValueError(
            f"The bootstrap needs at least 2 queries with both values, got {len(one)}."
        )
    seed = check_random_state(random_state).randint(2**31 - 1)
    # A ratio of 0 by 0 is reported below.
    with np.errstate(divide="ignore", invalid="ignore"):
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
        ratio = one.mean() / other.mean()
    interval = RatioInterval(float(ratio), float(found.low), float(found.high))
    if not np.isfinite(interval).all():
        raise ValueError(
            f"The ratio is undefined: the baseline has a mean of {other.mean():.6g}, and is 0 in "
            f"{int((other == 0).sum())} of {len(other)} queries, so that a mean over resampled "
            "queries may be 0. Compare differences instead."
        )
    return interval
