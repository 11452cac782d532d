"""Reader of CSV files.

A CSV file has no types: ``007``, ``NA`` and a number of 23 digits are text until somebody asks for
something else. Columns are therefore read as text, and only an empty cell is missing. What a column
is converted to is decided for a whole run, never by the first rows of a file.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skdistill.public_names import set_module
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.shard import Shard, TableFile
from skdistill.tables.text import convert_text, holds_numbers, is_text, untyped
from skdistill.tables.text_file import open_text

# UTF-32 first, whose mark begins with that of UTF-16.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@set_module("skdistill.serving")
@dataclass(frozen=True)
class CsvOptions:
    """How CSV files are written.

    Parameters
    ----------
    delimiter : str, optional
        Character between two cells. By default, a comma, and a tab in files that end in ``.tsv``.
    decimal : {".", ","}, default="."
        Decimal point of numbers. The text of columns that are copied stays as it is.
    encoding : str, optional
        Encoding as Python names it, such as "latin-1" or "cp1252". By default, UTF-8, or what a
        byte order mark at the beginning of a file says.

    Raises
    ------
    ValueError
        If the encoding is unknown, or the delimiter is not a single character other than the
        decimal point.
    """

    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.decimal not in (".", ","):
            raise ValueError(f"decimal must be '.' or ',', got {self.decimal!r}.")
        delimiter = self.delimiter
        is_one = delimiter is None or (len(delimiter) == 1 and delimiter.isascii())
        if not is_one or delimiter in (self.decimal, '"', "\r", "\n"):
            raise ValueError(
                "delimiter must be a single ASCII character, and neither the decimal point, a "
                f"quote nor the end of a line, got {delimiter!r}."
            )
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError:
            raise ValueError(
                f"encoding must be one that Python knows, got {self.encoding!r}."
            ) from None


@dataclass(frozen=True)
class Csv:
    """Format of CSV files, compressed or not; each file is one shard.

    Parameters
    ----------
    delimiter : str
        Character between two cells.
    decimal : str, default="."
        Decimal point of numbers.
    encoding : str, optional
        By default, UTF-8, or what a byte order mark says.
    """

    delimiter: str
    decimal: str = "."
    encoding: str | None = None

    def with_options(self, options: CsvOptions) -> Csv:
        """Return the format of files that are written in another way."""
        delimiter = options.delimiter or self.delimiter
        return replace(
            self, delimiter=delimiter, decimal=options.decimal, encoding=options.encoding
        )

    def schema(self, path: Path) -> Any:
        """Return the names of the columns, all of which are text."""
        with self._opened(path) as reader:
            return pyarrow_extra().schema(list(map(untyped, reader.schema.names)))

    def shards(self, file: TableFile) -> list[Shard]:
        """Return the whole file as one shard."""
        return [Shard(file, None, 0)]

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
        with self._opened(shard.path, options) as reader:
            for batch in reader:
                columns = [
                    convert_text(self._with_points(text, field), field, first_row, shard.path)
                    for text, field in zip(batch.columns, schema, strict=True)
                ]
                yield pyarrow_extra().RecordBatch.from_arrays(columns, names=schema.names)
                first_row += batch.num_rows

    @contextmanager
    def _opened(self, path: Path, options: Any = None) -> Iterator[Any]:
        from pyarrow import csv

        encoding = self.encoding
        if encoding is None:
            with open_text(path) as source:
                start = source.read(4)
            marks = (name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark))
            encoding = next(marks, "utf8")
            if not start:
                raise TableError(
                    f"{path}: is empty; expected a line with the names of the columns."
                )
        with (
            open_text(path) as source,
            csv.open_csv(
                source,
                read_options=csv.ReadOptions(encoding=encoding),
                parse_options=csv.ParseOptions(delimiter=self.delimiter),
                convert_options=options,
            ) as reader,
        ):
            yield reader

    def _with_points(self, column: Any, field: Any) -> Any:
        """Exchange decimal commas and points in a column that may hold numbers."""
        if self.decimal == "." or not holds_numbers(field):
            return column
        from pyarrow import compute

        # A point between thousands becomes a comma, which is no part of a number.
        for old, new in ((".", "\0"), (",", "."), ("\0", ",")):
            column = compute.replace_substring(column, old, new)
        return column
