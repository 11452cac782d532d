"""What a model reads: rows of a dense or CSR matrix behind one pair of products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill._sklearn_compat import csr_product, csr_transposed_product
from skdistill.inputs.queries import positions_within

# From this many columns on a CSR batch touches so few of them that a dense gradient, and an
# optimiser that walks over all of it, would cost more than the batch itself.
WIDE = 1024
# Rows that are scored at once. They and their activations fit the second-level cache; larger blocks
# are slower, not faster.
BLOCK_ROWS = 448
# Rows of which a float64 copy is made at once.
CHUNK_ROWS = 1 << 16


@dataclass(frozen=True)
class RowGradient:
    """Gradient of a parameter of which a batch touched only some rows.

    Parameters
    ----------
    rows : ndarray of shape (n_touched,), int64
        Each row once.
    values : ndarray of shape (n_touched, ...)
    """

    rows: NDArray[np.int64]
    values: NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """A table of n_rows x n_features, dense and C-contiguous or CSR.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_rows, n_features)
    """

    X: Any

    @property
    def n_rows(self) -> int:
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.X.shape[1])

    @property
    def is_wide(self) -> bool:
        """Whether gradients come row by row: for every batch of a table alike."""
        return sparse.issparse(self.X) and self.n_features >= WIDE

    def take(self, rows: NDArray[np.integer]) -> Rows:
        """Some rows, in this order."""
        if sparse.issparse(self.X):
            return self._bare.take(rows)
        return Rows(self.X[rows])

    @cached_property
    def _bare(self) -> BareRows:
        matrix = self.X
        return BareRows(matrix.data, matrix.indices, matrix.indptr, self.n_features)

    @cached_property
    def squared(self) -> Rows:
        """The same rows with every value squared, as the factorization machine wants them."""
        return self._bare.squared if sparse.issparse(self.X) else Rows(self.X**2)

    def dot(self, weights: NDArray[Any]) -> NDArray[Any]:
        """X @ weights."""
        return self.X @ weights

    def gradient(self, grad_output: NDArray[Any]) -> NDArray[Any] | RowGradient:
        """X.T @ grad_output: the gradient of ``weights`` in ``dot``."""
        if sparse.issparse(self.X):
            return self._bare.gradient(grad_output)
        return self.X.T @ grad_output


class BareRows(Rows):
    """A batch of CSR rows as its three arrays.

    Making a matrix object of every batch would cost half of a training step over ids.

    Parameters
    ----------
    data, indices, indptr : ndarray
    n_columns : int
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
        """The same as a matrix object."""
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
        """Entries of every row where all have as many, as ids do; else 0."""
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
        return BareRows(self.data**2, self.indices, self.indptr, self.n_columns)

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
        """Columns with any entry, and the place among them of each entry's."""
        return distinct(self.indices, self.n_columns)

    def _transposed_dot(
        self, indices: NDArray[Any], n_columns: int, grad_output: NDArray[Any]
    ) -> NDArray[Any]:
        grad = grad_output.reshape(self.n_rows, -1)
        data = self.data.astype(grad.dtype, copy=False)
        out = csr_transposed_product(data, indices, self.indptr, n_columns, grad)
        return out.reshape(n_columns, *grad_output.shape[1:])


def distinct(numbers: NDArray[np.integer], n: int) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    """Numbers below n that occur, ascending, and the place of each among them."""
    # Marking them in a boolean table costs one pass; sorting them costs ten.
    mark = np.zeros(n, dtype=bool)
    mark[numbers] = True
    found = np.flatnonzero(mark)
    place = np.empty(n, dtype=numbers.dtype)
    place[found] = np.arange(len(found), dtype=place.dtype)
    return found, place[numbers]
