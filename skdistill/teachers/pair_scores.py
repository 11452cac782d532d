"""What the teacher says of any pair of a query and an item of the catalogue.

A ``PairScores`` is asked by row numbers of the query table and the catalogue; behind it stands a
matrix, the best scores of each query, or a function of two aligned tables, such as a teacher behind
its pair features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.columns import take_rows
from skdistill.teachers.asking import BLOCK, check_scores, score_rows

# Pairs of a grid that are asked for at once.
GRID_PAIRS = 1 << 20


class PairScores(Protocol):
    """Teacher scores of pairs."""

    def __call__(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float32]:
        """Scores of aligned rows, shape (n_pairs,)."""


@dataclass(frozen=True)
class DenseScores:
    """A matrix of shape (n_queries, n_items)."""

    matrix: NDArray[Any]

    def __call__(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float32]:
        return self.matrix[query, item].astype(np.float32, copy=False)


@dataclass(frozen=True)
class BestScores:
    """A CSR matrix that holds each query's best items; all others count as its least stored."""

    matrix: Any

    @cached_property
    def _least(self) -> NDArray[np.float64]:
        counts = np.diff(self.matrix.indptr)
        least = np.zeros(len(counts))
        some = counts > 0
        least[some] = np.minimum.reduceat(self.matrix.data, self.matrix.indptr[:-1][some])
        return least

    @cached_property
    def _above_least(self) -> Any:
        # One more than the distance: a stored item must differ from an absent one, which reads 0.
        data = self.matrix.data - np.repeat(self._least, np.diff(self.matrix.indptr)) + 1
        return sparse.csr_array((data, self.matrix.indices, self.matrix.indptr), self.matrix.shape)

    def __call__(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float32]:
        found = np.asarray(self._above_least[query, item]).ravel()
        return (self._least[query] + np.maximum(found - 1, 0)).astype(np.float32)


@dataclass(frozen=True)
class FunctionScores:
    """A function of two aligned tables, asked in blocks of bounded memory.

    Parameters
    ----------
    function : callable
        ``function(queries, items)`` -> one score a row.
    queries, items : table
    name : str
        Who scores, for messages.
    """

    function: Callable[[Any, Any], Any]
    queries: Any
    items: Any
    name: str

    def __call__(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.float32]:
        scores = np.empty(len(query), dtype=np.float32)
        for start in range(0, len(query), BLOCK):
            rows = slice(start, start + BLOCK)
            block = np.asarray(
                self.function(
                    take_rows(self.queries, query[rows]), take_rows(self.items, item[rows])
                ),
                dtype=np.float64,
            )
            check_scores(block, len(query[rows]), self.name)
            scores[rows] = block
        return scores


def teacher_scores_of(
    teacher: Any, pair_features: Callable[[Any, Any], Any], queries: Any, items: Any
) -> FunctionScores:
    """A fitted teacher behind the function that builds its rows."""

    def function(query_rows: Any, item_rows: Any) -> NDArray[np.float64]:
        return score_rows(teacher, pair_features(query_rows, item_rows))

    return FunctionScores(function, queries, items, f"The teacher {type(teacher).__name__}")


def check_pair_scores(
    scores: Any, n_queries: int, n_items: int, queries: Any, items: Any
) -> PairScores:
    """What the user passed as ``teacher_scores`` of a catalogue: a matrix or a function.

    Raises
    ------
    ValueError
        For another shape, and for scores that are not finite.
    """
    if callable(scores):
        return FunctionScores(scores, queries, items, "teacher_scores")
    is_sparse = sparse.issparse(scores)
    matrix = sparse.csr_array(scores) if is_sparse else np.asarray(scores)
    if matrix.shape != (n_queries, n_items):
        raise ValueError(
            "teacher_scores of a catalogue must have a row for each query, in the order of the "
            f"sorted query ids, and a column for each item: expected shape ({n_queries}, "
            f"{n_items}), got {matrix.shape}."
        )
    values = matrix.data if is_sparse else matrix
    if not np.isfinite(values).all():
        raise ValueError("teacher_scores must be finite; NaN or infinity found in the matrix.")
    return BestScores(matrix) if is_sparse else DenseScores(matrix)


def score_grid(
    scores: PairScores, query: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores of every query with every item, asked for in blocks of bounded memory.

    Parameters
    ----------
    scores : PairScores
    query : ndarray of shape (n_queries,), int64
    item : ndarray of shape (n_items,), int64

    Returns
    -------
    ndarray of shape (n_queries, n_items), float32
    """
    grid = np.empty((len(query), len(item)), dtype=np.float32)
    per_block = max(GRID_PAIRS // len(item), 1)
    for start in range(0, len(query), per_block):
        block = query[start : start + per_block]
        answer = scores(np.repeat(block, len(item)), np.tile(item, len(block)))
        grid[start : start + per_block] = answer.reshape(len(block), len(item))
    return grid
