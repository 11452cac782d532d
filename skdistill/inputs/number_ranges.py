"""The smallest and the largest number of columns, and whether later numbers are among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.column_reading import read_numbers
from skdistill.user_warnings import warn_user

# Tables of fewer rows than MANY_ROWS are not judged: all values of a request may be unlike those of
# fit. Of larger tables, SOME_ROWS rows are looked at, and columns with LEAST_PRESENT numbers there.
MANY_ROWS, SOME_ROWS, LEAST_PRESENT = 1000, 200, 20
# Later rows may lie outside the range of the training rows, but not most of them.
LARGEST_SHARE = 0.5
ROUNDING = 1e-6

Range = tuple[float, float]


def range_of(numbers: NDArray[Any]) -> Range | None:
    """Return the smallest and the largest of some numbers; None if all are missing."""
    present = numbers[np.isfinite(numbers)]
    return (float(present.min()), float(present.max())) if len(present) else None


def range_of_column(column: Any, kind: str, name: Any) -> Range | None:
    """Return the range of a column of a table; None if it does not hold numbers."""
    return range_of(read_numbers(column, kind, name)) if kind == "float" else None


@dataclass(frozen=True, eq=False)
class NumberRanges:
    """Ranges of some columns, with which later numbers are compared.

    Parameters
    ----------
    places : ndarray of shape (n_ranges,), int64
        Positions of the columns.
    least, most : ndarray of shape (n_ranges,), float64
        Smallest and largest number of each.
    """

    places: NDArray[np.int64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]

    @classmethod
    def of(cls, ranges: Sequence[Range | None]) -> NumberRanges:
        """Take the ranges of columns, None where one is not known."""
        # A model has learnt nothing from a column of one number.
        known = {place: of for place, of in enumerate(ranges) if of is not None and of[0] < of[1]}
        least, most = np.array(list(known.values()), dtype=np.float64).reshape(-1, 2).T
        # As float32, the largest number may be a little larger.
        margin = ROUNDING * np.maximum(np.abs(least), np.abs(most))
        return cls(np.array(list(known), dtype=np.int64), least - margin, most + margin)

    def left_by(self, numbers: NDArray[Any]) -> list[int]:
        """Find columns most of whose numbers are outside their range.

        Parameters
        ----------
        numbers : ndarray of shape (n_rows, n_columns)
            NaN where a number is missing. Few rows are not judged, and of many rows some are looked
            at.

        Returns
        -------
        list of int
            Positions of the columns, ascending.
        """
        if len(numbers) < MANY_ROWS or not len(self.places):
            return []
        # Every k-th row might be the same place of every list.
        rows = np.random.default_rng(0).integers(len(numbers), size=SOME_ROWS)
        some = numbers[np.ix_(rows, self.places)]
        n_outside = ((some < self.least) | (some > self.most)).sum(axis=0)
        n_present = SOME_ROWS - np.isnan(some).sum(axis=0)
        is_left = (n_present >= LEAST_PRESENT) & (n_outside > LARGEST_SHARE * n_present)
        return self.places[is_left].tolist()


def joined(
    ranges: Sequence[Range | None], further: Sequence[Range | None]
) -> tuple[Range | None, ...]:
    """Return the ranges of columns with further numbers, None where neither is known."""
    pairs = zip(ranges, further, strict=True)
    known = [[of for of in pair if of is not None] for pair in pairs]
    return tuple(
        (min(least for least, _ in of), max(most for _, most in of)) if of else None for of in known
    )


def warn_of_other_ranges(ranges: Mapping[Any, Range], model: str) -> None:
    """Warn of columns most of whose numbers are outside the range of a model's fit.

    Parameters
    ----------
    ranges : mapping of name to tuple of float
        Their ranges by their names; there is no warning if there are none.
    model : str
        Which model it is.
    """
    if ranges:
        shown = (f"{name!r} ({least:.6g} to {most:.6g})" for name, (least, most) in ranges.items())
        warn_user(
            f"Most numbers in these columns are outside the range that the {model} was trained on: "
            f"{', '.join(shown)}. Are they in another unit, or computed differently?"
        )
