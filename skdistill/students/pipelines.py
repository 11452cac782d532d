"""Students as the last step of a Pipeline, whose other steps (its head) are fitted first."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from skdistill.inputs.pipelines import last_step


def fit_head(student: Any, X: Any, y: Any) -> Any:
    """Fit the steps before the student in place, and return the table that the student sees.

    Parameters
    ----------
    student : StudentEstimator or Pipeline
        Unfitted; the steps before the last are fitted.
    X : table of shape (n_rows, n_columns)
        Input of the first step.
    y : ndarray of shape (n_rows,) or (n_rows, n_label_objectives), or None
        Labels, for steps that use them.

    Returns
    -------
    ndarray or CSR matrix of shape (n_rows, n_features), float32
        The checked output of the last step before the student.
    """
    if isinstance(student, Pipeline) and len(student) > 1:
        head = student[:-1]
        X = head.fit_transform(X, y)
        student.steps = [*head.steps, student.steps[-1]]
    return last_step(student).read_table(X, reset=True)


def through_head(student: Any, X: Any) -> Any:
    """Transform a table by the fitted steps before the student."""
    if isinstance(student, Pipeline) and len(student) > 1:
        return student[:-1].transform(X)
    return X
