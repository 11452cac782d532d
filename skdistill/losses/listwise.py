"""Losses of a whole list: the teacher's distribution over it, or its order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.losses.gains import relative_gain
from skdistill.protocols import Array, Loss

# Share of the rows up to which it pays to pick them out.
FEW = 0.1


def log_softmax(logits: Array, queries: Queries) -> Array:
    """Logarithm of the softmax within each query."""
    shifted = logits - queries.spread(queries.max(logits))
    return shifted - queries.spread(np.log(queries.sum(np.exp(shifted))))


def gain_distribution(labels: Array, queries: Queries) -> Array:
    """Each row's share of its query's gain ``2^y - 1``; all zero where nothing is relevant."""
    gains = relative_gain(labels, queries)
    relevant = np.flatnonzero(gains > 0)
    segment = queries.segment_of(relevant)
    total = np.bincount(segment, gains[relevant], minlength=queries.n_queries)
    gains[relevant] /= total[segment]
    return gains


def support(target: Array, queries: Queries) -> tuple[Any, Any]:
    """Rows with a share in the target and their queries; a slice of all where most have one.

    A list out of a batch of labels has a handful of them among a thousand.
    """
    rows = np.flatnonzero(target > 0)
    if len(rows) > FEW * len(target):
        return slice(None), None
    return rows, queries.segment_of(rows)


@dataclass(frozen=True)
class Listwise(Loss):
    r"""Kullback-Leibler divergence of the student's list from the teacher's:
    :math:`T^2 \sum_i p_i (\log p_i - \log q_i)` with :math:`p = softmax(t / T)` and
    :math:`q = softmax(s / T)`.

    From labels, :math:`p_i` is the row's share of the query's gain :math:`2^y - 1`; a query without
    a relevant row teaches nothing. A row's weight multiplies its term, as an inverse propensity
    does.

    Parameters
    ----------
    temperature : float, default=1.0

    References
    ----------
    Cao, Qin, Liu, Tsai, Li, "Learning to Rank: From Pairwise to Listwise Approach", ICML 2007.
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """

    temperature: float = 1.0

    @property
    def logit_scale(self) -> float:
        """Score of one logit: the temperature."""
        return self.temperature

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return np.exp(log_softmax(teacher_scores / self.temperature, queries))

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return gain_distribution(labels, queries)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        # In place and with one exponential: on long lists memory traffic is what it costs.
        logits = queries.apply(np.subtract, scores, queries.max(scores))
        if self.temperature != 1:
            logits *= scores.dtype.type(1 / self.temperature)
        rows, segment = support(target, queries)
        share = target[rows]
        mass = share if weight is None else share * weight[rows]
        if segment is None:
            total_mass = queries.sum(mass)
        else:
            total_mass = np.bincount(segment, mass, minlength=queries.n_queries)
            total_mass = total_mass.astype(scores.dtype)
        cross_entropy = -(mass @ logits[rows])
        odds = np.exp(logits, out=logits)
        total = queries.sum(odds)
        cross_entropy += total_mass @ np.log(total)
        # A row without mass adds nothing, whatever its logarithm.
        entropy = -(mass @ np.log(np.maximum(share, np.finfo(share.dtype).tiny)))
        gradient = queries.apply(np.multiply, odds, total_mass / total, out=odds)
        gradient[rows] -= mass
        scale = self.temperature / queries.n_queries
        gradient *= scores.dtype.type(scale)
        return float(cross_entropy - entropy) * scale * self.temperature, gradient


@dataclass(frozen=True)
class PlackettLuce(Loss):
    r"""Negative log-likelihood of the first K places of the teacher's order :math:`\pi`:
    :math:`-\frac{1}{K} \sum_{k \le K} (s_{\pi(k)} - \log \sum_{i \ge k} \exp s_{\pi(i)})`.

    From labels, only rows with a positive label are places to be explained: the order of
    irrelevant rows is noise.

    Parameters
    ----------
    k : int, default=10

    References
    ----------
    Xia, Liu, Wang, Zhang, Li, "Listwise Approach to Learning to Rank", ICML 2008.
    Kang, Hwang, Kweon, Yu, "DE-RRD: A Knowledge Distillation Framework for Recommender System",
    CIKM 2020.
    """

    k: int = 10

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return np.column_stack([teacher_scores, np.ones_like(teacher_scores)])

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return np.column_stack([labels, (labels > 0).astype(labels.dtype)])

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        ranked = queries.sort_descending(target[:, 0])
        position = queries.position
        places = int(min(self.k, queries.sizes.max()))
        in_top = position < places
        top = ranked[in_top]
        cell = queries.segment[in_top], position[in_top]
        # A matrix of the first places only, never of the longest list: (n_queries, places).
        top_scores = np.full((queries.n_queries, places), -np.inf, dtype=scores.dtype)
        top_scores[cell] = scores[top]
        counts = np.zeros_like(top_scores)
        counts[cell] = target[top, 1]
        terms = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        if weight is not None:
            counts[cell] *= weight[top]
        counts /= terms * queries.n_queries

        log_rest = self._log_sum_beyond(scores, ranked, places, queries)
        log_denominators = np.empty_like(top_scores)
        for place in range(places - 1, -1, -1):
            log_rest = np.logaddexp(log_rest, top_scores[:, place])
            log_denominators[:, place] = log_rest
        filled = top_scores > -np.inf
        differences = np.subtract(
            log_denominators, top_scores, out=np.zeros_like(top_scores), where=filled
        )
        value = float((counts * differences).sum())

        # Row i stands in the denominators of all places up to its own: in logarithms, because each
        # factor may overflow where their product is at most 1.
        share = np.full_like(top_scores, -np.inf)
        with np.errstate(divide="ignore"):
            np.subtract(np.log(counts), log_denominators, out=share, where=filled)
        reach = np.logaddexp.accumulate(share, axis=1)
        last = np.minimum(position, places - 1)
        gradient = np.empty_like(scores)
        gradient[ranked] = np.exp(scores[ranked] + reach[queries.segment, last])
        gradient[top] -= counts[cell]
        return value, gradient

    @staticmethod
    def _log_sum_beyond(scores: Array, ranked: Array, places: int, queries: Queries) -> Array:
        """Log of the sum of exp(score) over the rows after the first places, -inf where none."""
        log_sum = np.full(queries.n_queries, -np.inf, dtype=scores.dtype)
        beyond = queries.position >= places
        if beyond.any():
            rest = queries.subset(beyond)
            values = scores[ranked[beyond]]
            highest = rest.max(values)
            log_sum[queries.sizes > places] = highest + np.log(
                rest.sum(np.exp(values - rest.spread(highest)))
            )
        return log_sum
