"""Objectives on pairs: labels and a teacher mixed by alpha, or several objectives side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import take_values
from skdistill.inputs.queries import Queries
from skdistill.losses import get_loss
from skdistill.multi_objective import TEACHER, WithObjectives
from skdistill.protocols import Loss
from skdistill.towers.multi_embedding_batches import MultiEmbeddingBatches
from skdistill.training.loop import BatchSource
from skdistill.training.objective import GradientBalance, HeadsObjective, Objective
from skdistill.training.query_batches import QueryBatches


@dataclass(frozen=True)
class PairTerm:
    """One loss on scores of pairs.

    Parameters
    ----------
    loss : Loss
    weight : float
        Factor of the loss.
    labels : ndarray of shape (n_rows,) or None
        Labels of the log's rows, NaN for unlabelled rows; None if the target is the teacher's
        scores.
    embedding : int
        Which of a query's embeddings learns from the term.
    """

    loss: Loss
    weight: float
    labels: NDArray[np.float64] | None
    embedding: int = 0


class PairObjective(Protocol):
    """What towers learn on pairs."""

    @property
    def n_embeddings(self) -> int:
        """Number of embeddings per query."""

    @property
    def teacher_loss(self) -> Loss | None:
        """Loss on the teacher's scores; None if they have no weight."""

    @property
    def label_loss(self) -> Loss:
        """Loss of the label-only towers that the teacher check uses as a baseline."""

    @property
    def way_to_mix_labels(self) -> str:
        """How a user gives labels more weight beside the teacher."""

    def balance(self) -> GradientBalance | None:
        """Balance of the terms' gradients; None if the weights are fixed."""

    def catalogue_terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        """Loss terms over lists of the catalogue.

        Raises
        ------
        ValueError
            If a term has nothing to learn from.
        """

    def validated_terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        """Terms over lists of the catalogue that early stopping measures.

        A validation table may lack the labels, or the teacher's scores.
        """

    def log_objective(
        self, supervision: Any, rows: NDArray[np.int64], queries: Queries
    ) -> Objective | HeadsObjective:
        """Objective over some of the log's rows, with one output per embedding."""

    def adapt_batches(self, batches: QueryBatches) -> BatchSource:
        """Adapt batches of a log's lists to the number of embeddings."""

    def validated_embeddings(
        self, supervision: Any
    ) -> list[tuple[int, NDArray[np.float64] | None]]:
        """Embeddings that a log validates, and their labels; None for the teacher's scores."""


@dataclass(frozen=True)
class MixedObjective:
    """One embedding that learns ``(1 - alpha) * hard(y) + alpha * soft(teacher)``.

    Parameters
    ----------
    soft, hard : Loss
        Losses on the teacher's scores of a catalogue, and on labels.
    alpha : float
        Weight of the teacher.
    soft_on_log : Loss or None, default=None
        Loss on the teacher's scores of logged rows, if it is not ``soft``.
    """

    soft: Loss
    hard: Loss
    alpha: float
    soft_on_log: Loss | None = None
    n_embeddings: ClassVar[int] = 1
    way_to_mix_labels: ClassVar[str] = "alpha < 1"

    @property
    def teacher_loss(self) -> Loss | None:
        return self.soft if self.alpha > 0 else None

    @property
    def label_loss(self) -> Loss:
        return self.hard

    def balance(self) -> None:
        return None

    def catalogue_terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        alpha = self.alpha if supervision.has_teacher_scores else 0.0
        if alpha < 1 and not supervision.data.is_labelled.any():
            raise ValueError(
                f"alpha={self.alpha} gives labels a weight, but no row has a label. Set alpha=1 to "
                "learn from the teacher alone."
                if alpha > 0
                else "There is nothing to learn from: no row has a label, and no teacher is used. "
                "Pass labels, or a teacher with alpha > 0."
            )
        terms = []
        if alpha > 0:
            terms.append(PairTerm(self.soft, alpha, None))
        if alpha < 1:
            terms.append(PairTerm(self.hard, 1 - alpha, supervision.data.labels))
        return tuple(terms)

    def validated_terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        # Early stopping goes by the teacher if it is the target of a term.
        if self.alpha > 0 and supervision.has_teacher_scores:
            return (PairTerm(self.soft, 1.0, None),)
        return (PairTerm(self.hard, 1.0, supervision.data.labels),)

    def log_objective(
        self, supervision: Any, rows: NDArray[np.int64], queries: Queries
    ) -> Objective:
        data = supervision.data
        labels = take_values(data.labels, rows)
        objective = Objective.mix(
            queries,
            soft=self.soft_on_log or self.soft,
            hard=self.hard,
            alpha=self.alpha,
            labels=None if labels is None or np.isnan(labels).all() else labels,
            teacher_scores=take_values(data.teacher_scores, rows),
            sample_weight=take_values(data.sample_weight, rows),
        )
        if not objective.terms:
            raise ValueError(
                f"alpha={self.alpha} does not use the teacher, and no row has a label. Pass "
                "labels, or a teacher with alpha > 0."
            )
        return objective

    def adapt_batches(self, batches: QueryBatches) -> BatchSource:
        return batches

    def validated_embeddings(
        self, supervision: Any
    ) -> list[tuple[int, NDArray[np.float64] | None]]:
        return [(0, supervision.data.labels)]


