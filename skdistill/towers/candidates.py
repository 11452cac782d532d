"""Candidates out of a large catalogue: which are drawn, and how many others each stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.index import ExactIndex
from skdistill.inputs.queries import Queries, positions_within
from skdistill.protocols import Array

# Up to so many items every one of them is looked at when candidates are drawn; of more, so many.
POOL = 1 << 14


@dataclass
class CandidateLists:
    """Labelled candidates of every query: lists that grow, each item in a list once.

    Parameters
    ----------
    item : ndarray of shape (n_queries, capacity), int32
    score : ndarray of shape (n_queries, capacity), float32
        The teacher's.
    importance : ndarray of shape (n_queries, capacity), float32
        Inverse of the probability with which the item came into the list.
    count : ndarray of shape (n_queries,), int64
        Places that are filled, the first ones.
    """

    item: NDArray[np.int32]
    score: NDArray[np.float32]
    importance: NDArray[np.float32]
    count: NDArray[np.int64]

    @classmethod
    def empty(cls, n_queries: int, capacity: int) -> CandidateLists:
        shape = (n_queries, capacity)
        return cls(
            np.full(shape, -1, dtype=np.int32),
            np.zeros(shape, dtype=np.float32),
            np.zeros(shape, dtype=np.float32),
            np.zeros(n_queries, dtype=np.int64),
        )

    def append(
        self,
        query: NDArray[np.int64],
        item: NDArray[np.int64],
        score: Array,
        importance: Array | float,
    ) -> None:
        """Add pairs, sorted by query, that are not in the lists; what finds no place is dropped."""
        sizes = np.unique(query, return_counts=True)[1]
        place = positions_within(sizes) + self.count[query]
        fits = place < self.item.shape[1]
        cell = query[fits], place[fits]
        self.item[cell] = item[fits]
        self.score[cell] = score[fits]
        self.importance[cell] = np.broadcast_to(importance, len(query))[fits]
        np.maximum.at(self.count, cell[0], cell[1] + 1)

    def flat(self) -> tuple[Queries, NDArray[np.int32], Array, Array]:
        """All lists one after the other: segments, items, scores, what each item stands for."""
        filled = self.item >= 0
        return (
            Queries.from_sizes(self.count),
            self.item[filled],
            self.score[filled],
            self.importance[filled],
        )


def draw_pool(n_items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Items that are looked at: all, or of a large catalogue a uniform sample."""
    if n_items <= POOL:
        return np.arange(n_items)
    return np.sort(rng.choice(n_items, size=POOL, replace=False, shuffle=False))


def scored_in_pool(lists: CandidateLists, queries: slice, pool: NDArray[np.int64]) -> Any:
    """Which items of the pool are in the queries' lists: CSR of shape (n_queries, len(pool))."""
    items = lists.item[queries]
    place = np.minimum(np.searchsorted(pool, items), len(pool) - 1)
    row, column = np.nonzero(pool[place] == items)
    place = place[row, column]
    shape = (len(items), len(pool))
    return sparse.csr_array((np.ones(len(row), dtype=np.float32), (row, place)), shape=shape)


def pick_uniformly(
    scored: Any, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of n columns of each row that are not scored yet, without replacement."""
    keys = rng.random(scored.shape, dtype=np.float32)
    row, column = scored.nonzero()
    keys[row, column] = 2.0
    n = min(n, scored.shape[1])
    column = np.argpartition(keys, n - 1, axis=1)[:, :n].ravel()
    row = np.repeat(np.arange(len(keys)), n)
    fresh = keys[row, column] < 1
    return row[fresh], column[fresh]


def pick_highest(
    left: Array, right: Array, scored: Any, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the n largest products of each row that are not scored yet."""
    column, _ = ExactIndex(right).search(left, min(n, len(right)), exclude=scored)
    row, place = np.nonzero(column >= 0)
    return row, column[row, place]


def first_of_each(queries: Queries, order: Array, n: int) -> NDArray[np.int64]:
    """At most n rows of each query, those that come first in an order (a key a row)."""
    ranked = queries.sort_descending(-order)
    return np.sort(ranked[queries.position < n])
