"""The later steps of ``DistilledRanker.fit``: gather rows -> weigh the teacher -> train."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.callback import AutoPropagatedCallback

from skdistill._sklearn_compat import callbacks_of
from skdistill.calibration import undo_sampling, undo_sampling_in_weights
from skdistill.callbacks import ForwardedCallback
from skdistill.distillation import DistillationProblem
from skdistill.inputs.columns import select_columns, take_values
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.ranking_data import RankingData, SyntheticRows
from skdistill.students.pipelines import through_head
from skdistill.teacher_weight import AUTO, ChosenAlpha, choose_alpha
from skdistill.teachers import TeacherScores
from skdistill.teachers.asking import warn_of_unit
from skdistill.teachers.augmentation import synthesize


@dataclass(frozen=True)
class StudentRows:
    """What the student learns from.

    Parameters
    ----------
    data : RankingData
        Rows with the teacher's scores.
    synthetic : SyntheticRows or None
        Rows that nobody has labelled.
    validation : RankingData or None
        Rows by which training stops early.
    """

    data: RankingData
    synthetic: SyntheticRows | None
    validation: RankingData | None


def gather_rows(ranker: Any, problem: DistillationProblem, taught: TeacherScores) -> StudentRows:
    """Join the student's rows with the teacher's scores, and draw synthetic ones."""
    synthetic = _synthesize(ranker, problem, taught.teacher) if ranker.augment else None
    scores = taught.scores
    if scores is not None and ranker.sampling_rate < 1:
        scores = undo_sampling(scores, ranker.sampling_rate)
    if problem.asks_teacher and problem.data.offset is not None and scores is not None:
        warn_of_unit(ranker.teacher, scores)
    data = replace(
        problem.student_data,
        teacher_scores=take_values(scores, problem.student_rows),
        sample_weight=undo_sampling_in_weights(
            problem.student_data.sample_weight, problem.student_data.labels, ranker.sampling_rate
        ),
    )
    validation = problem.student_validation
    if validation is not None and taught.validation_scores is not None:
        validation = replace(validation, teacher_scores=taught.validation_scores)
    return StudentRows(data, synthetic, validation)


def weigh_teacher(ranker: Any, problem: DistillationProblem, rows: StudentRows) -> ChosenAlpha:
    """Choose the weight of the teacher, unless it is given, and set it in the student."""
    if ranker.alpha != AUTO:
        return ChosenAlpha(ranker.alpha, None)
    last = last_step(problem.student)
    chosen = choose_alpha(last, rows.data, rows.synthetic, rows.validation, problem.seeds.weight)
    last.set_params(alpha=chosen.alpha)
    if ranker.verbose:
        found = ", ".join(f"{alpha}: {score:.4f}" for alpha, score in (chosen.scores or {}).items())
        print(f"{type(ranker).__name__}: alpha={chosen.alpha} of {found}", flush=True)
    return chosen


def train_student(
    ranker: Any,
    problem: DistillationProblem,
    rows: StudentRows,
    context: Any,
    callback_data: dict[str, Any],
) -> Any:
    """Train the student, or the last step of its Pipeline, on the teacher and the labels."""
    step = context.subcontext(task_name="fit-student")
    last = last_step(problem.student)
    students_callbacks = callbacks_of(last)
    forwarded = [
        ForwardedCallback(ranker, callback, callback_data, problem.student)
        for callback in callbacks_of(ranker)
        # An AutoPropagatedCallback reaches the student by itself.
        if not isinstance(callback, AutoPropagatedCallback)
    ]
    last.set_callbacks(*students_callbacks, *forwarded)
    try:
        with step.propagate_callback_context(last):
            step.call_on_fit_task_begin(estimator=ranker, **callback_data)
            last.fit_ranking_data(rows.data, rows.synthetic, rows.validation)
    finally:
        last.set_callbacks(*students_callbacks)
    last.fitted_with_offset_ = rows.data.offset is not None
    step.call_on_fit_task_end(estimator=ranker, **callback_data)
    return problem.student


def _synthesize(ranker: Any, problem: DistillationProblem, teacher: Any) -> SyntheticRows:
    """Draw as many synthetic rows as two epochs use, and score them with the teacher."""
    fraction, table = ranker.augment, problem.data.X
    rows, scores = synthesize(
        teacher,
        table,
        problem.data.queries,
        problem.teacher_columns,
        kind=ranker.augmentation,
        n_rows=round(2 * fraction / (1 - fraction) * table.shape[0]) + 1,
        rng=np.random.default_rng(problem.seeds.synthetic),
    )
    seen_table = through_head(problem.student, select_columns(rows, problem.student_columns))
    return SyntheticRows(seen_table, scores, fraction)
