"""Get scores from a teacher; only this module depends on how each library provides them.

Scores come from ``predict``, or from ``predict_proba`` or ``decision_function`` of a classifier.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skdistill.inputs.alignment import check_index
from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.columns import column_names, take_rows
from skdistill.inputs.offsets import are_probabilities
from skdistill.inputs.pipelines import last_step, thawed
from skdistill.inputs.queries import Queries
from skdistill.students.pipelines import through_head
from skdistill.students.probabilities import ScoringClassifierTags
from skdistill.teachers.boosters import is_xgboost_booster, xgboost_scores
from skdistill.teachers.columns import refuse_times, teacher_table
from skdistill.user_warnings import warn_user

# Rows that a teacher scores at once, to bound the memory: LightGBM copies its input to float64.
BLOCK = 1 << 18


def score_rows(teacher: Any, X: Any, queries: Queries | None = None) -> NDArray[np.float64]:
    """Score rows with a fitted teacher, in blocks of bounded memory.

    The score of a classifier with two classes is the probability of the second. With more classes,
    which must then be numbers, it is the expected class. Without ``predict_proba``, it is the
    decision function.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        Fitted; it has ``predict``, ``predict_proba`` or ``decision_function``. A Booster is one of
        LightGBM or XGBoost, and may be the last step of a Pipeline; a callable takes the table and
        returns a score per row.
    X : table of shape (n_rows, n_features)
        The columns that the teacher was fitted on, sorted by query if ``queries`` is given. If both
        have names, columns are matched by name: the table may have further columns, in any order.
        Otherwise they are matched by position.
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
        If the table lacks a column of the teacher, or the teacher does not give one finite score
        per row.

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
    scores = unchecked_scores(teacher, X, queries)
    check_scores(scores, X.shape[0], name_of(teacher), lambda row: f"row {row} (sorted by query)")
    return scores


def unchecked_scores(teacher: Any, X: Any, queries: Queries | None = None) -> NDArray[np.float64]:
    """Score rows as :func:`score_rows`, without a check of the scores.

    Returns
    -------
    ndarray, float64
        Of shape (n_rows,) and finite unless the teacher is at fault; see :func:`check_scores`.
    """
    table = teacher_table(teacher, canonical_csr(X))
    try:
        return _scores_of_table(teacher, table, queries)
    except Exception as error:
        refuse_times(teacher, table)  # of which LightGBM and NumPy say something else
        error.add_note(_what_was_asked(teacher, table))
        raise


def _what_was_asked(teacher: Any, table: Any) -> str:
    """Say which table a teacher got that failed, since libraries speak of the table alone."""
    names = column_names(table)
    columns = f"{table.shape[1]} columns"
    if names is not None:
        columns += f": {', '.join(map(repr, names[:20]))}{', ...' if len(names) > 20 else ''}"
    library = type(table).__module__.partition(".")[0]
    said = f"{name_of(teacher)} was given a {library} {type(table).__name__} with {columns}."
    model = getattr(teacher, "__self__", None)
    if hasattr(model, "predict"):
        said += (
            f" It is a method of {type(model).__name__}. Pass FrozenEstimator(model) instead: its "
            "columns and categories are then matched with those of the table."
        )
    elif not hasattr(teacher, "predict"):
        said += (
            " A function gets the columns of X as they are. If it needs columns that the student "
            "should not read, pass all of them, and name those of the student in student_columns."
        )
    return said


def _scores_of_table(teacher: Any, table: Any, queries: Queries | None) -> NDArray[np.float64]:
    """Score the columns that a teacher reads."""
    n_rows = table.shape[0]
    if queries is not None and predicts_by_query(teacher):
        predict = getattr(teacher, "predict", teacher)
        answer = predict(table, qid=queries.segment)
        return _as_scores(answer, table, teacher)
    if n_rows <= BLOCK:
        return _score_block(teacher, table)
    starts = range(0, n_rows, BLOCK)
    blocks = (np.arange(start, min(start + BLOCK, n_rows)) for start in starts)
    return np.concatenate([_score_block(teacher, take_rows(table, block)) for block in blocks])


def name_of(teacher: Any) -> str:
    """Name a teacher as the subject of an error message."""
    model = thawed(teacher)
    return f"The teacher {getattr(model, '__name__', type(model).__name__)}"


