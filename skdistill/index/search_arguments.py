"""Check the arguments of a search, in less time than the search of one query takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array

from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.checks import check_k, check_pair_matrix, refuse_masked


def check_search(
    index: Any, queries: ArrayLike, k: int, exclude: Any, mask: Any
) -> tuple[NDArray[np.float32], int, Any, Any]:
    """Check the arguments of a search; return queries, possible k, exclusion as CSR, and mask.

    Allow-lists are returned as CSR without the excluded items, and then there is no exclusion.
    """
    check_k(k)
    table = queries
    if not _is_ready(queries):
        refuse_masked("queries", queries, "queries.filled(...)")
        table = check_array(
            queries, dtype=np.float32, order="C", ensure_min_samples=0, input_name="queries"
        )
    assert isinstance(table, np.ndarray)
    if table.shape[1] != index.embedding_dim:
        raise ValueError(
            f"queries have {table.shape[1]} dimensions, but the index has {index.embedding_dim}."
        )
    if index.has_offset:
        table = np.column_stack([table, np.ones(len(table), dtype=np.float32)])
    if exclude is not None:
        exclude = _check_pairs("exclude", exclude, (len(table), index.n_items))
    if mask is not None:
        mask = check_mask(mask, len(table), index.n_items)
        if exclude is not None and sparse.issparse(mask):
            mask = mask - mask.multiply(exclude)
            mask.eliminate_zeros()
            exclude = None
    return table, min(int(k), index.n_items), exclude, mask


def check_mask(mask: Any, n_queries: int, n_items: int) -> Any:
    """Check which items may be returned, to all queries or to each.

    Parameters
    ----------
    mask : array-like of shape (n_items,), bool, or sparse (n_queries, n_items)
        What the user passed.
    n_queries, n_items : int
        Expected shape.

    Returns
    -------
    ndarray of shape (n_items,), bool, or CSR matrix of shape (n_queries, n_items), int8
        The entries of the matrix are ones.

    Raises
    ------
    ValueError
        If it has another shape or type.
    """
    if sparse.issparse(mask):
        return _check_pairs("mask", mask, (n_queries, n_items))
    allowed = np.asarray(mask)
    if allowed.shape != (n_items,) or allowed.dtype != bool:
        raise ValueError(
            f"mask must be bool of shape ({n_items},), or a sparse matrix of shape "
            f"({n_queries}, {n_items}), got {allowed.dtype} of shape {allowed.shape}."
        )
    return allowed


def _check_pairs(name: str, pairs: Any, shape: tuple[int, int]) -> Any:
    """Return marked pairs of queries and items as a CSR matrix of ones."""
    check_pair_matrix(name, pairs, shape)
    # A copy of the values alone, and of the structure only where there are stored zeros.
    marked = sparse.csr_array(canonical_csr(pairs))
    is_marked = marked.data != 0
    if not is_marked.all():
        marked = marked.copy()
        marked.eliminate_zeros()
    ones = np.ones(marked.nnz, dtype=np.int8)
    return sparse.csr_array((ones, marked.indices, marked.indptr), shape=shape)


def _is_ready(queries: Any) -> bool:
    """Whether queries need no conversion, at a tenth of the cost of scikit-learn's checks."""
    return (
        type(queries) is np.ndarray
        and queries.dtype == np.float32
        and queries.ndim == 2
        and queries.flags.c_contiguous
        and bool(np.isfinite(queries.sum()))
    )
