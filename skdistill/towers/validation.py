"""What early stopping measures on a catalogue: how held-out queries rank its items, or a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.pairs import PairGrid, Pairs
from skdistill.inputs.queries import Queries
from skdistill.teachers.pair_scores import PairScores
from skdistill.towers.in_batch_negatives import LabelledPairs
from skdistill.towers.setup import TowerSetup
from skdistill.training.early_stopping import Validate, ndcg_on, teacher_recall_on

# Number of items that are ranked; a larger catalogue is sampled.
VALIDATION_ITEMS = 20_000


def choose_items(n_catalogue: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose the items that held-out queries rank."""
    if n_catalogue <= VALIDATION_ITEMS:
        return np.arange(n_catalogue)
    return np.sort(rng.choice(n_catalogue, VALIDATION_ITEMS, replace=False))


def teacher_validator(
    setup: TowerSetup,
    teacher_scores: PairScores,
    queries: NDArray[np.int64],
    items: NDArray[np.int64],
    embedding: int,
    weight: NDArray[np.float32] | None,
    left_out: Any,
) -> Validate:
    """Measure the fraction of the teacher's top 10 in the towers' top 50 on held-out queries.

    ``left_out``, a CSR matrix of shape (n_queries, n_items) or None, holds pairs that neither list
    may contain.
    """
    pairs = _grid(setup, queries, items, embedding)
    scores = teacher_scores.grid(queries, items)
    hidden = None if left_out is None else left_out.nonzero()
    return teacher_recall_on(setup.model, pairs, scores, weight=weight, hidden=hidden)


def label_validator(
    setup: TowerSetup,
    log: LabelledPairs,
    queries: NDArray[np.int64],
    items: NDArray[np.int64],
    embedding: int,
    weight: NDArray[np.float32] | None,
) -> Validate:
    """Measure NDCG@10 over the catalogue by the labels of held-out queries."""
    row = np.full(setup.query_rows.n_rows, -1)
    row[queries] = np.arange(len(queries))
    column = np.full(setup.item_rows.n_rows, -1)
    column[items] = np.arange(len(items))
    row, column = row[np.repeat(log.query, log.queries.sizes)], column[log.item]
    in_grid = (row >= 0) & (column >= 0)
    labels = np.zeros((len(queries), len(items)))
    # Of a pair that was logged twice, the higher label counts, whatever the order of the log.
    np.maximum.at(labels, (row[in_grid], column[in_grid]), log.label[in_grid])
    pairs = _grid(setup, queries, items, embedding)
    lists = Queries.even(len(queries), len(items))
    row_weight = None if weight is None else lists.spread(weight)
    return ndcg_on(setup.model, pairs, lists, labels.ravel(), None, row_weight)


def _grid(
    setup: TowerSetup, queries: NDArray[np.int64], items: NDArray[np.int64], embedding: int
) -> Pairs:
    """Pair one embedding of each query with every item."""
    n = setup.model.n_objectives
    embeddings = None if n == 1 else np.arange(len(queries)) * n + embedding
    rows = setup.query_rows.take(queries), setup.item_rows.take(items)
    return Pairs(*rows, (PairGrid(embeddings),))
