"""Rows that cannot be scored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What columns hold, by the kind of their values; those of floats are told apart below.
EXPECTED: dict[str | None, str] = {
    "integer": "a whole number",
    "date": "a date of ISO 8601, such as 2026-11-27 or 2026-11-27T08:30:00",
}
# As ``_shown`` writes a number with a decimal comma.
DECIMAL_COMMA = r"'[+-]?[\d.]*\d,\d+'"


@dataclass(frozen=True)
class Reject:
    """A row that cannot be scored.

    Parameters
    ----------
    file : str
        File of the row.
    row : int
        Number of the row in the file, from 0, without a header.
    column : str
        First column with an invalid value.
    value : str
        The invalid value.
    """

    file: str
    row: int
    column: str
    value: str


def expected_of_kind(kind: str | None, *, may_be_missing: bool) -> str:
    """What a model expects in a cell of a column, given the kind of its values."""
    if kind == "float":
        return "a finite number or nothing" if may_be_missing else "a finite number"
    return EXPECTED.get(kind, "what the model was fitted with")


def unscored(reject: Reject, expected: str, can_set_aside: bool = False) -> str:
    """Message about a row that ends a run, which ``score_table`` can set aside instead."""
    problem = (
        f"{reject.file}: row {reject.row}: column {reject.column!r} holds {reject.value}, expected "
        f"{expected}."
    )
    if re.fullmatch(DECIMAL_COMMA, reject.value):
        return (
            f"{problem} If the comma is a decimal one, read the file by --decimal , or "
            "csv_options=CsvOptions(decimal=',')."
        )
    way_out = ", or set them aside (rejects=, --rejects)" if can_set_aside else ""
    return f"{problem} Correct or drop such rows{way_out}."


def rejects_of(record: Any, bad: NDArray[np.bool_], file: str, first_row: int) -> list[Reject]:
    """Rows of a batch with a bad cell; each reject names the first one."""
    rows = np.flatnonzero(bad.any(axis=1))
    columns = bad[rows].argmax(axis=1)
    return [
        Reject(file, first_row + row, record.schema.names[column], _shown(record, column, row))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _shown(record: Any, column: int, row: int) -> str:
    value = record.column(column)[row].as_py()
    return "nothing" if value is None else repr(value)
