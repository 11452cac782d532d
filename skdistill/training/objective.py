"""The training objective: a soft loss on a teacher's scores, a hard loss on labels, or both.

Estimators call them ``loss`` and ``hard_loss``; ``alpha`` is the weight of the soft one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from skdistill.inputs.columns import take_values
from skdistill.inputs.queries import Queries
from skdistill.protocols import Array, Loss

# Weight of the newest length in a moving average.
SMOOTHING = 0.05
# Smallest length of a gradient by which another is divided.
TINY = 1e-12


@dataclass(frozen=True)
class LossTerm:
    """One loss with its target.

    Parameters
    ----------
    loss : Loss
        The loss that compares scores with ``target``.
    weight : float
        Factor of this term in the objective.
    target : ndarray of shape (n_rows,) or (n_rows, n_values), float32
        What the loss made of the teacher's scores or the labels.
    has_target : ndarray of shape (n_rows,), bool, or None
        Rows that have a target; None if all have one.
    query_fraction : float
        Fraction of the queries in which any row has a target.
    offset : ndarray of shape (n_rows,) or None
        What is added to the student's scores before the loss sees them.
    """

    loss: Loss
    weight: float
    target: Array
    has_target: Array | None = None
    query_fraction: float = 1.0
    offset: Array | None = None

    def value_and_gradient(
        self, scores: Array, rows: Array, queries: Queries, row_weight: Array | None
    ) -> tuple[float, Array]:
        """Compute the weighted loss of a batch and its gradient.

        Parameters
        ----------
        scores : ndarray of shape (n_batch,)
            The student's scores.
        rows : ndarray of shape (n_batch,), int
            Positions of the batch's rows in ``target``.
        queries : Queries
            Segments of the batch.
        row_weight : ndarray of shape (n_batch,) or None
            Row weights.

        Returns
        -------
        value : float
            Weighted mean over queries. In expectation over batches, the mean runs over all queries
            with a target.
        gradient : ndarray of shape (n_batch,)
            Derivative of the value with respect to the scores.
        """
        if self.offset is not None:
            scores = scores + self.offset[rows]
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
        # The loss is a mean over the labelled queries of the batch. Scaling by their number makes
        # the term, in expectation over batches, the mean over all labelled queries.
        weight = self.weight * labelled.n_queries / queries.n_queries / self.query_fraction
        return weight * value, gradient * scores.dtype.type(weight)


@dataclass(frozen=True)
class Objective:
    """The sum of loss terms: ``(1 - alpha) * hard(y) + alpha * soft(t)``.

    With an offset o per row, the soft loss compares ``s + o`` with ``t + o``. A loss that has a
    temperature divides these sums by it. The hard loss still compares ``s`` with the labels, which
    contain no bid: both are then smallest where s is the logarithm of the probability.

    Parameters
    ----------
    terms : tuple of LossTerm
        One or two terms, each a mean over queries.
    sample_weight : ndarray of shape (n_rows,), float32, or None
        Row weights of mean 1.
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
        offset: Array | None = None,
        dtype: type = np.float32,
    ) -> Objective:
        """Build the objective from a teacher's scores, labels, or both.

        Parameters
        ----------
        queries : Queries
            Segments of the rows.
        soft, hard : Loss
            Losses on the teacher's scores and on labels.
        alpha : float
            Weight of the soft term. Without teacher scores, the hard term has weight 1.
        labels : ndarray of shape (n_rows,), optional
            Relevance, NaN for unlabelled rows.
        teacher_scores : ndarray of shape (n_rows,), optional
            The teacher's score of each row.
        sample_weight : ndarray of shape (n_rows,), optional
            Row weights, which are scaled to mean 1.
        offset : ndarray of shape (n_rows,), optional
            Offset of both scores in the soft loss. The teacher's scores have to be logarithms of
            probabilities, up to a constant per query.
        dtype : type, default=np.float32
            Dtype of the targets and row weights.

        Returns
        -------
        Objective
            Without terms if no term has both a weight and a target.
        """
        terms = []
        if teacher_scores is None:
            alpha = 0.0
        elif alpha > 0:
            taught = teacher_scores.astype(np.float64)
            if offset is not None:
                # Only differences within a query matter. Bids in cents then teach what bids in
                # dollars teach, also by a loss that looks at the level of scores.
                offset = offset - queries.spread(queries.mean(offset))
                taught, offset = taught + offset, offset.astype(dtype)
            target = soft.soft_target(taught, queries)
            terms.append(LossTerm(soft, alpha, np.asarray(target, dtype=dtype), offset=offset))
        if alpha < 1 and labels is not None:
            terms.append(_hard_term(hard, 1 - alpha, labels.astype(np.float64), queries, dtype))
        if sample_weight is not None:
            mean = sample_weight.mean()
            sample_weight = (sample_weight / (mean if mean > 0 else 1)).astype(dtype)
        return cls(tuple(terms), sample_weight)

    def value_and_gradient(
        self, scores: Array, rows: Array, queries: Queries
    ) -> tuple[float, Array]:
        """Compute the objective of a batch and its gradient.

        Parameters
        ----------
        scores : ndarray of shape (n_batch,)
            The student's scores.
        rows : ndarray of shape (n_batch,), int
            Positions of the batch's rows among those that the objective was built from.
        queries : Queries
            Segments of the batch.

        Returns
        -------
        value : float
            Sum of the terms.
        gradient : ndarray of shape (n_batch,)
            Derivative of the value with respect to the scores.
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
    """Factors that bring the gradients of several terms to one length.

    Each term's gradient is divided by a moving average of its length. A weight then determines how
    much the term moves the model, whatever the scale of its loss. Unlike GradNorm, the lengths are
    those of the gradients with respect to the outputs.

    Parameters
    ----------
    weights : ndarray of shape (n_terms,)
        Weight of each term.

    References
    ----------
    Chen, Badrinarayanan, Lee, Rabinovich, "GradNorm: Gradient Normalization for Adaptive Loss
    Balancing in Deep Multitask Networks", ICML 2018.
    """

    weights: Array
    _lengths: dict[int, float] = field(init=False, default_factory=dict)

    def factors(self, terms: Sequence[int], gradients: Iterable[Array]) -> Array:
        """Compute the factor of each term: its weight, times the mean length, over its length.

        Parameters
        ----------
        terms : sequence of int
            Indices of the terms that have a gradient in this step.
        gradients : iterable of ndarray
            Their gradients, in the same order.

        Returns
        -------
        ndarray of shape (n_present,), float64
            A factor for each of ``terms``.
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
    """The weighted sum of one objective per output of a model.

    Parameters
    ----------
    heads : tuple of Objective
        Objectives in the order of the outputs.
    weights : ndarray of shape (n_heads,)
        Weight of each objective.
    balance : GradientBalance, optional
        If given, its factors replace the weights.
    """

    heads: tuple[Objective, ...]
    weights: Array
    balance: GradientBalance | None = None

    def value_and_gradient(
        self, scores: Array, rows: Array, queries: Queries
    ) -> tuple[float, Array]:
        """Compute the objective of a batch and its gradient.

        Parameters
        ----------
        scores : ndarray of shape (n_batch, n_heads)
            The student's outputs.
        rows : ndarray of shape (n_batch,), int
            Positions of the batch's rows among those that the objectives were built from.
        queries : Queries
            Segments of the batch.

        Returns
        -------
        value : float
            Weighted sum of the objectives.
        gradient : ndarray of shape (n_batch, n_heads)
            Derivative of the value with respect to the outputs.
        """
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
    """Build the term of a loss on labels, over the labelled rows only."""
    is_labelled = ~np.isnan(labels)
    if is_labelled.all():
        return LossTerm(loss, weight, np.asarray(loss.hard_target(labels, queries), dtype=dtype))
    labelled = queries.subset(is_labelled)
    of_labelled: Array = np.asarray(loss.hard_target(labels[is_labelled], labelled), dtype=dtype)
    target = np.zeros((len(labels), *of_labelled.shape[1:]), dtype=dtype)
    target[is_labelled] = of_labelled
    return LossTerm(loss, weight, target, is_labelled, labelled.n_queries / queries.n_queries)
