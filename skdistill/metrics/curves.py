"""Recall of a cheap stage as a function of the number of items that it returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.metrics.averaging import warn_undefined
from skdistill.metrics.item_lists import first_places, is_padding, kind_of_ids


class RetrievalCurve(NamedTuple):
    """Recall of wanted items as a function of the number of returned items.

    Attributes
    ----------
    m : ndarray of shape (n_returned,), int64
        Number of returned items: 1, 2, ...
    recall : ndarray of shape (n_returned,), float64
        Mean fraction of the wanted items among the first m.
    """

    m: NDArray[np.int64]
    recall: NDArray[np.float64]

    def items_needed(self, recall: float) -> int:
        """Return the least number of returned items that reaches a recall.

        Parameters
        ----------
        recall : float
            Recall to reach, between 0 and 1.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If all returned items have a lower recall, or it does not lie between 0 and 1.
        """
        if not 0 <= recall <= 1:
            raise ValueError(f"recall must lie between 0 and 1, got {recall!r}.")
        reached = self.recall[-1] if len(self.recall) else 0.0
        if not len(self.m) or reached < recall:
            raise ValueError(
                f"A recall of {recall} is not reached: {len(self.m)} items have {reached:.4f}. "
                "Retrieve more."
            )
        return int(self.m[np.argmax(self.recall >= recall)])


def retrieval_curve(wanted: ArrayLike, retrieved: ArrayLike) -> RetrievalCurve:
    """Compute the mean fraction of wanted items among the first m returned, for every m.

    Parameters
    ----------
    wanted : array-like of shape (n_queries, k)
        Items that the strong stage would show, such as the teacher's top 10. -1, None and NaN pad
        short lists. Queries without a wanted item are left out.
    retrieved : array-like of shape (n_queries, n_returned)
        Items that the cheap stage returns, best first, with the same kind of ids as ``wanted`` and
        the same padding. On either side, an item that is repeated counts once.

    Returns
    -------
    RetrievalCurve
        Recall between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no item is wanted.

    Raises
    ------
    ValueError
        If there is not one row per query on either side, or the ids of both sides are of different
        kinds, such as numbers and text.

    Examples
    --------
    >>> from skdistill.metrics import retrieval_curve
    >>> curve = retrieval_curve([[1, 2]], [[2, 5, 1]])
    >>> curve.recall.tolist()
    [0.5, 0.5, 1.0]
    >>> curve.items_needed(0.9)
    3
    """
    top, returned = np.asarray(wanted), np.asarray(retrieved)
    if top.ndim != 2 or returned.ndim != 2 or len(top) != len(returned):
        raise ValueError(
            "wanted and retrieved must have one row per query each, got shapes "
            f"{top.shape} and {returned.shape}."
        )
    kinds = {kind_of_ids(top), kind_of_ids(returned)} - {"object"}
    if len(kinds) > 1:
        raise ValueError(
            "wanted and retrieved must hold ids of the same kind, got "
            f"{top.dtype} and {returned.dtype}."
        )
    is_wanted = first_places(top, ~is_padding(top))
    found = np.zeros(returned.shape)
    for column in range(top.shape[1]):
        query, place = np.nonzero((returned == top[:, [column]]) & is_wanted[:, [column]])
        first = np.unique(query, return_index=True)[1]
        found[query[first], place[first]] += 1
    counts = is_wanted.sum(axis=1)
    if not counts.any():
        warn_undefined("No query has a wanted item")
        recall = np.zeros(returned.shape[1])
    else:
        has_wanted = counts > 0
        recall = (np.cumsum(found[has_wanted], axis=1) / counts[has_wanted][:, None]).mean(axis=0)
    return RetrievalCurve(np.arange(1, returned.shape[1] + 1), recall)
