"""Rows of a dense, mixed or CSR table, with the two products that models need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill._sklearn_compat import csr_product, csr_transposed_product
from skdistill.inputs.canonical_csr import squared_csr
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.products import product, transposed_product
from skdistill.inputs.queries import positions_within

# A batch of one-hot columns touches few of so many columns: a dense gradient, and an optimizer that
# walks over all of it, would cost more than the batch.
WIDE = 1024
# Rows and values that are copied to float64 at once.
CHUNK_ROWS, CHUNK_VALUES = 1 << 16, 1 << 20


def chunks_of_rows(X: Any) -> Iterator[slice]:
    """Cut the rows of a table into slices that are small beside a large table.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        The table.

    Yields
    ------
    slice
        The next rows.
    """
    n_rows, n_features = X.shape
    values_per_row = X.nnz // max(n_rows, 1) if sparse.issparse(X) else n_features
    step = min(CHUNK_ROWS, max(CHUNK_VALUES // max(values_per_row, 1), 1))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


@dataclass(frozen=True)
class RowGradient:
    """Gradient of a parameter if a batch touches only some of its rows.

    Parameters
    ----------
    rows : ndarray of shape (n_touched,), int64
        Distinct rows of the parameter. The gradient of all other rows is 0.
    values : ndarray of shape (n_touched, ...)
        Gradient of these rows.
    """

    rows: NDArray[np.int64]
    values: NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix, and the two products that a model's first layer needs.

    Parameters
    ----------
    X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features), float32
        Dense rows are C-contiguous. A CSR matrix stores each cell once.
    """

    X: Any

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.X.shape[1])

    @property
    def is_wide(self) -> bool:
        """Whether ``gradient`` returns a ``RowGradient``; the same for all batches of a table."""
        return not isinstance(self.X, np.ndarray) and self.n_features >= WIDE

    def take(self, rows: NDArray[np.integer]) -> Rows:
        """Select rows, in the given order.

        Parameters
        ----------
        rows : ndarray of shape (n_chosen,), integer
            Row numbers; repeats are allowed.

        Returns
        -------
        Rows
        """
        if self._sparse is not None:
            return self._sparse.take(rows)
        # np.take copies whole rows faster than an index does.
        return Rows(np.take(self.X, rows, axis=0))

    @cached_property
    def _sparse(self) -> Rows | None:
        """The rows as an object of the class for tables with one-hot columns; None if dense."""
        matrix = self.X
        if isinstance(matrix, np.ndarray):
            return None
        if isinstance(matrix, MixedTable):
            return MixedRows(matrix)
        return BareRows(matrix.data, matrix.indices, matrix.indptr, self.n_features)

    @cached_property
    def squared(self) -> Rows:
        """The rows with every value squared, which factorization machines need."""
        return Rows(self.X**2) if self._sparse is None else self._sparse.squared

    def dot(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Compute ``X @ weights``.

        Parameters
        ----------
        weights : ndarray of shape (n_features,) or (n_features, n_outputs)
            Weights of a linear layer.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
        """
        if self._sparse is not None or weights.ndim == 1:
            return self.X @ weights
        return product(self.X, weights)

    def square_norms(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Compute ``X**2 @ (weights**2).sum(axis=1)``, which factorization machines need.

        Parameters
        ----------
        weights : ndarray of shape (n_features, n_outputs)
            Weights of a linear layer.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        if self._sparse is not None:
            return self._sparse.square_norms(weights)
        return self.squared.dot(_row_norms(weights))

    def gradient(self, grad_output: NDArray[Any]) -> NDArray[Any] | RowGradient:
        """Compute ``X.T @ grad_output``, the gradient with respect to the weights of ``dot``.

        Parameters
        ----------
        grad_output : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Gradient with respect to the outputs of ``dot``.

        Returns
        -------
        ndarray or RowGradient
            A ``RowGradient`` if ``is_wide``.
        """
        if self._sparse is not None:
            return self._sparse.gradient(grad_output)
        if grad_output.ndim == 1:
            return self.X.T @ grad_output
        return transposed_product(self.X, grad_output)


@dataclass(frozen=True)
class MixedRows(Rows):
    """Rows of numbers and categories.

    Parameters
    ----------
    X : MixedTable of shape (n_rows, n_features), float32
        The table.
    """

    X: MixedTable

    def take(self, rows: NDArray[np.integer]) -> MixedRows:
        return MixedRows(self.X[rows])

    @cached_property
    def squared(self) -> MixedRows:
        return MixedRows(self.X.squared)

    def square_norms(self, weights: NDArray[Any]) -> NDArray[Any]:
        # Weights of few of many codes are needed.
        n_numbers = self.X.numbers.shape[1]
        of_codes = _row_norms(weights[n_numbers + self.X.codes.ravel()])
        of_numbers = self.X.squared.numbers @ _row_norms(weights[:n_numbers])
        return of_numbers + of_codes.reshape(self.X.codes.shape).sum(axis=1)

    def gradient(self, grad_output: NDArray[Any]) -> NDArray[Any] | RowGradient:
        grad = grad_output.reshape(self.n_rows, -1)
        of_numbers = transposed_product(self.X.numbers, grad)
        codes: NDArray[Any] = self.X.codes.ravel()
        n_codes, touched = self.X.n_codes, None
        if self.is_wide:
            touched, codes = distinct(codes, n_codes)
            n_codes = len(touched)
        values = np.concatenate([of_numbers, self.X.sum_by_code(grad, codes, n_codes)])
        values = values.reshape(-1, *grad_output.shape[1:])
        if touched is None:
            return values
        start = len(of_numbers)
        return RowGradient(np.append(np.arange(start), start + touched), values)


class BareRows(Rows):
    """CSR rows as bare arrays.

    Making a matrix object of every batch would cost half of a training step on one-hot ids.

    Parameters
    ----------
    data, indices, indptr : ndarray
        The arrays of the CSR matrix.
    n_columns : int
        Number of columns of the matrix.
    """

    def __init__(
        self, data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], n_columns: int
    ) -> None:
        self.__dict__.update(data=data, indices=indices, indptr=indptr, n_columns=n_columns)

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    n_columns: int

    @cached_property
    def X(self) -> Any:  # type: ignore[override]
        """The rows as a matrix object."""
        shape = (self.n_rows, self.n_columns)
        return sparse.csr_array((self.data, self.indices, self.indptr), shape=shape)

    @property
    def n_rows(self) -> int:
        return len(self.indptr) - 1

    @property
    def n_features(self) -> int:
        return self.n_columns

    @property
    def is_wide(self) -> bool:
        return self.n_columns >= WIDE

    @cached_property
    def _row_length(self) -> int:
        """Number of entries per row if it is the same for all rows, as for ids, else 0."""
        lengths = np.diff(self.indptr)
        is_even = len(lengths) and lengths[0] > 0 and (lengths == lengths[0]).all()
        return int(lengths[0]) if is_even else 0

    def take(self, rows: NDArray[np.integer]) -> BareRows:
        length = self._row_length
        if length:
            data = np.take(self.data.reshape(-1, length), rows, axis=0).ravel()
            indices = np.take(self.indices.reshape(-1, length), rows, axis=0).ravel()
            indptr = np.arange(0, len(data) + 1, length, dtype=self.indptr.dtype)
            return BareRows(data, indices, indptr, self.n_columns)
        starts = self.indptr[rows]
        lengths = self.indptr[rows + 1] - starts
        indptr = np.zeros(len(rows) + 1, dtype=self.indptr.dtype)
        np.cumsum(lengths, out=indptr[1:])
        cells = np.repeat(starts, lengths) + positions_within(lengths)
        return BareRows(self.data[cells], self.indices[cells], indptr, self.n_columns)

    @cached_property
    def squared(self) -> BareRows:
        squared = BareRows(self.data**2, self.indices, self.indptr, self.n_columns)
        if self.is_wide:
            squared.__dict__["_touched"] = self._touched
        return squared

    def square_norms(self, weights: NDArray[Any]) -> NDArray[Any]:
        if not self.is_wide:
            return self.squared.dot(_row_norms(weights))
        # The norms of a million columns would cost more than all else of a step.
        columns, place = self._touched
        norms = _row_norms(weights[columns])[:, None]
        return csr_product(self.data**2, place, self.indptr, len(columns), norms)[:, 0]

    def dot(self, weights: NDArray[Any]) -> NDArray[Any]:
        if weights.ndim == 1 or weights.dtype != self.data.dtype:
            return self.X @ weights
        return csr_product(self.data, self.indices, self.indptr, self.n_columns, weights)

    def gradient(self, grad_output: NDArray[Any]) -> NDArray[Any] | RowGradient:
        if not self.is_wide:
            return self._transposed_dot(self.indices, self.n_columns, grad_output)
        columns, place = self._touched
        return RowGradient(columns, self._transposed_dot(place, len(columns), grad_output))

    @cached_property
    def _touched(self) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Columns that have entries, and the place of each entry's column among them."""
        return distinct(self.indices, self.n_columns)

    def _transposed_dot(
        self, indices: NDArray[Any], n_columns: int, grad_output: NDArray[Any]
    ) -> NDArray[Any]:
        """Multiply the transpose by a gradient, with these column indices of the entries."""
        grad = grad_output.reshape(self.n_rows, -1)
        data = self.data.astype(grad.dtype, copy=False)
        out = csr_transposed_product(data, indices, self.indptr, n_columns, grad)
        return out.reshape(n_columns, *grad_output.shape[1:])


def _row_norms(weights: NDArray[Any]) -> NDArray[Any]:
    """Squared norm of each row."""
    return np.einsum("ij,ij->i", weights, weights)


def distinct(numbers: NDArray[np.integer], n: int) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    """Return the distinct numbers, all below n, in ascending order, and the place of each number.

    Equivalent to ``np.unique(numbers, return_inverse=True)``.
    """
    # Marking the numbers in a boolean table is ten times as fast as sorting them.
    mark = np.zeros(n, dtype=bool)
    mark[numbers] = True
    found = np.flatnonzero(mark)
    place = np.empty(n, dtype=numbers.dtype)
    place[found] = np.arange(len(found), dtype=place.dtype)
    return found, place[numbers]


def square(X: Any) -> Any:
    """Return a table of the same kind with every value squared."""
    if isinstance(X, np.ndarray):
        return X * X
    return X.squared if isinstance(X, MixedTable) else squared_csr(X)
