"""The steps of ``DistilledRanker.fit``: read -> teach -> train -> calibrate.

Each step is a function of the estimator, whose parameters it looks at, and of frozen dataclasses.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.callback import AutoPropagatedCallback
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory, validate_data

from skdistill._sklearn_compat import callbacks_of
from skdistill.calibration import (
    check_binary,
    fit_calibrator,
    importance_of_sample,
    undo_sampling,
)
from skdistill.callbacks import ForwardedCallback
from skdistill.inputs.checks import check_finite, check_sample_weight
from skdistill.inputs.columns import (
    as_table,
    column_positions,
    take_columns,
    take_values,
    without_query_column,
)
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData, SyntheticRows
from skdistill.multi_objective import WithObjectives, labels_for_teacher
from skdistill.students import MLPRanker
from skdistill.students.estimator import StudentEstimator
from skdistill.students.pipelines import fit_head, last_step, through_head
from skdistill.teachers import TeacherScores, fit_and_score, score_rows
from skdistill.teachers.augmentation import draw_rows, split_thresholds
from skdistill.teachers.fitting import check_teacher, clone_or_deepcopy, is_prefit
from skdistill.training.early_stopping import hold_out

# The student's parameters that DistilledRanker sets.
OBJECTIVE_PARAMETERS = ("loss", "hard_loss", "alpha", "temperature")
# DistilledRanker's parameters that a student of several objectives has no use for.
SINGLE_OBJECTIVE_PARAMETERS = (
    "calibrate", "sampling_rate", "augment", "alpha", "loss", "hard_loss",
)  # fmt: skip
# Fraction of the labelled queries that the calibrator is fitted on.
CALIBRATION_FRACTION = 0.1


@dataclass(frozen=True)
class Distillation:
    """What is to be distilled. All is checked; nothing but the student's head is fitted.

    Parameters
    ----------
    data : RankingData
        The user's table without the query column, in query order. Its teacher scores are those
        that were passed; its labels may be those of several objectives.
    has_queries : bool
        Whether the user told the queries.
    asks_teacher : bool
        Whether the teacher has to be asked for scores.
    teacher_labels : ndarray of shape (n_rows,) or None
        Labels that the teacher learns.
    student : estimator or Pipeline
        A clone; the steps before the student are fitted.
    student_data : RankingData
        What the student learns from, with its own table: checked, float32.
    student_rows : ndarray of int64, or None
        Which rows of ``data`` those are; None: all of them.
    calibration_data : RankingData or None
        Labelled rows that the calibrator learns from.
    teacher_columns, student_columns : list of int, or None
        Positions; None: all columns.
    seeds : ndarray of int64
        One for each random step, so that a change to one leaves the others alone.
    """

    data: RankingData
    has_queries: bool
    asks_teacher: bool
    teacher_labels: NDArray[np.float64] | None
    student: Any
    student_data: RankingData
    student_rows: NDArray[np.int64] | None
    calibration_data: RankingData | None
    teacher_columns: list[int] | None
    student_columns: list[int] | None
    seeds: NDArray[np.int64]


@dataclass(frozen=True)
class Taught:
    """What the teacher said.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,) or None
        Of all rows.
    teacher : estimator or None
        Fitted.
    synthetic : SyntheticRows or None
    """

    scores: NDArray[np.float64] | None
    teacher: Any = None
    synthetic: SyntheticRows | None = None


def read(
    ranker: Any, X: Any, y: Any, qid: Any, sample_weight: Any, teacher_scores: Any
) -> Distillation:
    """Check everything, sort the table once, fit the head of the student's Pipeline."""
    ranker._validate_params()
    X = as_table(X)
    validate_data(ranker, X, reset=True, skip_check_array=True)
    n_rows = X.shape[0]
    prefit = ranker.teacher is not None and is_prefit(ranker.teacher)
    if y is None and teacher_scores is None and not prefit:
        raise ValueError(
            "DistilledRanker requires y to be passed, but the target y is None, and there is "
            "neither a fitted teacher nor teacher_scores."
        )
    ids = ranker.check_ids(X, qid, n_rows)
    seeds = check_random_state(ranker.random_state).randint(2**31 - 1, size=5)
    student = _make_student(ranker, seeds[0])
    last = last_step(student)
    labels = None if y is None else last.read_labels(y, n_rows)
    weight = check_sample_weight(sample_weight, n_rows)
    if teacher_scores is not None:
        teacher_scores = check_finite("teacher_scores", teacher_scores, n_rows)
    asks_teacher = _learns_from_teacher(ranker, last) and teacher_scores is None
    if asks_teacher:
        _check_teacher(ranker, labels)
    table = without_query_column(X, ranker.query_column)
    teacher_columns = positions(table, ranker.teacher_columns, "teacher_columns")
    student_columns = positions(table, ranker.student_columns, "student_columns")
    data = RankingData.sort(ids, table, labels, teacher_scores, weight)
    teacher_labels = data.labels
    if isinstance(last, WithObjectives) and data.labels is not None:
        teacher_labels = labels_for_teacher(
            data.labels, last.label_names, ranker.teacher_target, asks_teacher and not prefit
        )
    student_rows, student_data, calibration_data = _split_for_calibration(
        ranker.calibrate, data, int(seeds[4])
    )
    seen_table = select(student_data.X, student_columns)
    student_data = student_data.with_table(fit_head(student, seen_table, student_data.labels))
    last.check_labels(student_data)
    return Distillation(
        data=data,
        has_queries=ids is not None,
        asks_teacher=asks_teacher,
        teacher_labels=teacher_labels,
        student=student,
        student_data=student_data,
        student_rows=student_rows,
        calibration_data=calibration_data,
        teacher_columns=teacher_columns,
        student_columns=student_columns,
        seeds=seeds,
    )


