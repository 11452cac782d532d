"""Fit a teacher on the labelled rows of a table."""

from __future__ import annotations

from typing import Any

from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.qid_adapter import clone_or_deepcopy
from skdistill.teachers.routing import fit_routed, is_prefit


def check_teacher(teacher: Any) -> None:
    """Check that a teacher can score.

    Parameters
    ----------
    teacher : object
        What the user passed as the teacher.

    Raises
    ------
    TypeError
        If it has no method that scores, or is a class instead of an instance.
    """
    if isinstance(teacher, type) or not any(
        hasattr(teacher, method) for method in ("predict", "predict_proba", "decision_function")
    ):
        shown = teacher.__name__ + " (a class)" if isinstance(teacher, type) else repr(teacher)
        raise TypeError(
            "teacher must be an estimator instance with predict, predict_proba or "
            f"decision_function, got {shown}."
        )


def labelled_rows(teacher: Any, data: RankingData) -> RankingData:
    """Select the rows that a teacher can be fitted on.

    Raises
    ------
    TypeError
        If the teacher cannot score.
    ValueError
        If no row has a label.
    """
    check_teacher(teacher)
    if not data.is_labelled.any():
        raise ValueError(
            f"y is NaN in all {data.n_rows} rows, so there is nothing to fit the teacher "
            f"{type(teacher).__name__} on. Pass labels, a fitted teacher in a FrozenEstimator, or "
            "teacher_scores."
        )
    return data.subset(data.is_labelled)


def fit_on_labelled(teacher: Any, data: RankingData) -> Any:
    """Fit a clone on the labelled rows, or return the teacher itself if it is prefit.

    Raises
    ------
    TypeError
        If the teacher cannot score.
    ValueError
        If it has to be fitted and no row has a label.
    """
    check_teacher(teacher)
    return teacher if is_prefit(teacher) else fit_teacher(teacher, labelled_rows(teacher, data))


def fit_teacher(teacher: Any, data: RankingData) -> Any:
    """Fit a clone of the teacher on all rows, with what it requests."""
    return fit_routed(clone_or_deepcopy(teacher), data)
