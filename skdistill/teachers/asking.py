"""Asking a teacher: the only place that knows where a library's scores come from.

They come from ``predict``, or from ``predict_proba`` or ``decision_function`` of a classifier.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator

from skdistill.inputs.columns import take_rows
from skdistill.inputs.queries import Queries

# Rows a teacher is asked for at once: LightGBM copies its input to float64.
BLOCK = 1 << 18


def score_rows(teacher: Any, X: Any, queries: Queries | None = None) -> NDArray[np.float64]:
    """Scores of rows by a fitted teacher, in blocks of bounded memory.

    Classifiers give the probability of their second class, or with more classes, which must then
    be numbers, the expected one; without ``predict_proba``, their decision function. A teacher
    whose ``predict`` takes ``qid``, such as an ensemble, is told the queries where they are known.

    Returns
    -------
    ndarray of shape (n_rows,), float64

    Raises
    ------
    ValueError
        When there is not one finite score a row.
    """
    n_rows = X.shape[0]
    if queries is not None and _predicts_by_query(teacher):
        scores = np.asarray(teacher.predict(X, qid=queries.segment), dtype=np.float64)
    elif n_rows <= BLOCK:
        scores = _score_block(teacher, X)
    else:
        scores = np.concatenate(
            [
                _score_block(teacher, take_rows(X, np.arange(start, min(start + BLOCK, n_rows))))
                for start in range(0, n_rows, BLOCK)
            ]
        )
    check_scores(scores, n_rows, f"The teacher {type(teacher).__name__}")
    return scores


def check_scores(scores: NDArray[np.float64], n_rows: int, name: str) -> None:
    """Refuse anything but one finite score a row.

    Raises
    ------
    ValueError
    """
    if scores.shape != (n_rows,):
        raise ValueError(
            f"{name} must give one score a row: expected shape ({n_rows},), got {scores.shape}."
        )
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(
            f"{name} must give finite scores: row {row} (sorted by query) got {scores[row]}."
        )


def _predicts_by_query(teacher: Any) -> bool:
    inner = teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher
    predict = getattr(inner, "predict", None)
    return predict is not None and "qid" in inspect.signature(predict).parameters


def _score_block(teacher: Any, X: Any) -> NDArray[np.float64]:
    classifies = hasattr(teacher, "fit") and is_classifier(teacher)
    if (classifies or not hasattr(teacher, "predict")) and hasattr(teacher, "predict_proba"):
        probability = np.asarray(teacher.predict_proba(X), dtype=np.float64)
        if probability.ndim == 2 and probability.shape[1] == 2:
            return probability[:, 1]
        return probability @ np.asarray(teacher.classes_, dtype=np.float64)
    if (classifies or not hasattr(teacher, "predict")) and hasattr(teacher, "decision_function"):
        return np.asarray(teacher.decision_function(X), dtype=np.float64)
    return np.asarray(teacher.predict(X), dtype=np.float64)
