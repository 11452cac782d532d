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

    is_csv = output_format == "csv"
    make = csv.CSVWriter if is_csv else parquet.ParquetWriter
    if is_csv:
        schema = _csv_schema(schema)
        batches = (_csv_batch(batch, schema) for batch in batches)
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


def _csv_schema(schema: Any) -> Any:
    """Return a schema without extension types, such as UUIDs, which become text in a CSV file."""
    pyarrow = pyarrow_extra()
    types = (
        pyarrow.string() if isinstance(one.type, pyarrow.BaseExtensionType) else one.type
        for one in schema
    )
    return pyarrow.schema(list(zip(schema.names, types, strict=True)))


def _csv_batch(batch: Any, schema: Any) -> Any:
    """Convert a batch to the schema of a CSV file."""
    pyarrow = pyarrow_extra()
    columns = [
        column
        if column.type == field.type
        else pyarrow.array([None if one is None else str(one) for one in column.to_pylist()])
        for field, column in zip(schema, batch.columns, strict=True)
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)
