"""Losses of single rows. Each is a mean over the rows of a query, then over queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.log_loss import log_loss
from skdistill.protocols import Array, Loss

# Number of values whose moments are added up at once.
MOMENTS = 1 << 20


def mean_weights(scores: Array, queries: Queries, weight: Array | None) -> Array:
    """Weight of each row in a mean over queries of means over rows, times its row weight."""
    if queries.width:
        factor = np.full(queries.n_rows, 1.0 / queries.n_rows, dtype=scores.dtype)
    else:
        factor = queries.spread(1.0 / (queries.sizes * queries.n_queries)).astype(scores.dtype)
    return factor if weight is None else factor * weight


def standardize(values: Array) -> Array:
    """Bring values to mean 0 and standard deviation 1; constant values become 0."""
    scaled = values / magnitude_of(values)
    centred = scaled - scaled.mean()
    return centred / spread_of(centred)


def spread_of(values: Array) -> float:
    """Standard deviation of values, or 1 if they are all the same."""
    magnitude = magnitude_of(values)
    spread = float((values / magnitude).std()) * magnitude
    return spread if spread > 0 else 1.0


def magnitude_of(values: Array) -> float:
    """Power of two near the largest absolute value, so that no square overflows or underflows."""
    largest = float(np.abs(values).max(initial=0.0))
    return float(np.exp2(np.floor(np.log2(largest)))) if largest > 0 else 1.0


def moments_of(values: Array) -> tuple[float, float]:
    """Mean and standard deviation of values, without a copy of them."""
    blocks = [values[start : start + MOMENTS] for start in range(0, len(values), MOMENTS)]
    magnitude = max(map(magnitude_of, blocks))
    mean = sum(float((block / magnitude).sum(dtype=np.float64)) for block in blocks) / len(values)
    squares = (np.square(block.astype(np.float64) / magnitude - mean).sum() for block in blocks)
    return mean * magnitude, float(np.sqrt(sum(squares) / len(values))) * magnitude


@dataclass(frozen=True)
class Pointwise(Loss):
    r"""Squared error of each row's score.

    The loss of a query with targets t and student scores s is the mean over its rows of
    :math:`(s_i - t_i)^2`. Teacher scores and labels are both standardised over the training set,
    because a teacher's scale is arbitrary and the two can be mixed only on one scale.

    References
    ----------
    Cohen, Foster, Oren, "Universal Approximation Functions for Fast Learning to Rank", SIGIR 2018.
    """

    @property
    def compares_rows(self) -> bool:
        """False, because each row has a target of its own."""
        return False

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return standardize(teacher_scores)

    def scaled_to(self, teacher_scores: Array) -> Loss:
        mean, spread = moments_of(teacher_scores)
        return _PointwiseInUnit(mean, spread or 1.0)

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return standardize(labels)

    def score_unit(self, teacher_scores: Array) -> float:
        # The targets are divided by this.
        return spread_of(teacher_scores)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        residual = scores - target
        weighted = residual * mean_weights(scores, queries, weight)
        return float(weighted @ residual), 2 * weighted


@dataclass(frozen=True)
class _PointwiseInUnit(Pointwise):
    """Standardises by a mean and a standard deviation that are known."""

    mean: float
    spread: float

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return (teacher_scores - self.mean) / self.spread

    def score_unit(self, teacher_scores: Array) -> float:
        return self.spread


@dataclass(frozen=True)
class Logistic(Loss):
    r"""Log-loss against the teacher's probabilities, or against labels between 0 and 1.

    The loss of a query with probabilities p and student scores s is the mean over its rows of
    :math:`-p_i \log \sigma(s_i) - (1 - p_i) \log(1 - \sigma(s_i))`. The student's scores are
    log-odds: their sigmoid is a probability, as well calibrated as the teacher's.

    References
    ----------
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """

    @property
    def is_log_odds(self) -> bool:
        """True, because the sigmoid of a score is a probability."""
        return True

    @property
    def compares_rows(self) -> bool:
        """False, because each row has a target of its own."""
        return False

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return self._probability(
            teacher_scores,
            "the teacher's scores",
            "a classifier as teacher, or calibrate= of DistilledRanker with a loss that ranks",
        )

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return self._probability(labels, "y", "labels 0 and 1, or another loss")

    @staticmethod
    def _probability(values: Array, name: str, remedy: str) -> Array:
        """Check that the values are probabilities, and return them."""
        if values.size and (values.min() < 0 or values.max() > 1):
            raise ValueError(
                f"The logistic loss needs probabilities: {name} must lie in [0, 1], but run from "
                f"{values.min():.6g} to {values.max():.6g}. Use {remedy}."
            )
        return values

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        factor = mean_weights(scores, queries, weight)
        loss, slope = log_loss(scores, target)
        return float(factor @ loss), factor * slope
