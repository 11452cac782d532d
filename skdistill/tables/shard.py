"""Shards: parts of a file that are read and scored as a unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Largest number of rows in a batch.
BATCH_ROWS = 1 << 14


@dataclass(frozen=True)
class Shard:
    """A part of a file.

    Parameters
    ----------
    path : Path
        The file.
    row_groups : tuple of int, or None
        Row groups of a Parquet file. None means the whole file.
    first_row : int
        Row of the file with which the shard starts.
    """

    path: Path
    row_groups: tuple[int, ...] | None
    first_row: int
