"""A loss of one's own: the Huber loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skdistill.inputs import Queries
from skdistill.protocols import Array, Loss


@dataclass(frozen=True)
class Huber(Loss):
    r"""Squared error of small residuals, absolute error of large ones.

    With :math:`r_i = s_i - t_i` the mean over the rows of a query of :math:`r_i^2 / 2` if
    :math:`|r_i| \le \delta`, else of :math:`\delta (|r_i| - \delta / 2)`. The teacher's scores are
    divided by their standard deviation: their scale is arbitrary.

    Parameters
    ----------
    delta : float, default=1.0
        Residual beyond which the error grows linearly.

    References
    ----------
    Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 1964.
    """

    delta: float = 1.0

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return (teacher_scores - teacher_scores.mean()) / self.score_unit(teacher_scores)

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return self.soft_target(labels, queries)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        # Every query counts the same, however long its list.
        row_weight = queries.spread(1 / (queries.sizes * queries.n_queries)).astype(scores.dtype)
        if weight is not None:
            row_weight *= weight
        residual = scores - target
        clipped = np.clip(residual, -self.delta, self.delta)
        value = row_weight @ (clipped * (residual - clipped / 2))
        return float(value), row_weight * clipped

    @property
    def compares_rows(self) -> bool:
        return False

    def score_unit(self, teacher_scores: Array) -> float:
        return float(teacher_scores.std()) or 1.0
