"""Rows as a model sees them, with the column of the table that each of its inputs belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.queries import Queries

# Columns of a CSR table become dense.
MOST_SPARSE_COLUMNS = 1024


@dataclass(frozen=True)
class ScaledRows:
    """Scaled inputs of a model, grouped by the columns of the table.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_inputs), float64
        Scaled numbers, and flags of missing ones.
    codes : ndarray of shape (n_rows, n_categorical), int64
        Codes of categories.
    columns : ndarray of shape (n_inputs,), int64
        Column of the table of each number and flag.
    code_columns : ndarray of shape (n_categorical,), int64
        Column of the table of each code.
    n_columns : int
        Number of columns of the table.
    queries : Queries
        Segments of the rows.
    """

    numbers: NDArray[np.float64]
    codes: NDArray[np.int64]
    columns: NDArray[np.int64]
    code_columns: NDArray[np.int64]
    n_columns: int
    queries: Queries

    @classmethod
    def of(cls, student: Any, X: Any, queries: Queries) -> ScaledRows:
        """Read and scale a table as a student does.

        Raises
        ------
        TypeError
            If it is a CSR matrix of many columns.
        """
        table = student.read_table(X, reset=False)
        scaler, encoder = student.scaler_, student.encoder_
        scaled = scaler.transform(table)
        if sparse.issparse(scaled):
            if scaled.shape[1] > MOST_SPARSE_COLUMNS:
                raise TypeError(
                    f"explain takes CSR matrices of up to {MOST_SPARSE_COLUMNS} columns, got "
                    f"{scaled.shape[1]}. Pass the few columns of interest as a student of their "
                    "own, or use ranking_importance."
                )
            scaled = scaled.toarray()
        is_mixed = isinstance(scaled, MixedTable)
        numbers = np.asarray(scaled.numbers if is_mixed else scaled, dtype=np.float64)
        codes = scaled.codes.astype(np.int64) if is_mixed else np.empty((len(numbers), 0), np.int64)
        if encoder is None:
            columns, code_columns, n_columns = (
                np.arange(scaler.n_columns),
                np.empty(0, np.int64),
                scaler.n_columns,
            )
        else:
            columns = encoder.columns_of_numbers
            kinds = np.array(encoder.kinds)
            code_columns, n_columns = np.flatnonzero(kinds == "category"), len(kinds)
        of_views = columns if scaler.sources is None else columns[scaler.sources]
        of_flags = columns[:0] if scaler.flagged is None else columns[scaler.flagged]
        inputs = np.concatenate([of_views, of_flags])
        return cls(numbers, codes, inputs, code_columns, n_columns, queries)

    def sorted_by(self, order: NDArray[np.int64] | None) -> ScaledRows:
        """Bring rows into the order of the queries."""
        if order is None:
            return self
        return replace(self, numbers=self.numbers[order], codes=self.codes[order])

    def sums(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Multiply by weights, column by column of the table.

        Parameters
        ----------
        weights : ndarray of shape (n_inputs + n_codes, n_outputs)
            Weights of a first layer.

        Returns
        -------
        ndarray of shape (n_rows, n_columns, n_outputs), float64
            Their sum over the columns is the product of the inputs and the weights.
        """
        weights = weights.astype(np.float64)
        of_numbers, of_codes = np.split(weights, [self.numbers.shape[1]])
        sums = np.zeros((len(self.numbers), self.n_columns, weights.shape[1]))
        for column in np.unique(self.columns).tolist():
            inputs = np.flatnonzero(self.columns == column)
            sums[:, column] = self.numbers[:, inputs] @ of_numbers[inputs]
        for place, column in enumerate(self.code_columns.tolist()):
            sums[:, column] += of_codes[self.codes[:, place]]
        return sums

    def squares(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Multiply the squared inputs by weights of shape (n_inputs + n_codes,), by column."""
        squared = replace(self, numbers=self.numbers**2)
        return squared.sums(weights[:, None])[:, :, 0]

    def centred(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Subtract from each row the mean over its query."""
        return values - self.mean(values)

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over the query of each row, shape of ``values``."""
        flat = values.reshape(len(values), -1)
        sums = np.add.reduceat(flat, self.queries.starts, axis=0)
        means = sums / self.queries.sizes[:, None]
        return means[self.queries.segment].reshape(values.shape)
