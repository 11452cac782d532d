"""What a student is trained on: the teacher's scores, true labels, or a mixture of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from skdistill.protocols import Array, Loss
from skdistill.queries import Queries

SMOOTHING = 0.05
TINY = 1e-12


@dataclass(frozen=True)
class Term:
    """One loss with its target.

    Parameters
    ----------
    loss : Loss
    share : float
        Factor of this term in the objective.
    target : ndarray, first axis the rows
    known : ndarray of shape (n_rows,), bool, or None
        Rows that have a target; None: all.
    known_queries : float
        Share of the queries that have any such row.
    """

    loss: Loss
    share: float
    target: Array
    known: Array | None = None
    known_queries: float = 1.0

    def value_and_gradient(
        self, scores: Array, rows: Array, queries: Queries, weight: Array | None
    ) -> tuple[float, Array]:
        target = self.target[rows]
        known = None if self.known is None else self.known[rows]
        if known is None or known.all():
            value, gradient = self.loss.value_and_gradient(scores, target, queries, weight)
            share = self.share / self.known_queries
            return share * value, gradient * scores.dtype.type(share)
        gradient = np.zeros_like(scores)
        if not known.any():
            return 0.0, gradient
        labelled = queries.subset(known)
        value, gradient[known] = self.loss.value_and_gradient(
            scores[known], target[known], labelled, None if weight is None else weight[known]
        )
        # The loss is a mean over the batch's labelled queries; in expectation over batches the
        # term has to be the mean over all labelled ones, however many this batch happens to hold.
        share = self.share * labelled.n_queries / queries.n_queries / self.known_queries
        return share * value, gradient * scores.dtype.type(share)


@dataclass(frozen=True)
class Objective:
    """``(1 - alpha) * hard(y) + alpha * soft(t)``, each a mean over queries.

    Parameters
    ----------
    terms : tuple of Term
    sample_weight : ndarray of shape (n_rows,) or None
    """

    terms: tuple[Term, ...]
    sample_weight: Array | None = None

    @classmethod
    def mix(
        cls,
        queries: Queries,
        *,
        soft: Loss,
        hard: Loss,
        alpha: float,
        labels: Array | None = None,
        teacher_scores: Array | None = None,
        sample_weight: Array | None = None,
        dtype: type = np.float32,
    ) -> Objective:
        """Build from what is known of the rows.

        Parameters
        ----------
        queries : Queries
        soft, hard : Loss
        alpha : float
            Share of the soft term; without teacher scores the hard term stands alone.
        labels : ndarray of shape (n_rows,), optional
            NaN where unknown.
        teacher_scores : ndarray of shape (n_rows,), optional
        sample_weight : ndarray of shape (n_rows,), optional
            Scaled to mean 1.
        dtype : type, default=np.float32
        """
        terms = []
        if teacher_scores is None:
            alpha = 0.0
        elif alpha > 0:
            target = soft.soft_target(teacher_scores.astype(np.float64), queries)
            terms.append(Term(soft, alpha, np.asarray(target, dtype=dtype)))
        if alpha < 1 and labels is not None:
            terms.append(_hard_term(hard, 1 - alpha, labels.astype(np.float64), queries, dtype))
        if sample_weight is not None:
            mean = sample_weight.mean()
            sample_weight = (sample_weight / (mean if mean > 0 else 1)).astype(dtype)
        return cls(tuple(terms), sample_weight)

    def value_and_gradient(
        self, scores: Array, rows: Array, queries: Queries
    ) -> tuple[float, Array]:
        """Value at the scores of some rows, and its gradient.

        Parameters
        ----------
        scores : ndarray of shape (n_batch,)
        rows : ndarray of shape (n_batch,)
            Which of the rows that the objective was built from these are.
        queries : Queries
            Segments of the batch.
        """
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        value, gradient = self.terms[0].value_and_gradient(scores, rows, queries, weight)
        for term in self.terms[1:]:
            more, slope = term.value_and_gradient(scores, rows, queries, weight)
            value += more
            gradient = gradient + slope
        return value, gradient


@dataclass
class GradientBalance:
    """Factors that make the gradients of several terms equally long.

    Each term's gradient is divided by the length that it has lately had, so that a weight says how
    much a term moves the model, whatever the scale of its loss (after Chen, Badrinarayanan, Lee,
    Rabinovich, "GradNorm", ICML 2018, of the gradients with respect to the outputs).

    Parameters
    ----------
    weights : ndarray of shape (n_terms,)
    """

    weights: Array
    _lengths: dict[int, float] = field(init=False, default_factory=dict)

    def factors(self, terms: Sequence[int], gradients: Iterable[Array]) -> Array:
        """Weight times the mean length over the term's own, of lengths smoothed over some steps.

        Parameters
        ----------
        terms : sequence of int
            Those that have a gradient in this step.
        gradients : iterable of ndarray
        """
        for term, gradient in zip(terms, gradients, strict=True):
            length = float(np.linalg.norm(gradient))
            lately = self._lengths.get(term, length)
            self._lengths[term] = lately + SMOOTHING * (length - lately)
        mean = np.mean(list(self._lengths.values()))
        own = np.array([self._lengths[term] for term in terms])
        return self.weights[list(terms)] * mean / np.maximum(own, TINY)


@dataclass
class HeadsObjective:
    """One objective for each output of a model: a weighted sum.

    Parameters
    ----------
    heads : tuple of Objective
        In the order of the outputs.
    weights : ndarray of shape (n_heads,)
    balance : GradientBalance, optional
        Its factors stand for the weights.
    """

    heads: tuple[Objective, ...]
    weights: Array
    balance: GradientBalance | None = None

    def value_and_gradient(
        self, scores: Array, rows: Array, queries: Queries
    ) -> tuple[float, Array]:
        """As :class:`Objective`, of scores of shape (n_batch, n_heads)."""
        gradient = np.empty_like(scores)
        values = np.empty(len(self.heads))
        for column, head in enumerate(self.heads):
            own = np.ascontiguousarray(scores[:, column])
            values[column], gradient[:, column] = head.value_and_gradient(own, rows, queries)
        weights = self.weights
        if self.balance is not None:
            weights = self.balance.factors(range(len(values)), gradient.T)
        gradient *= weights.astype(scores.dtype)
        return float(values @ weights), gradient


def _hard_term(loss: Loss, share: float, labels: Array, queries: Queries, dtype: type) -> Term:
    known = ~np.isnan(labels)
    if known.all():
        return Term(loss, share, np.asarray(loss.hard_target(labels, queries), dtype=dtype))
    labelled = queries.subset(known)
    known_target: Array = np.asarray(loss.hard_target(labels[known], labelled), dtype=dtype)
    target = np.zeros((len(labels), *known_target.shape[1:]), dtype=dtype)
    target[known] = known_target
    return Term(loss, share, target, known, labelled.n_queries / queries.n_queries)
