"""DistilledRanker distils a strong teacher into a small, fast student."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

from numpy.typing import ArrayLike
from sklearn.callback import with_callbacks
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import MetadataRouter

from skdistill._sklearn_compat import Interval, StrOptions, fit_context
from skdistill.base import all_or_nothing, inherit_input_tags, parameters_of
from skdistill.calibration import CALIBRATORS
from skdistill.callbacks import data_for_callbacks
from skdistill.distillation import prepare, teach
from skdistill.distilled import FittedDistillation
from skdistill.held_out import fit_calibrator_of
from skdistill.inputs.alignment import warn_of_other_order
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.validation import (
    OFFSET_REQUESTS,
    VALIDATION_REQUESTS,
    ValidationTable,
)
from skdistill.losses import LOSS_CONSTRAINTS
from skdistill.protocols import Loss
from skdistill.public_names import set_module
from skdistill.student_setup import learns_from_teacher, make_student
from skdistill.student_training import gather_rows, train_student, weigh_teacher
from skdistill.students import MLPRanker
from skdistill.teacher_weight import AUTO, DEFAULT_ALPHA
from skdistill.teachers.comparing import compares_rows
from skdistill.teachers.fit_arguments import default_request
from skdistill.teachers.routing import FIT, teacher_router


@set_module("skdistill")
@dataclass(kw_only=True, eq=False, repr=False)
class DistilledRanker(FittedDistillation):
    """A meta-estimator that fits a teacher and trains a student on the teacher's scores.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable, optional
        Anything with ``predict`` (classifiers: ``predict_proba`` or ``decision_function``). A
        clone of it is fitted. A ``FrozenEstimator``, a ``Booster`` of LightGBM or XGBoost, and a
        function from a table to a score per row are used as they are. They take their columns of X
        by name, in any order, if both have names, and by position otherwise. Not needed if ``fit``
        gets ``teacher_scores``, or if ``alpha`` is 0.
    student : estimator or Pipeline, optional
        One of :mod:`skdistill.students`, alone or as the last step of a Pipeline; ``MLPRanker()``
        by default.
    loss : str or Loss, default="plackett_luce"
        Loss on the teacher's scores: a name in ``skdistill.losses.LOSSES``, or an object that keeps
        the contract :class:`skdistill.protocols.Loss`.
    alpha : float or "auto", default=0.5
        Weight of the loss on the teacher's scores. The loss on labels has the weight ``1 - alpha``.
        With 0, the student learns from labels alone and no teacher is fitted. "auto" compares 0.1,
        0.5 and 0.9 by the labels of held-out queries: those of ``X_val`` if they are labelled, or
        each third of the labelled queries. It takes another weight than 0.5 if that is better on
        all three parts of them. This trains three or nine more students.
    temperature : float, default=1.0
        Divides the teacher's and the student's scores in losses that have a temperature. It does
        not apply to labels.
    hard_loss : str or Loss, optional
        Loss on labels; the same as ``loss`` by default.
    teacher_cv : int, splitter or iterable of splits, optional
        Train the student on out-of-fold scores, each by a teacher that was not fitted on the row's
        query. An int makes this number of shuffled folds by query.
    teacher_columns, student_columns : columns as in ColumnTransformer, optional
        Names, positions, slices, masks or callables; all columns by default. The teacher may see
        privileged columns that are unknown, or too expensive, at serving time (Xu et al.,
        "Privileged Features Distillation at Taobao Recommendations", KDD 2020).
    augment : float, default=0.0
        Fraction of each step's rows that is synthetic. The teacher scores them, and the student is
        compared with it by squared error. Requires a dense table or a data frame.
    augmentation : {"crossed", "thresholds"}, default="crossed"
        Where synthetic rows come from. "crossed" takes training rows and exchanges half of the
        columns that differ within queries with those of other rows, for any teacher and column.
        "thresholds" draws each number from between the thresholds of a tree teacher (LightGBM,
        XGBoost, HistGradientBoosting), as Cohen et al. do (SIGIR 2018).
    memory : str, path or joblib.Memory, optional
        Cache of the teacher's scores, with which a grid search over the student's parameters fits
        each fold's teacher only once. With ``teacher_cv`` or a randomised teacher, set
        ``random_state`` too.
    calibrate : {"isotonic", "sigmoid"}, optional
        Hold out a tenth of the labelled queries from the student, and fit a map from its scores to
        probabilities on them. Labels must be 0 and 1. See ``predict_proba``.
    sampling_rate : float, default=1.0
        Fraction of the negatives (label 0) that were kept when the table was sampled. Below 1, a
        classifier's probabilities are converted to those among all rows, and negatives are weighted
        by 1 / ``sampling_rate``.
    teacher_target : str, optional
        Objective whose labels an unfitted teacher is fitted on, for a student of several objectives
        (:class:`MultiObjectiveRanker`).
    keep_teacher : bool, default=True
        Keep the fitted teacher as ``teacher_``. Without it, saved files are smaller, and
        ``teacher_cv`` needs one fit fewer.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is passed. It is not a feature.
    verbose : bool, default=False
        Print when the teacher is fitted, and the loss of the student after each epoch.
    random_state : int, RandomState or None, default=None
        Seeds the folds, synthetic rows and calibration, and those random states of teacher and
        student that are not set. Pass an int for a student that is bitwise reproducible for a given
        machine and thread count.

    Attributes
    ----------
    teacher_ : estimator or None
        The teacher, fitted on all labelled rows. None if it was not needed or not kept.
    student_ : estimator or Pipeline
        The fitted student.
    calibrator_ : estimator or None
        The fitted map from scores to probabilities; None without ``calibrate``.
    student_positions_ : list of int or None
        Positions of the columns that the student sees; None if it sees all.
    alpha_ : float
        The weight of the teacher; with ``alpha="auto"`` the chosen one.
    alpha_scores_ : dict of float to float, or None
        What held-out labels say of each weight: NDCG@10 or, if each row is a query of its own,
        minus the loss. Higher is better. None unless a weight was chosen.
    loss_curve_ : list of float
        Mean objective over the steps of each epoch of the student.
    n_iter_ : int
        Number of epochs run.
    feature_importances_ : ndarray of shape (n_features,)
        Importances of the columns for the student; see :class:`MLPRanker`.
    classes_ : ndarray of shape (2,)
        The labels 0 and 1; only with ``predict_proba``.
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

    __metadata_request__fit = {**VALIDATION_REQUESTS, **OFFSET_REQUESTS, "teacher_scores_val": True}

    teacher: Any = field(default=None, kw_only=False)
    student: Any = field(default=None, kw_only=False)
    loss: str | Loss = "plackett_luce"
    alpha: float | str = DEFAULT_ALPHA
    temperature: float = 1.0
    hard_loss: str | Loss | None = None
    teacher_cv: Any = None
    teacher_columns: Any = None
    student_columns: Any = None
    augment: float = 0.0
    augmentation: str = "crossed"
    memory: Any = None
    calibrate: str | None = None
    sampling_rate: float = 1.0
    teacher_target: str | None = None
    keep_teacher: bool = True
    verbose: bool = False
    query_column: str | int | None = None
    random_state: Any = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "loss": LOSS_CONSTRAINTS,
        "hard_loss": [*LOSS_CONSTRAINTS, None],
        "alpha": [Interval(Real, 0, 1, closed="both"), StrOptions({AUTO})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "augment": [Interval(Real, 0, 1, closed="left")],
        "augmentation": [StrOptions({"crossed", "thresholds"})],
        "calibrate": [StrOptions(set(CALIBRATORS)), None],
        "sampling_rate": [Interval(Real, 0, 1, closed="right")],
        "teacher_target": [str, None],
        "keep_teacher": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __sklearn_tags__(self) -> Tags:
        student = MLPRanker() if self.student is None else self.student
        return inherit_input_tags(super().__sklearn_tags__(), [student])

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_seen_by_student" in state:  # its name in 0.1.0
            state["student_positions_"] = state.pop("_seen_by_student")
        super().__setstate__(state)

    def sub_teachers(self) -> dict[str, Any]:
        """Return the teacher."""
        return {"teacher": self.teacher}

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that the ranker consumes, and that it routes to teacher and student.

        Returns
        -------
        MetadataRouter
            A teacher that requests nothing gets queries and row weights, a student row weights.
        """
        student = MLPRanker() if self.student is None else last_step(self.student)
        return teacher_router(self).add(student=default_request(student), method_mapping=FIT)

    @all_or_nothing
    @with_callbacks
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        teacher_scores: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        qid_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        teacher_scores_val: ArrayLike | None = None,
        offset_val: ArrayLike | None = None,
        **metadata: Any,
    ) -> DistilledRanker:
        """Fit the teacher, score every row with it, and train the student.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            Columns of teacher and student; rows in any order.
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives), optional
            Relevance, NaN for unlabelled rows. The teacher scores unlabelled rows but is not fitted
            on them, and the loss on labels skips them.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Without it and without ``query_column``, all rows are one query; if
            neither a loss nor the teacher compares rows, each row is taken by itself.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights for the student's loss and for the teacher. A teacher or student that shall
            not get them declines by ``set_fit_request(sample_weight=False)``.
        teacher_scores : array-like of shape (n_rows,), optional
            Scores of a teacher, such as logged ones. They replace the teacher, which is then
            neither fitted nor needed.
        offset : array-like of shape (n_rows,), optional
            Such as the logarithm of a bid. It is added to the student's and the teacher's scores
            before the loss compares them, so that the student learns the order of bid x
            probability. The teacher, which is fitted without it, should be a classifier, whose
            probabilities are then replaced by their logarithms; other scores are taken as
            log-probabilities or log-odds. The loss on labels takes no offset. ``predict`` does not
            contain it: rank by ``predict(X) + offset``.
        X_val : table of shape (n_val, n_features), optional
            Rows, such as those of a later week, that are never trained on. By them the teacher and
            the student stop early, and the calibrator is fitted on them.
        y_val, qid_val, sample_weight_val, teacher_scores_val, offset_val : array-like, optional
            What ``y``, ``qid``, ``sample_weight``, ``teacher_scores`` and ``offset`` are for ``X``.
            Without labels, the student stops by the teacher's scores.
        **metadata : dict
            Further arguments, such as ``eval_set`` or ``init_score``, of a teacher that requests
            them by ``set_fit_request``. Arrays with an entry per row are sorted with the rows. Only
            available if metadata routing is enabled.

        Returns
        -------
        self
            The fitted ranker.

        Raises
        ------
        ValueError
            If parameters are invalid, the arguments do not match, or the student cannot take the
            values, or queries or row weights would not reach the teacher; all this is checked
            before the teacher is fitted. Also if the teacher's scores are not finite, or training
            diverges.
        TypeError
            If the teacher cannot score, the student is not one of :mod:`skdistill.students`, or
            nobody requests a further argument.
        """
        given = {"y": y_val, "qid": qid_val, "sample_weight": sample_weight_val}
        further = {"teacher_scores": teacher_scores_val, "offset": offset_val}
        table = ValidationTable.of(X_val, **given, **further)
        columns = {"y": y, "qid": qid, "sample_weight": sample_weight, "offset": offset}
        warn_of_other_order(X, **columns, teacher_scores=teacher_scores)
        problem = prepare(self, X, y, qid, sample_weight, teacher_scores, metadata, table, offset)
        self.fitted_with_qid_ = problem.has_queries
        self.fitted_with_offset_ = offset is not None
        self.student_positions_ = problem.student_columns
        callback_data = data_for_callbacks(X, y, qid, offset)
        context = fit_context(self, 1 + problem.asks_teacher)
        context.call_on_fit_task_begin(estimator=self, **callback_data)
        taught = teach(self, problem, context, callback_data)
        self.teacher_ = taught.teacher if self.keep_teacher else None
        rows = gather_rows(self, problem, taught)
        self.alpha_, self.alpha_scores_ = weigh_teacher(self, problem, rows)
        self.student_ = train_student(self, problem, rows, context, callback_data)
        self.calibrator_ = fit_calibrator_of(
            self, problem.calibration_data, self.student_, problem.student_columns
        )
        last = last_step(self.student_)
        self.loss_curve_, self.n_iter_ = last.loss_curve_, last.n_iter_
        context.call_on_fit_task_end(
            estimator=self, reconstruction_attributes=dict, **callback_data
        )
        return self

    @classmethod
    def _hint_of_parameter(cls, name: str, known: list[str]) -> str:
        """Say where a parameter belongs that the ranker does not have."""
        if name in (parameters_of(MLPRanker) or ()):
            return f"Set it in the student: {cls.__name__}(teacher, MLPRanker({name}=...))."
        return super()._hint_of_parameter(name, known)

    @property
    def needs_queries(self) -> bool:
        """Whether the student's losses or the teacher compare the rows of a query."""
        student = last_step(make_student(self, 0))
        is_taught = self.teacher is not None and learns_from_teacher(self, student)
        return student.needs_queries or (is_taught and compares_rows(self.teacher))

    def check_parameters(self) -> None:
        """Check the ranker's parameters; the student's are checked with the student."""
        self._validate_params()
