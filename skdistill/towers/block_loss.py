"""Loss on one block of pairs in a step: a grid of queries and items, or a list of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.columns import take_values
from skdistill.inputs.pairs import PairGrid, PairList
from skdistill.inputs.queries import Queries
from skdistill.protocols import Array, Loss

# Number of pairs whose targets are computed at once, to bound the memory for float64 values.
TARGET_PAIRS = 1 << 22
# Number of pairs that a loss is evaluated on at once, so that they stay in cache.
CACHED_PAIRS = 1 << 17


@dataclass(frozen=True)
class BlockLoss:
    """One loss of a step, on the scores of one block of pairs.

    Parameters
    ----------
    is_grid : bool
        If True, the block pairs every query of ``query`` with every item of ``item``; otherwise
        both are aligned.
    query : ndarray of int64, or None
        Rows of the batch's queries; None for all of them.
    item : ndarray of int64, or None
        Rows of the item table; None for the whole catalogue.
    queries : Queries
        Lists that the pairs form.
    loss : Loss
    weight : float
        Factor of the loss.
    target : ndarray of shape (n_pairs, ...)
        Target of the loss.
    shift : ndarray or None
        Added to the scores: one value per item in a grid, otherwise one per pair.
    row_weight : ndarray of shape (n_pairs,) or None
        Factor of each pair's term.
    left_out : ndarray of int64, or None
        Pairs of the block that are no part of its lists, ascending.
    embedding : int
        Which of a query's embeddings is scored.
    """

    is_grid: bool
    query: Array | None
    item: Array | None
    queries: Queries
    loss: Loss
    weight: float
    target: Array
    shift: Array | None
    row_weight: Array | None
    left_out: Array | None = None
    embedding: int = 0

    def value_and_gradient(self, scores: Array) -> float:
        """Evaluate the loss; the gradient overwrites the scores, because a grid of them is large.

        The loss passes over its lists several times, so it gets few enough lists at once to stay in
        cache.
        """
        total = 0.0
        for lists, rows in chunks_of(self.queries, CACHED_PAIRS):
            chunk = scores[rows]
            if self.shift is not None and self.is_grid:
                chunk.reshape(lists.n_queries, -1)[...] += self.shift
            elif self.shift is not None:
                chunk += self.shift[rows]
            row_weight = take_values(self.row_weight, rows)
            kept, lists = without(self.left_out, rows, lists)
            if not lists.n_queries:
                chunk[...] = 0
                continue
            target, row_weight = self.target[rows][kept], take_values(row_weight, kept)
            value, slope = self.loss.value_and_gradient(chunk[kept], target, lists, row_weight)
            weight = self.weight * lists.n_queries / self.queries.n_queries
            if self.left_out is not None:
                chunk[...] = 0
            chunk[kept] = slope * scores.dtype.type(weight)
            total += weight * value
        return total

    def block(self, query: Array | None, place: Array | None) -> PairGrid | PairList:
        """Pairs of the block, given the positions of its embeddings and items in the step."""
        return PairGrid(query, place) if self.is_grid else PairList(query, place)


def logq_correction(
    loss: Loss, log_importance: Array, queries: Queries
) -> tuple[Array | None, Array | None]:
    """Correct a loss for the sampling of its rows, by shifted scores or by row weights.

    In a softmax, a row of importance w gets log w added to its logit. In other losses, its term is
    multiplied by w, scaled to mean 1 over each list.

    Parameters
    ----------
    loss : Loss
    log_importance : ndarray of shape (n_rows,)
        Logarithm of 1 / (probability of the draw).
    queries : Queries

    Returns
    -------
    shift : ndarray of shape (n_rows,), float32, or None
        To add to the scores; None unless the loss is a softmax.
    row_weight : ndarray of shape (n_rows,), float32, or None
        To multiply the terms by; None if the loss is a softmax.
    """
    scale = loss.logit_scale
    if scale is not None:
        return (log_importance * scale).astype(np.float32), None
    weight = np.exp(log_importance - queries.spread(queries.max(log_importance)))
    return None, (weight / queries.spread(queries.mean(weight))).astype(np.float32)


def soft_targets(
    loss: Loss,
    scores: Array,
    queries: Queries,
    log_importance: Array | None = None,
    left_out: Array | None = None,
) -> Array:
    """Targets of the loss, float32, computed in float64 for a few lists at a time.

    Pairs that are left out have the target 0.
    """
    target: Array | None = None
    for lists, rows in chunks_of(queries, TARGET_PAIRS):
        kept, lists = without(left_out, rows, lists)
        if not lists.n_queries:
            continue
        values = scores[rows][kept].astype(np.float64)
        if log_importance is None:
            chunk = loss.soft_target(values, lists)
        else:
            chunk = loss.sampled_soft_target(values, log_importance[rows][kept], lists)
        if target is None:
            target = np.zeros((queries.n_rows, *chunk.shape[1:]), dtype=np.float32)
        target[rows][kept] = chunk
    assert target is not None  # at least one list has a pair
    return target


def without(left_out: Array | None, rows: slice, lists: Queries) -> tuple[Any, Queries]:
    """Leave pairs out of the lists in these rows; return which rows are kept, and their lists."""
    if left_out is None:
        return slice(None), lists
    first, last = np.searchsorted(left_out, (rows.start, rows.stop))
    if first == last:
        return slice(None), lists
    kept = np.ones(lists.n_rows, dtype=bool)
    kept[left_out[first:last] - rows.start] = False
    return kept, lists.subset(kept)


def chunks_of(queries: Queries, n_rows: int) -> Iterator[tuple[Queries, slice]]:
    """Split lists into chunks of about ``n_rows`` rows; yield the lists and their rows."""
    per_chunk = max(n_rows * queries.n_queries // queries.n_rows, 1)
    for start in range(0, queries.n_queries, per_chunk):
        offsets = queries.offsets[start : start + per_chunk + 1]
        yield Queries(offsets - offsets[0]), slice(offsets[0], offsets[-1])
