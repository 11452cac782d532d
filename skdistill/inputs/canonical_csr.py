"""CSR matrices in the one form that the package computes with."""

from __future__ import annotations

from typing import Any

from scipy import sparse


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