@dataclass(frozen=True)
class SeveralObjectives:
    """One embedding per objective of an estimator.

    Parameters
    ----------
    estimator : WithObjectives
        Defines the objectives, their losses and weights.
    """

    estimator: WithObjectives
    way_to_mix_labels: ClassVar[str] = "objectives of labels with larger objective_weights"

    @property
    def n_embeddings(self) -> int:
        return len(self.estimator.objectives)

    @property
    def teacher_loss(self) -> Loss | None:
        estimator = self.estimator
        return estimator.loss_of(TEACHER) if TEACHER in estimator.objectives else None

    @property
    def label_loss(self) -> Loss:
        return get_loss("listwise")

    def balance(self) -> GradientBalance | None:
        return self.estimator.gradient_balance()

    def catalogue_terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        estimator = self.estimator
        # The factors of a balance include the weights.
        weights = estimator.weights_of_objectives
        if estimator.balance == "gradient":
            weights = np.ones_like(weights)
        labels = supervision.objective_labels
        return tuple(
            PairTerm(
                estimator.loss_of(name),
                float(weights[number]),
                None if name == TEACHER else estimator.labels_of(name, labels),
                embedding=number,
            )
            for number, name in enumerate(estimator.objectives)
        )

    def log_objective(
        self, supervision: Any, rows: NDArray[np.int64], queries: Queries
    ) -> HeadsObjective:
        data = supervision.data
        columns = supervision.objective_labels, data.teacher_scores, data.sample_weight
        return self.estimator.heads_objective(
            queries, *(take_values(column, rows) for column in columns)
        )

    def adapt_batches(self, batches: QueryBatches) -> BatchSource:
        return MultiEmbeddingBatches(batches, self.n_embeddings)

    def validated_embeddings(
        self, supervision: Any
    ) -> list[tuple[int, NDArray[np.float64] | None]]:
        estimator, labels = self.estimator, supervision.objective_labels
        embeddings: list[tuple[int, NDArray[np.float64] | None]] = []
        for number, name in enumerate(estimator.objectives):
            if name == TEACHER and supervision.has_teacher_scores:
                embeddings.append((number, None))
            elif name != TEACHER and labels is not None:
                embeddings.append((number, estimator.labels_of(name, labels)))
        return embeddings

    def validated_terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        embeddings = dict(self.validated_embeddings(supervision))
        losses = map(self.estimator.loss_of, self.estimator.objectives)
        return tuple(
            PairTerm(loss, 1.0, embeddings[number], embedding=number)
            for number, loss in enumerate(losses)
            if number in embeddings
        )
