"""The loss on labels, with in-batch negatives and uniform draws from the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import distinct
from skdistill.protocols import Array, Loss, Parameters
from skdistill.towers.block_loss import BlockLoss, logq_correction


@dataclass(frozen=True)
class LabelledPairs:
    """Logged pairs with labels, sorted by query.

    Parameters
    ----------
    queries : Queries
        Segments of the queries that have labels.
    query : ndarray of shape (n_labelled_queries,), int64
        Row of the query table for each segment.
    item : ndarray of shape (n_pairs,), int64
        Row of the item table for each pair.
    label : ndarray of shape (n_pairs,), float64
    weight : ndarray of shape (n_pairs,), float32, or None
        Row weights.
    """

    queries: Queries
    query: Array
    item: Array
    label: Array
    weight: Array | None = None


# Number of uniform draws per step. More of them cost more than they teach; up to this number of
# items, all are taken.
MOST_UNIFORM = 1 << 14


@dataclass
class InBatchNegatives:
    """The hard loss: rank each query's labelled items among the step's items.

    These are all labelled items of the step and, if the loss is a softmax, uniform draws from the
    catalogue. Without them, items that are logged once are negatives in one step of an epoch and
    stay too high. The logarithm of the probability that a step has an item corrects for sampling.

    Parameters
    ----------
    log : LabelledPairs
    loss : Loss
    weight : float
        Factor of the loss.
    n_items : int
        Number of rows of the item table.
    train_queries : ndarray of int64
        Queries to train on.
    n_queries : int
        Number of rows of the query table.
    n_catalogue : int
        Number of items of the catalogue, the first rows of the item table.
    batch_size : int
        Number of queries per step.
    embedding : int
        Which of a query's embeddings learns from these labels.

    References
    ----------
    Yang et al., "Mixed Negative Sampling for Learning Two-tower Neural Networks in
    Recommendations", WWW 2020.
    Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
    RecSys 2019.
    """

    log: LabelledPairs
    loss: Loss
    weight: float
    n_items: int
    train_queries: Array
    n_queries: int
    n_catalogue: int
    batch_size: int
    embedding: int = 0

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Keep the source of the draws."""
        self._rng = rng

    def block_loss(self, chosen: Array) -> BlockLoss | None:
        """Loss on the labels of these queries; None if they have no labels."""
        segments = self._segment[chosen]
        labelled = np.flatnonzero(segments >= 0)
        if not len(labelled):
            return None
        rows, logged = self.log.queries.take(segments[labelled])
        drawn = np.concatenate([self.log.item[rows], self._draw()])
        items, column = distinct(drawn, self.n_items)
        column = column[: len(rows)]
        queries = Queries.even(len(labelled), len(items))
        cell = logged.segment * len(items) + column
        of_logged, of_others = self._targets
        target = np.repeat(of_others[segments[labelled]], len(items), axis=0)
        target[cell] = of_logged[rows]
        shift, row_weight = logq_correction(
            self.loss, self._log_importance[items], Queries.single(len(items))
        )
        if row_weight is not None:
            row_weight = np.tile(row_weight, len(labelled))
            row_weight[cell] = 1.0
        if self.log.weight is not None:
            if row_weight is None:
                row_weight = np.ones(queries.n_rows, dtype=np.float32)
            row_weight[cell] *= self.log.weight[rows]
        return BlockLoss(
            is_grid=True,
            query=None if len(labelled) == len(chosen) else labelled,
            item=items,
            queries=queries,
            loss=self.loss,
            # Makes the loss a mean over all labelled queries in expectation, however many of them
            # are in this batch.
            weight=self.weight * len(labelled) / len(chosen) * self._queries_per_labelled,
            target=target,
            shift=shift,
            row_weight=row_weight,
            embedding=self.embedding,
        )

    @cached_property
    def _segment(self) -> Array:
        """Segment of each query in the log, -1 if it has no labels."""
        segment = np.full(self.n_queries, -1, dtype=np.int64)
        segment[self.log.query] = np.arange(len(self.log.query))
        return segment

    def _draw(self) -> Array:
        """Items of the catalogue, drawn uniformly."""
        n_drawn = self._n_uniform
        if n_drawn == self.n_catalogue:
            return np.arange(n_drawn)
        return self._rng.integers(self.n_catalogue, size=n_drawn)

    @cached_property
    def _n_uniform(self) -> int:
        """Number of uniform draws: the terms of other losses are no sums over the catalogue."""
        return 0 if self.loss.logit_scale is None else min(MOST_UNIFORM, self.n_catalogue)

    @cached_property
    def _log_importance(self) -> Array:
        """Logarithm of 1 / (probability that a step has this item)."""
        counts = np.bincount(self.log.item, minlength=self.n_items)
        frequency = np.maximum(counts, 1) / counts.sum()
        if not self._n_uniform:
            return -np.log(frequency).astype(np.float32)
        n_logged = self.batch_size * len(self.log.item) / len(self.log.query)
        log_absent = n_logged * np.log1p(-np.minimum(frequency, 0.5))
        if self._n_uniform == self.n_catalogue:
            log_absent[: self.n_catalogue] = -np.inf
        else:
            log_absent[: self.n_catalogue] += self._n_uniform * np.log1p(-1 / self.n_catalogue)
        return -np.log(-np.expm1(log_absent)).astype(np.float32)

    @cached_property
    def _targets(self) -> tuple[Array, Array]:
        """Target of each logged pair, and target of all other items for each query.

        For the latter, one irrelevant row is added to each query: under ranking losses the target
        of a row does not depend on the number of irrelevant rows. If a pair was logged twice, its
        higher label counts, whatever the order of the log.
        """
        log = self.log
        pair = log.queries.segment * np.int64(self.n_items) + log.item
        first, inverse = np.unique(pair, return_index=True, return_inverse=True)[1:]
        best = np.full(len(first), -np.inf)
        np.maximum.at(best, inverse, log.label)
        ends = log.queries.offsets[1:]
        lists = Queries(log.queries.offsets + np.arange(len(log.query) + 1))
        target = self.loss.hard_target(np.insert(best[inverse], ends, 0.0), lists)
        added = ends + np.arange(len(ends))
        of_logged = np.delete(target, added, axis=0)
        return of_logged.astype(np.float32), target[added].astype(np.float32)

    @cached_property
    def _queries_per_labelled(self) -> float:
        is_labelled = self._segment[self.train_queries] >= 0
        return len(self.train_queries) / max(is_labelled.sum(), 1)
