"""What early stopping goes by: a metric on held-out queries, as a function of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skdistill.metrics.ndcg import ndcg_by_query
from skdistill.metrics.ordering import Ranking
from skdistill.metrics.retrieval import share_of_top
from skdistill.protocols import Array, Model, Parameters
from skdistill.queries import Queries

Validate = Callable[[Parameters], float]


def ndcg_on(
    model: Any,
    inputs: Any,
    queries: Queries,
    labels: Array | None,
    teacher_scores: Array | None,
) -> Validate:
    """NDCG@10 of held-out rows: against labels, or where there are none the teacher.

    Raises
    ------
    ValueError
        When there are labels, and none on the held-out rows.
    """
    kept = None
    if labels is not None:
        relevance = labels
        if np.isnan(relevance).any():
            kept = ~np.isnan(relevance)
            if not kept.any():
                raise ValueError(
                    "early_stopping drew held-out queries without a single label; raise "
                    "validation_fraction."
                )
            queries, relevance = queries.subset(kept), relevance[kept]
    else:
        assert teacher_scores is not None
        # The teacher's order as relevance: its scores have no unit, and may be negative.
        rank = queries.rank_descending(teacher_scores)
        relevance = np.maximum(1 - rank / 10, 0.0)

    def validate(params: Parameters) -> float:
        scores = model.forward(params, inputs)[0].astype(np.float64)
        ranking = Ranking(queries, relevance, scores if kept is None else scores[kept], None)
        values, defined = ndcg_by_query(ranking, 10, "exponential", "average")
        return ranking.mean(values, defined, "skip", "a relevant row")

    return validate


def teacher_recall_on(
    model: Model, inputs: Any, teacher_scores: Array, k: int = 10, m: int = 50
) -> Validate:
    """Share of the teacher's top k among the student's top m of held-out queries.

    Parameters
    ----------
    model : Model
    inputs : Pairs
        Held-out queries, each with all columns of ``teacher_scores``.
    teacher_scores : ndarray of shape (n_queries, n_items)
    """

    def validate(params: Parameters) -> float:
        scores = model.forward(params, inputs)[0].reshape(teacher_scores.shape)
        return float(share_of_top(teacher_scores, scores, k, m).mean())

    return validate
