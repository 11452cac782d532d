"""The smallest and the largest number of columns, and whether later numbers are among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.user_warnings import warn_user

# In fewer rows, such as those of a request, all values may be unlike those of fit.
MANY_ROWS = 1000
# Later rows may lie outside the range of the training rows, but not most of them.
LARGEST_SHARE = 0.5
ROUNDING = 1e-6

Range = tuple[float, float]


def range_of(numbers: NDArray[Any]) -> Range | None:
    """Return the smallest and the largest of some numbers; None if all are missing."""
    present = numbers[np.isfinite(numbers)]
    return (float(present.min()), float(present.max())) if len(present) else None


def outside_range(numbers: NDArray[Any], ranges: Sequence[Range | None]) -> list[int]:
    """Find columns most of whose numbers are outside a range.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_columns)
        NaN where a number is missing. Few rows are not judged, and of many rows some are looked at.
    ranges : sequence of (tuple of float, or None)
        Smallest and largest number of each column; None if they are not known.

    Returns
    -------
    list of int
        Positions of the columns, ascending.
    """
    n_rows = len(numbers)
    # A model has learnt nothing from a column of one number.
    known = [place for place, of in enumerate(ranges) if of is not None and of[0] < of[1]]
    if n_rows < MANY_ROWS or not known:
        return []
    some = numbers[:: n_rows // MANY_ROWS, known]
    least, most = np.array([ranges[place] for place in known]).T
    # As float32, the largest number may be a little larger.
    margin = ROUNDING * np.maximum(np.abs(least), np.abs(most))
    n_outside = ((some < least - margin) | (some > most + margin)).sum(axis=0)
    is_outside = n_outside > LARGEST_SHARE * np.isfinite(some).sum(axis=0)
    return [known[place] for place in np.flatnonzero(is_outside)]


def warn_of_other_ranges(names: Sequence[Any], ranges: Sequence[Any], model: str) -> None:
    """Warn of columns most of whose numbers are outside the range of a model's fit.

    Parameters
    ----------
    names : sequence
        Names of the columns; there is no warning if there are none.
    ranges : sequence of tuple of float
        Their ranges.
    model : str
        Which model it is.
    """
    if names:
        shown = (f"{name!r} ({least:.6g} to {most:.6g})"
                 for name, (least, most) in zip(names, ranges, strict=True))  # fmt: skip
        warn_user(
            f"Most numbers in these columns are outside the range that the {model} was trained on: "
            f"{', '.join(shown)}. Are they in another unit, or computed differently?"
        )
