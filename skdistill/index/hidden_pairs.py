"""Pairs of queries and items that a search does not look at."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# Items that are worked on at once.
ROWS = 1 << 16


class Hidden(Protocol):
    """Scores that are not looked at."""

    def hide(self, start: int, scores: NDArray[np.float32]) -> None:
        """Set the hidden scores of a block to -inf.

        Parameters
        ----------
        start : int
            The first item of the block.
        scores : ndarray of shape (n_items_of_block, n_columns), float32
            A column per query; there may be further columns.
        """


class ForbiddenItems:
    """Items that no query may get.

    Parameters
    ----------
    allowed : ndarray of shape (n_items,), bool
        Whether an item may be returned.
    """

    def __init__(self, allowed: NDArray[np.bool_]) -> None:
        self.allowed = allowed

    def hide(self, start: int, scores: NDArray[np.float32]) -> None:
        # The logarithms of 1 and 0 are 0 and -inf. To add them takes a twentieth of the time of an
        # index for one query, because it has no branches. A second array as long as the scores
        # would double the time of the search, by faults of its new pages.
        with np.errstate(divide="ignore"):
            for first in range(0, len(scores), ROWS):
                rows = scores[first : first + ROWS]
                allowed = self.allowed[start + first : start + first + len(rows)]
                rows += np.log(allowed, dtype=np.float32)[:, None]


class MarkedPairs:
    """Marked pairs of a block of queries, by blocks of items.

    Parameters
    ----------
    marked : CSR matrix of shape (n_queries, n_items)
        Its entries are the marked pairs.
    positions : ndarray of shape (n_allowed,), int64, optional
        The items that are searched, in ascending order; all by default.
    """

    def __init__(self, marked: Any, positions: NDArray[np.int64] | None = None) -> None:
        self.n_queries = marked.shape[0]
        query = np.repeat(np.arange(self.n_queries), np.diff(marked.indptr))
        item = marked.indices
        if positions is not None:
            place = np.searchsorted(positions, item)
            is_searched = np.append(positions, -1)[place] == item
            query, item = query[is_searched], place[is_searched]
        # A CSC matrix has a number for every item, which takes as long as a search for one query.
        order = np.argsort(item)
        self.query, self.item = query[order], item[order]

    def hide(self, start: int, scores: NDArray[np.float32]) -> None:
        scores[self.of_block(start, start + len(scores))] = -np.inf

    def of_block(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the marked pairs of a block of items: row in the block, and query."""
        first, last = np.searchsorted(self.item, (start, stop))
        return self.item[first:last] - start, self.query[first:last]


class UnmarkedPairs(MarkedPairs):
    """All pairs but the marked ones."""

    def hide(self, start: int, scores: NDArray[np.float32]) -> None:
        hidden = np.ones((len(scores), self.n_queries), dtype=bool)
        hidden[self.of_block(start, start + len(scores))] = False
        scores[:, : self.n_queries][hidden] = -np.inf
