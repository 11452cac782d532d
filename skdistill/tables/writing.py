"""Writing tables as Parquet or CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skdistill.tables.errors import pyarrow_extra

# Rows of an output file's row group at least.
GROUP_ROWS = 1 << 17


def write_batches(path: Path, batches: Iterator[Any], schema: Any) -> None:
    """Write a table as Parquet or CSV, by the ending of ``path`` without ``.part``.

    Parameters
    ----------
    path : Path
    batches : iterator of pyarrow.RecordBatch
    schema : pyarrow.Schema
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
