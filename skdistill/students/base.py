"""The base of students with one objective: a loss on the teacher's scores, a loss on labels."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils.metaestimators import available_if

from skdistill._sklearn_compat import Interval
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.rows import Rows
from skdistill.losses import LOSS_CONSTRAINTS, get_loss
from skdistill.protocols import Loss
from skdistill.students.estimator import StudentEstimator
from skdistill.training.early_stopping import Validate, ndcg_on
from skdistill.training.objective import Objective


def has_log_odds(estimator: Any) -> bool:
    """Whether an estimator's loss makes its scores log-odds.

    Raises
    ------
    AttributeError
        If it does not.
    """
    losses = (estimator.loss, estimator.hard_loss)
    if any(get_loss(loss).is_log_odds for loss in losses if loss):
        return True
    raise AttributeError(
        f"predict_proba needs scores that are log-odds, which loss={estimator.loss!r} and "
        f"hard_loss={estimator.hard_loss!r} do not give. Use 'logistic'."
    )


@dataclass(kw_only=True, eq=False, repr=False)
class BaseStudent(StudentEstimator):
    """Base of students with one objective. A subclass defines ``make_model``, and that is all.

    Its own parameters are further dataclass fields. Enter it in ``STUDENTS`` to name it in recipes
    and to store it in files.
    """

    loss: str | Loss = "listwise"
    hard_loss: str | Loss | None = None
    alpha: float = 1.0

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **StudentEstimator._parameter_constraints,
        "loss": LOSS_CONSTRAINTS,
        "hard_loss": [*LOSS_CONSTRAINTS, None],
        "alpha": [Interval(Real, 0, 1, closed="both")],
    }

    def check_parameters(self) -> None:
        """Check all parameters, before anything expensive runs.

        Raises
        ------
        ValueError
        """
        super().check_parameters()
        self._soft_loss()
        self._hard_loss()

    def check_labels(self, data: RankingData) -> None:
        """Refuse labels that the loss on labels cannot take.

        Raises
        ------
        ValueError
        """
        if self.alpha < 1 and data.is_labelled.any():
            assert data.labels is not None  # some are known
            labelled = data.queries.subset(data.is_labelled)
            self._hard_loss().hard_target(data.labels[data.is_labelled], labelled)

    @available_if(has_log_odds)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of labels 0 and 1; only if ``loss`` or ``hard_loss`` is logistic.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, 2), float64

        Raises
        ------
        NotFittedError
        ValueError
            As ``predict``.
        """
        positive = expit(self.predict(X).astype(np.float64))
        return np.column_stack([1 - positive, positive])

    def score_unit(self, teacher_scores: NDArray[np.float64]) -> float:
        """Teacher score that one unit of the student's score stands for."""
        return self._soft_loss().score_unit(teacher_scores)

    def make_objective(self, data: RankingData) -> Objective:
        """``(1 - alpha) * hard_loss(y) + alpha * loss(teacher)``."""
        objective = Objective.mix(
            data.queries,
            soft=self._soft_loss(),
            hard=self._hard_loss(),
            alpha=self.alpha,
            labels=data.labels if data.is_labelled.any() else None,
            teacher_scores=data.teacher_scores,
            sample_weight=data.sample_weight,
        )
        if not objective.terms:
            raise ValueError(
                f"alpha={self.alpha} does not use the teacher, and no row has a label."
            )
        return objective

    def make_validator(self, held_out: RankingData) -> Validate:
        """NDCG@10 on held-out queries: against labels or, if there are none, the teacher."""
        return ndcg_on(
            self.make_model(),
            Rows(self.scaler_.transform(held_out.X)),
            held_out.queries,
            held_out.labels,
            held_out.teacher_scores,
        )

    def _soft_loss(self) -> Loss:
        return get_loss(self.loss, self.temperature)

    def _hard_loss(self) -> Loss:
        # A Loss of the user's own keeps its settings. One that is named has no temperature here:
        # labels have no scale to soften.
        return get_loss(self.loss if self.hard_loss is None else self.hard_loss)
