"""The weights of categories: which they are, where they start, and how far they are learnt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.credibility import credibilities
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.rows import WIDE, Rows
from skdistill.protocols import Parameters, StudentModel

# Factor of the initial weights of categories. Few rows train the weights of a rare category: what
# they start from is what they add to its scores.
CATEGORY_SCALE = 0.3


def category_parameters(model: StudentModel, X: MixedTable) -> tuple[str, ...]:
    """Name the parameters of a model with one row per input; the last rows are those of categories.

    Parameters
    ----------
    model : StudentModel
    X : MixedTable of shape (n_rows, n_features)
        Rows.

    Returns
    -------
    tuple of str
    """
    return model.row_parameters(Rows(replace(X[:1], n_codes=max(X.n_codes, WIDE))))


def scale_categories(params: Parameters, model: StudentModel, X: Any, factors: Any) -> None:
    """Multiply the weights of categories by factors, in place: a copy of a million rows is large.

    Parameters
    ----------
    params : dict of str to ndarray
        Parameters by name, which nobody else needs.
    model : StudentModel
        Their model.
    X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features)
        Rows. Nothing is done if they have no categories.
    factors : float or ndarray of shape (n_codes,)
        Factor of all categories, or of each.
    """
    if not isinstance(X, MixedTable):
        return
    for name in category_parameters(model, X):
        # Transposed, the last axis is that of the categories, of a vector and of a matrix.
        weights = params[name][-X.n_codes :].T
        weights *= np.asarray(factors, dtype=weights.dtype)


def credibility_of_categories(student: Any, X: Any, data: RankingData) -> NDArray[np.float64]:
    """Return the factor of each category: how far to trust what its queries have in common.

    Parameters
    ----------
    student : StudentEstimator
        It has read the table.
    X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features)
        Its scaled rows.
    data : RankingData
        Their queries, labels and teacher's scores.

    Returns
    -------
    ndarray of shape (n_codes,), float64
        Empty without categories. 1 for all of them if rows are also compared with those of other
        queries: then a category says something by itself.
    """
    if not isinstance(X, MixedTable):
        return np.empty(0)
    if not student.compares_rows:
        return np.ones(X.n_codes)
    # A teacher remembers the noise of its labels, also that of single users: labels come first.
    by_labels = data.is_mostly_labelled or data.teacher_scores is None
    given: Any = data.labels if by_labels else data.teacher_scores
    columns = given.reshape(data.n_rows, -1).T
    targets = [column for column in columns if np.isfinite(column).any()]
    return credibilities(X, student.encoder_.columns_of_codes, data.queries, targets)
