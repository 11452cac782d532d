"""The base of DistilledRanker that scores: it hands the student its columns and converts scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skdistill.calibration import probability_map
from skdistill.inputs.columns import (
    as_table,
    optional_positions,
    select_columns,
    without_query_column,
)
from skdistill.inputs.pipelines import last_step
from skdistill.multi_objective import WithObjectives, has_objectives, mean_score
from skdistill.students.importances import WithStudentsImportances
from skdistill.students.pipelines import through_head
from skdistill.students.probabilities import WithProbabilities, check_probabilities, is_log_odds
from skdistill.teacher_weight import nominal_alpha


class FittedDistillation(WithStudentsImportances, WithProbabilities):
    """Scoring with a fitted student, alone or in a Pipeline; the subclass does the fitting."""

    calibrate: str | None
    teacher_columns: Any
    calibrator_: Any

    @property
    def has_probabilities(self) -> bool:
        """Whether scores can be turned into probabilities."""
        # A loss without weight teaches nothing.
        hard_loss = self.loss if self.hard_loss is None else self.hard_loss
        is_soft, is_hard = is_log_odds(self.loss), is_log_odds(hard_loss)
        alpha = nominal_alpha(self.alpha)
        return self.calibrate is not None or (is_soft and alpha > 0) or (is_hard and alpha < 1)

    def predict(self, X: Any) -> NDArray[np.float32]:
        """Score rows with the student.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``; rows in any order. A service that has only the student's columns
            uses ``export_student()``.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            One score per row, in the order of X; higher is better.

        Raises
        ------
        NotFittedError
            If the ranker is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or the student cannot take the values.
        """
        table = self.student_table(X)
        return self.student_.predict(table)

    @available_if(check_probabilities)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the probabilities of labels 0 and 1.

        Only available with ``calibrate``, or if ``loss`` or ``hard_loss`` is logistic. Without
        ``calibrate``, the probabilities are the sigmoid of the student's log-odds. The exported
        student has no calibrator.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``; rows in any order.

        Returns
        -------
        ndarray of shape (n_rows, 2), float64
            Each row sums to 1.

        Raises
        ------
        NotFittedError
            If the ranker is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or the student cannot take the values.
        """
        positive = probability_map(self.calibrator_)(self.predict(X))
        return np.column_stack([1 - positive, positive])

    def export_student(self) -> Any:
        """Return the student alone, to save and serve it.

        The student takes only the columns in ``student_columns`` and no query column.

        Returns
        -------
        estimator or Pipeline
            The fitted clone of the parameter ``student``. Later fits do not change it.

        Raises
        ------
        NotFittedError
            If the ranker is not fitted.
        """
        check_is_fitted(self, "student_")
        return self.student_

    @available_if(has_objectives)
    def predict_objectives(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """Predict the output of each objective.

        Only available if the student is a :class:`MultiObjectiveRanker`.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``; rows in any order.

        Returns
        -------
        dict of str to ndarray of shape (n_rows,), float32
            Probabilities for logistic objectives, scores for others, by the name of the objective.

        Raises
        ------
        NotFittedError
            If the ranker is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or the student cannot take the values.
        """
        table = through_head(self.student_, self.student_table(X))
        return last_step(self.student_).predict_objectives(table)

    def mean_score(
        self,
        X: Any,
        y: Any,
        qid: ArrayLike | None,
        sample_weight: ArrayLike | None,
        offset: ArrayLike | None,
    ) -> float:
        """Compute what ``score`` returns, by the objectives of the student."""
        last = last_step(getattr(self, "student_", None))
        if not isinstance(last, WithObjectives):
            return super().mean_score(X, y, qid, sample_weight, offset)
        return mean_score(self, last, X, y, qid, sample_weight, offset)

    def student_table(self, X: Any) -> Any:
        """Check the columns of a table, and select those that the student sees.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``.

        Returns
        -------
        table of shape (n_rows, n_student_features)

        Raises
        ------
        NotFittedError
            If the ranker is not fitted.
        ValueError
            If the columns differ from those of ``fit``.
        """
        check_is_fitted(self, "student_")
        X = as_table(X)
        try:
            self.check_columns(X, reset=False)
        except ValueError as error:
            if X.shape[1] >= self.n_features_in_:
                raise
            raise ValueError(
                f"{error}\nA ranker takes all columns of fit, also those that only the teacher or "
                "the queries need. A service that has only the student's columns uses "
                "ranker.export_student()."
            ) from error
        table = without_query_column(X, self.query_column)
        return select_columns(table, self.student_positions_)

    def teacher_table(self, X: Any) -> Any:
        """Check the columns of a table, and select those that the teacher sees.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``.

        Returns
        -------
        table of shape (n_rows, n_teacher_features)

        Raises
        ------
        ValueError
            If the columns differ from those of ``fit``.
        """
        X = as_table(X)
        self.check_columns(X, reset=False)
        table = without_query_column(X, self.query_column)
        columns = optional_positions(table, self.teacher_columns, "teacher_columns")
        return select_columns(table, columns)
