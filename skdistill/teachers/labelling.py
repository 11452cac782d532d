"""Turning rows into teacher scores: the only place that knows what a teacher wants and offers.

Libraries disagree on how queries are told (LightGBM wants ``group`` sizes, XGBoost ``qid``,
CatBoost ``group_id``) and on where scores come from (``predict``, ``predict_proba``,
``decision_function``). Both are read off the estimator.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skdistill.columns import take_rows
from skdistill.queries import Queries

# Rows a teacher is asked for at once: LightGBM copies its input to float64.
BLOCK = 1 << 18


@dataclass(frozen=True)
class Labels:
    """Scores of the rows, and the teacher fitted on all of them (None where not needed)."""

    scores: NDArray[np.float64]
    teacher: Any


def label(
    teacher: Any,
    X: Any,
    y: NDArray[np.float64] | None,
    queries: Queries,
    *,
    sample_weight: NDArray[np.float64] | None = None,
    cv: Any = None,
    keep_teacher: bool = True,
    random_state: int | None = None,
) -> Labels:
    """Fit a clone of the teacher, unless it is fitted for good, and score every row.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator or ``lightgbm.Booster``
    X : table of shape (n_rows, n_features)
        Sorted by query.
    y : ndarray of shape (n_rows,) or None
        NaN where unknown: such rows are scored, not learnt from.
    queries : Queries
    sample_weight : ndarray of shape (n_rows,), optional
        Passed to teachers whose ``fit`` takes it.
    cv : int, splitter or iterable of splits, optional
        Out-of-fold scores of the labelled rows; an int makes that many shuffled folds by query.
    keep_teacher : bool, default=True
        With ``cv``, also fit a teacher on all rows.
    random_state : int, optional
        Of the shuffled folds.

    Returns
    -------
    Labels

    Raises
    ------
    TypeError
        When the teacher has no way to score.
    ValueError
        When it needs labels and there are none, and when its scores are not finite.
    """
    if is_fitted_for_good(teacher) and cv is not None:
        raise ValueError(
            f"teacher_cv={cv!r} fits the teacher once a fold, but {type(teacher).__name__} "
            "is not to be fitted. Leave teacher_cv=None."
        )
    if cv is None:
        fitted = fit_on_labelled(teacher, X, y, queries, sample_weight)
        return Labels(score_rows(fitted, X, queries), fitted)
    n_rows = queries.n_rows
    known = _labelled_rows(teacher, y, n_rows)
    assert y is not None  # some rows are labelled
    scores = np.full(n_rows, np.nan)
    for train, test in _splits(cv, X, y, queries, known, random_state):
        chosen = np.zeros(n_rows, dtype=bool)
        chosen[train] = True
        fold = fit_teacher(teacher, X, y, queries, chosen, sample_weight)
        chosen = np.zeros(n_rows, dtype=bool)
        chosen[test] = True
        rows = np.flatnonzero(chosen)
        scores[rows] = score_rows(fold, take_rows(X, rows), queries.subset(chosen))
    fitted = None
    unscored = np.isnan(scores)
    if keep_teacher or unscored.any():
        fitted = fit_teacher(teacher, X, y, queries, known, sample_weight)
    if unscored.any():
        rest = take_rows(X, np.flatnonzero(unscored))
        scores[unscored] = score_rows(fitted, rest, queries.subset(unscored))
    return Labels(scores, fitted)


def fit_on_labelled(
    teacher: Any,
    X: Any,
    y: NDArray[np.float64] | None,
    queries: Queries,
    sample_weight: NDArray[np.float64] | None,
) -> Any:
    """A clone fitted on the labelled rows; a teacher that is fitted for good, itself.

    Raises
    ------
    TypeError
        When the teacher has no way to score.
    ValueError
        When it needs labels and there are none.
    """
    check_teacher(teacher)
    if is_fitted_for_good(teacher):
        return teacher
    known = _labelled_rows(teacher, y, queries.n_rows)
    assert y is not None  # some rows are labelled
    return fit_teacher(teacher, X, y, queries, known, sample_weight)


def _labelled_rows(teacher: Any, y: NDArray[np.float64] | None, n_rows: int) -> NDArray[np.bool_]:
    check_teacher(teacher)
    known = np.zeros(n_rows, dtype=bool) if y is None else ~np.isnan(y)
    if not known.any():
        raise ValueError(
            f"y is NaN in all {n_rows} rows, so there is nothing to fit the teacher "
            f"{type(teacher).__name__} on. Pass labels, a FrozenEstimator, or teacher_scores."
        )
    return known


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


def is_fitted_for_good(teacher: Any) -> bool:
    """Whether the teacher is used as it is: frozen, or without a fit, as a Booster."""
    return isinstance(teacher, FrozenEstimator) or not hasattr(teacher, "fit")


def fit_teacher(
    teacher: Any,
    X: Any,
    y: NDArray[np.float64],
    queries: Queries,
    chosen: NDArray[np.bool_],
    sample_weight: NDArray[np.float64] | None,
) -> Any:
    """A clone of the teacher, fitted on the chosen rows, told their queries in its own words."""
    rows = None
    if not chosen.all():
        rows = np.flatnonzero(chosen)
        X, y, queries = take_rows(X, rows), y[rows], queries.subset(chosen)
        sample_weight = None if sample_weight is None else sample_weight[rows]
    fresh = fresh_copy(teacher)
    if isinstance(fresh, Pipeline):
        # Fitted step by step: a Pipeline hands metadata on only where routing is enabled.
        name, last = fresh.steps[-1]
        head = fresh[:-1]
        if len(head):
            X = head.fit_transform(X, y)
        last.fit(X, y, **_fit_arguments(last, queries, sample_weight))
        fresh.steps = [*head.steps, (name, last)]
        return fresh
    return fresh.fit(X, y, **_fit_arguments(fresh, queries, sample_weight))


def fresh_copy(estimator: Any) -> Any:
    """An unfitted copy; what ``clone`` refuses (CatBoost with lists) is deep-copied."""
    try:
        return clone(estimator)
    except RuntimeError:
        return copy.deepcopy(estimator)


def _fit_arguments(
    estimator: Any, queries: Queries, sample_weight: NDArray[np.float64] | None
) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if has_fit_parameter(estimator, "qid"):
        arguments["qid"] = queries.segment
    elif has_fit_parameter(estimator, "group_id"):
        arguments["group_id"] = queries.segment
    elif has_fit_parameter(estimator, "group"):
        arguments["group"] = queries.sizes
    if sample_weight is not None and has_fit_parameter(estimator, "sample_weight"):
        # XGBoost's rankers want one weight a query where the others want one a row.
        per_query = type(estimator).__module__.startswith("xgboost") and "qid" in arguments
        arguments["sample_weight"] = queries.mean(sample_weight) if per_query else sample_weight
    return arguments


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


def _splits(
    cv: Any,
    X: Any,
    y: NDArray[np.float64],
    queries: Queries,
    known: NDArray[np.bool_],
    random_state: int | None,
) -> Any:
    """Training and test rows of each fold, among the labelled rows, as row numbers of X."""
    rows = np.flatnonzero(known)
    groups: ArrayLike = queries.segment[rows]
    splitter = cv
    if isinstance(cv, int | np.integer):
        n_queries = len(np.unique(groups))
        if not 2 <= cv <= n_queries:
            raise ValueError(
                f"teacher_cv={cv} folds by query need at least 2 folds and as many labelled "
                f"queries as folds; there are {n_queries}."
            )
        splitter = GroupKFold(cv, shuffle=True, random_state=random_state)
    for train, test in check_cv(splitter).split(take_rows(X, rows), y[rows], groups):
        yield rows[train], rows[test]
