"""The model that others speak of: the last step of a Pipeline, or what is frozen."""

from __future__ import annotations

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skdistill._sklearn_compat import BaseSearchCV


def thawed(model: Any) -> Any:
    """Return the model itself, or the one in a FrozenEstimator."""
    return model.estimator if isinstance(model, FrozenEstimator) else model


def last_step(student: Any) -> Any:
    """Return the student itself, or the last step of a Pipeline."""
    return student[-1] if isinstance(student, Pipeline) else student


def with_last_step(student: Any, step: Any) -> Any:
    """Return a Pipeline with another last step, or the step itself if it is no Pipeline."""
    if not isinstance(student, Pipeline):
        return step
    return Pipeline([*student.steps[:-1], (student.steps[-1][0], step)])


def refuse_search(model: Any) -> None:
    """Raise a TypeError if a model is a search, of which only the model that it chose is served."""
    if isinstance(model, BaseSearchCV):
        raise TypeError(
            f"{type(model).__name__} holds the model that it chose, and the results of all others. "
            "Pass the former: search.best_estimator_."
        )
