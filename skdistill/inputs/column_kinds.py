"""Kinds of values in the columns of a table, and exact conversions between them.

A model that was fitted with ids of one kind does not know the same ids in another: an encoder takes
``"7"`` for a category that it has not seen if it was fitted with ``7``. Tables are therefore
brought to the kinds of ``fit`` where that is exact, and refused otherwise.

Kinds are "integer", "float", "boolean", "text", "date", "bytes", "missing" (if every cell is), and
the names of other types. A column of several kinds has a name with "and".
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.columns import cells, column_names, replace_columns
from skdistill.inputs.ids import INT64, as_ids, missing_ids
from skdistill.inputs.row_errors import RowError
from skdistill.user_warnings import warn_user

KIND_OF_DTYPE = dict.fromkeys("iu", "integer") | {
    "f": "float", "b": "boolean", "U": "text", "S": "bytes", "M": "date", "m": "timedelta",
}  # fmt: skip
KIND_OF_TYPE: tuple[tuple[Any, str], ...] = (
    ((bool, np.bool_), "boolean"),
    ((int, np.integer), "integer"),
    ((float, np.floating), "float"),
    (str, "text"),
    (bytes, "bytes"),
    ((datetime.date, np.datetime64), "date"),
    ((datetime.timedelta, np.timedelta64), "timedelta"),
)
# How pandas, polars and Arrow print types that say what a column holds.
KIND_OF_TYPE_NAME = (
    (r"u?int\d+(\[pyarrow\])?", "integer"),
    (r"(half)?float(\d+)?(\[pyarrow\])?|double(\[pyarrow\])?", "float"),
    (r"bool(ean)?(\[pyarrow\])?", "boolean"),
    (r"(large_)?str(ing)?(_view)?(\[pyarrow\])?", "text"),
    (r"date(32|64)?\b.*|datetime.*|timestamp.*", "date"),
    (r"duration.*", "timedelta"),
)
NUMBERS = ("integer", "float", "boolean")
# Larger integers may have been rounded when they became floats.
EXACT_FLOAT = 2**53
NUMBER_TYPES = bool | np.bool_ | int | np.integer | float | np.floating | Decimal
# The end of the text of a time with a zone, of which NumPy warns.
ZONE = r"[T ]\d\d(:?\d\d)*(\.\d*)?(?P<zone>Z|[+-]\d\d(:?\d\d)?)$"
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
TRUTH: dict[Any, bool] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    0: False,
    1: True,
}


NO_NAMES = " Pass booleans themselves, or 1 and 0, and not the words."
ISO_8601 = (
    " A date in text is that of ISO 8601, such as '2026-11-27' or '2026-11-27T08:30:00'; "
    "pandas.to_datetime(values, unit='ms') converts milliseconds since 1970."
)


class ColumnKindError(RowError):
    """Raised if a cell cannot be converted to the kind of ``fit``.

    Parameters
    ----------
    table : str
        Name of the table in the message.
    row : int
        Row of the cell in the table.
    column : str or int
    cell : object
        The cell.
    kind, expected : str
        Kind of the column now, and in ``fit``.
    """

    def __init__(
        self, table: str, row: int, column: Any, cell: Any, kind: str, expected: str
    ) -> None:
        is_name = expected in ("float", "integer") and str(cell).lower() in ("true", "false")
        # A column of numbers may have been one of integers or booleans.
        shown = "number" if expected == "float" else expected
        self.problem = (
            f"column {column!r} held values of type {shown} in fit and holds {kind} now; "
            f"{cell!r} has no exact counterpart. Pass values as they were in fit, or drop such "
            f"rows.{ISO_8601 if expected == 'date' else ''}{NO_NAMES if is_name else ''}"
        )
        super().__init__(f"{table}: ", row, f": {self.problem}")


def column_kinds(table: Any) -> list[str] | None:
    """Kind of each column of a table; None for CSR matrices and arrays of numbers."""
    if sparse.issparse(table):
        return None
    if column_names(table) is None and table.dtype.kind in "iufbc":
        return None
    return [
        _kind_of_column(table, position, dtype) for position, dtype in enumerate(_dtypes(table))
    ]


def kind_of(values: NDArray[Any]) -> str:
    """Kind of the values of an array that are not missing."""
    if values.dtype != object:
        return KIND_OF_DTYPE.get(values.dtype.kind, str(values.dtype))
    present = values[~missing_ids(values)]
    kinds = {_kind_of_type(type_) for type_ in set(map(type, present))}
    return " and ".join(sorted(kinds)) or "missing"


def kind_of_dtype(dtype: Any) -> str | None:
    """Kind that the type of a column says it holds; None if it does not say."""
    if isinstance(dtype, np.dtype):
        return None if dtype.kind == "O" else KIND_OF_DTYPE.get(dtype.kind, str(dtype))
    name = str(dtype).lower()
    return next((kind for pattern, kind in KIND_OF_TYPE_NAME if re.fullmatch(pattern, name)), None)


def to_kinds(
    table: Any,
    kinds: Sequence[str | None] | None,
    name: str,
    *,
    keeps_numbers: bool = False,
    allows_words: bool = False,
    signs_integers: bool = True,
) -> Any:
    """Convert the columns of a table to the kinds of ``fit``.

    Parameters
    ----------
    table : table of shape (n_rows, n_columns)
    kinds : sequence of (str or None), or None
        What :func:`column_kinds` returned in ``fit``. Columns of unknown kind are left as they are.
    name : str
        Name of the table in the message.
    keeps_numbers : bool, default=False
        Whether any number may take the place of an integer.
    allows_words : bool, default=False
        Whether a few words among integers, such as "guest", are ids that ``fit`` did not see. A
        warning counts them. A column of nothing but words is refused.
    signs_integers : bool, default=True
        Whether to give integers a type that scikit-learn compares exactly. It makes floats of
        unsigned integers, if others are signed, and of nullable ones.

    Returns
    -------
    table of shape (n_rows, n_columns)
        The table itself if nothing is to be converted.

    Raises
    ------
    ColumnKindError
        If a cell cannot be converted exactly.
    """
    if kinds is None or sparse.issparse(table) or not table.shape[0]:
        return table
    names = column_names(table)
    changed: dict[int, NDArray[Any]] = {}
    for position, (dtype, expected) in enumerate(zip(_dtypes(table), kinds, strict=True)):
        if expected is None or " and " in expected or expected == "missing":
            continue
        kind = _kind_of_column(table, position, dtype)
        if kind == expected == "integer":
            values = _signed(table, position, dtype) if signs_integers else None
            if values is not None and not (keeps_numbers and values.dtype == object):
                changed[position] = values
            continue
        if kind in (expected, "missing") or (keeps_numbers and {kind, expected} <= set(NUMBERS)):
            continue
        values = cells(table, position)
        column = position if names is None else names[position]
        converted = to_kind(values, kind, expected, name, column, allows_words=allows_words)
        if converted is not values:
            changed[position] = converted
    return replace_columns(table, changed) if changed else table


def to_kind(
    values: NDArray[Any],
    kind: str,
    expected: str,
    name: str,
    column: Any,
    *,
    allows_words: bool,
) -> NDArray[Any]:
    """Convert the cells of a column to the kind of ``fit``.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        The cells.
    kind, expected : str
        Their kind, and that of ``fit``.
    name : str
        Name of the table in messages.
    column : object
        Name of the column in messages.
    allows_words : bool
        As in :func:`to_kinds`.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ColumnKindError
        If a cell cannot be converted exactly.
    """
    converted, is_unfit = convert(values, expected)
    if not is_unfit.any():
        return converted
    row = int(is_unfit.argmax())
    cell = values[[row]].tolist()[0]
    if not (allows_words and expected == "integer" and _are_few_words(values, is_unfit)):
        raise ColumnKindError(name, row, column, cell, kind, expected)
    # They stay missing, which encoders of integers take for an id that they do not know.
    warn_user(
        f"{name}: row {row}: column {column!r} held integers in fit, and {cell!r} is none. "
        f"{is_unfit.sum()} such values count as ids that fit did not see.",
    )
    return converted


def _are_few_words(values: NDArray[Any], is_unfit: NDArray[np.bool_]) -> bool:
    """Whether some cells can be converted, and the others are text that is no number."""
    if is_unfit[~missing_ids(values)].all():
        return False
    others = values[is_unfit].tolist()
    return all(isinstance(cell, str) and not re.fullmatch(NUMBER, cell) for cell in others)


def convert(values: NDArray[Any], kind: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Convert cells to a kind, exactly.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
    kind : str

    Returns
    -------
    converted : ndarray of shape (n_rows,)
        None for missing cells, if the array type of the kind has no missing value.
    is_unfit : ndarray of shape (n_rows,), bool
        Whether a cell cannot be converted.
    """
    missing = missing_ids(values)
    if kind_of(values) == "float" and missing.all():
        return values, np.zeros(len(values), dtype=bool)
    if kind == "float" and kind_of(values) in ("integer", "boolean"):
        return values, np.zeros(len(values), dtype=bool)
    convert_cell = CONVERSIONS.get(kind, _same_kind(kind))
    is_unfit = np.zeros(len(values), dtype=bool)
    converted: list[Any] = [None] * len(values)
    known: dict[Any, Any] = {}
    source = values if values.dtype.kind in "OmM" else values.tolist()
    for row in np.flatnonzero(~missing):
        cell = source[row]
        # Python takes both hours in which clocks are set back for one time.
        key = cell, getattr(cell, "fold", 0)
        try:
            if key not in known:
                known[key] = convert_cell(cell)
            converted[row] = known[key]
        except (TypeError, ValueError, OverflowError):
            is_unfit[row] = True
    if kind == "float":
        return np.array(converted, dtype=np.float64), is_unfit
    return as_ids(converted), is_unfit


