"""A student alone or as the last step of a Pipeline, whose head is fitted first."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline


def last_step(student: Any) -> Any:
    """The student itself, or the last step of a Pipeline."""
    return student[-1] if isinstance(student, Pipeline) else student


def fit_head(student: Any, X: Any, y: Any) -> Any:
    """Fit the steps before the student in place, and read the table that the student sees.

    Returns
    -------
    ndarray or CSR matrix of shape (n_rows, n_features), float32
    """
    if isinstance(student, Pipeline) and len(student) > 1:
        head = student[:-1]
        X = head.fit_transform(X, y)
        student.steps = [*head.steps, student.steps[-1]]
    return last_step(student).read_table(X, reset=True)


def through_head(student: Any, X: Any) -> Any:
    """A table as the student sees it, after the fitted steps before it."""
    if isinstance(student, Pipeline) and len(student) > 1:
        return student[:-1].transform(X)
    return X
