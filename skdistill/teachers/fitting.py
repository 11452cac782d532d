"""Fit a teacher; only this module depends on how each library takes the queries.

LightGBM takes ``group`` sizes, XGBoost ``qid`` and CatBoost ``group_id``. The signature of ``fit``
decides which of them is passed.
"""

from __future__ import annotations

import copy
from typing import Any

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skdistill.inputs.ranking_data import RankingData


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


def is_prefit(teacher: Any) -> bool:
    """Check whether a teacher is used as it is: it is frozen, or has no ``fit``, like a Booster."""
    return isinstance(teacher, FrozenEstimator) or not hasattr(teacher, "fit")


def clone_or_deepcopy(estimator: Any) -> Any:
    """Clone an estimator, or deep-copy it if ``clone`` refuses it, such as CatBoost with lists."""
    try:
        return clone(estimator)
    except RuntimeError:
        return copy.deepcopy(estimator)


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
    """Fit a clone of the teacher on all rows, and pass it their queries in the form it takes."""
    X, y = data.X, data.labels
    fresh = clone_or_deepcopy(teacher)
    if isinstance(fresh, Pipeline):
        # Step by step, because a Pipeline passes metadata on only if routing is enabled.
        name, last = fresh.steps[-1]
        head = fresh[:-1]
        if len(head):
            X = head.fit_transform(X, y)
        last.fit(X, y, **_fit_arguments(last, data))
        fresh.steps = [*head.steps, (name, last)]
        return fresh
    return fresh.fit(X, y, **_fit_arguments(fresh, data))


def _fit_arguments(estimator: Any, data: RankingData) -> dict[str, Any]:
    """Build the arguments of ``fit`` that describe queries and row weights."""
    queries, weight = data.queries, data.sample_weight
    arguments: dict[str, Any] = {}
    if has_fit_parameter(estimator, "qid"):
        arguments["qid"] = queries.segment
    elif has_fit_parameter(estimator, "group_id"):
        arguments["group_id"] = queries.segment
    elif has_fit_parameter(estimator, "group"):
        arguments["group"] = queries.sizes
    if weight is not None and has_fit_parameter(estimator, "sample_weight"):
        # XGBoost's rankers take one weight per query, all others one per row.
        per_query = type(estimator).__module__.startswith("xgboost") and "qid" in arguments
        arguments["sample_weight"] = queries.mean(weight) if per_query else weight
    return arguments
