"""Get scores from a teacher; only this module depends on how each library provides them.

Scores come from ``predict``, or from ``predict_proba`` or ``decision_function`` of a classifier.
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

# Rows that a teacher scores at once, to bound the memory: LightGBM copies its input to float64.
BLOCK = 1 << 18


def score_rows(teacher: Any, X: Any, queries: Queries | None = None) -> NDArray[np.float64]:
    """Score rows with a fitted teacher, in blocks of bounded memory.

    The score of a classifier with two classes is the probability of the second. With more classes,
    which must then be numbers, it is the expected class. Without ``predict_proba``, it is the
    decision function.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator or ``lightgbm.Booster``
        Fitted; it has ``predict``, ``predict_proba`` or ``decision_function``.
    X : table of shape (n_rows, n_features)
        The columns that the teacher was fitted on, sorted by query if ``queries`` is given.
    queries : Queries, optional
        Segments of the rows. A teacher whose ``predict`` takes ``qid``, such as an ensemble, then
        scores all rows at once and gets their queries.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        One score per row; higher is better.

    Raises
    ------
    ValueError
        If the teacher does not give one finite score per row.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdistill.teachers import score_rows
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> teacher = LogisticRegression().fit(X, [0, 0, 1])
    >>> score_rows(teacher, X).round(2).tolist()
    [0.19, 0.32, 0.49]
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
    """Check that there is one finite score per row.

    Parameters
    ----------
    scores : ndarray, float64
        What a teacher returned.
    n_rows : int
        Expected number of scores.
    name : str
        Who scored, as the subject of the error message.

    Raises
    ------
    ValueError
        If the shape is not (n_rows,), or a score is NaN or infinite.
    """
    if scores.shape != (n_rows,):
        raise ValueError(
            f"{name} must give one score per row: expected shape ({n_rows},), got {scores.shape}."
        )
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(
            f"{name} must give finite scores, but the score of row {row} (sorted by query) is "
            f"{scores[row]}."
        )


def _predicts_by_query(teacher: Any) -> bool:
    """Check whether a teacher's ``predict`` takes ``qid``."""
    inner = teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher
    predict = getattr(inner, "predict", None)
    return predict is not None and "qid" in inspect.signature(predict).parameters


def _score_block(teacher: Any, X: Any) -> NDArray[np.float64]:
    """Score one block of rows with whichever method the teacher has."""
    classifies = hasattr(teacher, "fit") and is_classifier(teacher)
    if (classifies or not hasattr(teacher, "predict")) and hasattr(teacher, "predict_proba"):
        probability = np.asarray(teacher.predict_proba(X), dtype=np.float64)
        if probability.ndim == 2 and probability.shape[1] == 2:
            return probability[:, 1]
        return probability @ np.asarray(teacher.classes_, dtype=np.float64)
    if (classifies or not hasattr(teacher, "predict")) and hasattr(teacher, "decision_function"):
        return np.asarray(teacher.decision_function(X), dtype=np.float64)
    return np.asarray(teacher.predict(X), dtype=np.float64)