def teach(ranker: Any, task: Distillation, context: Any, seen: dict[str, Any]) -> Taught:
    """Fit the teacher unless it is fitted, and let it score all rows."""
    taught = Taught(task.data.teacher_scores)
    if task.asks_teacher:
        step = context.subcontext(task_name="fit-teacher")
        step.call_on_fit_task_begin(estimator=ranker, **seen)
        teacher = ranker.teacher
        if ranker.random_state is not None:
            teacher = _seeded(teacher, task.seeds[1])
        answer = check_memory(ranker.memory).cache(_fit_and_score)(
            teacher,
            select(task.data.X, task.teacher_columns),
            task.teacher_labels,
            task.data.queries.offsets,
            sample_weight=task.data.sample_weight,
            cv=ranker.teacher_cv,
            keep_teacher=ranker.keep_teacher or ranker.augment > 0,
            random_state=None if ranker.teacher_cv is None else int(task.seeds[2]),
        )
        taught = Taught(answer.scores, answer.teacher)
        step.call_on_fit_task_end(estimator=ranker, **seen)
    if ranker.augment:
        taught = replace(taught, synthetic=_synthesize(ranker.augment, task, taught.teacher))
    return taught


def train_student(
    ranker: Any, task: Distillation, taught: Taught, context: Any, seen: dict[str, Any]
) -> Any:
    """Train the student, or the last step of its Pipeline, on the teacher and the labels."""
    step = context.subcontext(task_name="fit-student")
    last = last_step(task.student)
    students_callbacks = callbacks_of(last)
    forwarded = [
        ForwardedCallback(ranker, callback, seen)
        for callback in callbacks_of(ranker)
        # The others reach sub-estimators by themselves.
        if not isinstance(callback, AutoPropagatedCallback)
    ]
    scores = taught.scores
    if scores is not None and ranker.sampling_rate < 1:
        scores = undo_sampling(scores, ranker.sampling_rate)
    data = replace(
        task.student_data,
        teacher_scores=take_values(scores, task.student_rows),
        sample_weight=_weight_among_all(task.student_data, ranker.sampling_rate),
    )
    last.set_callbacks(*students_callbacks, *forwarded)
    with step.propagate_callback_context(last):
        step.call_on_fit_task_begin(estimator=ranker, **seen)
        last.fit_ranking_data(data, taught.synthetic)
    last.set_callbacks(*students_callbacks)
    last.fitted_with_qid_ = task.has_queries
    step.call_on_fit_task_end(estimator=ranker, **seen)
    return task.student


def calibrate(ranker: Any, task: Distillation) -> Any:
    """A map from the student's scores to probabilities; None without ``calibrate``."""
    data = task.calibration_data
    if data is None:
        return None
    assert data.labels is not None  # rows were held out by their labels
    scores = ranker.student_.predict(select(data.X, task.student_columns))
    weight = _weight_among_all(data, ranker.sampling_rate)
    return fit_calibrator(ranker.calibrate, scores, data.labels, weight)


def positions(table: Any, columns: Any, parameter: str) -> list[int] | None:
    """Positions of the columns that a parameter names; None stays None."""
    return None if columns is None else column_positions(table, columns, parameter)


def select(table: Any, columns: list[int] | None) -> Any:
    """Columns of a table by position; None: all of them."""
    return table if columns is None else take_columns(table, columns)


def _weight_among_all(data: RankingData, sampling_rate: float) -> NDArray[np.float64] | None:
    """Weights as if no negatives had been left out of the table."""
    weight = data.sample_weight
    if sampling_rate == 1 or data.labels is None:
        return weight
    importance = importance_of_sample(data.labels, sampling_rate)
    return importance if weight is None else weight * importance


