"""The steps of ``DistilledRanker.fit``: prepare -> teach -> train -> calibrate.

Each step is a function of the estimator, whose parameters it reads, and of frozen dataclasses.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.callback import AutoPropagatedCallback
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory

from skdistill._sklearn_compat import callbacks_of, check_further_metadata
from skdistill.calibration import (
    check_binary,
    fit_calibrator,
    undo_sampling,
    undo_sampling_in_weights,
)
from skdistill.callbacks import ForwardedCallback
from skdistill.inputs.checks import check_finite, check_sample_weight
from skdistill.inputs.columns import (
    as_table,
    optional_positions,
    select_columns,
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
from skdistill.teachers.columns import positions_among
from skdistill.teachers.crossed_rows import cross_rows
from skdistill.teachers.fitting import check_teacher
from skdistill.teachers.qid_adapter import clone_or_deepcopy
from skdistill.teachers.routing import (
    check_metadata_reaches,
    is_prefit,
    with_students_weights,
)
from skdistill.training.early_stopping import hold_out

# The student's parameters that DistilledRanker sets.
OBJECTIVE_PARAMETERS = ("loss", "hard_loss", "alpha", "temperature")
# DistilledRanker's parameters that do not apply to a student of several objectives.
SINGLE_OBJECTIVE_PARAMETERS = (
    "calibrate", "sampling_rate", "augment", "alpha", "loss", "hard_loss",
)  # fmt: skip
# Fraction of the labelled queries that the calibrator is fitted on.
CALIBRATION_FRACTION = 0.1


class Seeds(NamedTuple):
    """A seed for each random step, so that a change to one step leaves the others alone."""

    student: int
    teacher: int
    folds: int
    synthetic: int
    calibration: int

    @classmethod
    def draw(cls, random_state: Any) -> Seeds:
        """Draw the seeds from a random state."""
        seeds = check_random_state(random_state).randint(2**31 - 1, size=len(cls._fields))
        return cls(*map(int, seeds))


@dataclass(frozen=True)
class DistillationProblem:
    """The checked input of a fit; so far, only the Pipeline steps before the student are fitted.

    Parameters
    ----------
    data : RankingData
        The user's table without the query column, sorted by query. Its teacher scores are those
        that were passed to ``fit``; its labels may be those of several objectives.
    has_queries : bool
        Whether the user passed queries.
    asks_teacher : bool
        Whether the teacher has to score the rows.
    teacher_labels : ndarray of shape (n_rows,) or None
        Labels that the teacher is fitted on.
    student : estimator or Pipeline
        A clone, in which the steps before the student are fitted.
    student_data : RankingData
        Rows that the student is trained on, with the student's checked columns.
    student_rows : ndarray of int64, or None
        Positions of these rows in ``data``; None if the student is trained on all rows.
    calibration_data : RankingData or None
        Labelled rows that the calibrator is fitted on.
    teacher_columns, student_columns : list of int, or None
        Positions of the columns that teacher and student see; None if they see all.
    seeds : Seeds
        One seed per random step, so that the steps are independent of each other.
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
    seeds: Seeds


def prepare(
    ranker: Any,
    X: Any,
    y: Any,
    qid: Any,
    sample_weight: Any,
    teacher_scores: Any,
    metadata: Mapping[str, Any],
) -> DistillationProblem:
    """Check everything, sort the table once, and fit the head of the student's Pipeline."""
    ranker.check_parameters()
    check_further_metadata(ranker, metadata)
    X = as_table(X)
    ranker.check_columns(X, reset=True)
    n_rows = X.shape[0]
    prefit = ranker.teacher is not None and is_prefit(ranker.teacher)
    if y is None and teacher_scores is None and not prefit:
        raise ValueError(
            "DistilledRanker requires y to be passed, but the target y is None and there is "
            "neither a fitted teacher nor teacher_scores. Pass y, a fitted teacher in a "
            "FrozenEstimator, or teacher_scores."
        )
    ids = ranker.check_ids(X, qid, n_rows)
    seeds = Seeds.draw(ranker.random_state)
    student = _make_student(ranker, seeds.student)
    last = last_step(student)
    labels = None if y is None else last.read_labels(y, n_rows)
    weight = check_sample_weight(sample_weight, n_rows)
    if teacher_scores is not None:
        teacher_scores = check_finite("teacher_scores", teacher_scores, n_rows)
    asks_teacher = _learns_from_teacher(ranker, last) and teacher_scores is None
    table = without_query_column(X, ranker.query_column)
    teacher_columns = optional_positions(table, ranker.teacher_columns, "teacher_columns")
    student_columns = optional_positions(table, ranker.student_columns, "student_columns")
    if asks_teacher:
        _check_teacher(ranker, labels, table, teacher_columns, weighted=weight is not None)
    data = RankingData.sort(ids, table, labels, teacher_scores, weight, metadata)
    teacher_labels = data.labels
    if isinstance(last, WithObjectives) and data.labels is not None:
        teacher_labels = labels_for_teacher(
            data.labels, last.label_names, ranker.teacher_target, asks_teacher and not prefit
        )
    student_rows, student_data, calibration_data = _split_for_calibration(
        ranker.calibrate, with_students_weights(data, student), seeds.calibration
    )
    return DistillationProblem(
        data=data,
        has_queries=ids is not None,
        asks_teacher=asks_teacher,
        teacher_labels=teacher_labels,
        student=student,
        student_data=_through_fitted_head(student, student_data, student_columns),
        student_rows=student_rows,
        calibration_data=calibration_data,
        teacher_columns=teacher_columns,
        student_columns=student_columns,
        seeds=seeds,
    )


