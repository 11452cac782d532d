"""Ranking distillation: the teacher's top K rows are positives, weighted by rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.gains import refuse_negative
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
    with a positive label can be positives. Rows with equal targets share their places: each is a
    positive in part, with the mean weight and the mean rank of these places.

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
        place = queries.position.astype(np.float64)
        in_top = (place < self.k).astype(np.float64)
        of_place = place, in_top, in_top * np.exp(-place / self.decay)
        return np.column_stack(
            [queries.mean_over_ties(teacher_scores, worth) for worth in of_place]
        )

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        refuse_negative(labels)
        target = self.soft_target(labels, queries)
        target[:, 1:] *= (labels > 0)[:, None]
        return target

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        rank, positive, discount = target.T
        misplaced = np.maximum(queries.rank_descending(scores) - rank, 0)
        upward = self._normalize(discount * (1 + np.tanh(self.misplacement * misplaced)), queries)
        downward = self._normalize(1 - positive, queries)
        # A query whose rows are all alike has no order to learn.
        mixed = (queries.max(positive) > queries.min(positive)) / queries.n_queries
        row_weight = queries.spread(mixed) if weight is None else queries.spread(mixed) * weight
        total = (row_weight * (upward + downward)).astype(scores.dtype)
        label = np.divide(upward, upward + downward, out=np.zeros_like(upward), where=total > 0)
        loss, slope = log_loss(scores, label.astype(scores.dtype))
        return float(total @ loss), (total * slope).astype(scores.dtype)

    @staticmethod
    def _normalize(values: Array, queries: Queries) -> Array:
        """Divide values by their query's sum; 0 if the sum is 0."""
        total = queries.spread(queries.sum(values))
        return np.divide(values, total, out=np.zeros_like(values), where=total > 0)
