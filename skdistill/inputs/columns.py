"""Columns of a table of any kind: NumPy, CSR, pandas, polars.

Columns are specified as in :class:`sklearn.compose.ColumnTransformer`: by a name, a position, a
slice, a boolean mask, a list of these, or a callable that takes the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from skdistill._sklearn_compat import column_indices, take
from skdistill.inputs.alignment import number_rows
from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.checks import refuse_masked
from skdistill.inputs.ids import as_ids, concatenate_ids, id_codes
from skdistill.inputs.libraries import in_library_of
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.rows import chunks_of_rows

MASKED_FEATURES = "X.filled(np.nan) for a model that imputes NaN, or by a value"


def column_names(X: Any) -> list[Any] | None:
    """Return the names of a data frame's columns, or None for an array."""
    if not hasattr(X, "columns"):
        return None
    # The columns of a pyarrow.Table are its data.
    return list(X.column_names if hasattr(type(X), "column_names") else X.columns)


def positions_of_names(names: Sequence[Any], wanted: Sequence[Any]) -> list[int] | None:
    """Find the positions of columns by name, in the order wanted.

    Parameters
    ----------
    names : sequence
        Names of the columns of a table.
    wanted : sequence
        Names to find.

    Returns
    -------
    list of int, or None
        None if a name is missing.

    Raises
    ------
    ValueError
        If several columns have a name that is wanted.
    """
    place = {name: position for position, name in enumerate(names)}
    if not all(name in place for name in wanted):
        return None
    if len(place) < len(names):
        repeated = [name for name in wanted if list(names).count(name) > 1]
        if repeated:
            raise ValueError(
                f"The table has several columns of the names {repeated}, so they cannot be told "
                "apart. Rename or drop all but one of each."
            )
    return [place[name] for name in wanted]


def column_positions(X: Any, columns: Any, parameter: str) -> list[int]:
    """Return the positions of the columns that a specification names.

    Raises
    ------
    ValueError
        If X has no such column. The message names the parameter and the columns of X.
    """
    if callable(columns):
        columns = columns(X)
    if isinstance(columns, slice) and columns.start is None and columns.stop is None:
        # scikit-learn would read a slice without ends as a slice of names.
        return list(range(X.shape[1]))[columns]
    try:
        return column_indices(X, columns)
    except (ValueError, IndexError) as error:
        names = column_names(X)
        present = f"{X.shape[1]} columns" + ("" if names is None else f": {names}")
        asked = columns if isinstance(columns, list | tuple) else []
        lacking = [one for one in asked if isinstance(one, str) and one not in (names or ())]
        named = f" ({', '.join(map(repr, lacking))})" if 0 < len(lacking) < len(asked) else ""
        raise ValueError(
            f"{parameter}={columns!r} names a column that is not in X{named}, which has {present}."
        ) from error


def optional_positions(table: Any, columns: Any, parameter: str) -> list[int] | None:
    """Find the positions of the columns that a parameter names; None stays None."""
    return None if columns is None else column_positions(table, columns, parameter)


def select_columns(table: Any, columns: list[int] | None) -> Any:
    """Select columns of a table by position; None selects all."""
    return table if columns is None else take_columns(table, columns)


def refuse_lazy(X: Any) -> None:
    """Raise a TypeError if the rows of a table are not computed yet."""
    if hasattr(X, "collect") and not hasattr(X, "shape"):
        raise TypeError(
            f"X is a {type(X).__name__}, whose rows are not computed yet. Pass X.collect()."
        )


def as_table(X: Any) -> Any:
    """Return a data frame as it is, and anything else as an array or CSR matrix.

    Raises
    ------
    ValueError
        If X has no rows or no columns, is not two-dimensional, is masked, or repeats a name.
    TypeError
        If X is a dictionary, or a list of dictionaries.
    """
    if type(X) is dict or (isinstance(X, list) and X and isinstance(X[0], dict)):  # no dok_array
        raise TypeError(
            "X must be a table, but it is made of dictionaries. Pass pandas.DataFrame(rows), or "
            "score dictionaries by compile_scorer(model).rows(rows), from skdistill.serving."
        )
    refuse_masked("X", X, MASKED_FEATURES)
    refuse_lazy(X)
    if not hasattr(X, "columns"):
        X = check_array(X, dtype=None, accept_sparse="csr", ensure_all_finite=False)
        return canonical_csr(X)
    if not min(X.shape):
        raise ValueError(f"X must have at least one row and one column, got shape {X.shape}.")
    names = column_names(X) or []
    if len(set(names)) < len(names):
        repeated = sorted({str(name) for name in names if names.count(name) > 1})
        raise ValueError(
            f"X has several columns of the names {repeated}, so they cannot be told apart. Rename "
            "or drop all but one of each."
        )
    return X


