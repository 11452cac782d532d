"""Reads the table of a tower, by the package's encoder or by a user's transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.impute import SimpleImputer

from skdistill.inputs.alignment import check_index
from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.column_kinds import column_kinds
from skdistill.inputs.column_reading import NUMBER_KINDS
from skdistill.inputs.dates_in_text import warn_of_dates_in_text
from skdistill.inputs.table_encoder import TIME_KINDS, TableEncoder

# Categories of towers: of ids all are known, of other columns those that are seen twice.
ID_FREQUENCY = "repeated"


def fit_transformer(transformer: Any, table: Any) -> Any:
    """Fit what a parameter specifies to a table.

    Parameters
    ----------
    transformer : transformer or "auto"
        A transformer is cloned. "auto" reads columns by their types: floats and times are numbers,
        and all others are categories, integers and booleans among them. A column whose values are
        all different is an id and keeps all its categories. In other columns, those seen once share
        a code. All columns of numeric arrays are numbers, and CSR matrices are only imputed.
    table : table of shape (n_rows, n_columns)
        Distinct queries or items.

    Returns
    -------
    TableEncoder or transformer
        What :func:`encode` takes.
    """
    if not isinstance(transformer, str):
        return clone(transformer).fit(table)
    if sparse.issparse(table):
        return SimpleImputer().fit(table)
    warn_of_dates_in_text(table)
    kinds = enumerate(column_kinds(table) or ())
    categorical = {position for position, kind in kinds if not _is_number(kind)}
    return TableEncoder.fit(table, categorical, min_frequency=ID_FREQUENCY)


def _is_number(kind: str) -> bool:
    """Whether a column of this kind, or of these kinds, is read as numbers."""
    found = set(kind.split(" and "))
    if found <= TIME_KINDS:
        return len(found) == 1
    return found <= NUMBER_KINDS and not found <= {"integer", "boolean"}


def encode(transformer: Any, table: Any, side: str) -> Any:
    """Read a table as numbers, and as codes of categories.

    Parameters
    ----------
    transformer : TableEncoder or transformer
        What :func:`fit_transformer` returned.
    table : table of shape (n_rows, n_columns)
        Queries or items, with the columns of ``fit``.
    side : {"query", "item"}
        Which of the two it is, for messages.

    Returns
    -------
    ndarray, MixedTable or CSR matrix of shape (n_rows, n_features), float32 or float64
        Dense numbers are C-contiguous. Only those of a TableEncoder may be NaN.

    Raises
    ------
    TypeError, ValueError
        If a column holds something else than in ``fit``, or the user's transformer does not return
        a finite matrix with one row per row of the table.
    """
    if isinstance(transformer, TableEncoder):
        return transformer.transform(table)
    return _transformed(transformer, table, side)


def _transformed(transformer: Any, table: Any, side: str) -> Any:
    """Apply a user's transformer; the result is finite, and dense and C-contiguous, or CSR."""
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