def warn_of_unit(teacher: Any, scores: NDArray[np.float64]) -> None:
    """Warn about a teacher whose scores cannot be log-probabilities, to which an offset is added.

    A classifier gives probabilities or log-odds, and a function of the user gives what it says.
    """
    gives_logits = hasattr(teacher, "fit") and is_classifier(teacher)
    if are_probabilities(scores) or gives_logits or not hasattr(teacher, "predict"):
        return
    warn_user(
        f"{name_of(teacher)} gives scores from {scores.min():.3g} to {scores.max():.3g}, to which "
        "offset is added as to log-probabilities. The scores of a ranker have another unit, in "
        "which a log bid means nothing. Use a classifier as teacher, or pass log-probabilities as "
        "teacher_scores.",
    )


def check_scores(
    scores: NDArray[np.float64], n_rows: int, name: str, locate: Callable[[int], str]
) -> None:
    """Check that there is one finite score per row.

    Parameters
    ----------
    scores : ndarray, float64
        What a teacher returned.
    n_rows : int
        Expected number of scores.
    name : str
        Who scored, as the subject of the error message.
    locate : callable
        ``locate(row)`` says where the user finds a row.

    Raises
    ------
    ValueError
        If the shape is not (n_rows,), or a score is NaN or infinite.
    """
    if scores.shape != (n_rows,):
        raise ValueError(
            f"{name} must give one score per row: expected shape ({n_rows},), got {scores.shape}. "
            "Of several classes or outputs, pass a function that returns the one to rank by, such "
            "as lambda X: teacher.predict(X)[:, 1]."
        )
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(
            f"{name} must give finite scores, but the score of {locate(row)} is {scores[row]}."
        )


def predicts_by_query(teacher: Any) -> bool:
    """Check whether a teacher's ``predict`` takes ``qid``."""
    inner = thawed(teacher)
    predict = getattr(inner, "predict", inner if callable(inner) else None)
    return predict is not None and "qid" in inspect.signature(predict).parameters


def _score_block(teacher: Any, X: Any) -> NDArray[np.float64]:
    """Score one block of rows with whichever method the teacher has.

    The last step of a Pipeline is asked for itself, so that it may be a Booster, and gets its
    columns and categories.
    """
    model = thawed(teacher)
    if isinstance(model, Pipeline) and len(model) > 1:
        return unchecked_scores(last_step(model), through_head(model, X))
    has_scores = hasattr(teacher, "predict") and not _predicts_classes(teacher)
    if not has_scores and hasattr(teacher, "predict_proba"):
        probability = _as_array(teacher.predict_proba(X), X, teacher)
        if probability.ndim == 2 and probability.shape[1] == 2:
            return probability[:, 1]
        if probability.ndim < 2 or (probability.shape[1] == 1 and _has_two_classes(teacher)):
            return probability.ravel()
        return probability @ np.asarray(teacher.classes_, dtype=np.float64)
    if not has_scores and hasattr(teacher, "decision_function"):
        return _as_scores(teacher.decision_function(X), X, teacher)
    if is_xgboost_booster(teacher):
        return _as_scores(xgboost_scores(teacher, X), X, teacher)
    predict = getattr(teacher, "predict", teacher)
    return _as_scores(predict(X), X, teacher)


def _has_two_classes(teacher: Any) -> bool:
    """Whether a single probability, as nets return it, is that of the second of two classes."""
    return len(getattr(teacher, "classes_", (0, 1))) == 2


def _predicts_classes(teacher: Any) -> bool:
    """Check whether ``predict`` of a teacher returns classes."""
    if not (hasattr(teacher, "fit") and is_classifier(teacher)):
        return False
    return not isinstance(get_tags(teacher).classifier_tags, ScoringClassifierTags)


def _as_scores(answer: Any, X: Any, teacher: Any) -> NDArray[np.float64]:
    """Return a teacher's scores as an array; nets of Keras and torch answer with a column."""
    scores = _as_array(answer, X, teacher)
    return scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 1 else scores


def _as_array(answer: Any, X: Any, teacher: Any) -> NDArray[np.float64]:
    """Return a teacher's answer as an array; a pandas answer must have the index of the table."""
    check_index(answer, X, name_of(teacher))
    return np.asarray(answer, dtype=np.float64)
