"""Cyclic numbers of times, which let a model see the time of day and the day of the week.

A time in seconds only grows. Sine and cosine of its phase in a day and in a week come back to the
same values, and a weighted sum of both peaks at any hour that training chooses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DAY = 86_400
WEEK = 7 * DAY
PERIODS = (DAY, WEEK)
# Times that cover less than this fraction of a period show no cycle: their phase repeats the time,
# and would lie far from all phases of fit later.
LEAST_COVER = 0.5

Seconds = NDArray[np.float64]


def visible_periods(seconds: Seconds) -> tuple[int, ...]:
    """Find the periods that times cover, and within which they differ.

    Parameters
    ----------
    seconds : ndarray of shape (n_rows,), float64
        Times since 1970 UTC, NaN where they are missing.

    Returns
    -------
    tuple of int
        Those of a day and a week, in seconds. Whole days have no time of day to learn from.
    """
    present = seconds[~np.isnan(seconds)]
    if not len(present):
        return ()
    covered = [period for period in PERIODS if np.ptp(present) >= LEAST_COVER * period]
    return tuple(period for period in covered if np.ptp(np.mod(present, period)) > 0)


def with_cycles(seconds: Seconds, periods: tuple[int, ...]) -> list[Seconds]:
    """Put sine and cosine of the phase in each period behind times.

    Parameters
    ----------
    seconds : ndarray of shape (n_rows,), float64
        Times since 1970 UTC, NaN where they are missing. Float32 would lose the minute.
    periods : tuple of int
        Periods in seconds.

    Returns
    -------
    list of ndarray of shape (n_rows,), float64
        ``1 + 2 * len(periods)`` columns, NaN where a time is missing.
    """
    columns = [seconds]
    for period in periods:
        angle = np.mod(seconds, period) * (2 * np.pi / period)
        columns += [np.sin(angle), np.cos(angle)]
    return columns
