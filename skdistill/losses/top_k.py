"""Ranking distillation: the teacher's first K rows as positives, weighted by their rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.log_loss import log_loss
from skdistill.protocols import Array, Loss


@dataclass(frozen=True)
class TopK(Loss):
    r"""Log-loss with the target's first K rows as positives, the rest as negatives.

    Positive r (from 0) counts :math:`e^{-r/\lambda} (1 + \tanh(\mu \max(\hat r - r, 0)))`, where
    :math:`\hat r` is the student's own rank of that row: what the teacher puts first and the
    student misplaces counts most. Positives and negatives of a query weigh 1 each in sum; without
    the negatives a common bias would be the loss's minimum. From labels, only rows with a positive
    label can be positives.

    Parameters
    ----------
    k : int, default=10
    decay : float, default=10.0
        :math:`\lambda`, in ranks.
    misplacement : float, default=0.1
        :math:`\mu`, per rank.

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
        importance = np.exp(-rank / self.decay) * (1 + np.tanh(self.misplacement * misplaced))
        share = self._of_query(positive * importance, queries)
        share += self._of_query(1 - positive, queries)
        # A query with rows of one kind only has nothing to tell apart.
        mixed = (queries.max(positive) > 0) & (queries.min(positive) < 1)
        share *= queries.spread(mixed / queries.n_queries)
        if weight is not None:
            share *= weight
        share = share.astype(scores.dtype)
        loss, slope = log_loss(scores, positive)
        return float(share @ loss), (share * slope).astype(scores.dtype)

    @staticmethod
    def _of_query(values: Array, queries: Queries) -> Array:
        total = queries.spread(queries.sum(values))
        return np.divide(values, total, out=np.zeros_like(values), where=total > 0)
