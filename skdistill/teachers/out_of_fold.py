"""Scores of a teacher that is fitted here: in-fold, or out-of-fold by query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, check_cv

from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.asking import score_rows
from skdistill.teachers.fitting import fit_on_labelled, fit_teacher, is_prefit, labelled_rows


@dataclass(frozen=True)
class TeacherScores:
    """What a teacher says of the rows of a table.

    Attributes
    ----------
    scores : ndarray of shape (n_rows,), float64
    teacher : estimator or None
        Fitted on all labelled rows; None if it is not needed.
    """

    scores: NDArray[np.float64]
    teacher: Any


def fit_and_score(
    teacher: Any,
    X: Any,
    y: NDArray[np.float64] | None,
    queries: Queries,
    *,
    sample_weight: NDArray[np.float64] | None = None,
    cv: Any = None,
    keep_teacher: bool = True,
    random_state: int | None = None,
) -> TeacherScores:
    """Fit a clone of the teacher, unless it is fitted already, and score every row.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator or ``lightgbm.Booster``
    X : table of shape (n_rows, n_features)
        Sorted by query.
    y : ndarray of shape (n_rows,) or None
        NaN where unknown: such rows are scored, and the teacher does not learn from them.
    queries : Queries
    sample_weight : ndarray of shape (n_rows,), optional
        Passed to teachers whose ``fit`` takes it.
    cv : int, splitter or iterable of splits, optional
        Score the labelled rows out of fold; an int makes that many shuffled folds by query.
    keep_teacher : bool, default=True
        With ``cv``, also fit a teacher on all labelled rows.
    random_state : int, optional
        Of the shuffled folds.

    Returns
    -------
    TeacherScores

    Raises
    ------
    TypeError
        If the teacher has no way to score.
    ValueError
        If it needs labels and there are none, and if its scores are not finite.
    """
    data = RankingData(X, queries, labels=y, sample_weight=sample_weight)
    if cv is None:
        fitted = fit_on_labelled(teacher, data)
        return TeacherScores(score_rows(fitted, X, queries), fitted)
    if is_prefit(teacher):
        raise ValueError(
            f"teacher_cv={cv!r} fits the teacher once per fold, but {type(teacher).__name__} is "
            "fitted already. Leave teacher_cv=None."
        )
    labelled = labelled_rows(teacher, data)
    scores = np.full(data.n_rows, np.nan)
    scores[data.is_labelled] = out_of_fold_scores(teacher, labelled, cv, random_state)
    unscored = np.isnan(scores)
    fitted = None
    if keep_teacher or unscored.any():
        fitted = fit_teacher(teacher, labelled)
    if unscored.any():
        rest = data.subset(unscored)
        scores[unscored] = score_rows(fitted, rest.X, rest.queries)
    return TeacherScores(scores, fitted)


def out_of_fold_scores(
    teacher: Any, data: RankingData, cv: Any, random_state: int | None
) -> NDArray[np.float64]:
    """Score of each row by a teacher that has not seen its query.

    NaN for rows that no fold tests.

    Raises
    ------
    ValueError
        If there are more folds than queries.
    """
    assert data.labels is not None  # the caller has kept the labelled rows
    queries = data.queries
    splitter = cv
    if isinstance(cv, int | np.integer):
        if not 2 <= cv <= queries.n_queries:
            raise ValueError(
                f"teacher_cv={cv} splits the labelled queries into folds. It needs at least 2 "
                f"folds and at least as many queries; there are {queries.n_queries}."
            )
        splitter = GroupKFold(cv, shuffle=True, random_state=random_state)
    scores = np.full(data.n_rows, np.nan)
    for train, test in check_cv(splitter).split(data.X, data.labels, queries.segment):
        fold = fit_teacher(teacher, data.subset(_mask(train, data.n_rows)))
        is_held_out = _mask(test, data.n_rows)
        held_out = data.subset(is_held_out)
        scores[is_held_out] = score_rows(fold, held_out.X, held_out.queries)
    return scores


def _mask(rows: NDArray[np.int64], n_rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(n_rows, dtype=bool)
    mask[rows] = True
    return mask