def take_columns(X: Any, positions: list[int]) -> Any:
    """Select columns by position, in the given order, as a table of the same kind."""
    if type(X) is np.ndarray:  # at a tenth of the cost, in C order
        return np.take(X, np.asarray(positions, dtype=np.intp), axis=1)
    return take(X, positions, axis=1)


def take_rows(X: Any, rows: NDArray[Any] | None) -> Any:
    """Select rows by number or mask, as a table of the same kind; None selects all."""
    if rows is None:
        return X
    return X[rows] if isinstance(X, np.ndarray | MixedTable) else take(X, rows, axis=0)


def take_values(values: Any, rows: NDArray[Any] | slice | None) -> Any:
    """Select rows of an array, which may be None; ``rows=None`` selects all."""
    return values if values is None or rows is None else values[rows]


def cells(X: Any, position: int) -> NDArray[Any]:
    """Return the cells of a column, shape (n_rows,), without changing any of them."""
    if column_names(X) is None:
        return X[:, position] if isinstance(X, np.ndarray) else np.asarray(X)[:, position]
    return as_ids(take_columns(X, [position]))


def query_ids(X: Any, query_column: Any, parameter: str = "query_column") -> NDArray[Any]:
    """Return the column of query ids, shape (n_rows,), or another one that a parameter names."""
    X = as_table(X)
    position = query_position(X, query_column, parameter)
    if sparse.issparse(X):
        return take_columns(X, [position]).toarray()[:, 0]
    return cells(X, position)


def without_query_column(X: Any, query_column: Any) -> Any:
    """Return X without the column of query ids; X itself if ``query_column`` is None."""
    if query_column is None:
        return X
    X = as_table(X)
    position = query_position(X, query_column)
    return take_columns(X, [column for column in range(X.shape[1]) if column != position])


def query_position(X: Any, query_column: Any, parameter: str = "query_column") -> int:
    """Return the position of the query column; raise a ValueError if several are named."""
    positions = column_positions(X, query_column, parameter)
    if len(positions) != 1:
        raise ValueError(f"{parameter} must name one column, got {query_column!r}.")
    return positions[0]


def row_keys(X: Any) -> NDArray[np.uint64] | None:
    """Return one number per row that depends on the content of the row alone.

    Sorting the rows of a query by these keys puts them in a canonical order; see
    :meth:`RankingData.sort` for the reason. The keys are hashes: an order by any smooth function of
    the columns would be one that a student can learn wherever its target ties. Different rows
    almost surely have different keys. None if a column cannot be turned into numbers.
    """
    if isinstance(X, MixedTable):
        return _mix(_keys_of_numbers(X.numbers) + np.uint64(3) * _keys_of_numbers(X.codes))
    factors = _factors(X.shape[1])
    if sparse.issparse(X):
        X = canonical_csr(X)
        words = sparse.csr_array((_words(X.data), X.indices, X.indptr), shape=X.shape)
        return _mix(words @ factors)
    names = column_names(X)
    if names is not None:
        columns = [np.asarray(X[name]) for name in names]
    elif X.dtype == object:
        columns = [X[:, position] for position in range(X.shape[1])]
    else:
        return _keys_of_numbers(X)
    keys = np.zeros(X.shape[0], dtype=np.uint64)
    for factor, column in zip(factors, columns, strict=True):
        if column.dtype.kind not in "iufb":
            try:
                column = np.unique(column.astype(str), return_inverse=True)[1]
            except (TypeError, ValueError):
                return None
        keys += factor * _words(column)
    return _mix(keys)


def _factors(n_columns: int) -> NDArray[np.uint64]:
    """Return an odd random number for each column."""
    return np.random.default_rng(0).integers(2**64, size=n_columns, dtype=np.uint64) | np.uint64(1)


