"""Arrow types of columns: in their plain layout, and what holds the values of several."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import reduce
from typing import Any

from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.text import is_text

# Decimal digits of the integers of so many bits.
DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
UNITS = ("s", "ms", "us", "ns")


def is_number(type_: Any) -> bool:
    """Whether a type can be cast to float32."""
    types = pyarrow_extra().types
    return bool(
        types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_boolean(type_)
        or types.is_decimal(type_)
    )


def is_category(type_: Any) -> bool:
    """Whether a type stores each value once, as categories of data frames are written."""
    return bool(pyarrow_extra().types.is_dictionary(type_))


def is_id(type_: Any) -> bool:
    """Whether values of a plain type identify something: text, integers, bytes, UUIDs and dates.

    Measurements, truth values, lists and the like do not.
    """
    pyarrow = pyarrow_extra()
    types = pyarrow.types
    if isinstance(type_, pyarrow.BaseExtensionType):
        return is_id(type_.storage_type)
    return bool(
        is_text(type_)
        or is_binary(type_)
        or types.is_null(type_)
        or types.is_integer(type_)
        or types.is_date(type_)
        or types.is_timestamp(type_)
        or (types.is_decimal(type_) and type_.scale <= 0)
    )


def is_binary(type_: Any) -> bool:
    """Whether a plain type is that of bytes."""
    types = pyarrow_extra().types
    return bool(
        types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_)
    )


def plain(type_: Any) -> Any:
    """Return the type of a column's values, without dictionaries, views and run ends."""
    pyarrow = pyarrow_extra()
    if pyarrow.types.is_dictionary(type_) or pyarrow.types.is_run_end_encoded(type_):
        return plain(type_.value_type)
    if pyarrow.types.is_string_view(type_):
        return pyarrow.string()
    return pyarrow.binary() if pyarrow.types.is_binary_view(type_) else type_


def plain_column(column: Any) -> Any:
    """Return a column with its plain type."""
    pyarrow = pyarrow_extra()
    type_ = plain(column.type)
    if type_ == column.type:
        return column
    if pyarrow.types.is_dictionary(column.type):
        return plain_column(column.dictionary).take(column.indices)
    if pyarrow.types.is_run_end_encoded(column.type):
        return plain_column(pyarrow.compute.run_end_decode(column))
    return column.cast(type_)


def measured_type(types: Iterable[Any]) -> Any:
    """Type of a feature that has these types in several files.

    Whole numbers, others and decimals together are float64, whose digits suffice for a model.
    Dictionaries stay if all files have them, because estimators take them for categories.

    Returns
    -------
    pyarrow.DataType or None
        None if there is none, as for text and numbers.
    """
    pyarrow = pyarrow_extra()
    types = list(types)
    first = types[0]
    if all(type_ == first for type_ in types) and not pyarrow.types.is_decimal(plain(first)):
        return first
    present = [plain(type_) for type_ in types if not pyarrow.types.is_null(type_)]
    common = common_of(present)
    are_numbers = all(map(is_number, present))
    if are_numbers and (common is None or pyarrow.types.is_decimal(common)):
        return pyarrow.float64()
    return common


def common_type(left: Any, right: Any) -> Any:
    """Return the type that holds the values of two plain types exactly; None if there is none."""
    pyarrow = pyarrow_extra()
    types = pyarrow.types
    if left == right or (is_text(left) and is_text(right)):
        return left
    if types.is_null(left) or types.is_null(right):
        return right if types.is_null(left) else left
    if types.is_floating(left) and types.is_floating(right):
        return max(left, right, key=lambda one: one.bit_width)
    if is_binary(left) and is_binary(right):
        return pyarrow.binary()
    if types.is_temporal(left) and types.is_temporal(right):
        return _common_time(left, right)
    if types.is_integer(left) and types.is_integer(right):
        return _common_integer(left, right)
    return _common_decimal(left, right)


def common_of(types: Iterable[Any]) -> Any:
    """Return the type that holds the values of several plain types exactly; None if none does."""

    def both(left: Any, right: Any) -> Any:
        return None if left is None else common_type(left, right)

    return reduce(both, types)


def as_text(column: Any) -> Any:
    """Convert a column of any type to text: bytes to hexadecimal digits, lists and so on to JSON.

    Parameters
    ----------
    column : pyarrow.Array

    Returns
    -------
    pyarrow.Array
        Of type string.
    """
    pyarrow = pyarrow_extra()
    column = plain_column(column)
    has_own_text = is_binary(column.type) or isinstance(column.type, pyarrow.BaseExtensionType)
    if not has_own_text:
        try:
            return column.cast(pyarrow.string())
        except pyarrow.ArrowException:
            pass
    return pyarrow.array(map(_text, column.to_pylist()), pyarrow.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, default=_text) if isinstance(value, list | dict) else str(value)


def _common_integer(left: Any, right: Any) -> Any:
    pyarrow = pyarrow_extra()
    is_signed = pyarrow.types.is_signed_integer
    narrow, wide = sorted((left, right), key=lambda one: one.bit_width)
    if is_signed(left) == is_signed(right):
        return wide
    if is_signed(wide) and narrow.bit_width < wide.bit_width:
        return wide
    return pyarrow.int64() if wide.bit_width < 64 else None


def _common_time(left: Any, right: Any) -> Any:
    """The finest unit of two dates, times or durations."""
    pyarrow = pyarrow_extra()
    types = pyarrow.types
    if types.is_date(left) and types.is_date(right):
        return pyarrow.date64()
    if types.is_date(left) or types.is_date(right):
        other = right if types.is_date(left) else left
        return other if types.is_timestamp(other) and other.tz is None else None
    for is_kind in (types.is_timestamp, types.is_time, types.is_duration):
        if is_kind(left) and is_kind(right):
            break
    else:
        return None
    unit = max(left.unit, right.unit, key=UNITS.index)
    if types.is_timestamp(left):
        # A time with a zone is a moment, one without is not.
        same = (left.tz is None) == (right.tz is None)
        return pyarrow.timestamp(unit, left.tz) if same else None
    if types.is_time(left):
        return pyarrow.time32(unit) if unit in ("s", "ms") else pyarrow.time64(unit)
    return pyarrow.duration(unit)


def _common_decimal(left: Any, right: Any) -> Any:
    """The decimal type with the digits of two types, of which one is decimal."""
    pyarrow = pyarrow_extra()
    types = pyarrow.types
    if not any(map(types.is_decimal, (left, right))):
        return None
    whole = scale = 0
    for type_ in (left, right):
        if types.is_decimal(type_):
            whole, scale = max(whole, type_.precision - type_.scale), max(scale, type_.scale)
        elif types.is_integer(type_):
            whole = max(whole, DIGITS[type_.bit_width])
        else:
            return None
    precision = whole + scale
    if precision <= 38:
        return pyarrow.decimal128(precision, scale)
    return pyarrow.decimal256(precision, scale) if precision <= 76 else None
