"""Encodes a table with columns of any type as the finite matrix that a tower reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdistill.inputs.alignment import check_index
from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.columns import cells, column_names, take_columns
from skdistill.inputs.ids import n_distinct

# Rarer categories share one code, except in id columns.
RARE = 2


def make_transformer(transformer: Any, table: Any) -> Any:
    """Make the unfitted transformer that a parameter specifies.

    "auto" depends on the type of each column of a data frame. Floats are imputed by the median,
    with an indicator column, and standardised. Integers, strings, booleans and categories are
    one-hot encoded. A column whose values are all different is an id: it keeps all its categories
    and encodes unknown ones as zeros. In other columns, unknown categories and those seen once
    share one code. Numeric arrays and CSR matrices are only imputed.
    """
    if not isinstance(transformer, str):
        return clone(transformer)
    if sparse.issparse(table):
        return SimpleImputer()
    if column_names(table) is None and table.dtype.kind in "iufb":
        # The tower's scaler standardises them.
        return _imputer()
    numbers, ids, categories = [], [], []
    for position in range(table.shape[1]):
        column = np.asarray(take_columns(table, [position]))[:, 0]
        if column.dtype.kind == "f":
            numbers.append(position)
        elif n_distinct(cells(table, position)) == len(column):
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
    """Make an imputer by the median that also marks imputed cells."""
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)


def encode(transformer: Any, table: Any, side: str) -> Any:
    """Apply a fitted transformer; the result is dense and C-contiguous, or CSR.

    Float32 stays float32, and all other numbers become float64.

    Raises
    ------
    ValueError
        If the transformer does not return a finite matrix with one row per row of the table.
    """
    encoded = transformer.transform(table)
    check_index(encoded, table, f"{side}_transformer")
    if sparse.issparse(encoded):
        encoded = canonical_csr(encoded)
        matrix = sparse.csr_array(encoded).astype(_precision(encoded), copy=False)
        # Every product would have to convert int64 indices.
        if matrix.nnz < 2**31:
            matrix.indices = matrix.indices.astype(np.int32, copy=False)
            matrix.indptr = matrix.indptr.astype(np.int32, copy=False)
        values = matrix.data
    else:
        try:
            matrix = values = np.ascontiguousarray(encoded, dtype=_precision(encoded))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{side}_transformer must return numbers: {error}.") from error
    if matrix.ndim != 2 or matrix.shape[0] != table.shape[0]:
        raise ValueError(
            f"{side}_transformer must return one row per row of its table: expected "
            f"{table.shape[0]} rows, got shape {matrix.shape}."
        )
    if not np.isfinite(values).all():
        if sparse.issparse(matrix):
            column = int(matrix.indices[~np.isfinite(values)][0])
        else:
            column = int(np.nonzero(~np.isfinite(matrix))[1][0])
        raise ValueError(
            f"{side}_transformer must return finite numbers: its output column {column} holds NaN "
            'or infinity. Impute it in the transformer, or use "auto".'
        )
    return matrix


def _precision(encoded: Any) -> type:
    """Return the dtype in which the scaler can centre the columns without loss."""
    return np.float32 if getattr(encoded, "dtype", None) == np.float32 else np.float64
