"""What towers are to learn of pairs: one objective, mixed by alpha, or several side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import Queries
from skdistill.losses import get_loss
from skdistill.multi_objective import TEACHER, WithObjectives
from skdistill.protocols import Loss
from skdistill.towers.log_batches import LogBatches
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
    labels : ndarray of shape (n_rows,) or None
        Of the log's rows, NaN where unknown; None: the teacher's scores are the target.
    embedding : int
        Which of a query's embeddings learns from it.
    is_validated : bool
        Whether early stopping measures it.
    """

    loss: Loss
    weight: float
    labels: NDArray[np.float64] | None
    embedding: int = 0
    is_validated: bool = True


class PairObjective(Protocol):
    """What towers are to learn."""

    @property
    def n_embeddings(self) -> int:
        """Embeddings per query."""

    @property
    def label_loss(self) -> Loss:
        """Loss by which towers learn from labels alone, to check a teacher by."""

    def balance(self) -> GradientBalance | None:
        """What keeps the terms' gradients in proportion; None with fixed weights."""

    def terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        """Losses over lists of the catalogue.

        Raises
        ------
        ValueError
            If a term has nothing to learn from.
        """

    def over_log(
        self, supervision: Any, rows: NDArray[np.int64], queries: Queries
    ) -> Objective | HeadsObjective:
        """Objective over some of the log's rows, in the order of the embeddings."""

    def log_batches(self, batches: QueryBatches) -> BatchSource:
        """Batches of a log's lists, as this objective wants them scored."""

    def labels_by_embedding(self, supervision: Any) -> list[NDArray[np.float64] | None]:
        """Labels of the log's rows that each embedding is validated by; None: the teacher."""


@dataclass(frozen=True)
class MixedObjective:
    """``(1 - alpha) * hard(y) + alpha * soft(teacher)``.

    Parameters
    ----------
    soft, hard : Loss
    alpha : float
    """

    soft: Loss
    hard: Loss
    alpha: float
    n_embeddings: int = 1

    @property
    def label_loss(self) -> Loss:
        return self.hard

    def balance(self) -> None:
        return None

    def terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        alpha = self.alpha if supervision.has_teacher_scores else 0.0
        if alpha < 1 and not supervision.is_labelled.any():
            raise ValueError(
                f"alpha={self.alpha} gives labels a weight, but no row has a label."
                if alpha > 0
                else "No row has a label, and there is no teacher: nothing teaches the towers."
            )
        terms = []
        if alpha > 0:
            terms.append(PairTerm(self.soft, alpha, None))
        if alpha < 1:
            labels = supervision.labels
            terms.append(PairTerm(self.hard, 1 - alpha, labels, is_validated=alpha == 0))
        return tuple(terms)

    def over_log(self, supervision: Any, rows: NDArray[np.int64], queries: Queries) -> Objective:
        labels, scores, weight = supervision.columns_of(rows)
        objective = Objective.mix(
            queries,
            soft=self.soft,
            hard=self.hard,
            alpha=self.alpha,
            labels=None if labels is None or np.isnan(labels).all() else labels,
            teacher_scores=scores,
            sample_weight=weight,
        )
        if not objective.terms:
            raise ValueError(
                f"alpha={self.alpha} does not use the teacher, and no row has a label."
            )
        return objective

    def log_batches(self, batches: QueryBatches) -> BatchSource:
        return batches

    def labels_by_embedding(self, supervision: Any) -> list[NDArray[np.float64] | None]:
        return [supervision.labels]


@dataclass(frozen=True)
class SeveralObjectives:
    """One embedding per objective of an estimator.

    Parameters
    ----------
    estimator : WithObjectives
    """

    estimator: WithObjectives

    @property
    def n_embeddings(self) -> int:
        return len(self.estimator.objectives)

    @property
    def label_loss(self) -> Loss:
        return get_loss("listwise")

    def balance(self) -> GradientBalance | None:
        return self.estimator.gradient_balance()

    def terms(self, supervision: Any) -> tuple[PairTerm, ...]:
        estimator = self.estimator
        # A balance has the weights in its factors.
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

    def over_log(
        self, supervision: Any, rows: NDArray[np.int64], queries: Queries
    ) -> HeadsObjective:
        _, scores, weight = supervision.columns_of(rows)
        labels = supervision.objective_labels
        return self.estimator.heads_objective(
            queries, None if labels is None else labels[rows], scores, weight
        )

    def log_batches(self, batches: QueryBatches) -> BatchSource:
        return LogBatches(batches, self.n_embeddings)

    def labels_by_embedding(self, supervision: Any) -> list[NDArray[np.float64] | None]:
        estimator = self.estimator
        return [
            None if name == TEACHER else estimator.labels_of(name, supervision.objective_labels)
            for name in estimator.objectives
        ]
