"""DistilledRanker: a strong teacher in, a small fast student out."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import clone
from sklearn.callback import AutoPropagatedCallback, with_callbacks
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    check_is_fitted,
    check_memory,
    has_fit_parameter,
    validate_data,
)

from skdistill.calibration import CALIBRATORS, calibrated, fit_calibrator, undo_sampling
from skdistill.callback_forwarding import Forward
from skdistill.columns import (
    as_table,
    column_positions,
    take_columns,
    take_rows,
    without_query_column,
)
from skdistill.objectives import WithObjectives, labels_for_teacher, mean_ndcg
from skdistill.protocols import Loss
from skdistill.queries import Queries
from skdistill.ranking_estimator import (
    RankingEstimator,
    check_finite,
    check_sample_weight,
    in_query_order,
)
from skdistill.students import MLPRanker
from skdistill.students.base import has_log_odds
from skdistill.teachers import (
    Labels,
    draw_rows,
    fresh_copy,
    is_fitted_for_good,
    label,
    score_rows,
    split_thresholds,
)
from skdistill.training import hold_out

OBJECTIVE_PARAMETERS = ("loss", "hard_loss", "alpha", "temperature")


# Labelled queries whose rows calibrate.
CALIBRATION_SHARE = 0.1


def _has_objectives(ranker: DistilledRanker) -> bool:
    return isinstance(_last_step(getattr(ranker, "student_", ranker.student)), WithObjectives)


def _has_probabilities(ranker: DistilledRanker) -> bool:
    return ranker.calibrate is not None or has_log_odds(ranker)


class DistilledRanker(RankingEstimator):
    """A meta-estimator: fits the teacher, lets it label the rows, fits the student, serves it.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator or ``lightgbm.Booster``, optional
        Anything with ``predict`` (classifiers: ``predict_proba`` or ``decision_function``). A
        clone is fitted; a ``FrozenEstimator`` and a ``Booster`` are used as they are. None: the
        scores come by ``fit(..., teacher_scores=)``.
    student : estimator or Pipeline, optional
        One of :mod:`skdistill.students`, alone or as last step; ``MLPRanker()`` by default.
    loss : str or Loss, default="plackett_luce"
        How the student's scores are compared with the teacher's.
    alpha : float, default=0.5
        Share of the teacher; the rest goes to the labels. 0: labels alone, no teacher is fitted.
        Both defaults are what ``examples/plot_which_loss.py`` concludes.
    temperature : float, default=1.0
        Divides the teacher's and the student's scores in ``loss``.
    hard_loss : str or Loss, optional
        How they are compared with labels; as ``loss`` by default.
    teacher_cv : int, splitter or iterable of splits, optional
        The student learns from out-of-fold scores, folds by query: what the teacher says of
        queries it has not seen.
    teacher_columns, student_columns : columns as in ColumnTransformer, optional
        Names, positions, slices, masks or callables; all columns by default. The teacher may see
        privileged columns that are not known, or too dear, at serving time (Xu et al., "Privileged
        Features Distillation at Taobao Recommendations", KDD 2020).
    augment : float, default=0.0
        Share of each step's rows that is synthetic, drawn from between the thresholds of a tree
        teacher (LightGBM, XGBoost, HistGradientBoosting) and labelled by it; compared by squared
        error. Needs dense numeric columns.
    memory : str, path or joblib.Memory, optional
        Cache of the teacher's scores: a grid over the student's parameters then fits each fold's
        teacher once. With ``teacher_cv`` or a teacher that draws, set ``random_state`` too.
    calibrate : {"isotonic", "sigmoid"}, optional
        Hold a tenth of the labelled queries out from the student and fit a map from its scores to
        probabilities on them; labels must be 0 and 1. See ``predict_proba``.
    sampling_rate : float, default=1.0
        Share of the negatives (label 0) that was kept in the table. Below 1, a classifier teacher's
        probabilities are turned into those among all rows, and negatives weigh as many as they
        stand for.
    teacher_target : str, optional
        With a student of several objectives, a :class:`MultiObjectiveRanker`: the one whose labels
        a teacher is fitted on that comes unfitted.
    keep_teacher : bool, default=True
        Keep the fitted teacher as ``teacher_``. Without it files are small, and with
        ``teacher_cv`` one fit is saved.
    query_column : str or int, optional
        Column of X that holds the query ids, where no ``qid`` is passed.
    random_state : int, RandomState or None, default=None
        Given to teacher and student where they have none of their own, and to the folds.

    Attributes
    ----------
    teacher_ : estimator
        Fitted on all labelled rows; None where none was needed or kept.
    student_ : estimator
    calibrator_ : estimator or None
    loss_curve_ : list of float
        The student's objective, epoch by epoch.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        For tables with column names.

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

    def __init__(
        self,
        teacher: Any = None,
        student: Any = None,
        *,
        loss: str | Loss = "plackett_luce",
        alpha: float = 0.5,
        temperature: float = 1.0,
        hard_loss: str | Loss | None = None,
        teacher_cv: Any = None,
        teacher_columns: Any = None,
        student_columns: Any = None,
        augment: float = 0.0,
        memory: Any = None,
        calibrate: str | None = None,
        sampling_rate: float = 1.0,
        teacher_target: str | None = None,
        keep_teacher: bool = True,
        query_column: str | int | None = None,
        random_state: Any = None,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.loss = loss
        self.alpha = alpha
        self.temperature = temperature
        self.hard_loss = hard_loss
        self.teacher_cv = teacher_cv
        self.teacher_columns = teacher_columns
        self.student_columns = student_columns
        self.augment = augment
        self.memory = memory
        self.calibrate = calibrate
        self.sampling_rate = sampling_rate
        self.teacher_target = teacher_target
        self.keep_teacher = keep_teacher
        self.query_column = query_column
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        student = MLPRanker() if self.student is None else self.student
        if hasattr(student, "__sklearn_tags__"):
            tags.input_tags.allow_nan = get_tags(student).input_tags.allow_nan
        return tags

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
        """Fit the teacher, label every row with it, fit the student.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            Rows in any order.
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives), optional
            Relevance. Rows with NaN are unlabelled: the teacher labels them, the hard loss skips
            them, the teacher is not fitted on them.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Without it and without ``query_column`` all rows are one query.
        sample_weight : array-like of shape (n_rows,), optional
            For the student's loss, and the teacher's fit where it takes weights.
        teacher_scores : array-like of shape (n_rows,), optional
            Scores that are known already; then no teacher is fitted or needed.

        Returns
        -------
        self
        """
        X = as_table(X)
        validate_data(self, X, reset=True, skip_check_array=True)
        n_rows = X.shape[0]
        taught = self.teacher is not None and is_fitted_for_good(self.teacher)
        if y is None and teacher_scores is None and not taught:
            raise ValueError(
                "DistilledRanker requires y to be passed, but the target y is None, and there is "
                "neither a fitted teacher nor teacher_scores."
            )
        ids = self._ids_for_fit(X, qid, n_rows)
        self.fitted_with_qid_ = ids is not None
        # Each step gets a seed of its own, so that a change to one leaves the others alone.
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=5)
        student = self._fresh_student(seeds[0])
        last = _last_step(student)
        labels = None if y is None else last._check_labels(y, n_rows)
        learns_from_teacher, to_learn = self.alpha > 0, labels
        if isinstance(last, WithObjectives):
            learns_from_teacher = last._has_teacher
            fits_teacher = learns_from_teacher and teacher_scores is None and not taught
            to_learn = self._labels_to_learn(last, labels, fits_teacher)
        weight = check_sample_weight(sample_weight, n_rows)
        if teacher_scores is not None:
            teacher_scores = check_finite("teacher_scores", teacher_scores, n_rows)
        elif self.teacher is None and learns_from_teacher:
            raise ValueError(
                f"alpha={self.alpha} gives the teacher a share, but there is none: pass teacher= "
                "or fit(..., teacher_scores=)"
                + (", and y is NaN in every row." if _all_unknown(to_learn) else ".")
            )
        table = without_query_column(X, self.query_column)
        seen_by_teacher = self._positions(table, self.teacher_columns, "teacher_columns")
        seen_by_student = self._positions(table, self.student_columns, "student_columns")
        self._seen_by_student = seen_by_student
        queries, _, table, labels, to_learn, weight, teacher_scores = in_query_order(
            ids, table, labels, to_learn, weight, teacher_scores
        )
        n_tasks = 1 + (teacher_scores is None and learns_from_teacher)
        context = self._init_callback_context(max_subtasks=n_tasks)
        seen = {"X": X, "y": y, "metadata": None if qid is None else {"qid": np.asarray(qid)}}
        context.call_on_fit_task_begin(estimator=self, **seen)
        self.teacher_ = None
        if n_tasks == 2:
            task = context.subcontext(task_name="fit-teacher")
            task.call_on_fit_task_begin(estimator=self, **seen)
            teacher = self.teacher
            if self.random_state is not None:
                teacher = _seeded(teacher, seeds[1])
            labelled = check_memory(self.memory).cache(_label)(
                teacher,
                _select(table, seen_by_teacher),
                to_learn,
                queries.offsets,
                sample_weight=weight,
                cv=self.teacher_cv,
                keep_teacher=self.keep_teacher or self.augment > 0,
                random_state=None if self.teacher_cv is None else int(seeds[2]),
            )
            teacher_scores = labelled.scores
            self.teacher_ = labelled.teacher
            task.call_on_fit_task_end(estimator=self, **seen)
        synthetic = None
        if self.augment:
            synthetic = self._synthesize(table, seen_by_teacher, seen_by_student, int(seeds[3]))
        if not self.keep_teacher:
            self.teacher_ = None
        weight, teacher_scores = self._undo_sampling(labels, weight, teacher_scores)
        rows, held_out = self._hold_out(labels, queries, int(seeds[4]))
        seen_table = _select(table, seen_by_student)
        task = context.subcontext(task_name="fit-student")
        students_own = getattr(last, "_skl_callbacks", [])
        watchers = [Forward(self, callback, seen) for callback in self._own_callbacks()]
        last.set_callbacks(*students_own, *watchers)
        with task.propagate_callback_context(last):
            task.call_on_fit_task_begin(estimator=self, **seen)
            self.student_ = _fit_student(
                student,
                take_rows(seen_table, rows),
                _pick(labels, rows),
                qid=_pick(queries.segment, rows),
                sample_weight=_pick(weight, rows),
                teacher_scores=_pick(teacher_scores, rows),
                synthetic=synthetic,
            )
        last.set_callbacks(*students_own)
        # The student was told of segments; that the user named none is the user's to know.
        last.fitted_with_qid_ = self.fitted_with_qid_
        task.call_on_fit_task_end(estimator=self, **seen)
        self.calibrator_ = None
        if self.calibrate is not None:
            assert labels is not None  # rows were held out by their labels
            scores = self.student_.predict(take_rows(seen_table, held_out))
            self.calibrator_ = fit_calibrator(
                self.calibrate, scores, labels[held_out], _pick(weight, held_out)
            )
        self.loss_curve_ = last.loss_curve_
        self.n_iter_ = last.n_iter_
        context.call_on_fit_task_end(estimator=self, reconstruction_attributes=dict, **seen)
        return self

    def predict(self, X: Any) -> NDArray[np.float32]:
        """The student's scores, higher is better; in the order of the rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``. A service that has only the student's columns uses
            ``export_student()``.

        Returns
        -------
        ndarray of shape (n_rows,), float32
        """
        table = self._students_table(X)
        return self.student_.predict(table)

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of labels 0 and 1: calibrated, or else the student's log-odds.

        Available with ``calibrate``, and where ``loss`` or ``hard_loss`` is logistic, which wants a
        classifier as teacher. The exported student has no calibrator.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, 2), float64
        """
        scores = self.predict(X).astype(np.float64)
        calibrator = self.calibrator_
        positive = expit(scores) if calibrator is None else calibrated(calibrator, scores)
        return np.column_stack([1 - positive, positive])

    def export_student(self) -> Any:
        """The student alone, to be saved and served: it reads its own columns and no query column.

        Returns
        -------
        estimator or Pipeline
            A clone of what the constructor got, fitted; later fits don't change it.
        """
        check_is_fitted(self, "student_")
        return self.student_

    @available_if(_has_objectives)
    def predict_objectives(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """What each objective of the student says; only of a :class:`MultiObjectiveRanker`.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)

        Returns
        -------
        dict of str to ndarray of shape (n_rows,), float32
        """
        table = self._students_table(X)
        student = self.student_
        if isinstance(student, Pipeline):
            table, student = student[:-1].transform(table), student[-1]
        return student.predict_objectives(table)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """NDCG@10 of the predicted order; of several objectives the mean.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives)
            Relevance, 0 or more; rows with NaN are left out.
        qid : array-like of shape (n_rows,), optional
            Needed when the model was fitted with queries and has no ``query_column``.
        sample_weight : array-like of shape (n_rows,), optional

        Returns
        -------
        float
        """
        last = _last_step(getattr(self, "student_", None))
        if not isinstance(last, WithObjectives):
            return super().score(X, y, qid=qid, sample_weight=sample_weight)
        scores, ids = self.predict(X), self._resolve_qid(X, qid)
        return mean_ndcg(last._check_labels(y, len(scores)), scores, ids, sample_weight)

    def _undo_sampling(
        self, labels: Any, weight: Any, teacher_scores: Any
    ) -> tuple[Any, NDArray[np.float64] | None]:
        """Weights and teacher scores as if no negatives had been left out."""
        rate = self.sampling_rate
        if rate == 1:
            return weight, teacher_scores
        if not 0 < rate < 1:
            raise ValueError(f"sampling_rate must be a share above 0 and up to 1, got {rate}.")
        if teacher_scores is not None:
            if teacher_scores.min() < 0 or teacher_scores.max() > 1:
                raise ValueError(
                    "sampling_rate corrects probabilities: the teacher's scores must lie in "
                    f"[0, 1], but run from {teacher_scores.min():.6g} to "
                    f"{teacher_scores.max():.6g}. Use a classifier as teacher."
                )
            teacher_scores = undo_sampling(teacher_scores, rate)
        if labels is not None:
            stands_for = np.where(labels == 0, 1 / rate, 1.0)
            weight = stands_for if weight is None else weight * stands_for
        return weight, teacher_scores

    def _hold_out(
        self, labels: Any, queries: Queries, seed: int
    ) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """Rows for the student (None: all), and labelled rows for the calibrator."""
        if self.calibrate is None:
            return None, None
        if self.calibrate not in CALIBRATORS:
            raise ValueError(f"calibrate must be one of {CALIBRATORS}, got {self.calibrate!r}.")
        known = np.zeros(queries.n_rows, bool) if labels is None else ~np.isnan(labels)
        labelled = np.flatnonzero(queries.sum(known.astype(np.int64)) > 0)
        if len(labelled) < 2:
            raise ValueError(
                f"calibrate={self.calibrate!r} holds out labelled queries and needs at least 2, "
                f"got {len(labelled)}."
            )
        rng = np.random.default_rng(seed)
        chosen = labelled[hold_out(len(labelled), CALIBRATION_SHARE, rng)[1]]
        held_out, _ = queries.take(chosen)
        rest, _ = queries.take(np.setdiff1d(np.arange(queries.n_queries), chosen))
        return rest, held_out[known[held_out]]

    def _synthesize(
        self,
        table: Any,
        seen_by_teacher: list[int] | None,
        seen_by_student: list[int] | None,
        seed: int,
    ) -> tuple[Any, NDArray[np.float64], float]:
        """As many synthetic rows as two epochs use, as the student sees them, and their scores."""
        if not 0 < self.augment < 1:
            raise ValueError(f"augment must be a share from 0 to below 1, got {self.augment}.")
        if self.teacher_ is None:
            raise ValueError(
                f"augment={self.augment} asks the teacher about synthetic rows, but only "
                "teacher_scores were given, or alpha is 0."
            )
        positions = list(range(table.shape[1])) if seen_by_teacher is None else seen_by_teacher
        thresholds = split_thresholds(self.teacher_, len(positions))
        n_rows = round(2 * self.augment / (1 - self.augment) * table.shape[0]) + 1
        rows = draw_rows(table, thresholds, positions, n_rows, np.random.default_rng(seed))
        scores = score_rows(self.teacher_, _select(rows, seen_by_teacher))
        return _select(rows, seen_by_student), scores, self.augment

    def _fresh_student(self, seed: int) -> Any:
        student = MLPRanker() if self.student is None else clone(self.student)
        last = _last_step(student)
        if not has_fit_parameter(last, "teacher_scores"):
            raise TypeError(
                "student must be one of skdistill.students, alone or as the last step of a "
                f"Pipeline; {type(last).__name__}.fit takes no teacher_scores."
            )
        defaults = inspect.signature(type(last)).parameters
        shared = [name for name in OBJECTIVE_PARAMETERS if name in defaults]
        for name in shared:
            own, default = getattr(last, name), defaults[name].default
            if own != default and own != getattr(self, name):
                raise ValueError(
                    f"{name} is DistilledRanker's to set: the student's {name}={own!r} would be "
                    f"overruled by {name}={getattr(self, name)!r}."
                )
        last.set_params(**{name: getattr(self, name) for name in shared})
        if self.random_state is not None:
            student = _seeded(student, seed)
        return student

    def _students_table(self, X: Any) -> Any:
        """The columns of a table that the student sees."""
        check_is_fitted(self, "student_")
        X = as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        table = without_query_column(X, self.query_column)
        return _select(table, self._positions(table, self.student_columns, "student_columns"))

    def _labels_to_learn(
        self, student: WithObjectives, labels: NDArray[np.float64] | None, fits_teacher: bool
    ) -> NDArray[np.float64] | None:
        """The column of several objectives' labels that the teacher is for."""
        defaults = inspect.signature(type(self)).parameters
        for name in ("calibrate", "sampling_rate", "augment", "alpha", "loss", "hard_loss"):
            if getattr(self, name) != defaults[name].default:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is for students of one objective; the "
                    f"student's objectives are {list(student.objectives)}."
                )
        if labels is None:
            return None
        return labels_for_teacher(labels, student._label_names, self.teacher_target, fits_teacher)

    @staticmethod
    def _positions(table: Any, columns: Any, parameter: str) -> list[int] | None:
        return None if columns is None else column_positions(table, columns, parameter)

    def _own_callbacks(self) -> list[Any]:
        """Callbacks that are not handed on to sub-estimators by themselves: ScoringMonitor."""
        return [
            callback
            for callback in getattr(self, "_skl_callbacks", [])
            if not isinstance(callback, AutoPropagatedCallback)
        ]


