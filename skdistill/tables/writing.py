"""Writer of Parquet and CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skdistill.tables.errors import pyarrow_extra

# Least number of rows in a row group, except for the last.
GROUP_ROWS = 1 << 17


def write_batches(path: Path, batches: Iterator[Any], schema: Any) -> None:
    """Write a table as Parquet or CSV.

    Parameters
    ----------
    path : Path
        File to write. The ending determines the format; ``.part`` after it is ignored.
    batches : iterator of pyarrow.RecordBatch
        The rows.
    schema : pyarrow.Schema
        Columns of the batches.
    """
    from pyarrow import csv, parquet

    is_csv = path.name.removesuffix(".part").endswith(".csv")
    make = csv.CSVWriter if is_csv else parquet.ParquetWriter
    table = pyarrow_extra().Table
    with make(path, schema) as writer:
        group: list[Any] = []
        for batch in batches:
            group.append(batch)
            if sum(map(len, group)) >= GROUP_ROWS:
                writer.write_table(table.from_batches(group))
                group = []
        if group:
            writer.write_table(table.from_batches(group))
