"""Batches of a log's lists in which every embedding of a query scores its pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from skdistill.inputs.pairs import PairList, Pairs
from skdistill.protocols import Array, Parameters
from skdistill.training.loop import Evaluate
from skdistill.training.query_batches import QueryBatches


@dataclass(frozen=True)
class MultiEmbeddingBatches:
    """Score each pair of a log's lists by every embedding of its query.

    Parameters
    ----------
    batches : QueryBatches
        Batches whose inputs are a single ``PairList`` and whose objective is a ``HeadsObjective``.
    n_embeddings : int
        Number of embeddings per query.
    """

    batches: QueryBatches
    n_embeddings: int

    @property
    def n_steps(self) -> int:
        return self.batches.n_steps

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        n = self.n_embeddings
        for inputs, evaluate in self.batches.epoch(epoch, params, rng):
            blocks = tuple(
                block for number in range(n) for block in by_embedding(inputs, number, n).blocks
            )
            yield replace(inputs, blocks=blocks), partial(_evaluate_heads, evaluate, n)


def by_embedding(inputs: Pairs, number: int, n_embeddings: int) -> Pairs:
    """The same pairs, scored by one of the embeddings of each query."""
    (pairs,) = inputs.blocks
    query = np.arange(inputs.query_rows.n_rows) if pairs.query is None else pairs.query
    return replace(inputs, blocks=(PairList(query * n_embeddings + number, pairs.item),))


def _evaluate_heads(evaluate: Evaluate, n_embeddings: int, scores: Array) -> tuple[float, Array]:
    value, gradient = evaluate(scores.reshape(n_embeddings, -1).T)
    return value, np.ascontiguousarray(gradient.T).ravel()
