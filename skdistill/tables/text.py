"""Text that stands for numbers and other values, and what a column of text holds."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.column_kinds import NUMBER, ZONE
from skdistill.tables.errors import TableError, pyarrow_extra

NUMERIC_TEXT = f"^{NUMBER}$"
INTEGER = r"^(0|-?[1-9]\d{0,17})$"
TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
BOOLEAN = f"^({'|'.join((*TRUE, *FALSE))})$"
# Digits of a second that microseconds do not have.
BELOW_MICROSECONDS = r"(\.\d{6})\d+"
# Codes with leading zeros and numbers of more digits than an integer has: text, not numbers.
CODE = r"^[+-]?(0\d|\d{19})"
# Text that other programs write for a missing number.
MISSING = r"^(|#N/A|#N/A N/A|#NA|-?1\.#IND|-?1\.#QNAN|-?NaN|-?nan|N/A|NA|NULL|n/a|null)$"


# Metadata of a column: that a file does not tell its type, or that its text will be numbers.
UNTYPED = {b"skdistill": b"untyped"}
NUMBERS = {b"skdistill": b"numbers"}


def untyped(name: str) -> Any:
    """Make the field of a column that is text because a file does not tell its type."""
    return pyarrow_extra().field(name, pyarrow_extra().string(), metadata=UNTYPED)


def is_untyped(field: Any) -> bool:
    """Whether a column is text only because a file does not tell its type."""
    return field.metadata == UNTYPED


def text_of_numbers(name: str) -> Any:
    """Make the field of a column that is read as text and then converted to numbers."""
    return pyarrow_extra().field(name, pyarrow_extra().string(), metadata=NUMBERS)


def holds_numbers(field: Any) -> bool:
    """Whether a column is converted to numbers, now or later."""
    return field.metadata == NUMBERS or pyarrow_extra().types.is_floating(field.type)


def is_text(type_: Any) -> bool:
    """Whether a type is a string of any layout."""
    types = pyarrow_extra().types
    return bool(
        types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)
    )


def parse(column: Any, type_: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Convert text to a type, exactly.

    Text of an integer has no leading zero, plus sign, point or exponent. Text of a number may have
    spaces around it, or say that the number is missing, such as ``NA``.

    Parameters
    ----------
    column : pyarrow.Array
        Text.
    type_ : pyarrow.DataType

    Returns
    -------
    values : pyarrow.Array
        Null if a cell is missing or cannot be converted.
    is_unfit : ndarray of shape (n_rows,), bool
        Whether a cell cannot be converted.
    """
    pyarrow = pyarrow_extra()
    from pyarrow import compute

    if pyarrow.types.is_floating(type_):
        return _numbers(column, type_)
    try:
        values = column.cast(type_)
    except pyarrow.ArrowException:
        values = None
    is_integer = pyarrow.types.is_integer(type_)
    if values is not None and not (is_integer and not values.cast(column.type).equals(column)):
        return values, np.zeros(len(column), dtype=bool)
    cells = column.to_pylist()
    is_unfit = np.array([one is not None and not _fits(one, type_, is_integer) for one in cells])
    return compute.if_else(pyarrow.array(~is_unfit), column, None).cast(type_), is_unfit


