"""Sorting within ragged segments: as a few tables, one for each size, or all rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Sorting the rows of tables takes a third of the time per row that sorting all rows by value and
# segment takes, but each table costs as much as this number of rows gains.
ROWS_PER_TABLE = 500


def size_tables(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Tabulate the row numbers of all segments of one size, for each size.

    Parameters
    ----------
    starts : ndarray of shape (n_segments,), int64
        First row of each segment.
    sizes : ndarray of shape (n_segments,), int64
        Number of rows of each segment.

    Returns
    -------
    list of ndarray of shape (n_segments_of_size, size), int64
        In ascending order of sizes.
    """
    ordered = starts[np.argsort(sizes, kind="stable")]
    distinct, counts = np.unique(sizes, return_counts=True)
    groups = np.split(ordered[:, None], np.cumsum(counts)[:-1])
    return [first + np.arange(size) for first, size in zip(groups, distinct, strict=False)]


def sort_within(segment: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.int64]:
    """Sort rows by segment, then by value; ties keep the order of the rows.

    Parameters
    ----------
    segment : ndarray of shape (n_rows,), int64
        Number of each row's segment, ascending.
    values : ndarray of shape (n_rows,)
        One value per row.

    Returns
    -------
    ndarray of shape (n_rows,), int64
        Row numbers.
    """
    # Two stable sorts by one key are faster than np.lexsort, and NumPy sorts 16-bit integers by
    # radix, which is many times faster.
    by_value = np.argsort(values, kind="stable")
    narrow = segment.astype(np.uint16 if segment[-1:].sum() < 1 << 16 else np.int64)
    return by_value[np.argsort(narrow[by_value], kind="stable")]
