"""A table of numbers and categories, and the products that a model's first layer needs.

A category is a one-hot column of which only the position is stored. In a product with the weights
of a layer it selects one row of them: an embedding for a network, a weight for a linear model. No
one-hot matrix is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill._sklearn_compat import add_csr_product, csr_transposed_product
from skdistill.inputs.products import product

# Up to so many rows, gathering the weights and summing them is faster than a sparse product.
FEW = 8


@dataclass(frozen=True, init=False)
class MixedTable:
    """Rows of numbers, each with a few categories.

    It behaves like the matrix that has a one-hot column for each category after the numbers: it has
    that shape, is indexed by rows, and is multiplied by weights.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_numbers), float32 or float64
        C-contiguous.
    codes : ndarray of shape (n_rows, n_categorical), int32
        Position of each category among all one-hot columns, from 0 to ``n_codes - 1``.
    n_codes : int
        Number of one-hot columns.
    """

    numbers: NDArray[Any]
    codes: NDArray[np.int32]
    n_codes: int

    def __init__(self, numbers: NDArray[Any], codes: NDArray[np.int32], n_codes: int) -> None:
        # A service makes several for a request of one row; this takes a third of the time.
        self.__dict__.update(numbers=numbers, codes=codes, n_codes=n_codes)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, and of numbers and one-hot columns."""
        return self.numbers.shape[0], self.numbers.shape[1] + self.n_codes

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    @property
    def dtype(self) -> Any:
        """Dtype of the numbers."""
        return self.numbers.dtype

    def __array_ufunc__(self, ufunc: Any, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"{ufunc.__name__} does not take a table with categories. Multiply it by weights with "
            "X @ weights, as a model's score does with a CSR matrix."
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Any) -> MixedTable:
        return MixedTable(self.numbers[rows], self.codes[rows], self.n_codes)

    def astype(self, dtype: Any, copy: bool = True) -> MixedTable:
        """Convert the numbers.

        Parameters
        ----------
        dtype : dtype
            Float32 or float64.
        copy : bool, default=True
            Whether to copy numbers that have this dtype.

        Returns
        -------
        MixedTable
        """
        return self.with_numbers(self.numbers.astype(dtype, copy=copy))

    def with_numbers(self, numbers: NDArray[Any]) -> MixedTable:
        """Replace the numbers; the categories stay.

        Parameters
        ----------
        numbers : ndarray of shape (n_rows, n_other_numbers), float32 or float64
            There may be more or fewer numbers per row.

        Returns
        -------
        MixedTable
        """
        return MixedTable(numbers, self.codes, self.n_codes)

    @property
    def has_code(self) -> NDArray[np.bool_]:
        """Whether any row has each of the codes, shape (n_codes,)."""
        found = np.zeros(self.n_codes, dtype=bool)
        found[self.codes] = True
        return found

    def to_csr(self) -> Any:
        """Make the matrix that the table stands for, for solvers that need one.

        Returns
        -------
        CSR array of shape (n_rows, n_columns)
        """
        n_rows, n_numbers = self.numbers.shape
        data, codes, _ = self._csr
        of_codes = codes.reshape(self.codes.shape) + np.int32(n_numbers)
        of_numbers = np.broadcast_to(np.arange(n_numbers, dtype=np.int32), self.numbers.shape)
        data = np.hstack([self.numbers, data.reshape(self.codes.shape)])
        indptr = np.arange(n_rows + 1, dtype=np.int32) * data.shape[1]
        indices = np.hstack([of_numbers, of_codes]).ravel()
        return sparse.csr_array((data.ravel(), indices, indptr), shape=self.shape)

    @cached_property
    def squared(self) -> MixedTable:
        """The table with every value squared; a one-hot column stays the same."""
        return self.with_numbers(self.numbers**2)

    def __matmul__(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Multiply by weights of shape (n_columns,) or (n_columns, n_outputs)."""
        start = self.numbers.shape[1]
        # A large table of weights is not converted for the sake of a few rows.
        of_numbers = weights[:start].astype(self.numbers.dtype, copy=False)
        multiply = product if weights.ndim == 2 else np.dot
        out = multiply(self.numbers, of_numbers)
        of_categories = weights[start:]
        if out.ndim == 1 or len(out) <= FEW or of_categories.dtype != out.dtype:
            out += of_categories[self.codes].sum(axis=1, dtype=out.dtype)
        else:
            add_csr_product(*self._csr, self.n_codes, of_categories, out)
        return out

    def sum_by_code(
        self, grad: NDArray[Any], codes: NDArray[np.integer], n_codes: int
    ) -> NDArray[Any]:
        """Sum the rows of an array of shape (n_rows, n_outputs) that have a code.

        Parameters
        ----------
        grad : ndarray of shape (n_rows, n_outputs)
            What is summed.
        codes : ndarray of shape (n_rows * n_categorical,)
            Codes of each row, which may be numbered anew.
        n_codes : int
            Number of codes in that numbering.

        Returns
        -------
        ndarray of shape (n_codes, n_outputs)
        """
        data, _, indptr = self._csr
        return csr_transposed_product(data.astype(grad.dtype), codes, indptr, n_codes, grad)

    @cached_property
    def _csr(self) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]:
        """Data, indices and indptr of the one-hot columns as a CSR matrix."""
        codes = np.ascontiguousarray(self.codes).ravel()
        width = self.codes.shape[1]
        indptr = np.arange(0, len(codes) + 1, width, dtype=np.int32)
        return np.ones(len(codes), self.numbers.dtype), codes, indptr
