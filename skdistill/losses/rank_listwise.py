"""A softmax over lists that follows the ranks of the teacher's scores, whatever their scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.listwise import divergence, gain_distribution
from skdistill.protocols import Array, Loss

# Ranks, in units of the decay, beyond which a place has no part in a distribution. It would be
# worth six millionths of the first place.
PLACES_PER_DECAY = 12


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
        bar = _nth_largest(teacher_scores, n_places, queries)
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


def _nth_largest(values: Array, n: int, queries: Queries) -> Array:
    """Return the n-th largest value of each query, or its smallest if it has fewer rows."""
    if queries.width:
        place = max(queries.width - n, 0)
        return np.partition(values.reshape(-1, queries.width), place, axis=1)[:, place]
    ranked = queries.sort_descending(values)
    return values[ranked[queries.starts + np.minimum(n, queries.sizes) - 1]]
