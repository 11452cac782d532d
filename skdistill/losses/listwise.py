"""Losses that compare whole lists: the distribution of scores over a list, or its order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.gains import gain_of_labels
from skdistill.protocols import Array, Loss

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
class PlackettLuce(Loss):
    r"""Negative log-likelihood of the first K places of the teacher's order.

    The loss of a query with the order :math:`\pi` and student scores s is
    :math:`-\frac{1}{K} \sum_{k \le K} (s_{\pi(k)} - \log \sum_{i \ge k} \exp s_{\pi(i)})`. For
    labels, the sum runs over places of rows with a positive label only, because the order of
    irrelevant rows is noise.

    All orders of rows with equal targets are equally good. By Efron's approximation, such a row
    counts at each of their places as :math:`\log` of the mean of their :math:`\exp s_i`, and their
    terms are averaged. The gradient then treats them alike.

    Parameters
    ----------
    k : int, default=10
        Number of places K. A query with fewer rows has as many places as rows.

    References
    ----------
    Xia, Liu, Wang, Zhang, Li, "Listwise Approach to Learning to Rank", ICML 2008.
    Kang, Hwang, Kweon, Yu, "DE-RRD: A Knowledge Distillation Framework for Recommender System",
    CIKM 2020.
    Efron, "The Efficiency of Cox's Likelihood Function for Censored Data", JASA 1977.
    """

    k: int = 10

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return np.column_stack([queries.level(teacher_scores), np.ones_like(teacher_scores)])

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return np.column_stack([queries.level(labels), (labels > 0).astype(labels.dtype)])

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        ranked = queries.sort_descending(target[:, 0])
        position = queries.position
        places = int(min(self.k, queries.sizes.max()))
        in_top = position < places
        cell = queries.segment[in_top], position[in_top]
        ties = TiesForPlaces.find(target[ranked], np.flatnonzero(in_top), queries)
        ordered = scores[ranked]
        mass = ties.log_mean_exp(ordered)
        # Matrices of the first places only, (n_queries, places), to bound the memory.
        counts = np.zeros((queries.n_queries, places), dtype=scores.dtype)
        counts[cell] = target[ranked[in_top], 1]
        counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1) * queries.n_queries
        share = np.zeros_like(ordered)
        share[in_top] = counts[cell]
        share = ties.mean(share)
        if weight is not None:
            row_weight = weight[ranked].astype(scores.dtype)
            share *= row_weight
            counts[cell] *= ties.mean(row_weight)[in_top]
        top_mass = np.full_like(counts, -np.inf)
        top_mass[cell] = mass[in_top]

        log_rest = self._log_sum_beyond(mass, places, queries)
        log_denominators = np.empty_like(top_mass)
        for place in range(places - 1, -1, -1):
            log_rest = np.logaddexp(log_rest, top_mass[:, place])
            log_denominators[:, place] = log_rest
        filled = top_mass > -np.inf
        differences = np.subtract(
            log_denominators, top_mass, out=np.zeros_like(top_mass), where=filled
        )
        value = float((counts * differences).sum()) + float(share @ (mass - ordered))

        # A row is in the denominators of all places up to its place. The sum over them is taken in
        # logarithms: single factors may overflow, though their product is at most 1.
        log_terms = np.full_like(top_mass, -np.inf)
        with np.errstate(divide="ignore"):
            np.subtract(np.log(counts), log_denominators, out=log_terms, where=filled)
        reach = np.logaddexp.accumulate(log_terms, axis=1)
        last = np.minimum(position, places - 1)
        slope = ties.divide(np.exp(mass + reach[queries.segment, last]), ordered - mass)
        gradient = np.empty_like(scores)
        gradient[ranked] = slope - share
        return value, gradient

    @staticmethod
    def _log_sum_beyond(mass: Array, places: int, queries: Queries) -> Array:
        """Log of the sum of exp(mass) over the rows after the first places, or -inf if none."""
        log_sum = np.full(queries.n_queries, -np.inf, dtype=mass.dtype)
        beyond = queries.position >= places
        if beyond.any():
            rest = queries.subset(beyond)
            values = mass[beyond]
            highest = rest.max(values)
            log_sum[queries.sizes > places] = highest + np.log(
                rest.sum(np.exp(values - rest.spread(highest)))
            )
        return log_sum


@dataclass(frozen=True)
class TiesForPlaces:
    """Blocks of rows that tie for some of the first places; arrays are in the target's order.

    Parameters
    ----------
    rows : ndarray of shape (n_tied,), int64
        The tied rows, block by block.
    blocks : Queries or None
        Segments of these rows; None if no rows tie.
    """

    rows: Array
    blocks: Queries | None

    @classmethod
    def find(cls, ordered: Array, top: Array, queries: Queries) -> TiesForPlaces:
        """Find the blocks that reach into the first places and count there.

        ``ordered`` is the target in its descending order, ``top`` are the rows at these places.
        """
        level, counts = ordered.T
        following = np.minimum(top + 1, len(level) - 1)
        is_tied = (level[top] == level[following]) & (queries.position[following] > 0)
        is_tied &= (counts[top] > 0) & (following > top)
        if not is_tied.any():
            return cls(np.empty(0, dtype=np.int64), None)
        ties = queries.ties(level)
        tied = np.unique(ties.segment_of(top[is_tied]))
        return cls(*ties.take(tied))

    def mean(self, values: Array) -> Array:
        """Replace the values of each block by their mean."""
        if self.blocks is None:
            return values
        averaged = values.copy()
        averaged[self.rows] = self.blocks.spread(self.blocks.mean(values[self.rows]))
        return averaged

    def log_mean_exp(self, values: Array) -> Array:
        """Replace the values of each block by the logarithm of their mean exponential."""
        if self.blocks is None:
            return values
        averaged = values.copy()
        tied = values[self.rows]
        highest = self.blocks.max(tied)
        mean = self.blocks.mean(np.exp(tied - self.blocks.spread(highest)))
        averaged[self.rows] = self.blocks.spread(highest + np.log(mean))
        return averaged

    def divide(self, values: Array, log_shares: Array) -> Array:
        """Divide the sum over each block among its rows; the exponentials have mean 1."""
        if self.blocks is None:
            return values
        divided = values.copy()
        divided[self.rows] = self.blocks.spread(self.blocks.mean(values[self.rows])) * np.exp(
            log_shares[self.rows]
        )
        return divided
