"""The base of students with one objective, which mixes a teacher's scores and labels."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if

from skdistill._sklearn_compat import Interval
from skdistill.calibration import probability_map
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.rows import Rows
from skdistill.losses import LOSS_CONSTRAINTS, get_loss
from skdistill.protocols import Loss
from skdistill.students.estimator import StudentEstimator
from skdistill.students.probabilities import WithProbabilities, check_probabilities
from skdistill.training.early_stopping import Validate, quality_on
from skdistill.training.objective import Objective


@dataclass(kw_only=True, eq=False, repr=False)
class BaseStudent(WithProbabilities, StudentEstimator):
    """Base of students with one objective; a subclass only defines ``make_model``.

    Write a subclass as a dataclass like :class:`LinearRanker`, with its further parameters as
    fields. Enter it in ``STUDENTS`` to name it in recipes and to store it in files.

    Parameters
    ----------
    loss : str or Loss, default="listwise"
        Loss on the teacher's scores: a name in ``skdistill.losses.LOSSES``, or an object that keeps
        the contract :class:`skdistill.protocols.Loss`.
    hard_loss : str or Loss, optional
        Loss on labels; the same as ``loss`` by default.
    alpha : float, default=1.0
        Weight of the loss on the teacher's scores, if ``fit`` gets ``teacher_scores``. The loss on
        labels has the weight ``1 - alpha``.
    temperature : float, default=1.0
        Divides the teacher's and the student's scores in losses that have a temperature. It does
        not apply to labels.
    max_iter, batch_size, max_batch_rows : int
        Number of epochs, number of queries per step and largest number of rows per step, as in
        :class:`MLPRanker`.
    optimizer, learning_rate_init, learning_rate, weight_decay : str or float
        Optimizer, its learning rate, the schedule and the weight decay, as in :class:`MLPRanker`.
    early_stopping, validation_fraction, n_iter_no_change, tol : bool, float or int
        Whether and how training stops early, as in :class:`MLPRanker`.
    squash, standardize : bool
        How columns are scaled, as in :class:`MLPRanker`.
    categorical_features, min_frequency, max_categories : array-like, int or float
        Which columns hold categories, and which categories have weights of their own, as in
        :class:`MLPRanker`.
    warm_start : bool, default=False
        Start from the parameters of the previous fit instead of new ones.
    verbose : bool, default=False
        Print the loss and the validation score after each epoch.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is passed. It is not a feature.
    random_state : int, RandomState or None, default=None
        Pass an int for a student that is bitwise reproducible for a given machine and thread count.

    Attributes
    ----------
    params_ : dict of ndarray
        Trained parameters, float32.
    scaler_ : ColumnScaler
        Softsign, shift and scale of each column of numbers. The second views of columns that are
        read twice follow after all columns; its ``sources`` are the columns.
    encoder_ : TableEncoder or None
        Reads the columns of data frames; None if ``fit`` got an array or CSR matrix of numbers.
    allows_missing_ : bool
        Whether numbers may be missing, because some were in ``fit`` or there are categories.
    feature_importances_ : ndarray of shape (n_features,)
        How much a typical deviation of each column moves the scores of rows against the others of
        their query, from gradients; the sum is 1. Not available after ``partial_fit``, nor for
        tables with categories, dates or missing values.
    classes_ : ndarray of shape (2,)
        The labels 0 and 1; only with a logistic loss.
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

    @property
    def compares_rows(self) -> bool:
        """Whether both losses compare the rows of a query."""
        return self._soft_loss().compares_rows and self._hard_loss().compares_rows

    @property
    def needs_queries(self) -> bool:
        """Whether a loss with a weight compares the rows of a query."""
        # Labels have a weight with any alpha if fit gets no teacher's scores.
        teacher = self.teachers_loss()
        return self._hard_loss().compares_rows or (teacher is not None and teacher.compares_rows)

    def check_parameters(self) -> None:
        """Check all parameters before anything expensive runs.

        Raises
        ------
        ValueError
            If a parameter is invalid.
        """
        super().check_parameters()
        self._soft_loss()
        self._hard_loss()

    def check_labels(self, data: RankingData) -> None:
        """Check that early stopping and the loss on labels can take the labels.

        Raises
        ------
        ValueError
            If one refuses them, such as the logistic loss labels above 1.
        """
        super().check_labels(data)
        if self.alpha < 1 and data.is_labelled.any():
            assert data.labels is not None  # some rows are labelled
            labelled = data.queries.subset(data.is_labelled)
            self._hard_loss().hard_target(data.labels[data.is_labelled], labelled)

    @available_if(check_probabilities)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the probabilities of labels 0 and 1.

        Only available if ``loss`` or ``hard_loss`` is logistic.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            The columns of ``fit``, with finite values.

        Returns
        -------
        ndarray of shape (n_rows, 2), float64
            Each row sums to 1.

        Raises
        ------
        NotFittedError
            If the student is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or values are missing or infinite.
        """
        positive = probability_map(None)(self.predict(X))
        return np.column_stack([1 - positive, positive])

    def teachers_loss(self) -> Loss | None:
        """Return the loss on the teacher's scores; None if they have no weight."""
        return self._soft_loss() if self.alpha > 0 else None

    def score_unit(self, teacher_scores: NDArray[np.float64]) -> float:
        """Return the difference in teacher score that equals one unit of the student's score."""
        return self._soft_loss().score_unit(teacher_scores)

    def make_objective(self, data: RankingData) -> Objective:
        """Build the objective ``(1 - alpha) * hard_loss(y) + alpha * loss(teacher)``.

        Raises
        ------
        ValueError
            If there is nothing to learn from.
        """
        objective = Objective.mix(
            data.queries,
            soft=self._soft_loss(),
            hard=self._hard_loss(),
            alpha=self.alpha,
            labels=data.labels if data.is_labelled.any() else None,
            teacher_scores=data.teacher_scores,
            sample_weight=data.sample_weight,
            offset=data.offset,
        )
        if not objective.terms:
            raise ValueError(
                f"alpha={self.alpha} does not use the teacher, and no row has a label. Pass labels "
                "in y, or set alpha above 0."
            )
        return objective

    def make_validator(self, held_out: RankingData) -> Validate:
        """Measure NDCG@10 or, of single rows, the loss; by labels, or without them the teacher."""
        labels = held_out.labels
        loss = self._soft_loss() if labels is None else self._hard_loss()
        inputs = Rows(self.scaler_.transform(held_out.X))
        return quality_on(self.make_model(), inputs, held_out, loss, labels)

    def _soft_loss(self) -> Loss:
        return get_loss(self.loss, self.temperature)

    def _hard_loss(self) -> Loss:
        # A Loss object keeps its settings. A named loss gets no temperature, because labels have no
        # scale to soften.
        return get_loss(self.loss if self.hard_loss is None else self.hard_loss)
