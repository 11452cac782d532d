"""All uses of the private API of scikit-learn and SciPy.

A new release of either library can break this API without notice. Fix such breakage here;
``tests/test_architecture.py`` forbids private imports elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import _sparsetools
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing as take
from sklearn.utils._indexing import _get_column_indices as column_indices
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition

__all__ = [
    "BaseComposition",
    "BaseScorer",
    "BaseSearchCV",
    "HasMethods",
    "Interval",
    "StrOptions",
    "callbacks_of",
    "column_indices",
    "csr_product",
    "csr_transposed_product",
    "fit_context",
    "has_callbacks",
    "histogram_tree_splits",
    "take",
    "with_single_callback",
]


def csr_product(
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    n_columns: int,
    weights: NDArray[Any],
) -> NDArray[Any]:
    """Multiply a CSR matrix, given as its three arrays, by a dense matrix.

    ``scipy.sparse`` checks every matrix object that it makes. For a thousand rows of ids this costs
    half of a training step, so that the routine behind it is called directly.
    """
    n_rows = len(indptr) - 1
    out = np.zeros((n_rows, weights.shape[1]), dtype=weights.dtype)
    _sparsetools.csr_matvecs(
        *(n_rows, n_columns, weights.shape[1]),
        *(indptr, indices, data, weights.ravel(), out.ravel()),
    )
    return out


def csr_transposed_product(
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    n_columns: int,
    values: NDArray[Any],
) -> NDArray[Any]:
    """Multiply the transpose of a CSR matrix by a dense matrix with the same number of rows.

    The three arrays of a CSR matrix are those of its transpose in CSC format.
    """
    n_rows = len(indptr) - 1
    out = np.zeros((n_columns, values.shape[1]), dtype=values.dtype)
    _sparsetools.csc_matvecs(
        *(n_columns, n_rows, values.shape[1]),
        *(indptr, indices, data, np.ascontiguousarray(values).ravel(), out.ravel()),
    )
    return out


def callbacks_of(estimator: Any) -> list[Any]:
    """Return the callbacks that a user set on an estimator."""
    return getattr(estimator, "_skl_callbacks", [])


def has_callbacks(estimator: Any) -> bool:
    """Whether an estimator's fit has callbacks, including those of a meta-estimator."""
    return hasattr(estimator, "_skl_callbacks")


def fit_context(estimator: Any, max_subtasks: int) -> Any:
    """Make the context of an estimator's fit, through which its callbacks are called."""
    return estimator._init_callback_context(max_subtasks=max_subtasks)


def with_single_callback(context: Any, callback: Any) -> Any:
    """Return a context of the same task that calls only one callback."""
    narrow = copy.copy(context)
    narrow._callbacks = [callback]
    narrow._propagated_callbacks = []
    return narrow


def histogram_tree_splits(teacher: Any) -> Iterator[tuple[int, float]] | None:
    """Iterate over the numeric splits of a HistGradientBoosting model.

    Returns
    -------
    iterator of (int, float), or None
        Feature and threshold of each split. None for another kind of model.
    """
    if not hasattr(teacher, "_predictors"):
        return None
    return _histogram_tree_splits(teacher)


def _histogram_tree_splits(teacher: Any) -> Iterator[tuple[int, float]]:
    """Yield feature and threshold of each numeric split."""
    column = np.arange(teacher.n_features_in_)
    if teacher.is_categorical_ is not None:
        # Trees see the categorical columns first, whatever their place in the table.
        column = np.argsort(~teacher.is_categorical_, kind="stable")
    for trees in teacher._predictors:
        for tree in trees:
            nodes = tree.nodes
            inner = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)]
            features = column[inner["feature_idx"]]
            yield from zip(features.tolist(), inner["num_threshold"].tolist(), strict=True)
