"""Ids of any type, kept and compared exactly.

NumPy finds a common type for values of several types: int64 and uint64 become float64, numbers and
text become text, one missing value makes integers floats, and a trailing NUL character is lost.
Different ids would become equal. Here ids of one type have its array type, and all others stay
Python objects, which are equal if Python says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

INT64, UINT64 = np.iinfo(np.int64), np.iinfo(np.uint64)


def as_ids(values: Any) -> NDArray[Any]:
    """Return ids as an array, without changing any of them.

    Parameters
    ----------
    values : array-like of shape (n_ids,) or (n_ids, 1)
        A list, an array, or a column of pandas, polars or Arrow.

    Returns
    -------
    ndarray of shape (n_ids,) or, if ``values`` has more columns, (n_ids, n_columns)
        Of dtype object if the ids have several types, or none that NumPy holds exactly.
    """
    if not hasattr(values, "__len__"):
        return np.asarray(values)
    if hasattr(values, "columns") and len(values.columns) == 1:
        column = values.columns[0]
        # The columns of a pyarrow.Table are its data, those of other frames are names.
        values = column if hasattr(column, "to_pylist") else values[column]
    is_plain = isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray)
    if is_plain or isinstance(getattr(values, "dtype", None), np.dtype):
        ids = np.asarray(values if is_plain else _numpy_backed(values))
    else:
        ids = _array_of(_python_values(values))
    return ids[:, 0] if ids.ndim == 2 and ids.shape[1] == 1 else ids


def missing_ids(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each id is missing: None, NaN, NaT or ``pandas.NA``."""
    return missing_values(ids) if ids.dtype == object else np.asarray(ids != ids)


def missing_values(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each of some Python values is missing: None, NaN, NaT or ``pandas.NA``."""
    try:
        # NaN and NaT differ from themselves.
        return np.fromiter((one is None or one != one for one in values), bool, len(values))
    except (TypeError, ValueError):
        return np.fromiter(map(is_missing, values), bool, len(values))


def is_missing(one: Any) -> bool:
    """Whether a Python value is missing, as ``missing_values`` tells it."""
    try:
        return one is None or bool(one != one)
    except TypeError:  # pandas.NA is neither true nor false
        return True
    except ValueError:  # an array has several values
        return False


def id_codes(*parts: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Number the ids of several arrays: equal ids get equal numbers, and different ids do not.

    Numbers follow the order of the ids. If ids have several types, all of one type come before
    those of the next. Missing ids are equal to each other and come last.

    Parameters
    ----------
    *parts : ndarray of shape (n_ids,)
        What :func:`as_ids` returned.

    Returns
    -------
    list of ndarray of shape (n_ids,), int64
        From 0 to the number of distinct ids, less one.

    Raises
    ------
    TypeError
        If an id has no hash value, such as a list.
    """
    ids = concatenate_ids(*parts)
    codes = _object_codes(ids) if ids.dtype == object else np.unique(ids, return_inverse=True)[1]
    return np.split(codes, np.cumsum([len(part) for part in parts])[:-1])


def n_distinct(ids: NDArray[Any]) -> int:
    """Count the distinct ids; all missing ones count as one."""
    return int(id_codes(ids)[0].max(initial=-1)) + 1


def concatenate_ids(*parts: NDArray[Any]) -> NDArray[Any]:
    """Concatenate arrays of ids, without changing any of them."""
    types = {part.dtype for part in parts}
    common = "".join({type_.kind for type_ in types})
    is_exact = len(common) == 1 and common != "O"
    if len(types) == 1 or is_exact:
        return np.concatenate(parts)
    if set(common) == {"i", "u"} and np.result_type(*types).kind in "iu":
        return np.concatenate(parts)
    values = [
        one for part in parts for one in (part if part.dtype.kind in "OmM" else part.tolist())
    ]
    return _objects(values) if "O" in common else _array_of(values)


def _object_codes(ids: Iterable[Any]) -> NDArray[np.int64]:
    """Number ids of dtype object as ``id_codes`` does."""
    place: dict[Any, int] = {}
    try:
        appearance = np.array([place.setdefault(one, len(place)) for one in ids], dtype=np.int64)
    except TypeError as error:
        # In scikit-learn's words, which its checks of estimators look for.
        raise TypeError(
            f"An id or category argument must be a string, a number or the like: {error}."
        ) from error
    present = [one for one in place if not is_missing(one)]
    code = np.full(len(place), len(present), dtype=np.int64)
    code[[place[one] for one in _in_order(present)]] = np.arange(len(present))
    return code[appearance]


def _in_order(ids: list[Any]) -> list[Any]:
    """Sort distinct ids, those of one type after the other if they cannot be compared."""
    try:
        return sorted(ids)
    except TypeError:
        pass
    try:
        return sorted(ids, key=lambda one: (_family(one), one))
    except TypeError:
        return sorted(ids, key=lambda one: (_family(one), repr(one)))


def _family(one: Any) -> str:
    """Name the types whose values can be compared with this one."""
    if isinstance(one, Number | np.bool_):
        return ""
    return "str" if isinstance(one, str) else type(one).__name__


def _numpy_backed(values: Any) -> Any:
    """Return the array of a pandas column; masked cells become None."""
    if isinstance(values, np.ma.MaskedArray):
        return values if values.mask is np.ma.nomask else _objects(values.tolist())
    return values


def _python_values(values: Any) -> list[Any]:
    """Return the cells of a list, or of a column of pandas, polars or Arrow, as Python values."""
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values)


def _array_of(values: list[Any]) -> NDArray[Any]:
    """Make an array of values: of their type if that is exact, else of dtype object."""
    types = set(map(type, values))
    if any(issubclass(one, list | np.ndarray) for one in types):
        table = np.asarray(values, dtype=object)  # a table, such as a column vector
        return _array_of(table[:, 0].tolist()) if table.shape[1:] == (1,) else table
    kind = next(iter(types)) if len(types) == 1 else object
    if kind is int:
        return _integers(values)
    return np.asarray(values) if _is_exact(kind, values) else _objects(values)


def _integers(values: list[int]) -> NDArray[Any]:
    """Make an array of Python integers, of dtype object if they fit neither int64 nor uint64."""
    least, largest = min(values), max(values)
    for bounds in (INT64, UINT64):
        if bounds.min <= least and largest <= bounds.max:
            return np.array(values, dtype=bounds.dtype)
    return _objects(values)


def _is_exact(kind: type, values: list[Any]) -> bool:
    """Whether NumPy holds these values, which are all of this type, as they are."""
    if kind in (str, bytes):
        # NumPy cuts NUL characters at the end.
        nul = "\0" if kind is str else b"\0"
        return not any(one.endswith(nul) for one in values)
    if issubclass(kind, np.number | np.bool_ | np.datetime64 | np.timedelta64):
        return len({one.dtype for one in values}) == 1
    return kind in (bool, float)


def _objects(values: Iterable[Any]) -> NDArray[Any]:
    """Make an array of dtype object; NumPy would take tuples apart."""
    values = list(values)
    array = np.empty(len(values), dtype=object)
    for place, one in enumerate(values):
        array[place] = one
    return array
