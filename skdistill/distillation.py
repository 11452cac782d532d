"""The first steps of ``DistilledRanker.fit``: prepare -> teach.

The later ones are in ``student_training`` and ``held_out``. Each step is a function of the
estimator, whose parameters it reads, and of frozen dataclasses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory

from skdistill._sklearn_compat import check_further_metadata
from skdistill.held_out import split_for_calibration, students_validation
from skdistill.inputs.checks import check_finite, check_sample_weight
from skdistill.inputs.columns import (
    as_table,
    optional_positions,
    select_columns,
    without_query_column,
)
from skdistill.inputs.leaks import warn_of_leaks
from skdistill.inputs.offsets import check_compares_offset, check_offset
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.row_errors import rows_of_user
from skdistill.inputs.validation import ValidationTable, check_used
from skdistill.multi_objective import WithObjectives, labels_for_teacher
from skdistill.student_setup import learns_from_teacher, make_student
from skdistill.students.estimator import StudentEstimator
from skdistill.students.pipelines import fit_head
from skdistill.teacher_weight import AUTO, check_can_choose, nominal_alpha
from skdistill.teachers import TeacherScores, fit_and_score
from skdistill.teachers.columns import positions_among
from skdistill.teachers.fitting import check_fits_teacher, seeded
from skdistill.teachers.routing import is_prefit
from skdistill.teachers.student_weights import with_students_weights
from skdistill.user_warnings import warn_user


class Seeds(NamedTuple):
    """A seed for each random step, so that a change to one step leaves the others alone."""

    student: int
    teacher: int
    folds: int
    synthetic: int
    calibration: int
    weight: int

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
        Labelled rows that the calibrator is fitted on, with the user's columns.
    validation : RankingData or None
        The validation table without the query column.
    student_validation : RankingData or None
        The same rows with the student's checked columns.
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
    validation: RankingData | None
    student_validation: RankingData | None
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
    validation_table: ValidationTable | None = None,
    offset: Any = None,
) -> DistillationProblem:
    """Check everything, sort the table once, and fit the head of the student's Pipeline."""
    ranker.check_parameters()
    check_further_metadata(ranker, metadata)
    table = _features(ranker, X, reset=True)
    n_rows = table.shape[0]
    prefit = ranker.teacher is not None and is_prefit(ranker.teacher)
    _check_supervision(y, teacher_scores, prefit)
    ids = ranker.check_ids(X, qid, n_rows)
    seeds = Seeds.draw(ranker.random_state)
    student = make_student(ranker, seeds.student)
    last = last_step(student)
    last.fitted_with_qid_ = ids is not None  # known categories depend on it
    labels = None if y is None else last.read_labels(y, n_rows)
    weight = check_sample_weight(sample_weight, n_rows)
    if teacher_scores is not None:
        teacher_scores = check_finite("teacher_scores", teacher_scores, n_rows)
    added = _read_offset(ranker, last, offset, n_rows)
    asks_teacher = learns_from_teacher(ranker, last) and teacher_scores is None
    teacher_columns = optional_positions(table, ranker.teacher_columns, "teacher_columns")
    student_columns = optional_positions(table, ranker.student_columns, "student_columns")
    if asks_teacher:
        _check_teacher(ranker, labels, table, teacher_columns, weighted=weight is not None)
    lists = ranker.queries_without_ids
    data = RankingData.sort(ids, table, labels, teacher_scores, weight, metadata, added, lists)
    teacher_labels = _teachers_labels(ranker, last, data.labels, asks_teacher and not prefit)
    validation = _read_validation(
        ranker, validation_table, last, data, has_queries=ids is not None, asks_teacher=asks_teacher
    )
    student_rows, student_data, calibration_data = split_for_calibration(
        ranker.calibrate, with_students_weights(data, student), validation, seeds.calibration
    )
    student_data = _through_fitted_head(student, student_data, student_columns)
    if ranker.alpha == AUTO:
        check_can_choose(student_data, validation)
    return DistillationProblem(
        data=data,
        has_queries=ids is not None,
        asks_teacher=asks_teacher,
        teacher_labels=teacher_labels,
        student=student,
        student_data=student_data,
        student_rows=student_rows,
        calibration_data=calibration_data,
        validation=validation,
        student_validation=students_validation(student, validation, student_columns),
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
        teacher = seeded(teacher, problem.seeds.teacher)
    taught = _memory(ranker).cache(_fit_and_score)(
        teacher,
        select_columns(problem.data.X, problem.teacher_columns),
        problem.teacher_labels,
        problem.data.queries.offsets,
        _for_teacher(ranker, problem),
        sample_weight=problem.data.sample_weight,
        metadata=problem.data.metadata,
        cv=ranker.teacher_cv,
        keep_teacher=ranker.keep_teacher or ranker.augment > 0,
        random_state=None if ranker.teacher_cv is None else problem.seeds.folds,
    )
    if ranker.verbose:
        print(f"{type(ranker).__name__}: teacher has scored {problem.data.n_rows} rows", flush=True)
    step.call_on_fit_task_end(estimator=ranker, **callback_data)
    return taught


def _check_supervision(y: Any, teacher_scores: Any, prefit: bool) -> None:
    """Refuse a fit that nothing teaches."""
    if y is None and teacher_scores is None and not prefit:
        raise ValueError(
            "DistilledRanker requires y to be passed, but the target y is None. Pass y, a fitted "
            "teacher in a FrozenEstimator, or teacher_scores."
        )


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
    unlabelled = labels is not None and bool(np.isnan(labels).all())
    if teacher is not None:
        if unlabelled and is_prefit(teacher) and nominal_alpha(ranker.alpha) < 1:
            warn_user(
                "y is NaN in every row: the student learns from the teacher's scores alone. Leave "
                "out y, or set alpha=1, if this is meant."
            )
        check_fits_teacher(teacher, weighted=weighted)
        if is_prefit(teacher):
            positions_among(teacher, table, columns)
        return
    raise ValueError(
        f"alpha={ranker.alpha} gives the teacher a weight, but there is no teacher"
        + (", and y is NaN in every row" if unlabelled else "")
        + ". Pass teacher=, or teacher_scores= to fit, or set alpha=0."
    )


def _read_offset(
    ranker: Any, student: StudentEstimator, offset: Any, n_rows: int
) -> NDArray[np.float64] | None:
    """Check the offset; refuse one that would change nothing, or that some rows would not have."""
    if offset is None:
        return None
    check_compares_offset(student.teachers_loss())
    if ranker.augment:
        raise ValueError(
            f"augment={ranker.augment} adds synthetic rows, which have no offset. Leave out "
            "augment or offset."
        )
    return check_offset(offset, n_rows)


def _through_fitted_head(student: Any, data: RankingData, columns: list[int] | None) -> RankingData:
    """Fit the steps before the student, and check that it can take the table and the labels."""
    seen_table = select_columns(data.X, columns)
    warn_of_leaks(seen_table, data.labels, data.teacher_scores)
    with rows_of_user(data.order):
        seen_table = fit_head(student, seen_table, data.labels)
    data = data.with_table(seen_table)
    last_step(student).check_labels(data)
    return data


def _fit_and_score(
    teacher: Any,
    X: Any,
    y: Any,
    offsets: NDArray[np.int64],
    validation: tuple[Any, ...] | None,
    **options: Any,
) -> TeacherScores:
    # Takes plain arrays, whose hash is the same in every process. Queries cache what they compute.
    if validation is not None:
        X_val, offsets_val, y_val, weight_val = validation
        queries = Queries(offsets_val)
        options["validation"] = RankingData(X_val, queries, labels=y_val, sample_weight=weight_val)
    return fit_and_score(teacher, X, y, Queries(offsets), **options)


def _teachers_labels(
    ranker: Any, student: StudentEstimator, labels: NDArray[np.float64] | None, is_fitted_on: bool
) -> NDArray[np.float64] | None:
    """Choose the labels of the teacher among those of several objectives."""
    if labels is None or not isinstance(student, WithObjectives):
        return labels
    return labels_for_teacher(labels, student.label_names, ranker.teacher_target, is_fitted_on)


def _for_teacher(ranker: Any, problem: DistillationProblem) -> tuple[Any, ...] | None:
    """Return the validation table with the teacher's columns and labels, as plain arrays."""
    data = problem.validation
    if data is None:
        return None
    labels = _teachers_labels(ranker, last_step(problem.student), data.labels, False)
    table = select_columns(data.X, problem.teacher_columns)
    return table, data.queries.offsets, labels, data.sample_weight


def _read_validation(
    ranker: Any,
    table: ValidationTable | None,
    student: StudentEstimator,
    data: RankingData,
    *,
    has_queries: bool,
    asks_teacher: bool,
) -> RankingData | None:
    """Check the validation table and that it has a use, and sort its rows; None without one."""
    if table is None:
        return None
    fits_teacher = asks_teacher and not is_prefit(ranker.teacher)
    check_used(bool(student.early_stopping) or fits_teacher or ranker.calibrate is not None)
    return table.read(
        lambda X: _features(ranker, X, reset=False),
        student.read_labels,
        query_column=ranker.query_column,
        has_queries=has_queries,
        scores_follow=asks_teacher,
        has_offset=data.offset is not None,
        without_ids=ranker.queries_without_ids,
    )


def _features(ranker: Any, X: Any, reset: bool) -> Any:
    """Check the columns of a table, and return it without the query column."""
    X = as_table(X)
    ranker.check_columns(X, reset=reset)
    return without_query_column(X, ranker.query_column)


def _memory(ranker: Any) -> Any:
    """Return the cache of the teacher's scores; scikit-learn's check does not know paths."""
    memory = ranker.memory
    return check_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory)
