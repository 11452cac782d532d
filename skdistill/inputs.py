"""What a model reads: rows of a dense or CSR matrix behind one pair of products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# From this many columns on a CSR batch touches so few of them that a dense gradient, and an
# optimiser that walks over all of it, would cost more than the batch itself.
WIDE = 1024


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

    def take(self, rows: NDArray[np.int64]) -> Rows:
        return Rows(self.X[rows])

    @cached_property
    def squared(self) -> Rows:
        """The same rows with every value squared, as the factorization machine wants them."""
        return Rows(self.X.multiply(self.X).tocsr() if sparse.issparse(self.X) else self.X**2)

    @cached_property
    def _touched(self) -> tuple[NDArray[np.int64], Any]:
        # Marking columns in a boolean table costs one pass; sorting the indices costs ten.
        mark = np.zeros(self.n_features, dtype=bool)
        mark[self.X.indices] = True
        columns = np.flatnonzero(mark)
        place = np.empty(self.n_features, dtype=self.X.indices.dtype)
        place[columns] = np.arange(len(columns))
        # What is CSR by rows is CSC of the transposed matrix.
        narrow_transposed = sparse.csc_array(
            (self.X.data, place[self.X.indices], self.X.indptr), shape=(len(columns), self.n_rows)
        )
        return columns, narrow_transposed

    def dot(self, weights: NDArray[Any]) -> NDArray[Any]:
        """X @ weights."""
        return self.X @ weights

    def gradient(self, grad_output: NDArray[Any]) -> NDArray[Any] | RowGradient:
        """X.T @ grad_output: the gradient of ``weights`` in ``dot``."""
        if self.is_wide:
            columns, narrow_transposed = self._touched
            return RowGradient(columns, narrow_transposed @ grad_output)
        return self.X.T @ grad_output