def _learns_from_teacher(ranker: Any, student: StudentEstimator) -> bool:
    if not isinstance(student, WithObjectives):
        return ranker.alpha > 0
    defaults = inspect.signature(type(ranker)).parameters
    for name in SINGLE_OBJECTIVE_PARAMETERS:
        if getattr(ranker, name) != defaults[name].default:
            raise ValueError(
                f"{name}={getattr(ranker, name)!r} is for students of one objective; the "
                f"student's objectives are {list(student.objectives)}."
            )
    return student.has_teacher_objective


def _check_teacher(ranker: Any, labels: NDArray[np.float64] | None) -> None:
    """Refuse a teacher that cannot be asked, before anything is fitted."""
    if ranker.teacher is not None:
        check_teacher(ranker.teacher)
        return
    unlabelled = labels is not None and bool(np.isnan(labels).all())
    raise ValueError(
        f"alpha={ranker.alpha} gives the teacher a weight, but there is no teacher: pass teacher= "
        "or fit(..., teacher_scores=)" + (", and y is NaN in every row." if unlabelled else ".")
    )


def _split_for_calibration(
    kind: str | None, data: RankingData, seed: int
) -> tuple[NDArray[np.int64] | None, RankingData, RankingData | None]:
    """Rows for the student (None: all of them), their data, and labelled data for a calibrator."""
    if kind is None:
        return None, data, None
    queries = data.queries
    labelled = np.flatnonzero(queries.sum(data.is_labelled.astype(np.int64)) > 0)
    if len(labelled) < 2:
        raise ValueError(
            f"calibrate={kind!r} holds out labelled queries and needs at least 2, got "
            f"{len(labelled)}."
        )
    rng = np.random.default_rng(seed)
    eval_queries = labelled[hold_out(len(labelled), CALIBRATION_FRACTION, rng)[1]]
    train_queries = np.setdiff1d(np.arange(queries.n_queries), eval_queries)
    held_out = data.take_queries(eval_queries)
    held_out = held_out.subset(held_out.is_labelled)
    assert held_out.labels is not None  # some queries are labelled
    check_binary(held_out.labels)
    return queries.take(train_queries)[0], data.take_queries(train_queries), held_out


def _synthesize(fraction: float, task: Distillation, teacher: Any) -> SyntheticRows:
    """As many synthetic rows as two epochs use, as the student sees them, and their scores."""
    if teacher is None:
        raise ValueError(
            f"augment={fraction} asks the teacher about synthetic rows, but only teacher_scores "
            "were given, or alpha is 0."
        )
    table = task.data.X
    columns = task.teacher_columns
    if columns is None:
        columns = list(range(table.shape[1]))
    thresholds = split_thresholds(teacher, len(columns))
    n_rows = round(2 * fraction / (1 - fraction) * table.shape[0]) + 1
    rng = np.random.default_rng(int(task.seeds[3]))
    rows = draw_rows(table, thresholds, columns, n_rows, rng)
    scores = score_rows(teacher, select(rows, task.teacher_columns))
    seen_table = through_head(task.student, select(rows, task.student_columns))
    return SyntheticRows(seen_table, scores, fraction)


def _make_student(ranker: Any, seed: int) -> Any:
    """A clone of the student with the ranker's objective, its parameters checked."""
    student = MLPRanker() if ranker.student is None else clone(ranker.student)
    last = last_step(student)
    if not isinstance(last, StudentEstimator):
        raise TypeError(
            "student must be one of skdistill.students or a subclass of its BaseStudent, alone or "
            f"as the last step of a Pipeline; {type(last).__name__} is neither."
        )
    defaults = inspect.signature(type(last)).parameters
    shared = [name for name in OBJECTIVE_PARAMETERS if name in defaults]
    for name in shared:
        own, default = getattr(last, name), defaults[name].default
        if own != default and own != getattr(ranker, name):
            raise ValueError(
                f"{name} is set by DistilledRanker: the student's {name}={own!r} would be "
                f"overruled by {name}={getattr(ranker, name)!r}."
            )
    last.set_params(**{name: getattr(ranker, name) for name in shared})
    last.check_parameters()
    return student if ranker.random_state is None else _seeded(student, seed)


def _fit_and_score(
    teacher: Any, X: Any, y: Any, offsets: NDArray[np.int64], **options: Any
) -> TeacherScores:
    # Of plain arrays, which hash alike in every process; Queries remember what they computed.
    return fit_and_score(teacher, X, y, Queries(offsets), **options)


def _seeded(estimator: Any, seed: int) -> Any:
    """A clone whose unset random states, at any depth, are set from the seed."""
    if not hasattr(estimator, "get_params") or is_prefit(estimator):
        return estimator
    seeded = clone_or_deepcopy(estimator)
    unset = {
        name: int(seed)
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return seeded.set_params(**unset) if unset else seeded