def _dtypes(table: Any) -> list[Any]:
    """Type of each column; it is none of NumPy's if the table's library has its own."""
    if hasattr(table, "schema") and not hasattr(table, "dtypes"):  # Arrow
        return list(table.schema.types)
    return list(table.dtypes) if hasattr(table, "dtypes") else [table.dtype] * table.shape[1]


def _kind_of_column(table: Any, position: int, dtype: Any) -> str:
    """Kind of a column; read off its type where that says it."""
    return kind_of_dtype(dtype) or kind_of(_distinct_cells(table, position, dtype))


def _distinct_cells(table: Any, position: int, dtype: Any) -> NDArray[Any]:
    """Cells of a column; of one of pandas that stores each category once, the categories."""
    categories: Any = getattr(dtype, "categories", None)
    if isinstance(dtype, np.dtype) or not hasattr(categories, "to_numpy"):
        return cells(table, position)
    return as_ids(list(categories))


def _signed(table: Any, position: int, dtype: Any) -> NDArray[Any] | None:
    """Integers of a column in a type that scikit-learn compares exactly; None if they have one."""
    if isinstance(dtype, np.dtype) and dtype.kind in "iO":
        return None
    values = cells(table, position)
    if values.dtype.kind == "u" and values.max() <= INT64.max:
        return values.astype(np.int64)
    return values.astype(object) if values.dtype.kind == "u" else values


