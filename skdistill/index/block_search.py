"""Search a block of queries for their best items, block by block of the items."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.queries import positions_within

# The scores of a block of queries and a block of items fit into the cache.
ITEM_BLOCK = 4096
BLOCK_SCORES = 1 << 17


class MarkedPairs:
    """Marked pairs of a block of queries, by blocks of items."""

    def __init__(self, marked: Any) -> None:
        self.by_item = marked.tocsc()

    def __call__(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the queries and the items, counted from ``start``, of the hidden pairs."""
        starts = self.by_item.indptr[start : stop + 1]
        query = self.by_item.indices[starts[0] : starts[-1]]
        return query, np.repeat(np.arange(stop - start), np.diff(starts))


class UnmarkedPairs(MarkedPairs):
    """All pairs but the marked ones."""

    def __call__(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        hidden = np.ones((self.by_item.shape[0], stop - start), dtype=bool)
        hidden[super().__call__(start, stop)] = False
        query, item = np.nonzero(hidden)
        return query, item


def search_lists(
    queries: NDArray[np.float32],
    found: NDArray[np.int64],
    scores: NDArray[np.float32],
    items: NDArray[np.float32],
    lists: Any,
) -> None:
    """Fill ``found`` and ``scores`` from an allow-list per query; other items are not scored."""
    chosen, item = np.unique(lists.indices, return_inverse=True)
    if not len(chosen):
        return
    listed = sparse.csr_array((lists.data, item, lists.indptr), shape=(len(queries), len(chosen)))
    search_block(queries, found, scores, items[chosen], UnmarkedPairs(listed))
    found[:] = np.where(found >= 0, chosen[found], -1)


def search_block(
    queries: NDArray[np.float32],
    found: NDArray[np.int64],
    scores: NDArray[np.float32],
    items: NDArray[np.float32],
    hidden: MarkedPairs | None,
) -> None:
    """Fill ``found`` and ``scores`` for a block of queries, searching items block by block.

    The k-th best score so far is the bar. After a few blocks hardly any item exceeds it, so that a
    block costs one product and one comparison.
    """
    n_queries, k = scores.shape
    # With few queries, longer blocks have as many scores and less overhead.
    block_size = max(min(max(ITEM_BLOCK, BLOCK_SCORES // n_queries), len(items)), 1)
    product = np.empty((n_queries, block_size), dtype=np.float32)
    above = np.empty((n_queries, block_size), dtype=bool)
    pending: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    n_pending = 0
    for start in range(0, len(items), block_size):
        block = items[start : start + block_size]
        width = len(block)
        current = product[:, :width]
        np.matmul(queries, block.T, out=current)
        if hidden is not None:
            current[hidden(start, start + width)] = -np.inf
        bar = scores[:, -1]
        if start == 0 and width > k:
            # The k-th best score of the first block is the first bar.
            first_bar = np.partition(current, width - k, axis=1)[:, width - k]
            clears = current >= np.maximum(first_bar, np.finfo(np.float32).min)[:, None]
        else:
            clears = np.greater(current, bar[:, None], out=above[:, :width])
        flat = np.flatnonzero(clears)
        if len(flat):
            query, item = np.divmod(flat, width)
            pending.append((query, item + start, current[query, item]))
            n_pending += len(flat)
        # Merging raises the bar: often while it is low, seldom once few items exceed it.
        if n_pending > n_queries * k or (start == 0 and n_pending):
            _merge(pending, found, scores)
            pending, n_pending = [], 0
    if n_pending:
        _merge(pending, found, scores)


def _merge(
    pending: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]],
    found: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> None:
    """Merge pending candidates into the k best items of each query."""
    n_queries, k = scores.shape
    kept = np.flatnonzero(found.ravel() >= 0)
    query = np.concatenate([kept // k, *(p[0] for p in pending)])
    item = np.concatenate([found.ravel()[kept], *(p[1] for p in pending)])
    score = np.concatenate([scores.ravel()[kept], *(p[2] for p in pending)])
    order = np.lexsort((item, -score, query))
    query = query[order]
    counts = np.bincount(query, minlength=n_queries)
    place = positions_within(counts)
    best = place < k
    cell = query[best], place[best]
    found[cell] = item[order][best]
    scores[cell] = score[order][best]
