"""The contract of a loss."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from skdistill.inputs.queries import Queries
from skdistill.protocols.types import Array


@runtime_checkable
class Loss(Protocol):
    """A function of scores that training minimises. A loss never sees a model.

    Before training, a loss turns what it has to fit into a target: ``soft_target`` converts a
    teacher's scores, ``hard_target`` converts labels. During training,
    ``value_and_gradient`` compares the student's scores with that target.

    Write a loss as a frozen dataclass. If it has a field ``temperature``, the students' parameter
    of that name sets it.
    """

    @abstractmethod
    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        """Convert a teacher's scores into the target of this loss.

        Parameters
        ----------
        teacher_scores : ndarray of shape (n_rows,), float64
            Finite scores of the training rows, sorted by query. They contain the offsets, if there
            are any.
        queries : Queries
            Segments of the rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_values)
            What ``value_and_gradient`` gets as ``target``, row by row.
        """

    @abstractmethod
    def hard_target(self, labels: Array, queries: Queries) -> Array:
        """Convert labels into the target of this loss.

        Parameters
        ----------
        labels : ndarray of shape (n_rows,), float64
            Relevance of the labelled training rows, without NaN, sorted by query.
        queries : Queries
            Segments of the rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_values)
            What ``value_and_gradient`` gets as ``target``, row by row.
        """

    @abstractmethod
    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        """Compute the mean loss over queries and its gradient with respect to the scores.

        Parameters
        ----------
        scores : ndarray of shape (n_rows,), float32 or float64
            The student's scores of a batch of whole queries, with the offsets if there are any.
        target : ndarray of shape (n_rows,) or (n_rows, n_values)
            Rows of what ``soft_target`` or ``hard_target`` returned, of the dtype of ``scores``.
        queries : Queries
            Segments of the batch.
        weight : ndarray of shape (n_rows,), optional
            Row weights; each multiplies its row's term.

        Returns
        -------
        value : float
            Mean over the queries of the batch.
        gradient : ndarray of shape (n_rows,)
            Derivative of the value, of the dtype of ``scores``.
        """

    def sampled_soft_target(
        self, teacher_scores: Array, log_importance: Array, queries: Queries
    ) -> Array:
        """Convert a teacher's scores of a sample of each query's rows into the target.

        Parameters
        ----------
        teacher_scores : ndarray of shape (n_rows,), float64
            Finite scores of the drawn rows, sorted by query.
        log_importance : ndarray of shape (n_rows,), float64
            Logarithm of 1 / (probability of the row's draw), perhaps dampened.
        queries : Queries
            Segments of the rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_values)
            What ``soft_target`` returns. By default, the scores of a softmax are shifted as those
            of the student are, and other losses ignore the importance.
        """
        scale = self.logit_scale
        shift = 0.0 if scale is None else scale * log_importance
        return self.soft_target(teacher_scores + shift, queries)

    def scaled_to(self, teacher_scores: Array) -> Loss:
        """Return the loss with the unit of these scores, whatever part of them it then converts.

        Parameters
        ----------
        teacher_scores : ndarray of shape (n_rows,)
            All scores, of which ``soft_target`` will get some queries at a time.

        Returns
        -------
        Loss
            By default the loss itself, which suits losses whose target of a row depends on the
            row's own query alone.
        """
        return self

    @property
    def logit_scale(self) -> float | None:
        """Score per logit if the loss is a softmax over a list, else None.

        It decides how a row of importance w (1 / probability of its draw) is corrected for. In a
        softmax, the logarithm of w is added to the row's logit. In other losses, w multiplies the
        row's term.
        """
        return None

    @property
    def is_log_odds(self) -> bool:
        """Whether scores trained by this loss are log-odds of a positive label."""
        return False

    @property
    def compares_rows(self) -> bool:
        """Whether the loss teaches nothing unless rows of one query differ in what they have.

        If so, students warn about data in which no query has two different labels or scores.
        """
        return True

    def score_unit(self, teacher_scores: Array) -> float:
        """Return the difference in teacher score that equals one unit of the student's score.

        Parameters
        ----------
        teacher_scores : ndarray of shape (n_rows,), float64
            Scores of the training rows.

        Returns
        -------
        float
            1 unless the loss standardises its targets.
        """
        return 1.0
