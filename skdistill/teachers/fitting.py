"""Fit a teacher on the labelled rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.fit_arguments import labelled_validation
from skdistill.teachers.qid_adapter import clone_or_deepcopy
from skdistill.teachers.routing import check_metadata_reaches, fit_routed, is_prefit
from skdistill.user_warnings import warn_user


def check_teacher(teacher: Any) -> None:
    """Check that a teacher can score.

    Parameters
    ----------
    teacher : object
        What the user passed as the teacher.

    Raises
    ------
    TypeError
        If it has no method that scores and is no function, or is a class instead of an instance.
    """
    methods = ("predict", "predict_proba", "decision_function", "__call__")
    if isinstance(teacher, type) or not any(hasattr(teacher, method) for method in methods):
        shown = teacher.__name__ + " (a class)" if isinstance(teacher, type) else repr(teacher)
        way_out = f" Create one: {teacher.__name__}()." if isinstance(teacher, type) else ""
        if isinstance(teacher, str | Path):
            way_out = f" Load a LightGBM file by lightgbm.Booster(model_file={str(teacher)!r})."
        raise TypeError(
            "teacher must be an estimator instance with predict, predict_proba or "
            f"decision_function, or a function of the table, got {shown}.{way_out}"
        )


def warn_of_refit(teacher: Any, role: str = "teacher") -> None:
    """Warn about a fitted estimator that is not frozen: a clone of it is fitted anew."""
    if is_prefit(teacher) or not _is_fitted(teacher):
        return
    name = type(teacher).__name__
    warn_user(
        f"The {role} {name} is fitted already, but will be fitted again, as it is not frozen. "
        f"To use it as it is, freeze the fitted {name}: FrozenEstimator({role}), from "
        "sklearn.frozen. To fit it again without this warning, pass sklearn.clone of it.",
    )


def check_fits_teacher(teacher: Any, *, weighted: bool) -> None:
    """Check a teacher that a log is to be taught by, before it is fitted; warn of a refit.

    Raises
    ------
    TypeError
        If it cannot score.
    ValueError
        If queries or row weights would not reach it.
    """
    check_teacher(teacher)
    check_metadata_reaches(teacher, weighted=weighted)
    warn_of_refit(teacher)


def _is_fitted(teacher: Any) -> bool:
    """Whether an estimator has been fitted; one that needs no fit has not."""
    if not hasattr(teacher, "get_params"):
        return False
    if hasattr(teacher, "is_fitted") and callable(teacher.is_fitted):  # CatBoost
        return bool(teacher.is_fitted())
    try:
        check_is_fitted(teacher)
        return bool(get_tags(teacher).requires_fit)
    except (NotFittedError, TypeError, AttributeError):
        return False


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


def fit_on_labelled(teacher: Any, data: RankingData, validation: RankingData | None = None) -> Any:
    """Fit a clone on the labelled rows, or return the teacher itself if it is prefit.

    ``validation`` is for the teacher's own early stopping.

    Raises
    ------
    TypeError
        If the teacher cannot score.
    ValueError
        If it has to be fitted and no row has a label.
    """
    check_teacher(teacher)
    if is_prefit(teacher):
        return teacher
    return fit_teacher(teacher, labelled_rows(teacher, data), validation)


def fit_teacher(teacher: Any, data: RankingData, validation: RankingData | None = None) -> Any:
    """Fit a clone of the teacher on all rows, with what it requests.

    The labelled rows of ``validation`` are for its own early stopping.
    """
    return fit_routed(clone_or_deepcopy(teacher), data, labelled_validation(validation))


def seeded(estimator: Any, seed: int) -> Any:
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