def _kind_of_type(type_: type) -> str:
    return next((kind for types, kind in KIND_OF_TYPE if issubclass(type_, types)), type_.__name__)


def _integer(cell: Any) -> int:
    if not isinstance(cell, str | NUMBER_TYPES):
        raise TypeError(cell)
    integer = int(cell)
    if isinstance(cell, str):
        is_exact = str(integer) == cell
    else:
        may_be_rounded = isinstance(cell, float | np.floating) and abs(integer) >= EXACT_FLOAT
        is_exact = bool(integer == cell) and not may_be_rounded
    if not is_exact:
        raise ValueError(cell)
    return integer


def _float(cell: Any) -> float:
    if not isinstance(cell, str | NUMBER_TYPES):
        raise TypeError(cell)
    if isinstance(cell, str) and not re.fullmatch(NUMBER, cell.strip()):
        raise ValueError(cell)  # Python also knows "nan" and 1_000
    return float(cell)


def _boolean(cell: Any) -> bool:
    if cell not in TRUTH:
        raise ValueError(cell)
    return TRUTH[cell]


def _date(cell: Any) -> np.datetime64:
    if isinstance(cell, str) and not re.match(r"\d{4}(?!\d)", cell):
        raise ValueError(cell)  # NumPy knows "now", and takes "20261127" for a year
    if not isinstance(cell, str | datetime.date | np.datetime64):
        raise TypeError(cell)
    if isinstance(cell, str) and re.search(ZONE, cell):
        cell = datetime.datetime.fromisoformat(cell)
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(cell, "us")  # type: ignore[call-overload]


def _duration(cell: Any) -> np.timedelta64:
    if not isinstance(cell, datetime.timedelta | np.timedelta64):
        raise TypeError(cell)
    return np.timedelta64(cell, "us")


def _same_kind(kind: str) -> Callable[[Any], Any]:
    def convert_cell(cell: Any) -> Any:
        if _kind_of_type(type(cell)) != kind:
            raise TypeError(cell)
        return cell

    return convert_cell


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "date": _date,
    "timedelta": _duration,
}