def teach(
    ranker: Any, problem: DistillationProblem, context: Any, callback_data: dict[str, Any]
) -> TeacherScores:
    """Fit the teacher unless it is prefit, and score all rows with it."""
    if not problem.asks_teacher:
        return TeacherScores(problem.data.teacher_scores, None)
    step = context.subcontext(task_name="fit-teacher")
    step.call_on_fit_task_begin(estimator=ranker, **callback_data)
    teacher = ranker.teacher
    if ranker.random_state is not None:
        teacher = _seeded(teacher, problem.seeds.teacher)
    taught = check_memory(ranker.memory).cache(_fit_and_score)(
        teacher,
        select_columns(problem.data.X, problem.teacher_columns),
        problem.teacher_labels,
        problem.data.queries.offsets,
        sample_weight=problem.data.sample_weight,
        metadata=problem.data.metadata,
        cv=ranker.teacher_cv,
        keep_teacher=ranker.keep_teacher or ranker.augment > 0,
        random_state=None if ranker.teacher_cv is None else problem.seeds.folds,
    )
    step.call_on_fit_task_end(estimator=ranker, **callback_data)
    return taught


def train_student(
    ranker: Any,
    problem: DistillationProblem,
    taught: TeacherScores,
    context: Any,
    callback_data: dict[str, Any],
) -> Any:
    """Train the student, or the last step of its Pipeline, on the teacher and the labels."""
    step = context.subcontext(task_name="fit-student")
    last = last_step(problem.student)
    students_callbacks = callbacks_of(last)
    forwarded = [
        ForwardedCallback(ranker, callback, callback_data)
        for callback in callbacks_of(ranker)
        # An AutoPropagatedCallback reaches the student by itself.
        if not isinstance(callback, AutoPropagatedCallback)
    ]
    synthetic = _synthesize(ranker, problem, taught.teacher) if ranker.augment else None
    scores = taught.scores
    if scores is not None and ranker.sampling_rate < 1:
        scores = undo_sampling(scores, ranker.sampling_rate)
    data = replace(
        problem.student_data,
        teacher_scores=take_values(scores, problem.student_rows),
        sample_weight=undo_sampling_in_weights(
            problem.student_data.sample_weight, problem.student_data.labels, ranker.sampling_rate
        ),
    )
    last.set_callbacks(*students_callbacks, *forwarded)
    try:
        with step.propagate_callback_context(last):
            step.call_on_fit_task_begin(estimator=ranker, **callback_data)
            last.fit_ranking_data(data, synthetic)
    finally:
        last.set_callbacks(*students_callbacks)
    last.fitted_with_qid_ = problem.has_queries
    step.call_on_fit_task_end(estimator=ranker, **callback_data)
    return problem.student


def calibrate(ranker: Any, problem: DistillationProblem, student: Any) -> Any:
    """Fit a map from the student's scores to probabilities; return None without ``calibrate``."""
    data = problem.calibration_data
    if data is None:
        return None
    assert data.labels is not None  # only labelled rows were held out
    scores = student.predict(select_columns(data.X, problem.student_columns))
    weight = undo_sampling_in_weights(data.sample_weight, data.labels, ranker.sampling_rate)
    return fit_calibrator(ranker.calibrate, scores, data.labels, weight)


def _learns_from_teacher(ranker: Any, student: StudentEstimator) -> bool:
    """Check whether the teacher has any weight, and refuse parameters that do not apply."""
    if not isinstance(student, WithObjectives):
        return ranker.alpha > 0
    defaults = inspect.signature(type(ranker)).parameters
    for name in SINGLE_OBJECTIVE_PARAMETERS:
        if getattr(ranker, name) != defaults[name].default:
            raise ValueError(
                f"{name}={getattr(ranker, name)!r} applies only to students of one objective, but "
                f"the student has the objectives {list(student.objectives)}. Leave out {name}."
            )
    return student.has_teacher_objective


