"""CSR matrices in the one form that the package computes with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Sums of squares of such numbers do not overflow in float32.
MODERATE = 1e18


def canonical_csr(table: Any) -> Any:
    """Return a sparse matrix as CSR that stores each cell once, in the order of the columns.

    In SciPy, a cell may be stored several times: its value is the sum. A function of the stored
    values, such as a square, a softsign or a count, would be wrong then. In another order of the
    columns, sums differ in their last bits, so that equal rows no longer look equal.

    Parameters
    ----------
    table : table of any kind
        A sparse matrix of any format is not changed.

    Returns
    -------
    CSR matrix or table
        The table itself if it is not sparse, or in this form already.
    """
    if not sparse.issparse(table):
        return table
    matrix = table.tocsr()
    if matrix.has_canonical_format:
        return matrix
    if matrix is table:
        matrix = matrix.copy()
    matrix.sum_duplicates()
    return matrix


def csr_rows(matrix: Any, start: int, stop: int) -> Any:
    """Return consecutive rows of a CSR matrix.

    SciPy's slices copy all cells, which takes longer than a product with a vector.

    Parameters
    ----------
    matrix : CSR matrix of shape (n_rows, n_columns)
        It stores each cell once.
    start, stop : int
        First row, and the row after the last.

    Returns
    -------
    CSR array of shape (stop - start, n_columns)
        Its cells are views.
    """
    indptr = matrix.indptr[start : stop + 1]
    cells = slice(indptr[0], indptr[-1])
    return _csr_array(
        matrix.data[cells], matrix.indices[cells], indptr - indptr[0], matrix.shape[1]
    )


def squared_csr(matrix: Any) -> Any:
    """Square the cells of a CSR matrix, each of which is stored once.

    SciPy's methods would look for cells that are stored several times.

    Parameters
    ----------
    matrix : CSR matrix of shape (n_rows, n_columns)
        It is not changed.

    Returns
    -------
    CSR array of shape (n_rows, n_columns)
    """
    return _csr_array(matrix.data * matrix.data, matrix.indices, matrix.indptr, matrix.shape[1])


def _csr_array(data: Any, indices: Any, indptr: Any, n_columns: int) -> Any:
    # The constructor would copy views, and check what comes from a matrix that was checked.
    matrix = sparse.csr_array((len(indptr) - 1, n_columns), dtype=data.dtype)
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix


def cells_are_moderate(matrix: Any) -> bool:
    """Check in one pass whether no cell of a CSR matrix is NaN, infinite or above 1e18.

    Parameters
    ----------
    matrix : CSR matrix of shape (n_rows, n_columns), float32 or float64

    Returns
    -------
    bool
        False also for cells whose squares have a sum above 1e36; then look at each cell.
    """
    cells = matrix.data
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.dot(cells, cells) <= MODERATE**2)


def centred_csr(X: Any, origin: NDArray[np.float64]) -> Any:
    """Subtract an origin per column, in float64; columns with an origin other than 0 become full.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_columns), float32 or float64
    origin : ndarray of shape (n_columns,), float64

    Returns
    -------
    CSR matrix of shape (n_rows, n_columns), float32
    """
    column = X.indices
    data = X.data - origin[column]
    centred = sparse.csr_array((data, column, X.indptr), shape=X.shape)
    far = np.flatnonzero(origin)
    is_stored = sparse.csr_array((np.ones(len(data), bool), column, X.indptr), shape=X.shape)
    row, place = np.nonzero(~is_stored[:, far].toarray())
    if len(row):
        absent = (-origin[far[place]], (row, far[place]))
        centred = centred + sparse.csr_array(absent, shape=X.shape)
    return centred.astype(np.float32)
