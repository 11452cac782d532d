"""Fit a teacher and score the training rows with it, in-fold or out-of-fold by query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, check_cv

from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.validation import in_validation_table
from skdistill.teachers.asking import score_rows
from skdistill.teachers.fitting import (
    check_teacher,
    fit_on_labelled,
    fit_teacher,
    labelled_rows,
)
from skdistill.teachers.routing import check_metadata_reaches, is_prefit


@dataclass(frozen=True)
class TeacherScores:
    """A teacher's scores of the rows of a table.

    Attributes
    ----------
    scores : ndarray of shape (n_rows,), float64, or None
        One score per row; higher is better. None if nothing has scored the rows.
    teacher : estimator or None
        The teacher, fitted on all labelled rows. None if no teacher was fitted on all of them.
    validation_scores : ndarray of shape (n_val,), float64, or None
        The teacher's scores of the validation rows; None if there are none.
    """

    scores: NDArray[np.float64] | None
    teacher: Any
    validation_scores: NDArray[np.float64] | None = None


def fit_and_score(
    teacher: Any,
    X: Any,
    y: NDArray[np.float64] | None,
    queries: Queries,
    *,
    sample_weight: NDArray[np.float64] | None = None,
    metadata: Mapping[str, Any] | None = None,
    cv: Any = None,
    keep_teacher: bool = True,
    random_state: int | None = None,
    validation: RankingData | None = None,
) -> TeacherScores:
    """Fit a clone of the teacher, unless it is prefit, and score every row.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        The teacher. A ``FrozenEstimator``, a ``Booster`` and a function are used as they are.
    X : table of shape (n_rows, n_features)
        The teacher's columns, sorted by query.
    y : ndarray of shape (n_rows,), float64, or None
        Relevance. Rows with NaN are scored, but the teacher is not fitted on them.
    queries : Queries
        Segments of the rows.
    sample_weight : ndarray of shape (n_rows,), optional
        Row weights of the teacher, unless it declines them by
        ``set_fit_request(sample_weight=False)``.
    metadata : dict, optional
        Further arguments of the teacher's ``fit`` by name; it must request them by
        ``set_fit_request``. Arrays with an entry per row are sliced like the rows.
    cv : int, splitter or iterable of splits, optional
        Score the labelled rows out-of-fold. An int makes this number of shuffled folds by query.
    keep_teacher : bool, default=True
        With ``cv``, also fit a teacher on all labelled rows.
    random_state : int, optional
        Seed of the shuffled folds.
    validation : RankingData, optional
        Rows that are scored by the teacher of all labelled rows. Their labels, if there are any,
        are handed to the early stopping of every teacher that is fitted.

    Returns
    -------
    TeacherScores
        The scores, and the fitted teacher.

    Raises
    ------
    TypeError
        If the teacher cannot score.
    ValueError
        If the teacher has to be fitted and no row has a label, or takes no ``sample_weight`` and
        there is one, if ``cv`` is invalid or given for a prefit teacher, or if a score is not
        finite.
    """
    check_teacher(teacher)
    check_metadata_reaches(teacher, weighted=sample_weight is not None)
    X = canonical_csr(X)
    data = RankingData(X, queries, labels=y, sample_weight=sample_weight, metadata=metadata or {})
    if cv is None:
        fitted = fit_on_labelled(teacher, data, validation)
        scores = score_rows(fitted, data.X, queries)
        return TeacherScores(scores, fitted, _scores_of(fitted, validation))
    if is_prefit(teacher):
        raise ValueError(
            f"teacher_cv={cv!r} fits the teacher once per fold, but {type(teacher).__name__} is "
            "already fitted and used as it is. Set teacher_cv=None, or pass an unfitted teacher."
        )
    labelled = labelled_rows(teacher, data)
    scores = np.full(data.n_rows, np.nan)
    scores[data.is_labelled] = out_of_fold_scores(teacher, labelled, cv, random_state, validation)
    unscored = np.isnan(scores)
    fitted = None
    if keep_teacher or unscored.any() or validation is not None:
        fitted = fit_teacher(teacher, labelled, validation)
    if unscored.any():
        rest = data.subset(unscored)
        scores[unscored] = score_rows(fitted, rest.X, rest.queries)
    return TeacherScores(scores, fitted, _scores_of(fitted, validation))


def _scores_of(teacher: Any, validation: RankingData | None) -> NDArray[np.float64] | None:
    """Score the validation rows, if there are any."""
    if validation is None:
        return None
    with in_validation_table():
        return score_rows(teacher, validation.X, validation.queries)


def out_of_fold_scores(
    teacher: Any,
    data: RankingData,
    cv: Any,
    random_state: int | None,
    validation: RankingData | None = None,
) -> NDArray[np.float64]:
    """Score each row by a teacher that was not fitted on its query.

    Parameters
    ----------
    teacher : estimator or Pipeline
        Cloned and fitted once per fold.
    data : RankingData
        Labelled rows.
    cv : int, splitter or iterable of splits
        An int makes this number of shuffled folds by query.
    random_state : int or None
        Seed of the shuffled folds.
    validation : RankingData or None
        Rows for the early stopping of each fold's teacher.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        NaN for rows that are in no test fold.

    Raises
    ------
    ValueError
        If there are fewer than two folds, or more folds than queries.
    """
    assert data.labels is not None  # the caller passes labelled rows only
    queries = data.queries
    splitter = cv
    if isinstance(cv, int | np.integer):
        if not 2 <= cv <= queries.n_queries:
            raise ValueError(
                f"teacher_cv={cv} must be between 2 and the number of labelled queries, because "
                f"folds hold whole queries; there are {queries.n_queries} labelled queries."
            )
        splitter = GroupKFold(cv, shuffle=True, random_state=random_state)
    scores = np.full(data.n_rows, np.nan)
    for train, test in check_cv(splitter).split(data.X, data.labels, queries.segment):
        fold = fit_teacher(teacher, data.subset(_mask(train, data.n_rows)), validation)
        is_held_out = _mask(test, data.n_rows)
        held_out = data.subset(is_held_out)
        scores[is_held_out] = score_rows(fold, held_out.X, held_out.queries)
    return scores


def _mask(rows: NDArray[np.int64], n_rows: int) -> NDArray[np.bool_]:
    """Turn row numbers into a boolean mask."""
    mask = np.zeros(n_rows, dtype=bool)
    mask[rows] = True
    return mask
