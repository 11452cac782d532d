"""Files with tables, and shards: parts of a file that are read and scored as a unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.partitions import partitions_of
from skdistill.tables.text import untyped

# Largest number of rows in a batch.
BATCH_ROWS = 1 << 14


class TableFormat(Protocol):
    """A file format of tables."""

    def schema(self, path: Path) -> Any:
        """Return the names and types of a file's columns as a ``pyarrow.Schema``."""

    def shards(self, file: TableFile) -> list[Shard]:
        """Cut a file into shards."""

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Yield the rows of a shard as record batches with the columns of ``schema``."""


@dataclass(frozen=True)
class TableFile:
    """A file with a table.

    Parameters
    ----------
    path : Path
    format : TableFormat
        Reads the file.
    """

    path: Path
    format: TableFormat

    @cached_property
    def partitions(self) -> dict[str, str | None]:
        """Columns that folders named ``column=value`` add to those of the file."""
        inside = set(self._written.names)
        return {n: value for n, value in partitions_of(self.path).items() if n not in inside}

    @cached_property
    def stored(self) -> Any:
        """Names and types of the columns inside of the file, as a ``pyarrow.Schema``.

        Columns that share a name are left out, because a name does not say which of them is meant.
        """
        fields = [field for field in self._written if field.name not in self.repeated]
        return pyarrow_extra().schema(fields)

    @cached_property
    def repeated(self) -> set[str]:
        """Names that several columns share."""
        return {name for name, number in Counter(self._written.names).items() if number > 1}

    @cached_property
    def _written(self) -> Any:
        """Names and types of all columns inside of the file, as a ``pyarrow.Schema``.

        Raises
        ------
        TableError
            If the file cannot be read.
        """
        try:
            schema = self.format.schema(self.path)
            # Arrow decodes the names when they are asked for, and only UTF-8.
            list(schema.names)
            return schema
        except (pyarrow_extra().ArrowException, OSError, EOFError, UnicodeError) as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def schema(self) -> Any:
        """Names and types of all columns, those of the folders last, as a ``pyarrow.Schema``.

        Raises
        ------
        TableError
            If the file cannot be read.
        """
        return pyarrow_extra().schema([*self.stored, *map(untyped, self.partitions)])

    def shards(self) -> list[Shard]:
        """Cut the file into shards.

        Raises
        ------
        TableError
            If the file cannot be read.
        """
        return self.format.shards(self)


@dataclass(frozen=True)
class Shard:
    """A part of a file.

    Parameters
    ----------
    file : TableFile
    row_groups : tuple of int, or None
        Row groups of a Parquet file. None means the whole file.
    first_row : int
        Row of the file with which the shard starts.
    """

    file: TableFile
    row_groups: tuple[int, ...] | None
    first_row: int

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.file.path


def unreadable(path: Path, error: Exception) -> TableError:
    """Error about a file that cannot be decoded."""
    way_out = ""
    if isinstance(error, UnicodeError) or "invalid UTF8" in str(error):
        way_out = " If the file has another encoding, set it: encoding (--encoding)."
    elif "CSV parse error" in str(error):
        way_out = (
            " If the file has another delimiter or encoding, set it: delimiter, encoding "
            "(--delimiter, --encoding)."
        )
    return TableError(f"{path}: cannot be read: {error}.{way_out}")
