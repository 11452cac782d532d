"""Columns of a table of any kind: NumPy, CSR, pandas, polars.

Columns are named as :class:`sklearn.compose.ColumnTransformer` names them: a name, a position, a
slice, a boolean mask, a list of these, or a callable that is given the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from skdistill._sklearn_compat import column_indices, take
from skdistill.inputs.rows import CHUNK_ROWS


def column_names(X: Any) -> list[Any] | None:
    """Names of a data frame's columns; None for an array."""
    return list(X.columns) if hasattr(X, "columns") else None


def column_positions(X: Any, columns: Any, parameter: str) -> list[int]:
    """Positions of the columns that a specification names.

    Raises
    ------
    ValueError
        When a column is not there; the message names the parameter, the column and what there is.
    """
    if callable(columns):
        columns = columns(X)
    if isinstance(columns, slice) and columns.start is None and columns.stop is None:
        # scikit-learn takes a slice without ends for one of names.
        return list(range(X.shape[1]))[columns]
    try:
        return column_indices(X, columns)
    except (ValueError, IndexError) as error:
        names = column_names(X)
        present = f"{X.shape[1]} columns" + ("" if names is None else f": {names}")
        raise ValueError(
            f"{parameter}={columns!r} names a column that is not in X, which has {present}."
        ) from error


def as_table(X: Any) -> Any:
    """X as a table with rows and columns: data frames as they are, the rest as array or CSR.

    Raises
    ------
    ValueError
        When it has no rows or no columns, or is not two-dimensional.
    """
    if not hasattr(X, "columns"):
        return check_array(X, dtype=None, accept_sparse="csr", ensure_all_finite=False)
    if not min(X.shape):
        raise ValueError(f"X must have at least one row and one column, got shape {X.shape}.")
    return X


def take_columns(X: Any, positions: list[int]) -> Any:
    """The columns at these positions, in this order, as a table of the same kind."""
    return take(X, positions, axis=1)


def take_rows(X: Any, rows: NDArray[Any] | None) -> Any:
    """These rows (numbers or a mask), as a table of the same kind; None: all of them."""
    return X if rows is None else take(X, rows, axis=0)


def take_values(values: Any, rows: NDArray[Any] | slice | None) -> Any:
    """These rows of an array that may be None; ``rows`` None: all of them."""
    return values if values is None or rows is None else values[rows]


def query_ids(X: Any, query_column: Any) -> NDArray[Any]:
    """The column of query ids, shape (n_rows,)."""
    X = as_table(X)
    ids = take_columns(X, [_query_position(X, query_column)])
    return (ids.toarray() if sparse.issparse(ids) else np.asarray(ids))[:, 0]


def without_query_column(X: Any, query_column: Any) -> Any:
    """X without the column of query ids; None: X itself."""
    if query_column is None:
        return X
    X = as_table(X)
    position = _query_position(X, query_column)
    return take_columns(X, [column for column in range(X.shape[1]) if column != position])


def _query_position(X: Any, query_column: Any) -> int:
    positions = column_positions(X, query_column, "query_column")
    if len(positions) != 1:
        raise ValueError(f"query_column must name one column, got {query_column!r}.")
    return positions[0]


def row_keys(X: Any) -> NDArray[np.float64] | None:
    """One number a row that depends on the row's content alone, to put rows in a canonical order.

    Sums over rows, ties in a teacher's ranking and LightGBM itself depend on the order of the rows.
    Sorting the rows of a query by these keys first makes a fit independent of how the table was
    shuffled. A fixed random projection: rows that differ have different keys, almost surely.
    None where a column can't be turned into numbers.
    """
    directions = np.random.default_rng(0).standard_normal(X.shape[1])
    if sparse.issparse(X):
        return X @ directions
    names = column_names(X)
    if names is None:
        columns = [X[:, position] for position in range(X.shape[1])] if X.dtype == object else None
        if columns is None:
            # A product with a vector, in chunks: a float64 copy of the whole table may not fit.
            chunks = (X[start : start + CHUNK_ROWS] for start in range(0, X.shape[0], CHUNK_ROWS))
            return np.concatenate([_finite(chunk) @ directions for chunk in chunks])
    else:
        columns = [np.asarray(X[name]) for name in names]
    keys = np.zeros(X.shape[0])
    for direction, column in zip(directions, columns, strict=True):
        if column.dtype.kind not in "iufb":
            try:
                column = np.unique(column.astype(str), return_inverse=True)[1]
            except (TypeError, ValueError):
                return None
        keys += direction * _finite(column)
    return keys


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    """Values in float64; NaN is data for a tree teacher and must not poison a key."""
    return np.nan_to_num(values.astype(np.float64), posinf=1e300, neginf=-1e300)


def side_by_side(left: Any, right: Any) -> Any:
    """Two tables of as many rows as one, of the kind that both are."""
    if sparse.issparse(left) or sparse.issparse(right):
        return sparse.hstack([left, right], format="csr")
    if column_names(left) is None:
        return np.concatenate([np.asarray(left), np.asarray(right)], axis=1)
    if hasattr(left, "with_columns"):  # polars
        return left.with_columns(*right.iter_columns())
    together = left.copy(deep=False)
    for name in right.columns:
        together[name] = right[name].to_numpy()
    return together


def row_codes(*tables: Any) -> list[NDArray[np.int64]]:
    """Equal numbers for equal rows, within and across tables of the same columns.

    Cells are compared column by column, NaN equals NaN; of CSR matrices, rows are compared by a
    random projection, equal for different rows almost never.
    """
    sizes = [table.shape[0] for table in tables]
    if sparse.issparse(tables[0]):
        projected = np.concatenate([row_keys(table) for table in tables])
        codes = np.unique(projected, return_inverse=True)[1]
    else:
        codes = np.zeros(sum(sizes), dtype=np.int64)
        for position in range(tables[0].shape[1]):
            parts = [np.asarray(take_columns(table, [position]))[:, 0] for table in tables]
            column = np.concatenate(parts)
            if column.dtype == object:
                column = column.astype(str)
            values, column_codes = np.unique(column, return_inverse=True)
            codes = np.unique(codes * len(values) + column_codes, return_inverse=True)[1]
    return np.split(codes, np.cumsum(sizes)[:-1])


def stack_rows(upper: Any, lower: Any) -> Any:
    """Two tables of the same columns, one above the other."""
    if sparse.issparse(upper):
        return sparse.vstack([upper, lower], format="csr")
    if column_names(upper) is None:
        return np.concatenate([upper, lower])
    if hasattr(upper, "vstack"):  # polars
        return upper.vstack(lower)
    import pandas

    return pandas.concat([upper, lower], ignore_index=True)
