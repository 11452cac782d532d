"""Students of stages: the objective that they learn by, and whether bids enter it."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from skdistill.cascade.spec import FirstTrees, StageSpec
from skdistill.inputs.offsets import check_compares_offset, check_keeps_unit
from skdistill.inputs.pipelines import last_step
from skdistill.losses import PlackettLuce
from skdistill.ranker import DistilledRanker
from skdistill.student_setup import make_student
from skdistill.students.estimator import StudentEstimator
from skdistill.teachers.routing import is_prefit
from skdistill.towers.estimator import TowerEstimator

# Places of the teacher's order that students without a loss of their own learn: a stage returns a
# set, for which the ten places of the default are too few.
PLACES = 30


def is_student(model: Any) -> bool:
    """Whether a model learns lists of rows by itself or in a DistilledRanker."""
    return isinstance(model, DistilledRanker) or isinstance(last_step(model), StudentEstimator)


def around_student(student: Any, alpha: float, seed: int) -> DistilledRanker:
    """Make a DistilledRanker of a student, with the objective that the student has set."""
    last = last_step(student)
    names = ("loss", "hard_loss", "alpha", "temperature")
    defaults = signature(type(last)).parameters
    own = {
        name: getattr(last, name)
        for name in names
        if name in defaults and getattr(last, name) != defaults[name].default
    }
    default = {"alpha": alpha, "loss": PlackettLuce(PLACES)}
    return DistilledRanker(student=student, random_state=seed, **{**default, **own})


def taught_with_offset(
    name: str, ranker: DistilledRanker, target: NDArray[np.float64], offset: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the scores that a student is taught, and the offset if its loss compares rows.

    Labels contain no bid, and a loss of single rows learns the target with or without one. The
    log-odds of ``expit(target)`` are the target.

    Parameters
    ----------
    name : str
        Name of the stage, for messages.
    ranker : DistilledRanker
        With the student and its loss.
    target : ndarray of shape (n_rows,), float64
        Such as log-probabilities.
    offset : ndarray of shape (n_rows,), float64
        In the same unit.

    Returns
    -------
    target : ndarray of shape (n_rows,), float64
    offset : ndarray of shape (n_rows,), float64, or None

    Raises
    ------
    ValueError
        If the student's scores have another unit than an offset, or it is also trained on rows that
        have none.
    """
    loss = last_step(make_student(ranker, 0)).teachers_loss()
    if loss is None:
        return target, None
    if loss.is_log_odds:
        return expit(target), None
    try:
        check_compares_offset(loss)
    except ValueError as error:
        raise ValueError(f"The stage {name!r} takes no offset: {error}") from error
    if ranker.augment:
        raise ValueError(
            f"The stage {name!r} takes no offset: augment={ranker.augment} adds synthetic rows, "
            "which belong to no item. Leave out augment or offset."
        )
    # A constant does not matter, and what is below 0 is not taken for a probability.
    return target - target.max(), offset


def check_unit_of_stages(specs: list[StageSpec], alpha: float) -> None:
    """Refuse stages whose scores have another unit than an offset, before anything is fitted.

    Parameters
    ----------
    specs : list of StageSpec
        The stages.
    alpha : float
        Weight of the teacher for students that have none of their own.

    Raises
    ------
    ValueError
        As :func:`taught_with_offset`, or if towers learn the order of the scores alone.
    """
    for name, retriever in specs[0].model.items():
        if isinstance(retriever, TowerEstimator):
            loss = retriever.make_pair_objective().teacher_loss
            try:
                if loss is not None:
                    check_keeps_unit(loss)
            except ValueError as error:
                raise ValueError(f"The retriever {name!r} takes no offset: {error}") from error
    nothing = np.zeros(1)
    for name, model in ((spec.name, spec.model) for spec in specs[1:]):
        if isinstance(model, str | FirstTrees) or is_prefit(model) or not is_student(model):
            continue
        is_ranker = isinstance(model, DistilledRanker)
        ranker = model if is_ranker else around_student(model, alpha, 0)
        taught_with_offset(name, ranker, nothing, nothing)
