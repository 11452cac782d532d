"""Losses of pairs of rows of a query. Pairs grow with the square of a list, so they are built only
for the first k of the target's order, each against every row below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from skdistill.inputs.queries import Queries, positions_within
from skdistill.losses.gains import relative_gain
from skdistill.losses.log_loss import log_loss
from skdistill.losses.pointwise import spread_of
from skdistill.protocols import Array, Loss

# Labels have no margin: one grade more is preferred for certain. At this slope the sigmoid of one
# grade's difference is 1 to the last bit of float32.
CERTAIN = 30.0


class Pairs(NamedTuple):
    """Pairs of rows, the one that the target prefers first; arrays of shape (n_pairs,)."""

    upper: Array
    lower: Array
    share: Array
    """1 / (pairs of the query * queries): what a pair counts for in a mean over pairs."""


def pairs_of_top(target: Array, queries: Queries, k: int) -> Pairs:
    """Each row among the first k of its query, with every row that the target puts below it.

    Pairs that the target ties are left out: it has no preference to teach.
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
    share = 1.0 / (n_pairs[segment] * queries.n_queries)
    return Pairs(upper, lower, share.astype(target.dtype))


def scatter(pairs: Pairs, slope: Array, n_rows: int) -> Array:
    """Gradient of the scores, given that of each pair's difference ``upper - lower``."""
    gradient = np.bincount(pairs.upper, weights=slope, minlength=n_rows)
    gradient -= np.bincount(pairs.lower, weights=slope, minlength=n_rows)
    return gradient.astype(slope.dtype)


def weight_of_pairs(pairs: Pairs, weight: Array | None) -> Array | float:
    """Geometric mean of the rows' weights: c for a query of constant weight c, 0 with either."""
    return 1.0 if weight is None else np.sqrt(weight[pairs.upper] * weight[pairs.lower])


@dataclass(frozen=True)
class Pairwise(Loss):
    r"""RankNet with the teacher's own certainty: mean over pairs of
    :math:`BCE(\sigma((s_i - s_j)/T), \sigma((t_i - t_j)/T))`. From labels the preference is 1.

    Parameters
    ----------
    temperature : float, default=1.0
    k : int, default=20
        Pairs are formed from the target's first k rows of each query.

    References
    ----------
    Burges et al., "Learning to Rank using Gradient Descent", ICML 2005.
    """

    temperature: float = 1.0
    k: int = 20

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return teacher_scores / self.temperature

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return labels * CERTAIN

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        pairs = pairs_of_top(target, queries, self.k)
        share = pairs.share * weight_of_pairs(pairs, weight)
        difference = (scores[pairs.upper] - scores[pairs.lower]) / self.temperature
        preference = expit(target[pairs.upper] - target[pairs.lower])
        loss, slope = log_loss(difference, preference)
        gradient = scatter(pairs, share * slope / self.temperature, len(scores))
        return float(share @ loss), gradient


@dataclass(frozen=True)
class Margin(Loss):
    r"""Squared error of margins: mean over pairs of :math:`((s_i - s_j) - (t_i - t_j))^2`.

    The teacher's scores are divided by their standard deviation over the training set: its scale is
    arbitrary, a learning rate's is not.

    Parameters
    ----------
    k : int, default=20

    References
    ----------
    Hofstaetter, Althammer, Schroeder, Sertkan, Hanbury, "Improving Efficient Neural Ranking Models
    with Cross-Architecture Knowledge Distillation", 2020.
    """

    k: int = 20

    def score_unit(self, teacher_scores: Array) -> float:
        """Standard deviation of the teacher's scores."""
        return spread_of(teacher_scores)

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return teacher_scores / self.score_unit(teacher_scores)

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return self.soft_target(labels, queries)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        pairs = pairs_of_top(target, queries, self.k)
        share = pairs.share * weight_of_pairs(pairs, weight)
        error = (scores - target)[pairs.upper] - (scores - target)[pairs.lower]
        return float(share @ error**2), scatter(pairs, 2 * share * error, len(scores))


@dataclass(frozen=True)
class Lambda(Loss):
    r"""``Pairwise``, each pair weighted by the change in NDCG that swapping its rows would make in
    the student's present ranking, and summed.

    The gains are :math:`2^y - 1` from labels; from a teacher, whose scores have no unit,
    :math:`1 - rank / k` for its first k and 0 below. The weights count as constants in the gradient
    (they change only where two of the student's scores cross).

    Parameters
    ----------
    temperature : float, default=1.0
    k : int, default=20

    References
    ----------
    Burges, "From RankNet to LambdaRank to LambdaMART: An Overview", 2010.
    Wang, Li, Golbandi, Bendersky, Najork, "The LambdaLoss Framework for Ranking Metric
    Optimization", CIKM 2018.
    """

    temperature: float = 1.0
    k: int = 20

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        rank = queries.rank_descending(teacher_scores)
        gain = np.maximum(1 - rank / self.k, 0)
        return np.column_stack([teacher_scores / self.temperature, gain])

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return np.column_stack([labels * CERTAIN, relative_gain(labels, queries)])

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        logit, gain = target[:, 0], target[:, 1]
        pairs = pairs_of_top(logit, queries, self.k)
        share = self._change_in_ndcg(scores, logit, gain, queries, pairs)
        share *= weight_of_pairs(pairs, weight) / queries.n_queries
        difference = (scores[pairs.upper] - scores[pairs.lower]) / self.temperature
        preference = expit(logit[pairs.upper] - logit[pairs.lower])
        loss, slope = log_loss(difference, preference)
        gradient = scatter(pairs, share * slope / self.temperature, len(scores))
        return float(share @ loss), gradient

    @staticmethod
    def _change_in_ndcg(
        scores: Array, logit: Array, gain: Array, queries: Queries, pairs: Pairs
    ) -> Array:
        discount = 1 / np.log2(2 + queries.rank_descending(scores))
        ideal_discount = 1 / np.log2(2 + queries.position)
        ideal = queries.sum(gain[queries.sort_descending(logit)] * ideal_discount)
        ideal = queries.spread(np.where(ideal > 0, ideal, np.inf))[pairs.upper]
        change = np.abs(
            (gain[pairs.upper] - gain[pairs.lower])
            * (discount[pairs.upper] - discount[pairs.lower])
        )
        return (change / ideal).astype(scores.dtype)
