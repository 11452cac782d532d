"""A part of a file that is read and scored as one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Rows of a batch at most.
BATCH_ROWS = 1 << 14


@dataclass(frozen=True)
class Shard:
    """A part of a file.

    Parameters
    ----------
    path : Path
    row_groups : tuple of int, or None
        Of a Parquet file; None: the whole file.
    first_row : int
        Row of the file that the shard starts with.
    """

    path: Path
    row_groups: tuple[int, ...] | None
    first_row: int
