"""Arrow types of columns: in their plain layout, and what holds the values of several."""

from __future__ import annotations

from typing import Any

from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.text import is_text


def is_number(type_: Any) -> bool:
    """Whether a type can be cast to float32."""
    types = pyarrow_extra().types
    return bool(
        types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_boolean(type_)
        or types.is_decimal(type_)
    )


def without_decimals(type_: Any) -> Any:
    """Return float64 for decimal numbers, and any other type as it is."""
    is_decimal = pyarrow_extra().types.is_decimal(type_)
    return pyarrow_extra().float64() if is_decimal else type_


def plain(type_: Any) -> Any:
    """Return the type of a column's values, without dictionaries and views."""
    pyarrow = pyarrow_extra()
    if pyarrow.types.is_dictionary(type_):
        return plain(type_.value_type)
    if pyarrow.types.is_string_view(type_):
        return pyarrow.string()
    return pyarrow.binary() if pyarrow.types.is_binary_view(type_) else type_


def plain_column(column: Any) -> Any:
    """Return a column with its plain type."""
    type_ = plain(column.type)
    if type_ == column.type:
        return column
    if pyarrow_extra().types.is_dictionary(column.type):
        return plain_column(column.dictionary).take(column.indices)
    return column.cast(type_)


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
    if not (types.is_integer(left) and types.is_integer(right)):
        return None
    narrow, wide = sorted((left, right), key=lambda one: one.bit_width)
    if types.is_signed_integer(left) == types.is_signed_integer(right):
        return wide
    if types.is_signed_integer(wide) and narrow.bit_width < wide.bit_width:
        return wide
    return pyarrow.int64() if wide.bit_width < 64 else None
