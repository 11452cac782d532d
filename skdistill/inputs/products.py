"""Products of many rows with a small matrix, in strips of rows that OpenBLAS does not pack."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows that are scored, or trained on, at once. They and their activations fit into the second-level
# cache; larger blocks are slower.
BLOCK_ROWS = 448
# Up to this number of multiplications, OpenBLAS does not pack its operands, which is a fifth
# faster. For weights larger than LARGEST, the strips would have so few rows that they cost more.
UNPACKED = 1_000_000
LARGEST = UNPACKED // 64


def row_blocks(n_rows: int) -> Iterator[slice]:
    """Yield slices of up to ``BLOCK_ROWS`` rows."""
    for start in range(0, n_rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, n_rows))


@cache
def strip_rows(n_weights: int) -> int:
    """Return the number of rows of a strip, for a matrix of ``n_weights`` numbers."""
    if not 0 < n_weights <= LARGEST:
        return BLOCK_ROWS
    n_strips = -(-BLOCK_ROWS // (UNPACKED // n_weights))
    # A power of two divides a block, so that a row's place in its strip, and with it the last bits
    # of its result, do not depend on the number of rows.
    return BLOCK_ROWS >> (n_strips - 1).bit_length()


def product(
    X: NDArray[Any], weights: NDArray[Any], out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Compute ``X @ weights``; one call of NumPy does all strips.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_inputs)
        Rows, C-contiguous.
    weights : ndarray of shape (n_inputs, n_outputs)
        The small matrix.
    out : ndarray of shape (n_rows, n_outputs), optional
        Array for the result, C-contiguous; a new one by default.

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
    """
    rows = strip_rows(weights.size)
    if len(X) <= rows:
        # The same product as np.matmul, in two thirds of the time for one row.
        return np.dot(X, weights, out)
    if out is None:
        out = np.empty((len(X), weights.shape[1]), dtype=np.result_type(X, weights))
    whole = len(X) // rows * rows
    strips = X[:whole].reshape(whole // rows, rows, X.shape[1])
    np.matmul(strips, weights, out=out[:whole].reshape(whole // rows, rows, out.shape[1]))
    if whole < len(X):
        np.matmul(X[whole:], weights, out=out[whole:])
    return out


def transposed_product(X: NDArray[Any], grad: NDArray[Any]) -> NDArray[Any]:
    """Compute ``X.T @ grad``, a sum over strips.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_inputs)
        Rows, C-contiguous.
    grad : ndarray of shape (n_rows, n_outputs)
        Gradient with respect to ``X @ weights``, C-contiguous.

    Returns
    -------
    ndarray of shape (n_inputs, n_outputs)
    """
    n_weights = X.shape[1] * grad.shape[1]
    rows = strip_rows(n_weights)
    if len(X) <= rows or n_weights > LARGEST:
        return X.T @ grad
    whole = len(X) // rows * rows
    strips = X[:whole].reshape(whole // rows, rows, X.shape[1])
    grads = grad[:whole].reshape(whole // rows, rows, grad.shape[1])
    total: NDArray[Any] = np.matmul(strips.transpose(0, 2, 1), grads).sum(axis=0)
    if whole < len(X):
        total += X[whole:].T @ grad[whole:]
    return total
