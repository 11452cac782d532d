"""Candidate items of each query, drawn from a large catalogue, and the importance of each draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.index.block_search import SearchedItems, search_in_blocks
from skdistill.index.hidden_pairs import MarkedPairs
from skdistill.inputs.queries import Queries, positions_within
from skdistill.protocols import Array

# Number of items that candidates are drawn from; a larger catalogue is sampled first.
POOL = 1 << 14
# Random walks per item that they are to find.
WALKS = 4


@dataclass
class CandidateLists:
    """Scored candidates of every query, as lists that grow; no list holds an item twice.

    Parameters
    ----------
    item : ndarray of shape (n_queries, capacity), int32
        Items of each list, -1 in empty places.
    score : ndarray of shape (n_queries, capacity), float32
        The teacher's scores.
    importance : ndarray of shape (n_queries, capacity), float32
        Inverse of the probability that the item was drawn.
    count : ndarray of shape (n_queries,), int64
        Length of each list; its items fill the first places.
    """

    item: NDArray[np.int32]
    score: NDArray[np.float32]
    importance: NDArray[np.float32]
    count: NDArray[np.int64]

    @classmethod
    def empty(cls, n_queries: int, capacity: int) -> CandidateLists:
        """Empty lists with room for ``capacity`` items each."""
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
        """Append pairs, sorted by query and not in the lists yet; drop those beyond capacity."""
        sizes = np.unique(query, return_counts=True)[1]
        place = positions_within(sizes) + self.count[query]
        fits = place < self.item.shape[1]
        cell = query[fits], place[fits]
        self.item[cell] = item[fits]
        self.score[cell] = score[fits]
        self.importance[cell] = np.broadcast_to(importance, len(query))[fits]
        np.maximum.at(self.count, cell[0], cell[1] + 1)

    def flat(self) -> tuple[Queries, NDArray[np.int32], Array, Array]:
        """Concatenate all lists; return their segments, items, scores and importances."""
        filled = self.item >= 0
        return (
            Queries.from_sizes(self.count),
            self.item[filled],
            self.score[filled],
            self.importance[filled],
        )


def draw_pool(n_items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Items to draw candidates from: all, or a uniform sample of a large catalogue; sorted."""
    if n_items <= POOL:
        return np.arange(n_items)
    return np.sort(rng.choice(n_items, size=POOL, replace=False, shuffle=False))


def scored_in_pool(lists: CandidateLists, queries: slice, pool: NDArray[np.int64]) -> Any:
    """Mark the pool's items that are in the queries' lists: CSR of shape (n_queries, n_pool)."""
    items = lists.item[queries]
    place = np.minimum(np.searchsorted(pool, items), len(pool) - 1)
    row, column = np.nonzero(pool[place] == items)
    place = place[row, column]
    shape = (len(items), len(pool))
    return sparse.csr_array((np.ones(len(row), dtype=np.float32), (row, place)), shape=shape)


def pick_uniformly(
    scored: Any, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw up to n unscored columns per row without replacement; return rows and columns."""
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
    """Find the n largest products per row among unscored columns; return rows and columns."""

    def search(rows: slice, found: NDArray[np.int64], scores: Array) -> None:
        SearchedItems(right, [MarkedPairs(scored[rows])]).search(left[rows], found, scores)

    column, _ = search_in_blocks(left, min(n, len(right)), search)
    row, place = np.nonzero(column >= 0)
    return row, column[row, place]


def logged_together(
    of_queries: Any,
    of_items: Any,
    queries: slice,
    present: NDArray[np.int64],
    n: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw items that are logged together with those of a query, by random walks.

    A walk goes from the query to one of its items, to one of that item's queries, and to one of
    that query's items. Items at which more walks end come first.

    Parameters
    ----------
    of_queries : CSR array of shape (n_queries, n_items)
        The logged pairs.
    of_items : CSR array of shape (n_items, n_queries)
        The same, transposed.
    queries : slice
        Queries to draw for.
    present : ndarray of int64
        Pairs that are not wanted, as query * n_items + item.
    n : int
        Number of items per query; a query may get fewer, and none without logged items.
    rng : numpy.random.Generator

    Returns
    -------
    tuple of (query, item), ndarray of int64
        Distinct pairs, by query.

    References
    ----------
    Eksombatchai et al., "Pixie: A System for Recommending 3+ Billion Items to 200+ Million Users in
    Real-Time", WWW 2018.
    """
    start = np.repeat(np.arange(queries.start, queries.stop), WALKS * n)
    start = start[_degree(of_queries, start) > 0]
    back = _random_neighbour(of_items, _random_neighbour(of_queries, start, rng), rng)
    end = _random_neighbour(of_queries, back, rng)
    n_items = of_queries.shape[1]
    pair, visits = np.unique(start * np.int64(n_items) + end, return_counts=True)
    is_new = ~np.isin(pair, present)
    pair, visits = pair[is_new], visits[is_new]
    if not len(pair):
        return pair, pair
    query, item = np.divmod(pair, n_items)
    ends = Queries.from_sizes(np.unique(query, return_counts=True)[1])
    kept = first_of_each(ends, -visits - rng.random(len(visits)), n)
    return query[kept], item[kept]


def _random_neighbour(
    graph: Any, nodes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """One stored column of each of these rows of a CSR matrix, none of which is empty."""
    place = (rng.random(len(nodes)) * _degree(graph, nodes)).astype(np.int64)
    return graph.indices[graph.indptr[nodes] + place].astype(np.int64)


def _degree(graph: Any, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of stored columns of each of these rows of a CSR matrix."""
    return graph.indptr[nodes + 1] - graph.indptr[nodes]


def first_of_each(queries: Queries, order: Array, n: int) -> NDArray[np.int64]:
    """Positions of the n rows per query with the smallest keys (``order`` has a key per row)."""
    ranked = queries.sort_descending(-order)
    return np.sort(ranked[queries.position < n])
