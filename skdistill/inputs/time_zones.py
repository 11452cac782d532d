"""Tell times with a time zone from times without one, which fit and predict may not mix.

A time with a zone is a moment. One without is taken for UTC, which is wrong by hours if it was a
local time. Models convert both alike, so that only a warning can tell.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any, Literal

from skdistill.inputs.column_kinds import ZONE, kind_of_dtype
from skdistill.inputs.column_reading import type_of, values_of
from skdistill.inputs.ids import is_missing
from skdistill.user_warnings import warn_user

Zone = Literal["none", "UTC", "other"]
# How libraries print the zone, and ISO 8601 writes it.
UTC = {"UTC", "UTC+00:00", "Etc/UTC", "GMT", "tzutc()", "Z", "+00", "+0000", "+00:00"}
WITH_ZONE = re.compile(ZONE).search


def zone_of_column(column: Any) -> Zone | None:
    """Tell the time zone of a column of times.

    Parameters
    ----------
    column : ndarray, or a column of pandas, polars or Arrow
        Times, or text that is read as times.

    Returns
    -------
    {"none", "UTC", "other"} or None
        What the column's type says, or else its first time; None if all are missing.
    """
    type_ = type_of(column)
    if kind_of_dtype(type_) != "date":
        return zone_of_cells(values_of(column))
    type_ = getattr(type_, "pyarrow_dtype", type_)  # of pandas, backed by Arrow
    zone = getattr(type_, "time_zone", None) or getattr(type_, "tz", None)
    return "none" if zone is None else _named(str(zone))


def zone_of_cells(cells: Sequence[Any]) -> Zone | None:
    """Tell the time zone of times that are Python's, pandas' or NumPy's values, or text.

    Parameters
    ----------
    cells : sequence of length n_rows
        Times; None, NaN or NaT where they are missing.

    Returns
    -------
    {"none", "UTC", "other"} or None
        That of the first time; None if all are missing.
    """
    first = next((cell for cell in cells if not is_missing(cell)), None)
    if first is None:
        return None
    if isinstance(first, str):
        match = WITH_ZONE(first)
        return "none" if match is None else _named(match["zone"])
    offset = first.utcoffset() if isinstance(first, datetime.datetime) else None
    return "none" if offset is None else "other" if offset else "UTC"


def warn_of_zone(name: Any, had_zone: bool | None, zone: Zone | None) -> None:
    """Warn if times with a zone stand beside times without one.

    Parameters
    ----------
    name : str or int
        Name or position of the column.
    had_zone : bool or None
        Whether the times of fit had a zone; None if that is not known, as in files of former
        versions.
    zone : {"none", "UTC", "other"} or None
        That of the times now. Times of UTC may stand beside times without a zone.
    """
    if had_zone and zone == "none":
        warn_user(
            f"Column {name!r} held times with a time zone in fit and holds times without one now, "
            "which are taken for UTC. Pass them with their zone, such as "
            "'2026-11-27T08:30:00+01:00'."
        )
    elif had_zone is False and zone == "other":
        warn_user(
            f"Column {name!r} held times without a time zone in fit, which were taken for UTC, and "
            "holds times with another zone now, which are converted to UTC. If those of fit were "
            "local times, pass local times without a zone. Otherwise, pass times in UTC."
        )


def _named(zone: str) -> Zone:
    return "UTC" if zone in UTC else "other"
