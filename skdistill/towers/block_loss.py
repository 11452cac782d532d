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
# Score of a pair that has no part in a softmax: its exponential is 0, whatever the other scores.
NO_PART = -1e30


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
            left_out = within(self.left_out, rows)
            if left_out is not None and self.loss.logit_scale is None:
                total += self._without(left_out, chunk, self.target[rows], lists, row_weight)
                continue
            if left_out is not None:
                # A score of this size has no part in a softmax. Shorter lists take far longer.
                chunk[left_out] = NO_PART
            value, slope = self.loss.value_and_gradient(chunk, self.target[rows], lists, row_weight)
            weight = self.weight * lists.n_queries / self.queries.n_queries
            np.multiply(slope, scores.dtype.type(weight), out=chunk)
            total += weight * value
        return total

    def _without(
        self,
        left_out: Array,
        chunk: Array,
        target: Array,
        lists: Queries,
        row_weight: Array | None,
    ) -> float:
        """Evaluate the loss on lists without some of their pairs, whose gradient is 0."""
        kept, lists = remaining(left_out, lists)
        slope = np.zeros_like(chunk)
        value = 0.0
        if lists.n_queries:
            row_weight = take_values(row_weight, kept)
            value, slope[kept] = self.loss.value_and_gradient(
                chunk[kept], target[kept], lists, row_weight
            )
        weight = self.weight * lists.n_queries / self.queries.n_queries
        np.multiply(slope, chunk.dtype.type(weight), out=chunk)
        return weight * value

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
    loss = loss.scaled_to(scores if left_out is None else np.delete(scores, left_out))
    for lists, rows in chunks_of(queries, TARGET_PAIRS):
        kept: Any = slice(None)
        absent = within(left_out, rows)
        if absent is not None:
            kept, lists = remaining(absent, lists)
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


def within(pairs: Array | None, rows: slice) -> Array | None:
    """Positions in a slice of rows of the pairs, ascending, that are in it; None without any."""
    if pairs is None:
        return None
    first, last = np.searchsorted(pairs, (rows.start, rows.stop))
    return pairs[first:last] - rows.start


def remaining(left_out: Array, lists: Queries) -> tuple[Array, Queries]:
    """Leave pairs out of lists; return which pairs are kept, and their lists."""
    kept = np.ones(lists.n_rows, dtype=bool)
    kept[left_out] = False
    return kept, lists.subset(kept)


def chunks_of(queries: Queries, n_rows: int) -> Iterator[tuple[Queries, slice]]:
    """Split lists into chunks of about ``n_rows`` rows; yield the lists and their rows."""
    per_chunk = max(n_rows * queries.n_queries // queries.n_rows, 1)
    for start in range(0, queries.n_queries, per_chunk):
        offsets = queries.offsets[start : start + per_chunk + 1]
        yield Queries(offsets - offsets[0]), slice(offsets[0], offsets[-1])
