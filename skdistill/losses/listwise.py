"""Losses that compare distributions over whole lists."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.gains import gain_of_labels
from skdistill.protocols import Array, Loss

# Ranks, in units of the decay, beyond which a place has no part in a distribution. It would be
# worth six millionths of the first place.
PLACES_PER_DECAY = 12
# Up to this fraction of the rows, picking out those with a target is faster than using them all.
FEW = 0.1


def log_softmax(logits: Array, queries: Queries) -> Array:
    """Compute the logarithm of the softmax within each query."""
    shifted = logits - queries.spread(queries.max(logits))
    return shifted - queries.spread(np.log(queries.sum(np.exp(shifted))))


def gain_distribution(labels: Array, queries: Queries) -> Array:
    """Divide each row's gain ``2^y - 1`` by its query's total; 0 if no row is relevant."""
    gains = gain_of_labels(labels, queries)
    relevant = np.flatnonzero(gains > 0)
    segment = queries.segment_of(relevant)
    total = np.bincount(segment, gains[relevant], minlength=queries.n_queries)
    gains[relevant] /= total[segment]
    return gains


def support(target: Array, queries: Queries) -> tuple[Any, Any]:
    """Find the rows with a positive target, and their queries.

    Often only a handful of a thousand rows are relevant, and then the loss is computed on those
    alone. If there are more, the rows are a slice of everything and the queries are None.
    """
    rows = np.flatnonzero(target > 0)
    if len(rows) > FEW * len(target):
        return slice(None), None
    return rows, queries.segment_of(rows)


def nth_largest(values: Array, n: int, queries: Queries) -> Array:
    """Return the n-th largest value of each query, or its smallest if it has fewer rows."""
    if n >= queries.sizes.max():
        return queries.min(values)
    if queries.width:
        place = queries.width - n
        return np.partition(values.reshape(-1, queries.width), place, axis=1)[:, place]
    ranked = queries.sort_descending(values)
    return values[ranked[queries.starts + np.minimum(n, queries.sizes) - 1]]


def divergence(
    scores: Array,
    target: Array,
    queries: Queries,
    weight: Array | None = None,
    temperature: float = 1.0,
) -> tuple[float, Array]:
    """Compute the divergence of ``softmax(scores / temperature)`` from the target distributions.

    Its value and gradient are means over queries, and scaled by the squared temperature. A row
    weight multiplies the row's term.
    """
    # In place and with one exponential, because memory traffic dominates on long lists.
    logits = queries.apply(np.subtract, scores, queries.max(scores))
    if temperature != 1:
        logits *= scores.dtype.type(1 / temperature)
    rows, segment = support(target, queries)
    probability = target[rows]
    mass = probability if weight is None else probability * weight[rows]
    if segment is None:
        total_mass = queries.sum(mass)
    else:
        total_mass = np.bincount(segment, mass, minlength=queries.n_queries)
        total_mass = total_mass.astype(scores.dtype)
    cross_entropy = -(mass @ logits[rows])
    odds = np.exp(logits, out=logits)
    total = queries.sum(odds)
    cross_entropy += total_mass @ np.log(total)
    # The floor avoids log(0); a row without mass adds nothing anyway.
    floor = np.finfo(probability.dtype).tiny
    entropy = -(mass @ np.log(np.maximum(probability, floor)))
    gradient = queries.apply(np.multiply, odds, total_mass / total, out=odds)
    gradient[rows] -= mass
    scale = temperature / queries.n_queries
    gradient *= scores.dtype.type(scale)
    return float(cross_entropy - entropy) * scale * temperature, gradient


@dataclass(frozen=True)
class Listwise(Loss):
    r"""Kullback-Leibler divergence between the teacher's and the student's list.

    The loss of a query with teacher scores t and student scores s is
    :math:`T^2 \sum_i p_i (\log p_i - \log q_i)` with :math:`p = softmax(t / T)` and
    :math:`q = softmax(s / T)`. For labels, :math:`p_i` is the row's gain :math:`2^y - 1` divided by
    the sum over the query; a query without a relevant row adds nothing to the loss. A row weight
    multiplies the row's term, as an inverse propensity does.

    Parameters
    ----------
    temperature : float, default=1.0
        Divides both scores, T in the formula. A higher temperature gives low-ranked rows more
        weight.

    References
    ----------
    Cao, Qin, Liu, Tsai, Li, "Learning to Rank: From Pairwise to Listwise Approach", ICML 2007.
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """

    temperature: float = 1.0

    @property
    def logit_scale(self) -> float:
        """Score per logit: the temperature."""
        return self.temperature

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return np.exp(log_softmax(teacher_scores / self.temperature, queries))

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return gain_distribution(labels, queries)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        return divergence(scores, target, queries, weight, self.temperature)


@dataclass(frozen=True)
class RankListwise(Loss):
    r"""Divergence between a distribution over the teacher's places and the student's list.

    The loss of a query with student scores s is :math:`\sum_i p_i (\log p_i - \log q_i)` with
    :math:`q = softmax(s)` and :math:`p_i \propto e^{-r_i / \lambda}`, where :math:`r_i` is the
    teacher's rank of the row, from 0. Only the order of the teacher's scores counts, so that their
    scale, their distribution and outliers do not matter. Rows with equal scores share the mean of
    their places. Ranks beyond :math:`12 \lambda` have no part in p. For labels, it is
    :class:`Listwise`.

    It suits lists of thousands of rows, where a softmax of the teacher's scores is often so flat,
    or so steep, that it teaches little.

    Parameters
    ----------
    decay : float, default=10.0
        Number of ranks over which p falls by a factor of e, :math:`\lambda` in the formula. About
        half of p is on the first :math:`0.7 \lambda` ranks.

    References
    ----------
    Cao, Qin, Liu, Tsai, Li, "Learning to Rank: From Pairwise to Listwise Approach", ICML 2007.
    Tang, Wang, "Ranking Distillation: Learning Compact Ranking Models With High Performance for
    Recommender System", KDD 2018.
    """

    decay: float = 10.0

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        # Only the first rows are sorted, because a catalogue is long.
        n_places = math.ceil(self.decay * PLACES_PER_DECAY)
        rank = np.arange(int(queries.sizes.max()))
        of_rank = np.where(rank < n_places, np.exp(-rank / self.decay), 0.0)
        bar = nth_largest(teacher_scores, n_places, queries)
        reaches = queries.apply(np.greater_equal, teacher_scores, bar)
        top = queries.subset(reaches)
        worth = top.mean_over_ties(teacher_scores[reaches], of_rank[top.position])
        target = np.zeros_like(teacher_scores)
        target[reaches] = worth / top.spread(top.sum(worth))
        return target

    def sampled_soft_target(
        self, teacher_scores: Array, log_importance: Array, queries: Queries
    ) -> Array:
        # A row of importance w stands for w rows: it takes their places, and has their worth.
        ranked = queries.sort_descending(teacher_scores)
        n_places = np.exp(log_importance[ranked])
        end = np.cumsum(n_places)
        end -= queries.spread(end[queries.starts] - n_places[queries.starts])
        worth = np.exp(-(end - n_places) / self.decay) * -np.expm1(-n_places / self.decay)
        # Rows with equal scores divide their worth by their importance.
        ties = queries.ties(teacher_scores[ranked])
        worth = n_places * ties.spread(ties.sum(worth) / ties.sum(n_places))
        target = np.empty_like(teacher_scores)
        target[ranked] = worth / queries.spread(queries.sum(worth))
        return target

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return gain_distribution(labels, queries)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        return divergence(scores, target, queries, weight)

    @property
    def logit_scale(self) -> float:
        """Score per logit: 1."""
        return 1.0