def _check_teacher(
    ranker: Any,
    labels: NDArray[np.float64] | None,
    table: Any,
    columns: list[int] | None,
    *,
    weighted: bool,
) -> None:
    """Refuse a teacher that is missing, cannot score, lacks columns, queries or weights."""
    teacher = ranker.teacher
    if teacher is not None:
        check_teacher(teacher)
        check_metadata_reaches(teacher, weighted=weighted)
        if is_prefit(teacher):
            positions_among(teacher, table, columns)
        return
    unlabelled = labels is not None and bool(np.isnan(labels).all())
    raise ValueError(
        f"alpha={ranker.alpha} gives the teacher a weight, but there is no teacher"
        + (", and y is NaN in every row" if unlabelled else "")
        + ". Pass teacher=, or teacher_scores= to fit, or set alpha=0."
    )


def _through_fitted_head(student: Any, data: RankingData, columns: list[int] | None) -> RankingData:
    """Fit the steps before the student, and check that it can take the table and the labels."""
    seen_table = select_columns(data.X, columns)
    data = data.with_table(fit_head(student, seen_table, data.labels))
    last_step(student).check_labels(data)
    return data


def _split_for_calibration(
    kind: str | None, data: RankingData, seed: int
) -> tuple[NDArray[np.int64] | None, RankingData, RankingData | None]:
    """Split the rows between the student and the calibrator.

    Returns the positions of the student's rows (None for all), their data, and the labelled data of
    the calibrator.
    """
    if kind is None:
        return None, data, None
    queries = data.queries
    labelled = np.flatnonzero(queries.sum(data.is_labelled.astype(np.int64)) > 0)
    if len(labelled) < 2:
        raise ValueError(
            f"calibrate={kind!r} holds out labelled queries and needs at least 2, got "
            f"{len(labelled)}. Pass more labels, or set calibrate=None."
        )
    rng = np.random.default_rng(seed)
    eval_queries = labelled[hold_out(len(labelled), CALIBRATION_FRACTION, rng)[1]]
    train_queries = np.setdiff1d(np.arange(queries.n_queries), eval_queries)
    held_out = data.take_queries(eval_queries)
    held_out = held_out.subset(held_out.is_labelled)
    assert held_out.labels is not None  # some queries are labelled
    check_binary(held_out.labels)
    return queries.take(train_queries)[0], data.take_queries(train_queries), held_out


def _synthesize(ranker: Any, problem: DistillationProblem, teacher: Any) -> SyntheticRows:
    """Draw as many synthetic rows as two epochs use, and score them with the teacher."""
    fraction = ranker.augment
    if teacher is None:
        raise ValueError(
            f"augment={fraction} needs a teacher to score synthetic rows, but teacher_scores were "
            "passed or alpha is 0. Set augment=0, or pass teacher= without teacher_scores and with "
            "alpha above 0."
        )
    table = problem.data.X
    n_rows = round(2 * fraction / (1 - fraction) * table.shape[0]) + 1
    rng = np.random.default_rng(problem.seeds.synthetic)
    if ranker.augmentation == "crossed":
        rows = cross_rows(table, problem.data.queries, n_rows, rng)
    else:
        columns = positions_among(teacher, table, problem.teacher_columns)
        rows = draw_rows(table, split_thresholds(teacher, len(columns)), columns, n_rows, rng)
    scores = score_rows(teacher, select_columns(rows, problem.teacher_columns))
    seen_table = through_head(problem.student, select_columns(rows, problem.student_columns))
    return SyntheticRows(seen_table, scores, fraction)


def _make_student(ranker: Any, seed: int) -> Any:
    """Clone the student, set the ranker's objective, and check the parameters."""
    student = MLPRanker() if ranker.student is None else clone(ranker.student)
    last = last_step(student)
    if not isinstance(last, StudentEstimator):
        raise TypeError(
            "student must be one of skdistill.students or a subclass of its BaseStudent, alone or "
            f"as the last step of a Pipeline, got {type(last).__name__}."
        )
    defaults = inspect.signature(type(last)).parameters
    shared = [name for name in OBJECTIVE_PARAMETERS if name in defaults]
    for name in shared:
        given, default = getattr(last, name), defaults[name].default
        if given != default and given != getattr(ranker, name):
            raise ValueError(
                f"{name} is set by DistilledRanker: the student's {name}={given!r} would be "
                f"replaced by {name}={getattr(ranker, name)!r}. Pass {name}={given!r} to "
                "DistilledRanker instead."
            )
    last.set_params(**{name: getattr(ranker, name) for name in shared})
    last.check_parameters()
    return student if ranker.random_state is None else _seeded(student, seed)


def _fit_and_score(
    teacher: Any, X: Any, y: Any, offsets: NDArray[np.int64], **options: Any
) -> TeacherScores:
    # Takes plain arrays, whose hash is the same in every process. Queries cache what they compute.
    return fit_and_score(teacher, X, y, Queries(offsets), **options)


def _seeded(estimator: Any, seed: int) -> Any:
    """Clone an estimator and set its unset random states, at any depth, to the seed."""
    if not hasattr(estimator, "get_params") or is_prefit(estimator):
        return estimator
    seeded = clone_or_deepcopy(estimator)
    unset = {
        name: int(seed)
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return seeded.set_params(**unset) if unset else seeded
