"""Read a column of a table of any library as numbers, as times, or as categories."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.column_kinds import NUMBERS, kind_of, to_kind
from skdistill.inputs.columns import column_names
from skdistill.inputs.ids import as_ids, is_missing, missing_ids
from skdistill.inputs.instants import MICROSECONDS, seconds_of_dates

UNITS = {"date": "M8[us]", "timedelta": "m8[us]"}
NUMBER_KINDS = {*NUMBERS, "Decimal", "missing"}
# Types of columns that store each category once, by how pandas, polars and Arrow print them.
NESTED_TYPES = ("List", "Array", "Struct", "list", "large_list", "fixed_size_list", "struct", "map")
DICTIONARY_TYPES = ("category", "Categorical", "Enum", "dictionary")
# Up to so many cells of text, looking up each is faster than finding those that are the same.
FEW_CELLS = 50


def column_of(X: Any, position: int, name: Any) -> Any:
    """Return a column of a data frame by its name, or of an array by its position."""
    return X[:, position] if isinstance(X, np.ndarray) else X[name]


def _is_arrow(column: Any) -> bool:
    # Asking pandas for an attribute that a column lacks takes as long as reading the column.
    return not hasattr(column, "dtype")


def type_of(column: Any) -> Any:
    """Return the type of a column in its library.

    Raises
    ------
    ValueError
        If it is a table, which pandas returns if several columns have the name.
    """
    if not _is_arrow(column):
        return column.dtype
    if hasattr(column, "columns"):
        raise ValueError(
            f"X has several columns of the names {[str(column.columns[0])]}, so they cannot be "
            "told apart. Rename or drop all but one of each."
        )
    return column.type


def is_dictionary(column: Any) -> bool:
    """Whether a column stores each category once, and a code per row."""
    return str(type_of(column)).startswith(DICTIONARY_TYPES)


def nested_type(column: Any) -> str | None:
    """Name the type of a column, or of its first cell, that holds several values; None if not."""
    type_ = type_of(column)
    if not isinstance(type_, np.dtype):
        return str(type_) if str(type_).startswith(NESTED_TYPES) else None
    cells = np.asarray(column) if type_.kind == "O" else ()
    first = next((cell for cell in cells if not is_missing(cell)), None)
    is_nested = isinstance(first, list | tuple | set | dict | np.ndarray)
    return type(first).__name__ if is_nested else None


def as_floats(column: Any) -> NDArray[Any] | None:
    """Return a column of numbers or booleans with NaN where it is missing.

    Parameters
    ----------
    column : ndarray, or a column of pandas, polars or Arrow

    Returns
    -------
    ndarray of shape (n_rows,), or None
        Numbers of any type. None if the column has another type, or none that says what it holds.
    """
    type_ = type_of(column)
    if isinstance(type_, np.dtype):
        return np.asarray(column) if type_.kind in "biuf" else None
    if _is_arrow(column):
        import pyarrow

        is_number = pyarrow.types.is_boolean(type_) or pyarrow.types.is_decimal(type_)
        if is_number or pyarrow.types.is_integer(type_) or pyarrow.types.is_floating(type_):
            return column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
        return None
    if hasattr(type_, "is_numeric"):  # polars
        import polars

        if type_.is_numeric() or type_ == polars.Boolean:
            return column.cast(polars.Float64).to_numpy()
        return None
    if getattr(type_, "kind", "O") in "biuf":  # pandas with missing values
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return None


def as_seconds(column: Any, kind: str) -> NDArray[np.float64] | None:
    """Return a column of times since 1970 UTC, or of durations, in seconds.

    Parameters
    ----------
    column : ndarray, or a column of pandas, polars or Arrow
    kind : {"date", "timedelta"}
        Which of both the column is to hold.

    Returns
    -------
    ndarray of shape (n_rows,), float64, or None
        NaN where a time is missing. None if the column has another type.
    """
    times = _times(column)
    if times is None or times.dtype.kind != UNITS[kind][0]:
        return None
    ticks = times.astype(UNITS[kind]).astype(np.int64)
    return np.where(np.isnat(times), np.nan, ticks / MICROSECONDS)


def ordered_values(column: Any) -> NDArray[Any]:
    """Return a column so that its values can be compared: numbers and times as NumPy has them.

    Parameters
    ----------
    column : array-like, or a column of pandas, polars or Arrow

    Returns
    -------
    ndarray of shape (n_rows,)
        Times with a time zone are those of UTC. Other values are as :func:`as_ids` returns them.
    """
    values = as_ids(column)
    if values.dtype != object or not (hasattr(column, "dtype") or hasattr(column, "type")):
        return values
    numbers = as_floats(column)
    if numbers is not None:
        return numbers
    times = _times(column)
    return values if times is None or times.dtype.kind not in "mM" else times


def ordered_cells(X: Any, position: int) -> NDArray[Any]:
    """Return a column of an array or data frame by its position, as ``ordered_values`` does."""
    names = column_names(X)
    return ordered_values(column_of(X, position, None if names is None else names[position]))


def is_time(column: Any) -> bool:
    """Whether the type of a column says that it holds times or durations."""
    return any(as_seconds(column, kind) is not None for kind in UNITS)


def _times(column: Any) -> NDArray[Any] | None:
    """Return a column of times or durations as an array of NumPy's types."""
    type_ = type_of(column)
    if isinstance(type_, np.dtype):
        return np.asarray(column) if type_.kind in "mMO" else None
    if _is_arrow(column):
        import pyarrow
        from pyarrow.compute import CastOptions

        types = pyarrow.types
        if types.is_duration(type_):
            microseconds = pyarrow.duration("us")
        elif types.is_date(type_) or types.is_timestamp(type_):
            microseconds = pyarrow.timestamp("us", getattr(type_, "tz", None))
        else:
            return None
        # Nanoseconds are cut off.
        options = CastOptions(microseconds, allow_time_truncate=True)
        return column.cast(options=options).to_numpy(zero_copy_only=False)
    if hasattr(type_, "is_temporal"):  # polars
        return column.to_numpy() if type_.is_temporal() else None
    kind = getattr(type_, "kind", "O")
    if kind in "mM":  # pandas with a time zone, or backed by Arrow
        return column.to_numpy(dtype=f"{kind}8[us]", na_value=np.array("NaT", f"{kind}8[us]")[()])
    return None


