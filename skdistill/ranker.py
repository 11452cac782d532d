"""DistilledRanker: a strong teacher in, a small fast student out."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.callback import with_callbacks
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._sklearn_compat import Interval, StrOptions, fit_context
from skdistill.base import RankingEstimator
from skdistill.calibration import CALIBRATORS, calibrated
from skdistill.distillation import calibrate, positions, read, select, teach, train_student
from skdistill.inputs.columns import as_table, without_query_column
from skdistill.losses import LOSS_CONSTRAINTS
from skdistill.multi_objective import WithObjectives, mean_ndcg
from skdistill.protocols import Loss
from skdistill.public_names import set_module
from skdistill.students import MLPRanker
from skdistill.students.base import has_log_odds
from skdistill.students.pipelines import last_step, through_head


def _has_objectives(ranker: DistilledRanker) -> bool:
    return isinstance(last_step(getattr(ranker, "student_", ranker.student)), WithObjectives)


def _has_probabilities(ranker: DistilledRanker) -> bool:
    return ranker.calibrate is not None or has_log_odds(ranker)


@set_module("skdistill")
@dataclass(kw_only=True, eq=False, repr=False)
class DistilledRanker(RankingEstimator):
    """A meta-estimator that fits a teacher, lets it score the rows, and trains a student on them.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator or ``lightgbm.Booster``, optional
        Anything with ``predict`` (classifiers: ``predict_proba`` or ``decision_function``). A
        clone of it is fitted; a ``FrozenEstimator`` and a ``Booster`` are used as they are. None
        if ``fit`` gets ``teacher_scores``.
    student : estimator or Pipeline, optional
        One of :mod:`skdistill.students`, alone or as the last step of a Pipeline; ``MLPRanker()``
        by default.
    loss : str or Loss, default="plackett_luce"
        How the student's scores are compared with the teacher's.
    alpha : float, default=0.5
        Weight of the teacher; labels have the rest. With 0, labels alone teach and no teacher is
        fitted. ``examples/plot_which_loss.py`` shows why these are the defaults.
    temperature : float, default=1.0
        Divides the teacher's and the student's scores in ``loss``.
    hard_loss : str or Loss, optional
        How the student's scores are compared with labels; the same as ``loss`` by default.
    teacher_cv : int, splitter or iterable of splits, optional
        Train the student on out-of-fold scores, with folds by query: what the teacher says of
        queries that it has not seen.
    teacher_columns, student_columns : columns as in ColumnTransformer, optional
        Names, positions, slices, masks or callables; all columns by default. The teacher may see
        privileged columns that are unknown, or too expensive, at serving time (Xu et al.,
        "Privileged Features Distillation at Taobao Recommendations", KDD 2020).
    augment : float, default=0.0
        Fraction of each step's rows that is synthetic. The rows are drawn from between the
        thresholds of a tree teacher (LightGBM, XGBoost, HistGradientBoosting), scored by it, and
        compared by squared error. Requires dense numeric columns.
    memory : str, path or joblib.Memory, optional
        Cache of the teacher's scores: a grid search over the student's parameters then fits each
        fold's teacher once. With ``teacher_cv`` or a randomised teacher, set ``random_state`` too.
    calibrate : {"isotonic", "sigmoid"}, optional
        Hold a tenth of the labelled queries out from the student, and fit a map from its scores to
        probabilities on them. Labels must be 0 and 1. See ``predict_proba``.
    sampling_rate : float, default=1.0
        Fraction of the negatives (label 0) that the table has kept. Below 1, a classifier's
        probabilities are converted to those among all rows, and negatives are weighted by
        1 / ``sampling_rate``.
    teacher_target : str, optional
        Objective whose labels an unfitted teacher learns, for a student of several objectives
        (:class:`MultiObjectiveRanker`).
    keep_teacher : bool, default=True
        Keep the fitted teacher as ``teacher_``. Without it files are small, and ``teacher_cv``
        saves one fit.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is passed. It is not a feature.
    random_state : int, RandomState or None, default=None
        Given to teacher and student if they have none, and to the folds.

    Attributes
    ----------
    teacher_ : estimator or None
        Fitted on all labelled rows; None if it was not needed or not kept.
    student_ : estimator or Pipeline
        The fitted student.
    calibrator_ : estimator or None
        Map from scores to probabilities.
    student_positions_ : list of int or None
        Positions of the student's columns; None if it sees all.
    loss_curve_ : list of float
        Objective of the student in each epoch.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only for tables that have names.

    Examples
    --------
    >>> from lightgbm import LGBMRanker
    >>> from skdistill import DistilledRanker
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.students import MLPRanker
    >>> data = make_ranking(n_queries=100, random_state=0)
    >>> ranker = DistilledRanker(LGBMRanker(verbose=-1), MLPRanker((32,)), random_state=0)
    >>> ranker = ranker.fit(data.X, data.y, qid=data.qid)
    >>> ranker.predict(data.X[:3]).shape
    (3,)
    """

    teacher: Any = field(default=None, kw_only=False)
    student: Any = field(default=None, kw_only=False)
    loss: str | Loss = "plackett_luce"
    alpha: float = 0.5
    temperature: float = 1.0
    hard_loss: str | Loss | None = None
    teacher_cv: Any = None
    teacher_columns: Any = None
    student_columns: Any = None
    augment: float = 0.0
    memory: Any = None
    calibrate: str | None = None
    sampling_rate: float = 1.0
    teacher_target: str | None = None
    keep_teacher: bool = True
    query_column: str | int | None = None
    random_state: Any = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "loss": LOSS_CONSTRAINTS,
        "hard_loss": [*LOSS_CONSTRAINTS, None],
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "augment": [Interval(Real, 0, 1, closed="left")],
        "calibrate": [StrOptions(set(CALIBRATORS)), None],
        "sampling_rate": [Interval(Real, 0, 1, closed="right")],
        "teacher_target": [str, None],
        "keep_teacher": ["boolean"],
        "random_state": ["random_state"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        student = MLPRanker() if self.student is None else self.student
        if hasattr(student, "__sklearn_tags__"):
            tags.input_tags.allow_nan = get_tags(student).input_tags.allow_nan
        return tags

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_seen_by_student" in state:  # its name in 0.1.0
            state["student_positions_"] = state.pop("_seen_by_student")
        super().__setstate__(state)

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        teacher_scores: ArrayLike | None = None,
    ) -> DistilledRanker:
        """Fit the teacher, score every row with it, train the student.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            Rows in any order.
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives), optional
            Relevance. Rows with NaN are unlabelled: the teacher scores them, the hard loss skips
            them, and the teacher is not fitted on them.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Without it and without ``query_column`` all rows are one query.
        sample_weight : array-like of shape (n_rows,), optional
            For the student's loss, and for the teacher's fit if it takes weights.
        teacher_scores : array-like of shape (n_rows,), optional
            Known scores; no teacher is fitted or needed then.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For invalid parameters, tables that do not match, and values that the student cannot
            take. All of this is found before the teacher is fitted.
        TypeError
            For a teacher that cannot score, and a student that is not one.
        """
        task = read(self, X, y, qid, sample_weight, teacher_scores)
        self.fitted_with_qid_, self.student_positions_ = task.has_queries, task.student_columns
        seen = {"X": X, "y": y, "metadata": None if qid is None else {"qid": np.asarray(qid)}}
        context = fit_context(self, 1 + task.asks_teacher)
        context.call_on_fit_task_begin(estimator=self, **seen)
        taught = teach(self, task, context, seen)
        self.teacher_ = taught.teacher if self.keep_teacher else None
        self.student_ = train_student(self, task, taught, context, seen)
        self.calibrator_ = calibrate(self, task)
        last = last_step(self.student_)
        self.loss_curve_, self.n_iter_ = last.loss_curve_, last.n_iter_
        context.call_on_fit_task_end(estimator=self, reconstruction_attributes=dict, **seen)
        return self

    def predict(self, X: Any) -> NDArray[np.float32]:
        """Score rows by the student.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``. A service that has only the student's columns uses
            ``export_student()``.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            Higher is better; in the order of the rows.

        Raises
        ------
        NotFittedError
        ValueError
            For other columns than those of ``fit``.
        """
        table = self._students_table(X)
        return self.student_.predict(table)

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of labels 0 and 1: calibrated, or else from the student's log-odds.

        Available with ``calibrate``, and if ``loss`` or ``hard_loss`` is logistic, which requires a
        classifier as teacher. The exported student has no calibrator.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, 2), float64

        Raises
        ------
        NotFittedError
        ValueError
            As ``predict``.
        """
        scores = self.predict(X).astype(np.float64)
        calibrator = self.calibrator_
        positive = expit(scores) if calibrator is None else calibrated(calibrator, scores)
        return np.column_stack([1 - positive, positive])

    def export_student(self) -> Any:
        """The student alone, to save and serve: it reads its own columns and no query column.

        Returns
        -------
        estimator or Pipeline
            A fitted clone of what the constructor got; later fits do not change it.

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "student_")
        return self.student_

    @available_if(_has_objectives)
    def predict_objectives(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """Output of each objective; only if the student is a :class:`MultiObjectiveRanker`.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)

        Returns
        -------
        dict of str to ndarray of shape (n_rows,), float32

        Raises
        ------
        NotFittedError
        ValueError
            As ``predict``.
        """
        table = through_head(self.student_, self._students_table(X))
        return last_step(self.student_).predict_objectives(table)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """NDCG@10 of the predicted order; with several objectives, the mean over them.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives)
            Relevance, 0 or more; rows with NaN are left out.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Required if the model was fitted with queries and has no
            ``query_column``.
        sample_weight : array-like of shape (n_rows,), optional
            A query counts with the mean weight of its rows.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If the queries are missing, or given twice.
        """
        last = last_step(getattr(self, "student_", None))
        if not isinstance(last, WithObjectives):
            return super().score(X, y, qid=qid, sample_weight=sample_weight)
        scores, ids = self.predict(X), self.resolve_qid(X, qid)
        return mean_ndcg(last.read_labels(y, len(scores)), scores, ids, sample_weight)

    def _students_table(self, X: Any) -> Any:
        """The columns of a table that the student sees."""
        check_is_fitted(self, "student_")
        X = as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        table = without_query_column(X, self.query_column)
        return select(table, positions(table, self.student_columns, "student_columns"))
