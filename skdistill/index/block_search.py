"""Search for the best items of a query, or of a block of queries.

One query scores all items at once. Several queries go through the items block by block, because
their scores would not stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray

from skdistill.index.hidden_pairs import Hidden
from skdistill.inputs.products import product
from skdistill.inputs.queries import positions_within
from skdistill.threads import single_blas_thread

# Queries that are searched at once.
QUERY_BLOCK = 128
# Fewest items, and most scores, of a block. Its scores stay in the cache until they are compared.
ITEM_BLOCK = 4096
BLOCK_SCORES = 1 << 17
# Items of a block that are compared with the bars of the queries at once.
TILE = 256
# Queries are filled up to a multiple of so many columns. OpenBLAS multiplies the columns that are
# left over more slowly and in another order, so that the last bits of a query's scores would depend
# on the number of queries.
LANES = 16
# One query: most scores that one maximum stands for, and fewest maxima per item that is
# returned. With fewer, too many items reach the bar that the maxima give.
FOLDS, LEAST_MAXIMA = 32, 4
# To copy an item takes as long as to score it for COPY_QUERIES; to read it, for LEAST_QUERIES.
COPY_QUERIES, LEAST_QUERIES = 24, 8


def copying_pays(n_allowed: int, n_scored: int, n_queries: int) -> bool:
    """Whether to copy the allowed items and score them alone, rather than to score ``n_scored``."""
    scored = max(n_queries, LEAST_QUERIES)
    return n_allowed * (COPY_QUERIES + scored) < n_scored * scored


def search_in_blocks(
    queries: NDArray[np.float32],
    k: int,
    search: Callable[[slice, NDArray[np.int64], NDArray[np.float32]], None],
    n_jobs: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Search for the k best items of each query, a block of queries at a time.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, embedding_dim)
    k : int
    search : callable
        Takes the rows of a block of queries, and fills its items and scores, of shape (n, k), which
        hold -1 and -inf.
    n_jobs : int, optional
        Number of threads, as in joblib. Each searches blocks of queries with one BLAS thread.

    Returns
    -------
    found : ndarray of shape (n_queries, k), int64
    scores : ndarray of shape (n_queries, k), float32
    """
    found = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)

    def fill(start: int) -> None:
        rows = slice(start, start + QUERY_BLOCK)
        search(rows, found[rows], scores[rows])

    starts = range(0, len(queries), QUERY_BLOCK)
    threads = min(effective_n_jobs(n_jobs), len(starts))
    if threads > 1:
        with single_blas_thread, ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, starts))
    else:
        for start in starts:
            fill(start)
    return found, scores


