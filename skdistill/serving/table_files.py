"""Tables in files: Parquet, CSV and Arrow, cut into shards and read some rows at a time."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdistill.extras import import_extra

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
# CSV files that pyarrow unpacks while it reads them.
PACKED = (".gz", ".bz2", ".zst", ".lz4")
BATCH_ROWS = 1 << 14
# Of an output file's row group, at the least.
GROUP_ROWS = 1 << 17
# Parquet files are cut between row groups into shards of about so many rows: what a killed run
# has to do again.
SHARD_ROWS = 1 << 20
# Bytes of each column that are read ahead. Without it pyarrow holds a whole row group.
READ_AHEAD = 1 << 18


class TableError(ValueError):
    """A table that can't be scored: what is wrong, in which file and where."""


class OutputError(TableError):
    """Output that can't be written: no room, no right, or something in the way."""


def pyarrow_extra() -> Any:
    """The library that reads tables, or an error that names the extra."""
    return import_extra("pyarrow", "serving", "A table in a file")


def format_of(path: Path) -> str | None:
    """What a file's ending says that it is; None where that is nothing known."""
    if path.suffix in PACKED and path.stem.endswith(".csv"):
        return "csv"
    return FORMATS.get(path.suffix)


def find_files(inputs: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Files that paths, folders and globs stand for, in sorted order within each.

    Raises
    ------
    TableError
        For what is not there, and for files of an unknown ending.
    """
    found: list[Path] = []
    for given in inputs:
        path = Path(given)
        matches = (
            [path] if path.exists() else sorted(map(Path, glob.glob(str(given), recursive=True)))
        )
        files = [file for match in matches for file in _files_in(match)]
        if not files:
            raise TableError(f"{given}: there is no table here; known are {sorted(FORMATS)}.")
        for file in files:
            if format_of(file) is None:
                raise TableError(
                    f"{file}: its ending is none of {sorted(FORMATS)}, which tell the format."
                )
        found += files
    return found


def _files_in(path: Path) -> list[Path]:
    """The tables in a folder; a file is itself."""
    if not path.is_dir():
        return [path]
    inside = (file for file in sorted(path.rglob("*")) if format_of(file) and file.is_file())
    return [file for file in inside if not _is_hidden(file.relative_to(path))]


def _is_hidden(path: Path) -> bool:
    """What Spark, Dask and pyarrow pass over in a folder."""
    return any(part.startswith(("_", ".")) for part in path.parts)


@dataclass(frozen=True)
class Shard:
    """A part of a file that is scored as one.

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


def shards_of(path: Path) -> list[Shard]:
    """A file cut into shards: Parquet between row groups, other formats are one each.

    Raises
    ------
    TableError
        For a file that can't be read.
    """
    if format_of(path) != "parquet":
        return [Shard(path, None, 0)]
    with _opened_parquet(path) as file:
        group_rows = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    shards: list[Shard] = []
    groups: list[int] = []
    first_row = n_rows = 0
    for group, rows in enumerate(group_rows):
        groups.append(group)
        n_rows += rows
        if n_rows >= SHARD_ROWS or group == len(group_rows) - 1:
            shards.append(Shard(path, tuple(groups), first_row))
            first_row, n_rows, groups = first_row + n_rows, 0, []
    return shards or [Shard(path, (), 0)]


def schema_of(path: Path) -> Any:
    """Names and types of a file's columns; of a CSV file by its first rows.

    Returns
    -------
    pyarrow.Schema

    Raises
    ------
    TableError
        For a file that can't be read.
    """
    pyarrow = pyarrow_extra()
    try:
        if format_of(path) == "parquet":
            with _opened_parquet(path) as file:
                return file.schema_arrow
        if format_of(path) == "csv":
            from pyarrow import csv

            with csv.open_csv(path) as reader:
                return reader.schema
        with pyarrow.memory_map(str(path)) as source:
            return pyarrow.ipc.open_file(source).schema
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(f"{path}: can't be read: {error}") from error


def read_batches(shard: Shard, schema: Any) -> Iterator[tuple[int, Any]]:
    """The rows of a shard, ``BATCH_ROWS`` of them at the most at a time.

    The next batch is read by a thread while one is at work.

    Parameters
    ----------
    shard : Shard
    schema : pyarrow.Schema
        The columns, and the types that those of a CSV file are read as; other formats have types
        of their own.

    Yields
    ------
    int
        Row of the file that a batch starts with.
    pyarrow.RecordBatch

    Raises
    ------
    TableError
        For a file that can't be read.
    """
    batches = _batches(shard, schema)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _batches(shard: Shard, schema: Any) -> Iterator[tuple[int, Any]]:
    pyarrow = pyarrow_extra()
    first_row = shard.first_row
    try:
        for large in _READERS[format_of(shard.path)](shard, schema):
            for start in range(0, large.num_rows, BATCH_ROWS):
                batch = large.slice(start, BATCH_ROWS)
                yield first_row, batch
                first_row += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(f"{shard.path}: can't be read: {error}") from error


def _parquet_batches(shard: Shard, schema: Any) -> Iterator[Any]:
    with _opened_parquet(shard.path) as file:
        groups = list(shard.row_groups or ())
        for batch in file.iter_batches(BATCH_ROWS, groups, columns=schema.names):
            yield batch.select(schema.names)


def _csv_batches(shard: Shard, schema: Any) -> Iterator[Any]:
    from pyarrow import csv

    options = csv.ConvertOptions(
        include_columns=schema.names, column_types=schema, strings_can_be_null=True
    )
    with csv.open_csv(shard.path, convert_options=options) as reader:
        yield from reader


def _arrow_batches(shard: Shard, schema: Any) -> Iterator[Any]:
    pyarrow = pyarrow_extra()
    with pyarrow.memory_map(str(shard.path)) as source:
        reader = pyarrow.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number).select(schema.names)


_READERS: dict[str | None, Callable[[Shard, Any], Iterator[Any]]] = {
    "parquet": _parquet_batches,
    "csv": _csv_batches,
    "arrow": _arrow_batches,
}


def _opened_parquet(path: Path) -> Any:
    pyarrow = pyarrow_extra()
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path, buffer_size=READ_AHEAD, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(f"{path}: can't be read: {error}") from error


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
