"""Times of many cells at once, which are dates of one type: text, Python's, pandas' or NumPy's.

:func:`skdistill.inputs.column_kinds.convert` takes dates of all types, cell by cell, and names one
that is none. What is read here has the same times, at a tenth of its cost or less.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.ids import missing_values

EPOCH = datetime.datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=datetime.UTC)
SECONDS_PER_DAY = 86_400
MICROSECONDS = 1e6
# A day, or a day and a time without a zone or with one.
TEXT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII
)
# That of a subclass would be Python code, which takes ten times as long.
difference = datetime.datetime.__sub__

Seconds = NDArray[np.float64]


def seconds_of_dates(cells: Sequence[Any]) -> Seconds | None:
    """Return the times of cells that are all dates of one type.

    Parameters
    ----------
    cells : sequence of length n_rows
        Text of ISO 8601, ``datetime.datetime`` or a subclass such as ``pandas.Timestamp``,
        ``datetime.date`` or ``numpy.datetime64``. None, NaN or NaT where a time is missing.

    Returns
    -------
    ndarray of shape (n_rows,), float64, or None
        Seconds since 1970 UTC, rounded down to microseconds, NaN where a time is missing. A time
        without a zone is one in UTC. None if the cells have several types, or some zones and some
        none, or if one is not a date.
    """
    seconds = np.full(len(cells), np.nan)
    missing = missing_values(cells)
    present = [cell for cell, is_missing in zip(cells, missing, strict=True) if not is_missing]
    read = _reader(set(map(type, present)))
    if read is None:
        return None
    try:
        seconds[~missing] = read(present)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds


def _reader(types: set[type]) -> Callable[[list[Any]], Any] | None:
    """Choose what reads cells of some types."""
    for type_, read in READERS:
        if all(issubclass(one, type_) for one in types):
            return read
    return None


def _of_text(cells: list[str]) -> Any:
    # A request often has one time in all rows.
    distinct = list(dict.fromkeys(cells))
    matches = list(map(TEXT.fullmatch, distinct))
    zones = {match and match[1] for match in matches}
    if None in matches or (None in zones and len(zones) > 1):
        raise ValueError(cells)
    read = _of_numpy(distinct) if None in zones else _of_text_with_zones(distinct)
    if len(distinct) == len(cells):
        return read
    seconds = dict(zip(distinct, read, strict=True))
    return [seconds[cell] for cell in cells]


def _of_text_with_zones(cells: list[str]) -> list[float]:
    return [datetime.datetime.fromisoformat(cell).timestamp() for cell in cells]


def _of_datetimes(cells: list[datetime.datetime]) -> list[float]:
    # The difference raises a TypeError if some times have a zone and others have none.
    start = EPOCH if not cells or cells[0].tzinfo is None else EPOCH_UTC
    return [difference(cell, start).total_seconds() for cell in cells]


def _of_days(cells: list[datetime.date]) -> list[int]:
    first = EPOCH.toordinal()
    return [(cell.toordinal() - first) * SECONDS_PER_DAY for cell in cells]


def _of_numpy(cells: list[Any]) -> Any:
    return np.array(cells, dtype="M8[us]").astype(np.int64) / MICROSECONDS


READERS: tuple[tuple[type, Callable[[list[Any]], Any]], ...] = (
    (str, _of_text),
    (datetime.datetime, _of_datetimes),  # before dates, of which they are a subclass
    (datetime.date, _of_days),
    (np.datetime64, _of_numpy),
)
