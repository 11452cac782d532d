"""Losses of pairs of rows of a query.

The number of pairs grows with the square of a list. Pairs are therefore built only for the first k
rows of the target's order, each with every row below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from skdistill.inputs.queries import Queries, positions_within
from skdistill.losses.gains import gain_of_labels
from skdistill.losses.log_loss import log_loss
from skdistill.losses.pointwise import moments_of, spread_of
from skdistill.protocols import Array, Loss

# Labels have no margin: a row that is one grade better is preferred with certainty. With this
# slope, the sigmoid of a difference of one grade is exactly 1 in float32.
CERTAIN = 30.0


class Pairs(NamedTuple):
    """Pairs of rows, the one that the target prefers first; arrays of shape (n_pairs,)."""

    upper: Array
    lower: Array
    weight: Array
    """Weight of a pair in a mean over pairs: 1 / (pairs of its query * queries)."""


def pairs_of_top(target: Array, queries: Queries, k: int) -> Pairs:
    """Pair each of the first k rows of a query with every row that the target ranks below it.

    Pairs with equal targets are left out, because the target prefers neither row.
    """
    ranked = queries.sort_descending(target)
    place = np.flatnonzero(queries.position < k)
    below = queries.offsets[1:][queries.segment[place]] - place - 1
    upper = np.repeat(place, below)
    lower = positions_within(below) + upper + 1
    segment = queries.segment[upper]
    upper, lower = ranked[upper], ranked[lower]
    preferred = target[upper] > target[lower]
    if not preferred.all():
        upper, lower, segment = upper[preferred], lower[preferred], segment[preferred]
    n_pairs = np.bincount(segment, minlength=queries.n_queries)
    weight = 1.0 / (n_pairs[segment] * queries.n_queries)
    return Pairs(upper, lower, weight.astype(target.dtype))


def logits_of(values: Array, queries: Queries, scale: float) -> Array:
    """Scale and shift values so that float32 keeps each difference in a query that is not certain.

    The sigmoid of a difference of ``CERTAIN`` or more is 1 in float32. A gap between neighbours in
    a query's order that is wider is therefore cut to ``CERTAIN``, and the query's highest value
    becomes 0. Neither changes a sigmoid of a difference, however far from 0 or from each other the
    values lie.
    """
    ranked = queries.sort_descending(values)
    ordered = values[ranked]
    gap = np.zeros_like(ordered)
    with np.errstate(over="ignore"):
        np.subtract(ordered[:-1], ordered[1:], out=gap[1:])
        gap *= scale
    gap[queries.starts] = 0
    depth = np.cumsum(np.minimum(gap, CERTAIN))
    logits = np.empty_like(ordered)
    logits[ranked] = queries.spread(depth[queries.starts]) - depth
    return logits


def scatter(pairs: Pairs, slope: Array, n_rows: int) -> Array:
    """Compute the gradient of the scores from that of each pair's difference upper - lower."""
    gradient = np.bincount(pairs.upper, weights=slope, minlength=n_rows)
    gradient -= np.bincount(pairs.lower, weights=slope, minlength=n_rows)
    return gradient.astype(slope.dtype)


def weight_of_pairs(pairs: Pairs, weight: Array | None) -> Array | float:
    """Geometric mean of both row weights; a query of constant weight c keeps c."""
    return 1.0 if weight is None else np.sqrt(weight[pairs.upper] * weight[pairs.lower])


@dataclass(frozen=True)
class Pairwise(Loss):
    r"""RankNet with the teacher's probabilities as targets.

    The loss of a query with teacher scores t and student scores s is the mean over pairs of
    :math:`BCE(\sigma((s_i - s_j)/T), \sigma((t_i - t_j)/T))`, where BCE is the binary
    cross-entropy. For labels, the second probability is 1. A pair's weight is the geometric mean of
    its row weights.

    Parameters
    ----------
    temperature : float, default=1.0
        Divides the differences of scores, T in the formula.
    k : int, default=20
        Pairs are formed from each of the target's first k rows of a query with the rows below it.

    References
    ----------
    Burges et al., "Learning to Rank using Gradient Descent", ICML 2005.
    """

    temperature: float = 1.0
    k: int = 20

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return logits_of(teacher_scores, queries, 1 / self.temperature)

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return logits_of(labels, queries, CERTAIN)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        pairs = pairs_of_top(target, queries, self.k)
        pair_weight = pairs.weight * weight_of_pairs(pairs, weight)
        difference = (scores[pairs.upper] - scores[pairs.lower]) / self.temperature
        preference = expit(target[pairs.upper] - target[pairs.lower])
        loss, slope = log_loss(difference, preference)
        gradient = scatter(pairs, pair_weight * slope / self.temperature, len(scores))
        return float(pair_weight @ loss), gradient