def dictionary_of(column: Any) -> tuple[Any, NDArray[np.integer]] | None:
    """Return the categories and codes of a column that stores each category once.

    Parameters
    ----------
    column : ndarray, or a column of pandas, polars or Arrow

    Returns
    -------
    categories : Arrow array or other sequence
        The categories, some of which may not occur. pandas shares it between columns of one type,
        and the batches of a Parquet file have equal ones.
    codes : ndarray of shape (n_rows,), integer
        Position of each row's category; -1 where it is missing.
    """
    array: Any = getattr(column, "array", None)
    if hasattr(array, "codes"):  # pandas
        return array.categories, array.codes
    is_text = getattr(getattr(array, "dtype", None), "storage", "") == "pyarrow"  # of pandas
    if is_text and len(array) <= FEW_CELLS:
        return None
    if is_text or _is_arrow(column):
        import pyarrow

        if is_text:
            column = pyarrow.array(array)
        if not pyarrow.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        if isinstance(column, pyarrow.ChunkedArray):
            column = column.unify_dictionaries().combine_chunks()
        if isinstance(column, pyarrow.ChunkedArray):  # a table without rows
            return [], np.empty(0, dtype=np.int64)
        places = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return column.dictionary, places
    return None


def are_same_categories(one: Any, other: Any) -> bool:
    """Whether categories that ``dictionary_of`` returned are known to be the same."""
    # To pandas, whole floats equal integers.
    is_arrow = hasattr(one, "equals") and _is_arrow(one) and type(one) is type(other)
    return one is other or (is_arrow and bool(one.equals(other)))


def values_of(column: Any) -> list[Any]:
    """Return the cells of a column as Python values."""
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)


def read_numbers(column: Any, kind: str, name: Any) -> NDArray[Any]:
    """Read a column of numbers, or of times in seconds.

    Parameters
    ----------
    column : ndarray, or a column of pandas, polars or Arrow
    kind : {"float", "date", "timedelta"}
        What the column held in ``fit``.
    name : str or int
        Name or position of the column in messages.

    Returns
    -------
    ndarray of shape (n_rows,)
        NaN where a value is missing.

    Raises
    ------
    ColumnKindError
        If a cell is no such value.
    """
    values = as_floats(column) if kind == "float" else as_seconds(column, kind)
    if values is None and kind == "date":
        values = seconds_of_dates(values_of(column))
    return _read_cells(as_ids(column), kind, name) if values is None else values


def _read_cells(cells: NDArray[Any], kind: str, name: Any) -> NDArray[Any]:
    """Convert each cell exactly, and name one that cannot be."""
    found = kind_of(cells)
    if kind == "float" and set(found.split(" and ")) <= NUMBER_KINDS:
        numbers = np.full(len(cells), np.nan)
        present = ~missing_ids(cells)
        numbers[present] = [float(cell) for cell in cells[present]]
        return numbers
    converted = to_kind(cells, found, kind, "X", name, allows_words=False)
    if kind == "float":
        return converted
    times = ["NaT" if cell is None else cell for cell in converted.tolist()]
    seconds = as_seconds(np.array(times, dtype=UNITS[kind]), kind)
    assert seconds is not None  # the array has a type of times
    return seconds
