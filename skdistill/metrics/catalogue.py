"""Which part of a catalogue a retriever returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from skdistill.inputs.checks import check_finite, check_k
from skdistill.metrics.averaging import warn_undefined
from skdistill.metrics.item_lists import check_positions


def catalogue_coverage(retrieved: ArrayLike, n_items: int) -> float:
    """Compute the fraction of the catalogue that is returned for any query.

    Parameters
    ----------
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items; -1 pads short lists.
    n_items : int
        Number of items in the catalogue.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types.

    Examples
    --------
    >>> from skdistill.metrics import catalogue_coverage
    >>> catalogue_coverage([[0, 2], [2, -1]], n_items=4)
    0.5
    """
    check_k(n_items, "n_items")
    returned = check_positions(retrieved, n_items)
    return len(np.unique(returned[returned >= 0])) / n_items


def mean_popularity(retrieved: ArrayLike, popularity: ArrayLike) -> float:
    """Compute the mean popularity rank of the returned items, scaled to between 0 and 1.

    Parameters
    ----------
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items; -1 pads short lists.
    popularity : array-like of shape (n_items,)
        Popularity of each item, such as its count in the log. Ties have the mean of their ranks.

    Returns
    -------
    float
        1 if only the most popular item is returned, 0 if only the least popular; 0 with an
        ``UndefinedMetricWarning`` if no item is returned.

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types, or a popularity is not finite.

    Examples
    --------
    >>> from skdistill.metrics import mean_popularity
    >>> mean_popularity([[0, 2]], popularity=[9, 5, 7])
    0.75
    """
    from scipy.stats import rankdata

    counts = check_finite("popularity", popularity, np.size(popularity))
    returned = check_positions(retrieved, len(counts))
    rank = (rankdata(counts) - 1) / max(len(counts) - 1, 1)
    returned = returned[returned >= 0]
    if not len(returned):
        warn_undefined("No query has a returned item")
        return 0.0
    return float(rank[returned].mean())