def _label(teacher: Any, X: Any, y: Any, offsets: NDArray[np.int64], **options: Any) -> Labels:
    # Of plain arrays, which hash alike in every process; Queries remember what they computed.
    return label(teacher, X, y, Queries(offsets), **options)


def _fit_student(student: Any, X: Any, y: Any, **metadata: Any) -> Any:
    if not isinstance(student, Pipeline):
        return student.fit(X, y, **metadata)
    name, last = student.steps[-1]
    head = student[:-1]
    if len(head):
        X = head.fit_transform(X, y)
        if metadata["synthetic"] is not None:
            rows, *rest = metadata["synthetic"]
            metadata["synthetic"] = (head.transform(rows), *rest)
    student.steps = [*head.steps, (name, last.fit(X, y, **metadata))]
    return student


def _select(table: Any, positions: list[int] | None) -> Any:
    return table if positions is None else take_columns(table, positions)


def _last_step(student: Any) -> Any:
    return student[-1] if isinstance(student, Pipeline) else student


def _pick(values: Any, rows: NDArray[np.int64] | None) -> Any:
    return values if values is None or rows is None else values[rows]


def _seeded(estimator: Any, seed: int) -> Any:
    """A clone whose unset random states, at any depth, are set from the seed."""
    if not hasattr(estimator, "get_params") or not hasattr(estimator, "fit"):
        return estimator
    if is_fitted_for_good(estimator):
        return estimator
    seeded = fresh_copy(estimator)
    unset = {
        name: int(seed)
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return seeded.set_params(**unset) if unset else seeded


def _all_unknown(labels: NDArray[np.float64] | None) -> bool:
    return labels is not None and bool(np.isnan(labels).all())
