"""What early stopping measures on a catalogue: how held-out queries rank its items, or a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.pairs import PairGrid, Pairs
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.models.two_tower import TwoTower
from skdistill.teachers.pair_scores import PairScores, score_grid
from skdistill.towers.in_batch_negatives import LabelledPairs
from skdistill.training.early_stopping import Validate, ndcg_on, teacher_recall_on

# Number of items that are ranked; a larger catalogue is sampled.
VALIDATION_ITEMS = 20_000


def teacher_validator(
    model: TwoTower,
    query_rows: Rows,
    item_rows: Rows,
    n_catalogue: int,
    teacher_scores: PairScores,
    eval_queries: NDArray[np.int64],
    rng: np.random.Generator,
    embedding: int,
) -> Validate:
    """Measure the fraction of the teacher's top 10 in the towers' top 50 on held-out queries."""
    items = _some_items(n_catalogue, rng)
    pairs = _grid(model, query_rows.take(eval_queries), item_rows.take(items), embedding)
    return teacher_recall_on(model, pairs, score_grid(teacher_scores, eval_queries, items))


def label_validator(
    model: TwoTower,
    query_rows: Rows,
    item_rows: Rows,
    n_catalogue: int,
    log: LabelledPairs,
    eval_queries: NDArray[np.int64],
    rng: np.random.Generator,
    embedding: int,
) -> Validate:
    """Measure NDCG@10 over the catalogue by the labels of held-out queries."""
    items = _some_items(n_catalogue, rng)
    pairs = _grid(model, query_rows.take(eval_queries), item_rows.take(items), embedding)
    labels = np.zeros((query_rows.n_rows, item_rows.n_rows))
    labels[np.repeat(log.query, log.queries.sizes), log.item] = log.label
    lists = Queries.even(len(eval_queries), len(items))
    return ndcg_on(model, pairs, lists, labels[eval_queries][:, items].ravel(), None)


def _some_items(n_catalogue: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if n_catalogue <= VALIDATION_ITEMS:
        return np.arange(n_catalogue)
    return np.sort(rng.choice(n_catalogue, VALIDATION_ITEMS, replace=False))


def _grid(model: TwoTower, queries: Rows, items: Rows, embedding: int) -> Pairs:
    """Pair one embedding of each query with every item."""
    n = model.n_objectives
    embeddings = None if n == 1 else np.arange(queries.n_rows) * n + embedding
    return Pairs(queries, items, (PairGrid(embeddings),))
