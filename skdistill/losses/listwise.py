"""Losses that compare whole lists: the distribution of scores over a list, or its order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.gains import gain_of_labels, refuse_negative
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
        refuse_negative(labels)
        return np.column_stack([queries.level(labels), (labels > 0).astype(labels.dtype)])

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        places = int(min(self.k, queries.width or queries.sizes.max()))
        level, counts = target[:, 0], target[:, 1] > 0
        if not counts.any():
            return 0.0, np.zeros_like(scores)
        ranked, top = first_places(level, counts, places, queries)
        owner = queries.segment_of(ranked[top.starts])
        in_places = top.position < places
        cell = top.segment[in_places], top.position[in_places]
        ties = Ties(top.ties(level[ranked]))
        ordered = scores[ranked]
        mass = ties.log_mean_exp(ordered)
        # Matrices of the first places only, (n_top_queries, places).
        n_terms = np.minimum(top.sizes, places) * queries.n_queries
        share = ties.mean(in_places / n_terms[top.segment]).astype(scores.dtype)
        weights = np.zeros((top.n_queries, places), dtype=scores.dtype)
        weights[cell] = (1 / n_terms)[cell[0]]
        if weight is not None:
            row_weight = weight[ranked].astype(scores.dtype)
            share *= row_weight
            weights[cell] *= ties.mean(row_weight)[in_places]
        top_mass = np.full_like(weights, -np.inf)
        top_mass[cell] = mass[in_places]

        others = scores.copy()
        others[ranked] = np.where(in_places, -np.inf, mass)
        peak, odds, log_rest = _log_sum_exp(others, queries)
        log_denominators = _log_sums_from(top_mass, log_rest[owner])
        filled = top_mass > -np.inf
        differences = np.subtract(
            log_denominators, top_mass, out=np.zeros_like(top_mass), where=filled
        )
        value = float((weights * differences).sum()) + float(share @ (mass - ordered))

        # A row is in the denominators of all places up to its place. The sum over them is taken in
        # logarithms: single factors may overflow, though their product is at most 1.
        log_terms = np.full_like(top_mass, -np.inf)
        with np.errstate(divide="ignore"):
            np.subtract(np.log(weights), log_denominators, out=log_terms, where=filled)
        reach = np.logaddexp.accumulate(log_terms, axis=1)
        slope = np.zeros_like(peak)
        has_others = log_rest[owner] > -np.inf
        slope[owner] = np.exp(peak[owner] + reach[:, -1], where=has_others, out=slope[owner])
        gradient = queries.apply(np.multiply, odds, slope, out=odds)
        last = np.minimum(top.position, places - 1)
        of_top = ties.divide(np.exp(mass + reach[top.segment, last]), ordered - mass)
        gradient[ranked] = of_top - share
        return value, gradient


def first_places(
    level: Array, counts: Array, places: int, queries: Queries
) -> tuple[Array, Queries]:
    """Put the rows at the first places of each query in order, with those that tie with the last.

    Parameters
    ----------
    level : ndarray of shape (n_rows,)
        What :meth:`Queries.level` returned for whole queries, of which these rows may be a part.
    counts : ndarray of shape (n_rows,), bool
        Rows to return at all, of which there are some. None of the others is above them.
    places : int
        Number of places.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    rows : ndarray, int64
        Row numbers, query by query, by descending level.
    top : Queries
        Segments of ``rows``; a query without any is left out.
    """
    # Levels fall by one from value to value, so that the first places of a whole query are found
    # without sorting it. If rows are missing, there may be too few of such levels.
    is_top = (level > -places) & counts
    is_short = queries.sum(is_top.astype(np.int64)) < places
    if is_short.any():
        is_top |= queries.spread(is_short) & counts
    rows, top = np.flatnonzero(is_top), queries.subset(is_top)
    ranked = rows[np.lexsort((-level[rows], top.segment))]
    ordered = level[ranked]
    last = ordered[top.starts + np.minimum(places, top.sizes) - 1]
    is_top = ordered >= top.spread(last)
    return (ranked, top) if is_top.all() else (ranked[is_top], top.subset(is_top))


def _log_sum_exp(values: Array, queries: Queries) -> tuple[Array, Array, Array]:
    """Return each query's largest value, exp of the rows relative to it, and log of the sum.

    In a query whose values are all -inf, these are 0, 0 and -inf.
    """
    peak = queries.max(values)
    peak[peak == -np.inf] = 0
    odds = queries.apply(np.subtract, values, peak)
    np.exp(odds, out=odds)
    with np.errstate(divide="ignore"):
        return peak, odds, peak + np.log(queries.sum(odds))


def _log_sums_from(top_mass: Array, log_rest: Array) -> Array:
    """Logarithm of the sum of exp over each place, all later ones and the rest."""
    backwards = np.empty((len(top_mass), top_mass.shape[1] + 1), dtype=top_mass.dtype)
    backwards[:, 0], backwards[:, 1:] = log_rest, top_mass[:, ::-1]
    return np.logaddexp.accumulate(backwards, axis=1)[:, :0:-1]


@dataclass(frozen=True)
class Ties:
    """Blocks of rows with equal targets.

    Parameters
    ----------
    blocks : Queries
        Segments of the rows in the target's order.
    """

    blocks: Queries

    def mean(self, values: Array) -> Array:
        """Replace the values of each block by their mean."""
        if not self.blocks.has_lists:
            return values
        return self.blocks.spread(self.blocks.mean(values))

    def log_mean_exp(self, values: Array) -> Array:
        """Replace the values of each block by the logarithm of their mean exponential."""
        if not self.blocks.has_lists:
            return values
        highest = self.blocks.max(values)
        mean = self.blocks.mean(np.exp(values - self.blocks.spread(highest)))
        return self.blocks.spread(highest + np.log(mean))

    def divide(self, values: Array, log_shares: Array) -> Array:
        """Divide the sum over each block among its rows; the exponentials have mean 1."""
        return self.mean(values) * np.exp(log_shares) if self.blocks.has_lists else values
