"""What a student is trained on: the teacher's scores, true labels, or a mixture of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from skdistill.inputs.columns import take_values
from skdistill.inputs.queries import Queries
from skdistill.protocols import Array, Loss

SMOOTHING = 0.05
TINY = 1e-12


@dataclass(frozen=True)
class LossTerm:
    """One loss with its target.

    Parameters
    ----------
    loss : Loss
    weight : float
        Factor of this term in the objective.
    target : ndarray of shape (n_rows, ...)
    has_target : ndarray of shape (n_rows,), bool, or None
        Which rows have a target; None: all of them.
    query_fraction : float
        Fraction of the queries with a target in any row.
    """

    loss: Loss
    weight: float
    target: Array
    has_target: Array | None = None
    query_fraction: float = 1.0

    def value_and_gradient(
        self, scores: Array, rows: Array, queries: Queries, row_weight: Array | None
    ) -> tuple[float, Array]:
        target = self.target[rows]
        has_target = take_values(self.has_target, rows)
        if has_target is None or has_target.all():
            value, gradient = self.loss.value_and_gradient(scores, target, queries, row_weight)
            weight = self.weight / self.query_fraction
            return weight * value, gradient * scores.dtype.type(weight)
        gradient = np.zeros_like(scores)
        if not has_target.any():
            return 0.0, gradient
        labelled = queries.subset(has_target)
        value, gradient[has_target] = self.loss.value_and_gradient(
            scores[has_target], target[has_target], labelled, take_values(row_weight, has_target)
        )
        # The loss is a mean over the batch's labelled queries. In expectation over batches the
        # term has to be the mean over all labelled queries, however many this batch holds.
        weight = self.weight * labelled.n_queries / queries.n_queries / self.query_fraction
        return weight * value, gradient * scores.dtype.type(weight)


@dataclass(frozen=True)
class Objective:
    """``(1 - alpha) * hard(y) + alpha * soft(t)``, each a mean over queries.

    Parameters
    ----------
    terms : tuple of LossTerm
    sample_weight : ndarray of shape (n_rows,) or None
    """

    terms: tuple[LossTerm, ...]
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
            Weight of the soft term; without teacher scores the hard term stands alone.
        labels : ndarray of shape (n_rows,), optional
            NaN where unknown.
        teacher_scores : ndarray of shape (n_rows,), optional
        sample_weight : ndarray of shape (n_rows,), optional
            Scaled to mean 1.
        dtype : type, default=np.float32
            Of the targets.

        Returns
        -------
        Objective
        """
        terms = []
        if teacher_scores is None:
            alpha = 0.0
        elif alpha > 0:
            target = soft.soft_target(teacher_scores.astype(np.float64), queries)
            terms.append(LossTerm(soft, alpha, np.asarray(target, dtype=dtype)))
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
            Positions among the rows that the objective was built from.
        queries : Queries
            Segments of the batch.

        Returns
        -------
        value : float
        gradient : ndarray of shape (n_batch,)
        """
        row_weight = take_values(self.sample_weight, rows)
        value, gradient = self.terms[0].value_and_gradient(scores, rows, queries, row_weight)
        for term in self.terms[1:]:
            more, slope = term.value_and_gradient(scores, rows, queries, row_weight)
            value += more
            gradient = gradient + slope
        return value, gradient


@dataclass
class GradientBalance:
    """Factors that make the gradients of several terms equally long.

    Each term's gradient is divided by its moving average length, so that a weight says how much a
    term moves the model, whatever the scale of its loss (after Chen, Badrinarayanan, Lee,
    Rabinovich, "GradNorm", ICML 2018, of the gradients with respect to the outputs).

    Parameters
    ----------
    weights : ndarray of shape (n_terms,)
    """

    weights: Array
    _lengths: dict[int, float] = field(init=False, default_factory=dict)

    def factors(self, terms: Sequence[int], gradients: Iterable[Array]) -> Array:
        """Weight of each term, times the mean length of all terms, over the term's own length.

        Parameters
        ----------
        terms : sequence of int
            Those that have a gradient in this step.
        gradients : iterable of ndarray

        Returns
        -------
        ndarray of shape (n_terms,)
        """
        for term, gradient in zip(terms, gradients, strict=True):
            length = float(np.linalg.norm(gradient))
            average = self._lengths.get(term, length)
            self._lengths[term] = average + SMOOTHING * (length - average)
        mean = np.mean(list(self._lengths.values()))
        lengths = np.array([self._lengths[term] for term in terms])
        return self.weights[list(terms)] * mean / np.maximum(lengths, TINY)


@dataclass
class HeadsObjective:
    """One objective for each output of a model: a weighted sum.

    Parameters
    ----------
    heads : tuple of Objective
        In the order of the outputs.
    weights : ndarray of shape (n_heads,)
    balance : GradientBalance, optional
        Its factors replace the weights.
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
            head_scores = np.ascontiguousarray(scores[:, column])
            values[column], gradient[:, column] = head.value_and_gradient(
                head_scores, rows, queries
            )
        weights = self.weights
        if self.balance is not None:
            weights = self.balance.factors(range(len(values)), gradient.T)
        gradient *= weights.astype(scores.dtype)
        return float(values @ weights), gradient


def _hard_term(loss: Loss, weight: float, labels: Array, queries: Queries, dtype: type) -> LossTerm:
    is_labelled = ~np.isnan(labels)
    if is_labelled.all():
        return LossTerm(loss, weight, np.asarray(loss.hard_target(labels, queries), dtype=dtype))
    labelled = queries.subset(is_labelled)
    own_target: Array = np.asarray(loss.hard_target(labels[is_labelled], labelled), dtype=dtype)
    target = np.zeros((len(labels), *own_target.shape[1:]), dtype=dtype)
    target[is_labelled] = own_target
    return LossTerm(loss, weight, target, is_labelled, labelled.n_queries / queries.n_queries)
