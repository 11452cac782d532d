"""Writer of Parquet and CSV files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.types import as_text, is_binary

# Least number of rows in a row group, except for the last.
GROUP_ROWS = 1 << 17


def write_batches(file: BinaryIO, output_format: str, batches: Iterator[Any], schema: Any) -> None:
    """Write a table as Parquet or CSV; columns of a type that the format does not have as text.

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
    schema = _written_schema(make, schema)
    batches = (_converted(batch, schema) for batch in batches)
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


def _written_schema(make: Any, schema: Any) -> Any:
    """Return a schema in which types that the format does not have are text."""
    pyarrow = pyarrow_extra()
    fields = [
        field if _is_held(make, field.type) else pyarrow.field(field.name, pyarrow.string())
        for field in schema
    ]
    return pyarrow.schema(fields)


def _is_held(make: Any, type_: Any) -> bool:
    """Whether a format has a type: it is tried out."""
    pyarrow = pyarrow_extra()
    is_csv = make.__name__ == "CSVWriter"
    if is_csv and (is_binary(type_) or isinstance(type_, pyarrow.BaseExtensionType)):
        return False  # any bytes would stand between the commas
    schema = pyarrow.schema([("column", type_)])
    try:
        with make(io.BytesIO(), schema) as writer:
            writer.write_table(pyarrow.Table.from_arrays([pyarrow.nulls(1, type_)], schema=schema))
    except pyarrow.ArrowException:
        return False
    return True


def _converted(batch: Any, schema: Any) -> Any:
    """Convert a batch to the schema that is written."""
    columns = [
        column if column.type == field.type else as_text(column)
        for field, column in zip(schema, batch.columns, strict=True)
    ]
    return pyarrow_extra().RecordBatch.from_arrays(columns, schema=schema)
