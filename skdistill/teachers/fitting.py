"""Fitting a teacher: the only place that knows how each library is told the queries.

LightGBM wants ``group`` sizes, XGBoost ``qid``, CatBoost ``group_id``. What an estimator takes is
read off the signature of its ``fit``.
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
    """Refuse what can't score.

    Raises
    ------
    TypeError
    """
    if isinstance(teacher, type) or not any(
        hasattr(teacher, method) for method in ("predict", "predict_proba", "decision_function")
    ):
        shown = teacher.__name__ + " (a class)" if isinstance(teacher, type) else repr(teacher)
        raise TypeError(
            "teacher must be an estimator with predict, predict_proba or decision_function, "
            f"got {shown}."
        )


def is_prefit(teacher: Any) -> bool:
    """Whether a teacher is used as it is: frozen, or without a ``fit``, like a Booster."""
    return isinstance(teacher, FrozenEstimator) or not hasattr(teacher, "fit")


def clone_or_deepcopy(estimator: Any) -> Any:
    """An unfitted copy; what ``clone`` refuses, such as CatBoost with lists, is deep-copied."""
    try:
        return clone(estimator)
    except RuntimeError:
        return copy.deepcopy(estimator)


def labelled_rows(teacher: Any, data: RankingData) -> RankingData:
    """The rows that a teacher can be fitted on.

    Raises
    ------
    TypeError
        If the teacher has no way to score.
    ValueError
        If no row has a label.
    """
    check_teacher(teacher)
    if not data.is_labelled.any():
        raise ValueError(
            f"y is NaN in all {data.n_rows} rows, so there is nothing to fit the teacher "
            f"{type(teacher).__name__} on. Pass labels, a FrozenEstimator, or teacher_scores."
        )
    return data.subset(data.is_labelled)


def fit_on_labelled(teacher: Any, data: RankingData) -> Any:
    """A clone fitted on the labelled rows, or the teacher itself if it is fitted already.

    Raises
    ------
    TypeError
        If the teacher has no way to score.
    ValueError
        If it needs labels and there are none.
    """
    check_teacher(teacher)
    return teacher if is_prefit(teacher) else fit_teacher(teacher, labelled_rows(teacher, data))


def fit_teacher(teacher: Any, data: RankingData) -> Any:
    """A clone of the teacher, fitted on all rows and told their queries in its own way."""
    X, y = data.X, data.labels
    fresh = clone_or_deepcopy(teacher)
    if isinstance(fresh, Pipeline):
        # Fitted step by step: a Pipeline passes metadata on only where routing is enabled.
        name, last = fresh.steps[-1]
        head = fresh[:-1]
        if len(head):
            X = head.fit_transform(X, y)
        last.fit(X, y, **_fit_arguments(last, data))
        fresh.steps = [*head.steps, (name, last)]
        return fresh
    return fresh.fit(X, y, **_fit_arguments(fresh, data))


def _fit_arguments(estimator: Any, data: RankingData) -> dict[str, Any]:
    queries, weight = data.queries, data.sample_weight
    arguments: dict[str, Any] = {}
    if has_fit_parameter(estimator, "qid"):
        arguments["qid"] = queries.segment
    elif has_fit_parameter(estimator, "group_id"):
        arguments["group_id"] = queries.segment
    elif has_fit_parameter(estimator, "group"):
        arguments["group"] = queries.sizes
    if weight is not None and has_fit_parameter(estimator, "sample_weight"):
        # XGBoost's rankers want one weight per query where the others want one per row.
        per_query = type(estimator).__module__.startswith("xgboost") and "qid" in arguments
        arguments["sample_weight"] = queries.mean(weight) if per_query else weight
    return arguments
