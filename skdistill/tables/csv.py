"""Reader of CSV files.

A CSV file has no types: ``007``, ``NA`` and a number of 23 digits are text until somebody asks for
something else. Columns are therefore read as text, and only an empty cell is missing. What a column
is converted to is decided for a whole run, never by the first rows of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.shard import Shard
from skdistill.tables.text import is_text, parse


class Csv:
    """Format of CSV files, compressed or not; each file is one shard."""

    def schema(self, path: Path) -> Any:
        """Return the names of the columns, all of which are text."""
        from pyarrow import csv

        with csv.open_csv(path) as reader:
            names = reader.schema.names
        text = pyarrow_extra().string()
        return pyarrow_extra().schema([(name, text) for name in names])

    def shards(self, path: Path) -> list[Shard]:
        """Return the whole file as one shard."""
        return [Shard(path, None, 0)]

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Yield the rows of a file in batches, with the columns and types of ``schema``.

        Raises
        ------
        TableError
            If a cell cannot be converted exactly. The message names its row and column.
        """
        from pyarrow import csv

        text = pyarrow_extra().string()
        options = csv.ConvertOptions(
            include_columns=schema.names,
            column_types={
                field.name: field.type if is_text(field.type) else text for field in schema
            },
            null_values=[""],
            strings_can_be_null=True,
        )
        first_row = 0
        with csv.open_csv(shard.path, convert_options=options) as reader:
            for batch in reader:
                yield _converted(batch, schema, shard.path, first_row)
                first_row += batch.num_rows


def _converted(batch: Any, schema: Any, path: Path, first_row: int) -> Any:
    """Convert columns of text to the types of a schema."""
    columns = []
    for field, column in zip(schema, batch.columns, strict=True):
        if not is_text(field.type):
            text = column
            column, is_unfit = parse(text, field.type)
            if is_unfit.any():
                row = int(is_unfit.argmax())
                raise TableError(
                    f"{path}: row {first_row + row}: column {field.name!r} holds "
                    f"{text[row].as_py()!r}, expected {field.type}."
                )
        columns.append(column)
    return pyarrow_extra().RecordBatch.from_arrays(columns, schema=schema)
