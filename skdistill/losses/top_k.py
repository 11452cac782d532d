"""Ranking distillation: the teacher's top K rows are positives, weighted by rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.log_loss import log_loss
from skdistill.protocols import Array, Loss


@dataclass(frozen=True)
class TopK(Loss):
    r"""Log-loss with the target's top K rows as positives and the other rows as negatives.

    The positive at rank r (from 0) has the weight
    :math:`e^{-r/\lambda} (1 + \tanh(\mu \max(\hat r - r, 0)))`, where :math:`\hat r` is the
    student's rank of that row. Rows that the teacher ranks first and the student misplaces
    therefore weigh most. The weights of a query's positives sum to 1, and so do those of its
    negatives. Without negatives, a large bias alone would minimise the loss. For labels, only rows
    with a positive label can be positives.

    Parameters
    ----------
    k : int, default=10
        Number of positives K per query.
    decay : float, default=10.0
        Number of ranks over which a weight falls by a factor of e, :math:`\lambda` in the formula.
    misplacement : float, default=0.1
        How fast the weight grows per rank of misplacement, :math:`\mu` in the formula.

    References
    ----------
    Tang, Wang, "Ranking Distillation: Learning Compact Ranking Models With High Performance for
    Recommender System", KDD 2018.
    """

    k: int = 10
    decay: float = 10.0
    misplacement: float = 0.1

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        rank = queries.rank_descending(teacher_scores)
        return np.column_stack([rank, rank < self.k]).astype(np.float64)

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        rank = queries.rank_descending(labels)
        return np.column_stack([rank, (rank < self.k) & (labels > 0)]).astype(np.float64)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        rank, positive = target[:, 0], target[:, 1]
        misplaced = np.maximum(queries.rank_descending(scores) - rank, 0)
        rank_weight = np.exp(-rank / self.decay) * (1 + np.tanh(self.misplacement * misplaced))
        row_weight = self._normalize(positive * rank_weight, queries)
        row_weight += self._normalize(1 - positive, queries)
        # A query of positives only, or of negatives only, has no order to learn.
        mixed = (queries.max(positive) > 0) & (queries.min(positive) < 1)
        row_weight *= queries.spread(mixed / queries.n_queries)
        if weight is not None:
            row_weight *= weight
        row_weight = row_weight.astype(scores.dtype)
        loss, slope = log_loss(scores, positive)
        return float(row_weight @ loss), (row_weight * slope).astype(scores.dtype)

    @staticmethod
    def _normalize(values: Array, queries: Queries) -> Array:
        """Divide values by their query's sum; 0 if the sum is 0."""
        total = queries.spread(queries.sum(values))
        return np.divide(values, total, out=np.zeros_like(values), where=total > 0)
