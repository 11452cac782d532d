"""Training batches over a catalogue: each loss of a step sees one block of pairs.

The soft loss compares the batch's queries with the teacher on their lists. The hard loss compares
them with their logged labels, with the items of the batch's other queries as negatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from skdistill.inputs.pairs import Pairs
from skdistill.inputs.rows import Rows, distinct
from skdistill.protocols import Array, Parameters
from skdistill.towers.block_loss import BlockLoss
from skdistill.training.loop import Evaluate
from skdistill.training.objective import GradientBalance


class LossSource(Protocol):
    """Provides one loss per step: ``TeacherLists`` or ``InBatchNegatives``."""

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Prepare for an epoch, without changing the parameters."""

    def block_loss(self, chosen: Array) -> BlockLoss | None:
        """Loss for a step's queries; None if they have nothing to learn from."""


@dataclass
class CatalogueBatches:
    """Visit every query once per epoch.

    Parameters
    ----------
    query_rows : Rows
        All queries.
    item_rows : Rows
        The catalogue, then items of the log that are not in it.
    n_catalogue : int
        Number of items in the catalogue.
    batch_size : int
        Number of queries per step.
    train_queries : ndarray of int64
        Queries to train on.
    sources : tuple of LossSource
        Provide the losses whose sum is minimised.
    n_embeddings : int
        Number of embeddings per query; those of one query are adjacent.
    balance : GradientBalance, optional
        Keeps the gradients of the sources in proportion.
    """

    query_rows: Rows
    item_rows: Rows
    n_catalogue: int
    batch_size: int
    train_queries: Array
    sources: tuple[LossSource, ...]
    n_embeddings: int = 1
    balance: GradientBalance | None = None

    @property
    def n_steps(self) -> int:
        return -(-len(self.train_queries) // self.batch_size)

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        for source in self.sources:
            source.begin_epoch(epoch, params, rng)
        order = rng.permutation(self.train_queries)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            losses = {
                number: loss
                for number, source in enumerate(self.sources)
                if (loss := source.block_loss(chosen)) is not None
            }
            if losses:
                yield self._inputs(chosen, losses), partial(self._evaluate, losses)

    def _inputs(self, chosen: Array, losses: dict[int, BlockLoss]) -> Pairs:
        queries = self.query_rows.take(chosen)
        items = [loss.item for loss in losses.values() if loss.item is not None]
        places: list[Array | None]
        if len(items) < len(losses):
            catalogue = None
            if self.n_catalogue < self.item_rows.n_rows:
                catalogue = np.arange(self.n_catalogue)
            places = [catalogue if loss.item is None else loss.item for loss in losses.values()]
            rows = self.item_rows
        else:
            needed, place = distinct(np.concatenate(items), self.item_rows.n_rows)
            places = list(np.split(place, np.cumsum([len(item) for item in items])[:-1]))
            rows = self.item_rows.take(needed)
        blocks = tuple(
            loss.block(self._embedding(loss, len(chosen)), place)
            for loss, place in zip(losses.values(), places, strict=True)
        )
        return Pairs(queries, rows, blocks)

    def _embedding(self, loss: BlockLoss, n_queries: int) -> Array | None:
        """Indices of the query embeddings that a loss scores; None for all."""
        if self.n_embeddings == 1:
            return loss.query
        query = np.arange(n_queries) if loss.query is None else loss.query
        return query * self.n_embeddings + loss.embedding

    def _evaluate(self, losses: dict[int, BlockLoss], scores: Array) -> tuple[float, Array]:
        """Total loss; the gradients overwrite the scores."""
        ends = np.cumsum([loss.queries.n_rows for loss in losses.values()])
        pieces = np.split(scores, ends[:-1])
        values = [
            loss.value_and_gradient(piece)
            for loss, piece in zip(losses.values(), pieces, strict=True)
        ]
        if self.balance is not None:
            factors = self.balance.factors(list(losses), pieces)
            for piece, factor in zip(pieces, factors, strict=True):
                piece *= scores.dtype.type(factor)
            values = [value * factor for value, factor in zip(values, factors, strict=True)]
        return float(sum(values)), scores
