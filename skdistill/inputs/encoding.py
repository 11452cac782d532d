"""From a table of any columns to the finite float32 matrix that a tower reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdistill.inputs.columns import column_names, take_columns

# A category of a column that does not name single rows must be seen so often to count for itself.
RARE = 2


def make_transformer(transformer: Any, table: Any) -> Any:
    """The unfitted transformer that a parameter stands for.

    "auto" goes by the type of each column of a data frame: floats are imputed (median, and a column
    that says so) and standardised; integers, strings, booleans and categories are one-hot encoded.
    A column that names each row once, an id, keeps all its categories and turns unknown ones to
    zeros; in others, unknown categories and those seen once share one. Arrays hold numbers.
    """
    if not isinstance(transformer, str):
        return clone(transformer)
    if sparse.issparse(table):
        return SimpleImputer()
    if column_names(table) is None and table.dtype.kind in "iufb":
        # Numbers alone: the tower's own scaler standardises them.
        return _imputer()
    numbers, ids, categories = [], [], []
    for position in range(table.shape[1]):
        column = np.asarray(take_columns(table, [position]))[:, 0]
        if column.dtype.kind == "f":
            numbers.append(position)
        elif len(np.unique(column.astype(str))) == len(column):
            ids.append(position)
        else:
            categories.append(position)
    return make_column_transformer(
        (
            make_pipeline(_imputer(), StandardScaler()),
            numbers,
        ),
        (OneHotEncoder(handle_unknown="ignore", dtype=np.float32), ids),
        (
            OneHotEncoder(
                handle_unknown="infrequent_if_exist", min_frequency=RARE, dtype=np.float32
            ),
            categories,
        ),
    )


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)


def encode(transformer: Any, table: Any, side: str) -> Any:
    """What a fitted transformer makes of a table: dense and C-contiguous, or CSR.

    Raises
    ------
    ValueError
        When that is not a finite matrix with a row for each row of the table.
    """
    encoded = transformer.transform(table)
    if sparse.issparse(encoded):
        matrix = sparse.csr_array(encoded).astype(np.float32, copy=False)
        # One index type throughout: int64 indices would make every product convert them.
        if matrix.nnz < 2**31:
            matrix.indices = matrix.indices.astype(np.int32, copy=False)
            matrix.indptr = matrix.indptr.astype(np.int32, copy=False)
        values = matrix.data
    else:
        try:
            matrix = values = np.ascontiguousarray(encoded, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{side}_transformer must give numbers, got something else: {error}."
            ) from error
    if matrix.ndim != 2 or matrix.shape[0] != table.shape[0]:
        raise ValueError(
            f"{side}_transformer must give a row for each of the {table.shape[0]} rows of its "
            f"table, got shape {matrix.shape}."
        )
    if not np.isfinite(values).all():
        if sparse.issparse(matrix):
            column = int(matrix.indices[~np.isfinite(values)][0])
        else:
            column = int(np.nonzero(~np.isfinite(matrix))[1][0])
        raise ValueError(
            f"{side}_transformer must give finite numbers: its output column {column} holds NaN or "
            'infinity. Impute it there, or use "auto".'
        )
    return matrix
