"""A teacher's scores of pairs of a query and an item of the catalogue.

A ``PairScores`` takes row numbers of the query table and of the catalogue. Its scores come from a
matrix, from the best scores of each query, or from a function of two aligned tables, such as a
teacher applied to pair features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.alignment import call_aligned
from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.columns import take_rows
from skdistill.inputs.queries import positions_within
from skdistill.losses.pointwise import moments_of
from skdistill.teachers.asking import BLOCK, check_scores, name_of, unchecked_scores

# Pairs of a grid that are scored at once.
GRID_PAIRS = 1 << 20
# Scores lie far from 0 if their mean is so many times their deviation: float32 then holds less than
# four digits of their differences.
FAR_FROM_ZERO = 1000


# Rows of the query table and of the catalogue, one of each per pair.
PairRows = tuple[NDArray[np.int64], NDArray[np.int64]]


class PairScores(Protocol):
    """A function from pairs to teacher scores."""

    def __call__(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float32]:
        """Score pairs.

        Parameters
        ----------
        query : ndarray of shape (n_pairs,), int
            Row of the query table for each pair.
        item : ndarray of shape (n_pairs,), int
            Row of the catalogue for each pair.

        Returns
        -------
        ndarray of shape (n_pairs,), float32
        """

    def grid(self, query: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score every query with every item, in blocks of bounded memory.

        Parameters
        ----------
        query : ndarray of shape (n_queries,), int64
            Rows of the query table.
        item : ndarray of shape (n_items,), int64
            Rows of the catalogue.

        Returns
        -------
        ndarray of shape (n_queries, n_items), float32
        """
        grid = np.empty((len(query), len(item)), dtype=np.float32)
        per_block = max(GRID_PAIRS // len(item), 1)
        for start in range(0, len(query), per_block):
            block = query[start : start + per_block]
            answer = self(np.repeat(block, len(item)), np.tile(item, len(block)))
            grid[start : start + per_block] = answer.reshape(len(block), len(item))
        return grid

    def whole(self, n_queries: int, n_items: int) -> NDArray[np.float32]:
        """Score every query with every item of the catalogue.

        Returns
        -------
        ndarray of shape (n_queries, n_items), float32
            Not to be changed: it may be the matrix that the user passed.
        """
        return self.grid(np.arange(n_queries), np.arange(n_items))

    def highest(self, n: int, left_out: Any = None) -> PairRows | None:
        """Find the n best items of each query, if they are known without scoring all pairs.

        Parameters
        ----------
        n : int
            Number of items per query; a query may have fewer.
        left_out : CSR array of shape (n_queries, n_items), default=None
            Pairs to leave out.

        Returns
        -------
        tuple of (query, item), or None
            Rows of the query table, ascending, and of the catalogue. None by default.
        """
        return None


def far_origin(scores: NDArray[Any]) -> float:
    """Return what to subtract from scores before they are cast to float32.

    Losses compare the scores of all pairs with each other, so that a constant does not matter. It
    is 0 unless the scores lie far from 0. Probabilities, whose value does matter, never do.
    """
    mean = float(scores.mean(dtype=np.float64)) if scores.size else 0.0
    if abs(mean) <= 1.0:
        return 0.0
    # Without a copy of the scores, which may be as large as queries times items.
    spread = moments_of(scores.ravel())[1]
    return mean if abs(mean) > FAR_FROM_ZERO * spread else 0.0


@dataclass(frozen=True)
class DenseScores(PairScores):
    """Scores from a matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n_queries, n_items)
        Score of every pair.
    """

    matrix: NDArray[Any]

    def __call__(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float32]:
        return self.matrix[query, item].astype(np.float32, copy=False)

    def grid(self, query: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.matrix[np.ix_(query, item)].astype(np.float32, copy=False)

    def whole(self, n_queries: int, n_items: int) -> NDArray[np.float32]:
        return self.matrix.astype(np.float32, copy=False)

    def highest(self, n: int, left_out: Any = None) -> PairRows:
        n_queries, n_items = self.matrix.shape
        per_block = max(GRID_PAIRS // n_items, 1)
        items = []
        for start in range(0, n_queries, per_block):
            rows = slice(start, start + per_block)
            scores = self.matrix[rows].astype(np.result_type(self.matrix, np.float32))
            if left_out is not None:
                scores[left_out[rows].nonzero()] = -np.inf
            first = np.argpartition(scores, n_items - min(n, n_items), axis=1)[:, -n:]
            ruled_out = np.take_along_axis(scores, first, axis=1) == -np.inf
            items.append(np.where(ruled_out, -1, first))
        found = np.concatenate(items)
        query, place = np.nonzero(found >= 0)
        return query, found[query, place]


@dataclass(frozen=True)
class BestScores(PairScores):
    """Scores from a CSR matrix that holds only the best items of each query.

    All other items have the lowest stored score of the query, or 0 if none is stored.

    Parameters
    ----------
    matrix : CSR array of shape (n_queries, n_items)
        Scores of the best items.
    """

    matrix: Any

    @cached_property
    def _least(self) -> NDArray[np.float64]:
        """Lowest stored score of each query."""
        counts = np.diff(self.matrix.indptr)
        least = np.zeros(len(counts))
        some = counts > 0
        least[some] = np.minimum.reduceat(self.matrix.data, self.matrix.indptr[:-1][some])
        return least

    @cached_property
    def _above_least(self) -> Any:
        # Plus 1, because a stored item must differ from an absent one, which reads as 0.
        data = self.matrix.data - np.repeat(self._least, np.diff(self.matrix.indptr)) + 1
        return sparse.csr_array((data, self.matrix.indices, self.matrix.indptr), self.matrix.shape)

    def __call__(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float32]:
        found = np.asarray(self._above_least[query, item]).ravel()
        return (self._least[query] + np.maximum(found - 1, 0)).astype(np.float32)

    def grid(self, query: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float32]:
        grid = np.repeat(self._least[query].astype(np.float32)[:, None], len(item), axis=1)
        stored = self.matrix[query][:, item].tocoo()
        grid[stored.row, stored.col] = stored.data
        return grid

    def highest(self, n: int, left_out: Any = None) -> PairRows:
        matrix = self.matrix.tocoo()
        kept = np.ones(matrix.nnz, dtype=bool)
        if left_out is not None:
            kept = ~np.asarray(left_out[matrix.row, matrix.col]).ravel()
        query, item, score = matrix.row[kept], matrix.col[kept], matrix.data[kept]
        order = np.lexsort((-score, query))
        query, item = query[order].astype(np.int64), item[order].astype(np.int64)
        first = positions_within(np.bincount(query, minlength=matrix.shape[0])) < n
        return query[first], item[first]


@dataclass
class IndexedScores(PairScores):
    """Scores from a function of row numbers, called for blocks of bounded memory.

    The first block tells whether the scores lie far from 0.

    Parameters
    ----------
    function : callable
        ``function(query, item)`` takes rows of the query table and of the catalogue, and returns
        one score per pair.
    name : str
        What scores, as the subject of error messages.
    """

    function: Callable[[NDArray[Any], NDArray[Any]], Any]
    name: str
    _origin: float | None = field(init=False, default=None)

    def __call__(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float32]:
        scores = np.empty(len(query), dtype=np.float32)
        for start in range(0, len(query), BLOCK):
            rows = slice(start, start + BLOCK)
            block = self._score_block(query[rows], item[rows])
            if self._origin is None:
                self._origin = far_origin(block)
            scores[rows] = block - self._origin
        return scores

    def _score_block(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float64]:
        scores = np.asarray(self.function(query, item), dtype=np.float64)
        check_scores(
            scores,
            len(query),
            self.name,
            # Blocks cut the pairs anywhere: only the two rows say which pair it is.
            lambda pair: f"query {query[pair]} (sorted by query id) and item {item[pair]}",
        )
        return scores


def function_scores(
    function: Callable[[Any, Any], Any], queries: Any, items: Any, name: str
) -> IndexedScores:
    """Make pair scores of a function of two aligned tables.

    Parameters
    ----------
    function : callable
        ``function(queries, items)`` returns one score per row.
    queries : table of shape (n_queries, n_query_columns)
        The query table.
    items : table of shape (n_items, n_item_columns)
        The catalogue.
    name : str
        What scores, as the subject of error messages.

    Returns
    -------
    IndexedScores
    """

    def of_pairs(query: NDArray[Any], item: NDArray[Any]) -> Any:
        return call_aligned(function, take_rows(queries, query), take_rows(items, item), name=name)

    return IndexedScores(of_pairs, name)


def pair_rows(
    pair_features: Callable[[Any, Any], Any],
    queries: Any,
    items: Any,
    name: str = "pair_features",
) -> Any:
    """Build a teacher's input rows from two aligned tables.

    Parameters
    ----------
    pair_features : callable
        ``pair_features(queries, items)`` returns one row per pair.
    queries : table of shape (n_pairs, n_query_columns)
        The query of each pair.
    items : table of shape (n_pairs, n_item_columns)
        The item of each pair.
    name : str, default="pair_features"
        The function, as the subject of error messages.

    Returns
    -------
    table of shape (n_pairs, n_features)

    Raises
    ------
    ValueError
        If there is not one row per pair, or the rows are in another order.
    """
    rows = call_aligned(pair_features, queries, items, name=name)
    shape = getattr(rows, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != queries.shape[0]:
        raise ValueError(
            f"{name} must return a table with one row per pair: expected "
            f"{queries.shape[0]} rows, got {type(rows).__name__}"
            + (f" of shape {shape}." if shape is not None else ".")
        )
    return rows


def teacher_scores_of(
    teacher: Any, pair_features: Callable[[Any, Any], Any], queries: Any, items: Any
) -> IndexedScores:
    """Build pair scores from a fitted teacher and the function that builds its input rows."""

    def function(query_rows: Any, item_rows: Any) -> NDArray[np.float64]:
        return unchecked_scores(teacher, pair_rows(pair_features, query_rows, item_rows))

    return function_scores(function, queries, items, name_of(teacher))


def check_pair_scores(
    scores: Any, n_queries: int, n_items: int, queries: Any, items: Any
) -> PairScores:
    """Check the ``teacher_scores`` of a catalogue, a matrix or a function.

    Parameters
    ----------
    scores : ndarray or sparse matrix of shape (n_queries, n_items), callable, or IndexedScores
        What the user passed. A sparse matrix holds only the best items of each query; values of a
        cell that is stored several times are added up.
    n_queries, n_items : int
        Expected shape of a matrix.
    queries, items : table
        The query table and the catalogue, for a callable.

    Returns
    -------
    PairScores

    Raises
    ------
    ValueError
        If a matrix has another shape, or a score is NaN or infinite.
    """
    if isinstance(scores, IndexedScores):
        return scores
    if callable(scores):
        return function_scores(scores, queries, items, "teacher_scores")
    is_sparse = sparse.issparse(scores)
    matrix: Any = sparse.csr_array(canonical_csr(scores)) if is_sparse else np.asarray(scores)
    if matrix.shape != (n_queries, n_items):
        raise ValueError(
            "teacher_scores of a catalogue must have one row per query, in the order of the sorted "
            f"query ids, and one column per item: expected shape ({n_queries}, {n_items}), got "
            f"{matrix.shape}."
        )
    values = matrix.data if is_sparse else matrix
    if not np.isfinite(values).all():
        raise ValueError(
            "teacher_scores must be finite, but the matrix contains NaN or infinity. Replace them, "
            "or pass a sparse matrix with the scores of the best items only."
        )
    origin = far_origin(values)
    if not is_sparse:
        return DenseScores(matrix - origin if origin else matrix)
    if origin:
        matrix = sparse.csr_array((values - origin, matrix.indices, matrix.indptr), matrix.shape)
    return BestScores(matrix)
