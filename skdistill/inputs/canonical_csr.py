"""CSR matrices in the one form that the package computes with."""

from __future__ import annotations

from typing import Any


def canonical_csr(matrix: Any) -> Any:
    """Return a sparse matrix as CSR that stores each cell once, in the order of the columns.

    In SciPy, a cell may be stored several times: its value is the sum. A function of the stored
    values, such as a square, a softsign or a count, would be wrong then. In another order of the
    columns, sums differ in their last bits, so that equal rows no longer look equal.

    Parameters
    ----------
    matrix : sparse matrix of any format
        It is not changed.

    Returns
    -------
    CSR matrix
        The matrix itself if it is in this form already.
    """
    if matrix.format != "csr":
        matrix = matrix.tocsr()
    if matrix.has_canonical_format:
        return matrix
    matrix = matrix.copy()
    matrix.sum_duplicates()
    return matrix