@dataclass(frozen=True)
class SearchedItems:
    """The items that a block of queries searches.

    Parameters
    ----------
    items : ndarray of shape (n_items, embedding_dim)
    hidden : sequence of Hidden
    positions : ndarray of shape (n_searched,), optional
        Rows of the items that are searched, ascending; all by default.
    shift : ndarray of shape (n_items,), optional
        Added to the scores of each item.
    """

    items: NDArray[np.float32]
    hidden: Sequence[Hidden]
    positions: NDArray[np.integer] | None = None
    shift: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.items if self.positions is None else self.positions)

    def search(
        self,
        queries: NDArray[np.float32],
        found: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> None:
        """Fill ``found`` and ``scores`` for a block of queries.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, embedding_dim)
        found, scores : ndarray of shape (n_queries, k)
            To be filled with item rows and scores, best first; they hold -1 and -inf.
        """
        if not len(self):
            return
        search = _search_one if len(queries) == 1 else _search_many
        search(queries, found, scores, self)
        if self.positions is not None:
            found[:] = np.where(found >= 0, self.positions[found], -1)

    def buffer(self, longest: int) -> NDArray[np.float32]:
        """Return room for a copy of the items of a block; none if they need no copy."""
        n_rows = 0 if self.positions is None else longest
        return np.empty((n_rows, self.items.shape[1]), dtype=np.float32)

    def score(
        self,
        start: int,
        stop: int,
        weights: NDArray[np.float32],
        out: NDArray[np.float32],
        copied: NDArray[np.float32],
    ) -> None:
        """Fill ``out`` with the scores of a block of the searched items, -inf for hidden ones."""
        block = self.items[start:stop]
        if self.positions is not None:
            rows = self.positions[start:stop]
            block = np.take(self.items, rows, 0, out=copied[: stop - start], mode="clip")
        product(block, weights, out=out)
        self.finish(start, out)

    def scores_of(
        self, query: NDArray[np.float32], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Score some items for a query, an array of shape (1, embedding_dim)."""
        # With mode="clip", take copies rows in a third of the time of an index.
        scores = np.einsum("ij,j->i", np.take(self.items, items, 0, mode="clip"), query[0])
        return scores if self.shift is None else scores + self.shift[items]

    def finish(self, start: int, out: NDArray[np.float32]) -> None:
        """Add the shift to what was computed for a block, and hide what is hidden, in place."""
        if self.shift is not None:
            rows: Any = slice(start, start + len(out))
            out += self.shift[rows if self.positions is None else self.positions[rows], None]
        for hidden in self.hidden:
            hidden.hide(start, out)


def reached(values: NDArray[np.float32], k: int) -> np.float32:
    """Return a value that at least k of the values reach, and not many more.

    Each maximum of a few values is one of them, so that the k-th largest maximum will do.
    """
    n_folds = min(FOLDS, len(values) // (LEAST_MAXIMA * k))
    if n_folds > 1:
        width = len(values) // n_folds
        values = np.fmax.reduce(values[: n_folds * width].reshape(n_folds, width), axis=0)
    place = max(len(values) - k, 0)
    bar: np.float32 = np.partition(values, place)[place]
    return bar


def _search_one(
    queries: NDArray[np.float32],
    found: NDArray[np.int64],
    scores: NDArray[np.float32],
    searched: SearchedItems,
) -> None:
    """Score all items, and sort those that reach a bar."""
    n_items = len(searched)
    scored = np.empty((n_items, 1), dtype=np.float32)
    weights = np.ascontiguousarray(queries.T)
    # Copied items, or else scores, stay in the cache until the hidden ones are overwritten.
    longest = min(BLOCK_SCORES if searched.positions is None else ITEM_BLOCK, n_items)
    copied = searched.buffer(longest)
    for start in range(0, n_items, longest):
        stop = min(start + longest, n_items)
        searched.score(start, stop, weights, scored[start:stop], copied)
    values = scored[:, 0]
    reaching = np.flatnonzero(values >= reached(values, scores.shape[1]))
    # A stable sort keeps the order of positions for equal scores.
    best = reaching[np.argsort(-values[reaching], kind="stable")[: scores.shape[1]]]
    best = best[values[best] > -np.inf]
    found[0, : len(best)] = best
    scores[0, : len(best)] = values[best]


def _search_many(
    queries: NDArray[np.float32],
    found: NDArray[np.int64],
    scores: NDArray[np.float32],
    searched: SearchedItems,
) -> None:
    """Search items block by block.

    The k-th best score so far is the bar. After a few blocks hardly any item exceeds it, so that a
    block costs one product and one comparison. Items are the rows of the product, because OpenBLAS
    multiplies many rows by a small matrix up to twice as fast as a small matrix by many columns.
    """
    n_queries, k = scores.shape
    n_items = len(searched)
    n_columns = -(-n_queries // LANES) * LANES
    weights = np.zeros((queries.shape[1], n_columns), dtype=np.float32)
    weights[:, :n_queries] = queries.T
    # With few queries, longer blocks have as many scores and less overhead.
    longest = min(max(ITEM_BLOCK, BLOCK_SCORES // n_columns), n_items)
    scored = np.empty((-(-longest // TILE), TILE, n_columns), dtype=np.float32)
    above = np.empty(scored.shape, dtype=bool)
    # Repeated, because arrays of the same shape compare faster. Nothing clears the bar of a column
    # without a query.
    bars = np.full((TILE, n_columns), np.inf, dtype=np.float32)
    bars[:, :n_queries] = -np.inf
    copied = searched.buffer(longest)
    pending: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    n_pending = 0
    for start, stop in _blocks(n_items, longest):
        width = stop - start
        n_tiles = -(-width // TILE)
        current = scored[:n_tiles].reshape(-1, n_columns)
        searched.score(start, stop, weights, current[:width], copied)
        current[width:] = -np.inf
        if start == 0 and width > k:
            # The first items to clear the bar are the k best of the first block.
            least = np.partition(current[:, :n_queries], -k, axis=0)[-k]
            bars[:, :n_queries] = np.nextafter(least, -np.float32(np.inf))
        flat = np.flatnonzero(np.greater(scored[:n_tiles], bars, out=above[:n_tiles]))
        if len(flat):
            item, query = np.divmod(flat, n_columns)
            pending.append((query, item + start, current[item, query]))
            n_pending += len(flat)
        # Merging raises the bar: often while it is low, seldom once few items exceed it.
        if n_pending > n_queries * k or (start == 0 and n_pending):
            _merge(pending, found, scores)
            bars[:, :n_queries] = scores[:, -1]
            pending, n_pending = [], 0
    if n_pending:
        _merge(pending, found, scores)


def _blocks(n_items: int, longest: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of blocks of items.

    A block is at most as long as all before it, so that few of its items exceed the bar.
    """
    start, stop = 0, max(ITEM_BLOCK, longest // 8)
    while start < n_items:
        yield start, min(stop, n_items)
        start, stop = stop, stop + min(stop, longest)


def _merge(
    pending: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]],
    found: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> None:
    """Merge pending candidates, in ascending order of items, into the k best of each query."""
    n_queries, k = scores.shape
    kept = np.flatnonzero(found.ravel() >= 0)
    query = np.concatenate([kept // k, *(p[0] for p in pending)])
    item = np.concatenate([found.ravel()[kept], *(p[1] for p in pending)])
    score = np.concatenate([scores.ravel()[kept], *(p[2] for p in pending)])
    # Items came in the order of their positions, which a stable sort keeps for equal scores.
    order = np.argsort(_descending(query, score), kind="stable")
    query = query[order]
    counts = np.bincount(query, minlength=n_queries)
    place = positions_within(counts)
    best = place < k
    cell = query[best], place[best]
    found[cell] = item[order][best]
    scores[cell] = score[order][best]


def _descending(query: NDArray[np.int64], score: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return numbers that ascend with the query and, within it, descend with the score.

    One sort of them takes half of the time of two sorts by both.
    """
    # The bits of floats ascend like integers, if those of negative ones are inverted but the sign.
    bits = (0 - score).view(np.int32)  # 0 - 0.0 and 0 - (-0.0) are the same
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    return (query << 32) + bits
