"""The student of a distillation: a clone of the user's with the objective of the ranker."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.base import clone

from skdistill.inputs.pipelines import last_step
from skdistill.multi_objective import WithObjectives
from skdistill.students import MLPRanker
from skdistill.students.estimator import StudentEstimator
from skdistill.teacher_weight import nominal_alpha
from skdistill.teachers.fitting import seeded

# The student's parameters that DistilledRanker sets.
OBJECTIVE_PARAMETERS = ("loss", "hard_loss", "alpha", "temperature")
# DistilledRanker's parameters that do not apply to a student of several objectives.
SINGLE_OBJECTIVE_PARAMETERS = (
    "calibrate", "sampling_rate", "augment", "alpha", "loss", "hard_loss",
)  # fmt: skip


def make_student(ranker: Any, seed: int) -> Any:
    """Clone the student, set the ranker's objective, and check the parameters."""
    student = MLPRanker() if ranker.student is None else ranker.student
    if not isinstance(last_step(student), StudentEstimator):
        shown = type(last_step(student)).__name__
        if isinstance(student, str):
            shown = f"{student!r}: pass an instance, such as MLPRanker((64, 32))"
        if isinstance(last_step(ranker.teacher), StudentEstimator):
            shown += ", and a student as teacher. The teacher comes first"
        raise TypeError(
            "student must be one of skdistill.students or a subclass of its BaseStudent, alone or "
            f"as the last step of a Pipeline, got {shown}."
        )
    student = clone(student)
    last = last_step(student)
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
    objective = {name: getattr(ranker, name) for name in shared}
    if "alpha" in objective:
        objective["alpha"] = nominal_alpha(ranker.alpha)
    last.set_params(**objective)
    last.verbose = last.verbose or ranker.verbose
    last.check_parameters()
    return student if ranker.random_state is None else seeded(student, seed)


def learns_from_teacher(ranker: Any, student: StudentEstimator) -> bool:
    """Check whether the teacher has any weight, and refuse parameters that do not apply."""
    if not isinstance(student, WithObjectives):
        return nominal_alpha(ranker.alpha) > 0
    defaults = inspect.signature(type(ranker)).parameters
    for name in SINGLE_OBJECTIVE_PARAMETERS:
        if getattr(ranker, name) != defaults[name].default:
            raise ValueError(
                f"{name}={getattr(ranker, name)!r} applies only to students of one objective, but "
                f"the student has the objectives {list(student.objectives)}. Leave out {name}."
            )
    return student.has_teacher_objective
