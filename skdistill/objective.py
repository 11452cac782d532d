"""What a student is trained on: the teacher's scores, true labels, or a mixture of both."""

from __future__ import annotations

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
class HeadsObjective:
    """One objective for each output of a model: a weighted sum.

    Parameters
    ----------
    heads : tuple of Objective
        In the order of the outputs.
    weights : ndarray of shape (n_heads,)
    balanced : bool
        Divide each head's gradient by the length that it has lately had, so that a weight says how
        much a head moves the model, whatever the scale of its loss (after Chen, Badrinarayanan,
        Lee, Rabinovich, "GradNorm", ICML 2018, of the gradients with respect to the outputs).
    """

    heads: tuple[Objective, ...]
    weights: Array
    balanced: bool = False
    _lengths: Array | None = field(init=False, default=None)

    def value_and_gradient(
        self, scores: Array, rows: Array, queries: Queries
    ) -> tuple[float, Array]:
        """As :class:`Objective`, of scores of shape (n_batch, n_heads)."""
        gradient = np.empty_like(scores)
        values = np.empty(len(self.heads))
        for column, head in enumerate(self.heads):
            own = np.ascontiguousarray(scores[:, column])
            values[column], gradient[:, column] = head.value_and_gradient(own, rows, queries)
        weights = self.weights * self._factors(gradient) if self.balanced else self.weights
        gradient *= weights.astype(scores.dtype)
        return float(values @ weights), gradient

    def _factors(self, gradient: Array) -> Array:
        """The mean length over each head's own, of lengths smoothed over some twenty steps."""
        lengths = np.sqrt(np.einsum("ij,ij->j", gradient, gradient, dtype=np.float64))
        if self._lengths is None:
            self._lengths = lengths
        else:
            self._lengths += SMOOTHING * (lengths - self._lengths)
        return self._lengths.mean() / np.maximum(self._lengths, TINY)


def _hard_term(loss: Loss, share: float, labels: Array, queries: Queries, dtype: type) -> Term:
    known = ~np.isnan(labels)
    if known.all():
        return Term(loss, share, np.asarray(loss.hard_target(labels, queries), dtype=dtype))
    labelled = queries.subset(known)
    known_target: Array = np.asarray(loss.hard_target(labels[known], labelled), dtype=dtype)
    target = np.zeros((len(labels), *known_target.shape[1:]), dtype=dtype)
    target[known] = known_target
    return Term(loss, share, target, known, labelled.n_queries / queries.n_queries)