@dataclass(frozen=True)
class Margin(Loss):
    r"""Squared error of the differences between scores.

    The loss of a query with teacher scores t and student scores s is the mean over pairs of
    :math:`((s_i - s_j) - (t_i - t_j))^2`. The targets are first divided by their standard deviation
    over the training set, because a teacher's scale is arbitrary. A pair's weight is the geometric
    mean of its row weights.

    Parameters
    ----------
    k : int, default=20
        Pairs are formed from each of the target's first k rows of a query with the rows below it.

    References
    ----------
    Hofstaetter, Althammer, Schroeder, Sertkan, Hanbury, "Improving Efficient Neural Ranking Models
    with Cross-Architecture Knowledge Distillation", 2020.
    """

    k: int = 20

    def score_unit(self, teacher_scores: Array) -> float:
        # The targets are divided by this.
        return spread_of(teacher_scores)

    def scaled_to(self, teacher_scores: Array) -> Loss:
        return _MarginInUnit(self.k, moments_of(teacher_scores)[1] or 1.0)

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        # Float32 keeps differences best near 0; the levels keep the order of those that it loses.
        unit = self.score_unit(teacher_scores)
        relative = teacher_scores / unit
        relative -= queries.spread(queries.mean(relative))
        return np.column_stack([queries.level(teacher_scores), relative])

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return self.soft_target(labels, queries)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        pairs = pairs_of_top(target[:, 0], queries, self.k)
        pair_weight = pairs.weight * weight_of_pairs(pairs, weight)
        residual = scores - target[:, 1]
        error = residual[pairs.upper] - residual[pairs.lower]
        gradient = scatter(pairs, 2 * pair_weight * error, len(scores))
        return float(pair_weight @ error**2), gradient


@dataclass(frozen=True)
class _MarginInUnit(Margin):
    """Divides by a standard deviation that is known."""

    unit: float = 1.0

    def score_unit(self, teacher_scores: Array) -> float:
        return self.unit


@dataclass(frozen=True)
class Lambda(Loss):
    r"""LambdaRank: :class:`Pairwise`, weighted by the change in NDCG.

    Each pair is weighted by the change in NDCG that swapping its two rows makes in the student's
    current ranking, and the loss of a query is the sum over its pairs. The gains are
    :math:`2^y - 1` for labels. A teacher's scores have no unit, so its gains are
    :math:`1 - rank / k` for its first k rows and 0 below. The gradient treats the weights as
    constants, because they change only when two of the student's scores cross.

    Parameters
    ----------
    temperature : float, default=1.0
        Divides the differences of scores, as in :class:`Pairwise`.
    k : int, default=20
        Pairs are formed from each of the target's first k rows of a query with the rows below it.

    References
    ----------
    Burges, "From RankNet to LambdaRank to LambdaMART: An Overview", 2010.
    Wang, Li, Golbandi, Bendersky, Najork, "The LambdaLoss Framework for Ranking Metric
    Optimization", CIKM 2018.
    """

    temperature: float = 1.0
    k: int = 20

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        gain = queries.mean_over_ties(teacher_scores, np.maximum(1 - queries.position / self.k, 0))
        return np.column_stack([logits_of(teacher_scores, queries, 1 / self.temperature), gain])

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return np.column_stack(
            [logits_of(labels, queries, CERTAIN), gain_of_labels(labels, queries)]
        )

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        logit, gain = target[:, 0], target[:, 1]
        pairs = pairs_of_top(logit, queries, self.k)
        pair_weight = self._change_in_ndcg(scores, logit, gain, queries, pairs)
        pair_weight *= weight_of_pairs(pairs, weight) / queries.n_queries
        difference = (scores[pairs.upper] - scores[pairs.lower]) / self.temperature
        preference = expit(logit[pairs.upper] - logit[pairs.lower])
        loss, slope = log_loss(difference, preference)
        gradient = scatter(pairs, pair_weight * slope / self.temperature, len(scores))
        return float(pair_weight @ loss), gradient

    @staticmethod
    def _change_in_ndcg(
        scores: Array, logit: Array, gain: Array, queries: Queries, pairs: Pairs
    ) -> Array:
        """Change in NDCG of the student's ranking when the two rows of a pair swap places."""
        discount = 1 / np.log2(2 + queries.rank_descending(scores))
        ideal_discount = 1 / np.log2(2 + queries.position)
        ideal = queries.sum(gain[queries.sort_descending(logit)] * ideal_discount)
        ideal = queries.spread(np.where(ideal > 0, ideal, np.inf))[pairs.upper]
        change = np.abs(
            (gain[pairs.upper] - gain[pairs.lower])
            * (discount[pairs.upper] - discount[pairs.lower])
        )
        return (change / ideal).astype(scores.dtype)
