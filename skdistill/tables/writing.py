"""Writer of Parquet and CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from skdistill.tables.errors import pyarrow_extra

# Least number of rows in a row group, except for the last.
GROUP_ROWS = 1 << 17


def write_batches(file: BinaryIO, output_format: str, batches: Iterator[Any], schema: Any) -> None:
    """Write a table as Parquet or CSV.

    Parameters
    ----------
    file : binary file
        File to write, which stays open.
    output_format : {"parquet", "csv"}
    batches : iterator of pyarrow.RecordBatch
        The rows.
    schema : pyarrow.Schema
        Columns of the batches.
    """
    from pyarrow import csv, parquet

    make = csv.CSVWriter if output_format == "csv" else parquet.ParquetWriter
    table = pyarrow_extra().Table
    with make(file, schema) as writer:
        group: list[Any] = []
        for batch in batches:
            group.append(batch)
            if sum(map(len, group)) >= GROUP_ROWS:
                writer.write_table(table.from_batches(group))
                group = []
        if group:
            writer.write_table(table.from_batches(group))
