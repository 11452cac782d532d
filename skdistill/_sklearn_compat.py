"""All uses of the private API of scikit-learn and SciPy.

A new release of either library can break this API without notice. Fix such breakage here;
``tests/test_architecture.py`` forbids private imports elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import _sparsetools
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing as take
from sklearn.utils._indexing import _get_column_indices as column_indices
from sklearn.utils._metadata_requests import SIMPLE_METHODS
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRequest,
    _raise_for_params,
    _RoutingNotSupportedMixin,
    process_routing,
)
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.validation import _check_method_params

__all__ = [
    "SIMPLE_METHODS",
    "BaseComposition",
    "BaseScorer",
    "BaseSearchCV",
    "DocumentationLink",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "add_csr_product",
    "callbacks_of",
    "check_further_metadata",
    "column_indices",
    "csr_product",
    "csr_transposed_product",
    "fit_context",
    "has_callbacks",
    "histogram_tree_splits",
    "is_router",
    "own_request",
    "power_scaler",
    "requests_set_aside",
    "take",
    "take_metadata",
    "with_single_callback",
    "without_callbacks",
]


# Where the documentation is published; setup.cfg names the same address.
DOCUMENTATION = "https://skdistill.readthedocs.io/en/stable/"


class DocumentationLink:
    """Base class of estimators whose HTML diagram links to the reference of this package."""

    _doc_link_module = "skdistill"
    _doc_link_template = f"{DOCUMENTATION}reference/{{estimator_module}}.{{estimator_name}}.html"


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
    out = np.zeros((len(indptr) - 1, weights.shape[1]), dtype=weights.dtype)
    add_csr_product(data, indices, indptr, n_columns, weights, out)
    return out


def add_csr_product(
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    n_columns: int,
    weights: NDArray[Any],
    out: NDArray[Any],
) -> None:
    """Add the product of a CSR matrix and a dense matrix to ``out``, which is C-contiguous."""
    _sparsetools.csr_matvecs(
        *(len(indptr) - 1, n_columns, weights.shape[1]),
        *(indptr, indices, data, weights.ravel(), out.ravel()),
    )


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


def own_request(estimator: Any) -> MetadataRequest:
    """Return a copy of what an estimator itself requests, without its sub-estimators."""
    if hasattr(estimator, "_get_metadata_request"):
        return estimator._get_metadata_request().__sklearn_clone__()
    return MetadataRequest(owner=estimator)


def is_router(estimator: Any) -> bool:
    """Whether an estimator routes metadata to others, such as a Pipeline or a search."""
    routing = getattr(type(estimator), "get_metadata_routing", None)
    consumers = BaseEstimator.get_metadata_routing, _RoutingNotSupportedMixin.get_metadata_routing
    return routing is not None and routing not in consumers


@contextmanager
def requests_set_aside(model: Any) -> Iterator[None]:
    """Remove the metadata requests that were set on an estimator and its parts, for a while.

    Since they refer to their owner, no file can hold them.
    """
    holders = list(_holders_of_requests(model, set()))
    requests = [attributes.pop("_metadata_request") for attributes in holders]
    try:
        yield
    finally:
        for attributes, request in zip(holders, requests, strict=True):
            attributes["_metadata_request"] = request


def _holders_of_requests(value: Any, seen: set[int]) -> Iterator[dict[str, Any]]:
    """Iterate over the attributes of all estimators in a value that hold requests."""
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    parts: list[Any] = []
    if isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, list | tuple):
        parts = list(value)
    elif hasattr(value, "_get_metadata_request") or type(value).__module__.startswith("sklearn."):
        attributes = getattr(value, "__dict__", {})
        if "_metadata_request" in attributes:
            yield attributes
        parts = [part for name, part in attributes.items() if name != "_metadata_request"]
    for part in parts:
        yield from _holders_of_requests(part, seen)


def check_further_metadata(estimator: Any, metadata: Mapping[str, Any]) -> None:
    """Check that the sub-estimators of an estimator request these keyword arguments of ``fit``.

    Raises
    ------
    TypeError, ValueError
        scikit-learn's errors: routing is off, or a name is unknown or not requested. LightGBM's
        ``group`` and ``eval_set`` get errors that say what to pass instead.
    """
    if "group" in metadata and not get_config()["enable_metadata_routing"]:
        raise TypeError(
            "fit takes a query id per row, qid, and not the numbers of rows of the queries, group. "
            "Pass qid=np.repeat(np.arange(len(group)), group)."
        )
    validation = sorted(name for name in metadata if name.startswith("eval_"))
    if validation and not get_config()["enable_metadata_routing"]:
        raise TypeError(
            f"fit takes a validation table as X_val, y_val and qid_val, and not as {validation}. "
            "Teachers with early stopping of their own get it as well. What else a teacher's fit "
            "takes is passed on after sklearn.set_config(enable_metadata_routing=True)."
        )
    if metadata:
        _raise_for_params(metadata, estimator, "fit")
        process_routing(estimator, "fit", **metadata)


def take_metadata(
    metadata: Mapping[str, Any], rows: NDArray[np.int64], n_rows: int
) -> dict[str, Any]:
    """Select rows of the metadata that have ``n_rows`` entries; others are kept as they are."""
    return _check_method_params(range(n_rows), metadata, rows)


def callbacks_of(estimator: Any) -> list[Any]:
    """Return the callbacks that a user set on an estimator."""
    return getattr(estimator, "_skl_callbacks", [])


def has_callbacks(estimator: Any) -> bool:
    """Whether an estimator's fit has callbacks, including those of a meta-estimator."""
    return hasattr(estimator, "_skl_callbacks")


def fit_context(estimator: Any, max_subtasks: int) -> Any:
    """Make the context of an estimator's fit, through which its callbacks are called."""
    return estimator._init_callback_context(max_subtasks=max_subtasks)


def without_callbacks(estimator: Any) -> Any:
    """Return a shallow copy of an estimator without its callbacks and the state of their fit."""
    bare = copy.copy(estimator)
    for name in list(vars(bare)):
        if name.startswith("_skl_callbacks") or name.endswith(("_callback_ctx", "_fit_ctx")):
            delattr(bare, name)
    return bare


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


def power_scaler(transformer: Any) -> Any:
    """Return the scaler behind a PowerTransformer; None if it does not standardise."""
    return transformer._scaler if transformer.standardize else None