def parse_feature(column: Any, type_: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Convert text to a type as models read frames, in which true is 1.

    Text of a time without a zone is in UTC. Digits below microseconds are cut off. The type has the
    zone of the first time if all have one.

    Parameters
    ----------
    column : pyarrow.Array
        Text.
    type_ : pyarrow.DataType

    Returns
    -------
    values : pyarrow.Array
        As of ``parse``.
    is_unfit : ndarray of shape (n_rows,), bool
        As of ``parse``.
    """
    pyarrow = pyarrow_extra()
    from pyarrow import compute

    if type_ == pyarrow.timestamp("us"):
        return _times(column, type_)
    values, is_unfit = parse(column, type_)
    if not (is_unfit.any() and pyarrow.types.is_floating(type_)):
        return values, is_unfit
    for words, number in ((TRUE, "1"), (FALSE, "0")):
        is_word = compute.is_in(column, pyarrow.array(words, column.type))
        column = compute.if_else(is_word, number, column)
    return parse(column, type_)


def convert_text(column: Any, field: Any, first_row: int | str, path: Path) -> Any:
    """Convert a column of text to the type of a field, as ``parse_feature`` does.

    Parameters
    ----------
    column : pyarrow.Array
        Text.
    field : pyarrow.Field
    first_row : int or str
        Row of the file with which the column starts, or another place, for messages.
    path : Path
        The file, for messages.

    Returns
    -------
    pyarrow.Array

    Raises
    ------
    TableError
        If a cell cannot be converted exactly.
    """
    if is_text(field.type):
        return column if column.type == field.type else column.cast(field.type)
    converted, is_unfit = parse_feature(column, field.type)
    if is_unfit.any():
        row = int(is_unfit.argmax())
        place = first_row if isinstance(first_row, str) else f"row {first_row + row}"
        raise TableError(
            f"{path}: {place}: column {field.name!r} holds {column[row].as_py()!r}, expected "
            f"{field.type}."
        )
    return converted.cast(field.type)


def _fits(cell: str, type_: Any, is_integer: bool) -> bool:
    """Whether a cell can be converted exactly."""
    pyarrow = pyarrow_extra()
    try:
        value = pyarrow.scalar(cell).cast(type_).as_py()
    except pyarrow.ArrowException:
        return False
    return not is_integer or str(value) == cell


def _numbers(column: Any, type_: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Convert text to floating-point numbers."""
    pyarrow = pyarrow_extra()
    from pyarrow import compute

    try:
        return column.cast(type_), np.zeros(len(column), dtype=bool)
    except pyarrow.ArrowException:
        pass
    text = compute.utf8_trim_whitespace(column)
    is_number = compute.match_substring_regex(text, NUMERIC_TEXT)
    kept = compute.if_else(is_number, text, None)
    try:
        numbers = kept.cast(type_)
    except pyarrow.ArrowException:  # older releases refuse 1e400, which is infinity
        cells = (None if cell is None else float(cell) for cell in kept.to_pylist())
        numbers = pyarrow.array(cells, type_)
    is_missing = compute.match_substring_regex(text, MISSING)
    is_unfit = compute.fill_null(compute.invert(compute.or_(is_number, is_missing)), False)
    return numbers, is_unfit.to_numpy(zero_copy_only=False)


def _times(column: Any, type_: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Convert text, of which some may have a zone, to times; to times in UTC if some have none."""
    pyarrow = pyarrow_extra()
    from pyarrow import compute

    try:
        return column.cast(type_), np.zeros(len(column), dtype=bool)
    except pyarrow.ArrowException:
        pass
    column = compute.replace_substring_regex(column, BELOW_MICROSECONDS, r"\1")
    has_zone = compute.match_substring_regex(column, ZONE)
    if not compute.any(has_zone).as_py():
        return parse(column, type_)
    moments, is_unfit = parse(
        compute.if_else(has_zone, column, None), pyarrow.timestamp(type_.unit, "UTC")
    )
    others, are_unfit = parse(compute.if_else(has_zone, None, column), type_)
    is_unfit = is_unfit | are_unfit
    if others.null_count == len(others) and moments.null_count < len(moments):
        first = column[int(moments.is_valid().index(True).as_py())].as_py()
        offset = datetime.datetime.fromisoformat(first).isoformat()[-len("+00:00") :]
        return moments.cast(pyarrow.timestamp(type_.unit, offset)), is_unfit
    return compute.coalesce(moments.cast(type_), others), is_unfit


class TextContent:
    """What the cells of a column of text have all been so far: numbers, truth values or text."""

    def __init__(self) -> None:
        self.is_empty = self.is_integer = self.is_number = True
        # Whether all cells are truth values, and whether those are that do not say NA or the like.
        self.is_boolean = self.is_boolean_or_missing = True

    def see(self, column: Any) -> None:
        """Look at further cells.

        Parameters
        ----------
        column : pyarrow.Array
            Text.
        """
        from pyarrow import compute

        def every(pattern: str, cells: Any) -> bool:
            return compute.all(compute.match_substring_regex(cells, pattern)).as_py()

        cells = column.drop_null()
        if not len(cells) or not (self.is_number or self.is_boolean_or_missing):
            self.is_empty &= not len(cells)
            return
        trimmed = compute.utf8_trim_whitespace(cells)
        is_present = compute.invert(compute.match_substring_regex(trimmed, MISSING))
        present = trimmed.filter(is_present)
        self.is_integer = self.is_integer and every(INTEGER, cells)
        self.is_boolean = self.is_boolean and every(BOOLEAN, cells)
        if not len(present):
            return
        self.is_empty = False
        self.is_boolean_or_missing = self.is_boolean_or_missing and every(
            BOOLEAN, cells.filter(is_present)
        )
        self.is_number = self.is_number and (
            every(NUMERIC_TEXT, present)
            and not compute.any(compute.match_substring_regex(present, CODE)).as_py()
        )

    @property
    def type(self) -> Any:
        """The type that all cells can be converted to, as a ``pyarrow.DataType``."""
        pyarrow = pyarrow_extra()
        if self.is_empty:
            return pyarrow.string()
        if self.is_boolean:
            return pyarrow.bool_()
        if not (self.is_number or self.is_boolean_or_missing):
            return pyarrow.string()
        return pyarrow.int64() if self.is_integer else pyarrow.float64()