def _keys_of_numbers(X: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the keys of the rows of an array of numbers."""
    factors = _factors(X.shape[1])
    # In chunks, because a float64 copy of the whole table may not fit into memory.
    return _mix(np.concatenate([_words(X[rows]) @ factors for rows in chunks_of_rows(X)]))


def _words(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the bits of numbers in float64, the same for 0 and -0, with the high ones low too."""
    words = np.add(values, 0.0, dtype=np.float64).view(np.uint64)
    return words ^ (words >> np.uint64(32))


def _mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble sums of words, so that the order of the results has nothing of their order.

    Finalizer of SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators",
    OOPSLA 2014).
    """
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def side_by_side(left: Any, right: Any) -> Any:
    """Join two tables of the same length, row by row; data frames in the library of the left."""
    if sparse.issparse(left) or sparse.issparse(right):
        return sparse.hstack([left, right], format="csr")
    if column_names(left) is None:
        return np.concatenate([np.asarray(left), np.asarray(right)], axis=1)
    right = in_library_of(right, left)
    if hasattr(left, "with_columns"):  # polars
        return left.with_columns(*right.iter_columns())
    if hasattr(left, "append_column"):  # Arrow
        for name, column in zip(right.column_names, right.columns, strict=True):
            left = left.append_column(name, column)
        return left
    import pandas

    return pandas.concat([number_rows(left), number_rows(right)], axis=1)


def append_numbers(table: Any, numbers: dict[str, NDArray[Any]]) -> Any:
    """Append columns of numbers to a table, as a table of the same kind.

    Parameters
    ----------
    table : table of shape (n_rows, n_columns)
        It is not changed.
    numbers : dict of str to ndarray of shape (n_rows,)
        Cells by name of the column. Arrays and CSR matrices have no names, and a data frame whose
        names are integers gets the next integers, because scikit-learn takes no mixed names.

    Returns
    -------
    table of shape (n_rows, n_columns + len(numbers))
    """
    if not numbers:
        return table
    names = column_names(table)
    if names is None:
        matrix = np.column_stack(list(numbers.values()))
        if not sparse.issparse(table) and table.dtype.kind == "f":
            matrix = matrix.astype(table.dtype, copy=False)
        return side_by_side(table, matrix)
    if hasattr(table, "with_columns"):  # polars
        import polars

        return table.with_columns(*(polars.Series(n, v) for n, v in numbers.items()))
    if hasattr(table, "append_column"):  # Arrow
        for name, values in numbers.items():
            table = table.append_column(name, [values])
        return table
    import pandas

    further = pandas.DataFrame(numbers, index=table.index)
    if has_numbered_columns(names):
        further.columns = max(names) + 1 + np.arange(len(numbers))
    return pandas.concat([table, further], axis=1)


def has_numbered_columns(names: list[Any] | None) -> bool:
    """Whether all columns have integers for names, as a data frame made of an array has."""
    return names is not None and all(isinstance(name, int) for name in names)


def replace_columns(table: Any, columns: dict[int, NDArray[Any]]) -> Any:
    """Return a table with other cells in some columns, which are given by position."""
    names = column_names(table)
    if names is None:
        replaced = table.astype(object)
        for position, values in columns.items():
            replaced[:, position] = values
        return replaced
    if hasattr(table, "with_columns"):  # polars
        import polars

        # polars has no other type that stays exact on its way to NumPy.
        types = {p: polars.Object if v.dtype == object else None for p, v in columns.items()}
        return table.with_columns(
            *(polars.Series(names[p], v.tolist(), types[p]) for p, v in columns.items())
        )
    if not columns:
        return table
    if hasattr(table, "set_column"):  # Arrow
        import pyarrow

        for position, values in columns.items():
            array = pyarrow.array(values.tolist())
            table = table.set_column(position, names[position], array)
        return table
    replaced = table.copy(deep=False)
    for position, values in columns.items():
        replaced[names[position]] = values
    return replaced


def row_codes(*tables: Any) -> list[NDArray[np.int64]]:
    """Number the rows of tables with the same columns; equal rows get equal numbers.

    Cells are compared column by column; missing cells are equal to each other. Rows of CSR matrices
    are compared by a random projection, which almost surely differs for different rows.
    """
    sizes = [table.shape[0] for table in tables]
    if sparse.issparse(tables[0]):
        projected = np.concatenate([row_keys(table) for table in tables])
        codes = np.unique(projected, return_inverse=True)[1]
    else:
        codes = np.zeros(sum(sizes), dtype=np.int64)
        for position in range(tables[0].shape[1]):
            column_codes = np.concatenate(id_codes(*(cells(table, position) for table in tables)))
            codes = codes * (column_codes.max(initial=0) + 1) + column_codes
            codes = np.unique(codes, return_inverse=True)[1]
    return np.split(codes, np.cumsum(sizes)[:-1])


def stack_rows(*tables: Any) -> Any:
    """Stack tables that have the same columns."""
    first = tables[0]
    if isinstance(first, MixedTable):
        numbers = np.concatenate([table.numbers for table in tables])
        codes = np.concatenate([table.codes for table in tables])
        return MixedTable(numbers, codes, first.n_codes)
    if sparse.issparse(first):
        return sparse.vstack(tables, format="csr")
    if column_names(first) is None:
        kinds = {table.dtype.kind for table in tables}
        is_mixed = len(kinds) > 1 and not kinds <= set("iufb")
        return np.concatenate([first.astype(object), *tables[1:]] if is_mixed else tables)
    if hasattr(first, "vstack"):  # polars
        return reduce(lambda upper, lower: upper.vstack(lower), tables)
    if hasattr(first, "append_column"):  # Arrow
        import pyarrow

        return pyarrow.concat_tables(tables)
    import pandas

    stacked = pandas.concat(tables, ignore_index=True)
    kinds_of = [[getattr(dtype, "kind", "O") for dtype in table.dtypes] for table in tables]
    # pandas makes floats of int64 and uint64.
    integers = [p for p, all_ in enumerate(zip(*kinds_of, strict=True)) if set(all_) == {"i", "u"}]
    return replace_columns(
        stacked, {p: concatenate_ids(*(cells(table, p) for table in tables)) for p in integers}
    )
