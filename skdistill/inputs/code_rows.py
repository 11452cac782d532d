"""Values of columns that only depend on the codes of categories, such as one-hot columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class CodeRows:
    """A row of column values for each code, most of them equal to the column's background.

    Each column depends on the codes of one group, that is of one column of categories; a row has
    one code of each group. For codes of other groups the column is 0, so that the rows of the codes
    add up.

    Parameters
    ----------
    deviation : sparse matrix of shape (n_codes, n_columns), float64
        Values less the background.
    background : ndarray of shape (n_columns,), float64
        The value of most codes of the column's group.
    group : ndarray of shape (n_columns,), int64
        Group of each column. Columns that depend on no code have any group and the background 0.
    group_of_code : ndarray of shape (n_codes,), int64
        Group of each code.
    refused : ndarray of shape (n_refused,), int64
        Codes that no row may have; their products are NaN.
    """

    deviation: Any
    background: NDArray[np.float64]
    group: NDArray[np.int64]
    group_of_code: NDArray[np.int64]
    refused: NDArray[np.int64]

    def dot(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Multiply the row of each code by weights.

        Parameters
        ----------
        weights : ndarray of shape (n_columns,) or (n_columns, n_outputs)
            Weights of all columns.

        Returns
        -------
        ndarray of shape (n_codes,) or (n_codes, n_outputs), float64
        """
        weights = np.asarray(weights, dtype=np.float64)
        n_groups = int(self.group_of_code.max(initial=-1)) + 1
        entries = (self.background, (self.group, np.arange(len(self.group))))
        of_groups = sparse.csr_array(entries, shape=(n_groups, len(self.group))) @ weights
        products = self.deviation @ weights + of_groups[self.group_of_code]
        products[self.refused] = np.nan
        return products

    @cached_property
    def squared(self) -> CodeRows:
        """The rows with every value squared."""
        entries = self.deviation.tocoo()
        twice = 2 * self.background[entries.coords[1]]
        squares = (entries.data * (entries.data + twice), entries.coords)
        deviation = sparse.csr_array(squares, shape=entries.shape)
        return replace(self, deviation=deviation, background=self.background**2)


@runtime_checkable
class FoldsCodes(Protocol):
    """A model whose first layer is linear, so that it can add up the weights of a code's columns.

    Models without this method get all columns.
    """

    def fold_codes(
        self, params: dict[str, NDArray[Any]], kept: NDArray[np.int64], codes: CodeRows
    ) -> dict[str, NDArray[Any]]:
        """Replace inputs that only depend on the codes of categories by one input per code.

        Parameters
        ----------
        params : dict of str to ndarray
            Trained parameters, for scaled columns.
        kept : ndarray of shape (n_kept,), int64
            Inputs that do not depend on codes. They come first in the new parameters.
        codes : CodeRows
            Values of the other inputs for each code; ``codes.dot`` multiplies them by weights.

        Returns
        -------
        dict of str to ndarray
            Parameters for ``n_kept + n_codes`` inputs, of which the latter are one-hot.
        """
