"""Finds tables in files of any format, cuts them into shards and reads their rows."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from skdistill.tables.arrow import Arrow
from skdistill.tables.csv import Csv
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.parquet import Parquet
from skdistill.tables.shard import BATCH_ROWS, Shard

# A file, a folder or a glob, or several of them.
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class TableFormat(Protocol):
    """A file format of tables."""

    def schema(self, path: Path) -> Any:
        """Return the names and types of a file's columns as a ``pyarrow.Schema``."""

    def shards(self, path: Path) -> list[Shard]:
        """Cut a file into shards."""

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Yield the rows of a shard as record batches with the columns of ``schema``."""


# Formats by the endings of their files.
FORMATS: dict[str, TableFormat] = {
    ".parquet": Parquet(),
    ".pq": Parquet(),
    ".csv": Csv(),
    ".arrow": Arrow(),
    ".feather": Arrow(),
    ".ipc": Arrow(),
}
# Endings of compressed CSV files, which pyarrow decompresses while reading.
PACKED = (".gz", ".bz2", ".zst", ".lz4")


def format_of(path: Path) -> TableFormat | None:
    """Return the format of a file by its ending, or None if the ending is unknown."""
    if path.suffix in PACKED and path.stem.endswith(".csv"):
        return FORMATS[".csv"]
    return FORMATS.get(path.suffix)


def find_files(inputs: Paths) -> list[Path]:
    """List the files that paths, folders and globs match.

    Parameters
    ----------
    inputs : path, or sequence of paths
        Files, folders and globs.

    Returns
    -------
    list of Path
        Sorted within each input.

    Raises
    ------
    TableError
        If an input matches no table, or a file has an unknown ending.
    """
    found: list[Path] = []
    for pattern in as_list(inputs):
        path = Path(pattern)
        matches = [path]
        if not path.exists():
            matches = sorted(map(Path, glob.glob(str(pattern), recursive=True)))
        files = [file for match in matches for file in _files_in(match)]
        if not files:
            raise TableError(
                f"{pattern}: there is no table; expected files with one of the endings "
                f"{sorted(FORMATS)}."
            )
        for file in files:
            if format_of(file) is None:
                raise TableError(
                    f"{file}: the ending determines the format and must be one of "
                    f"{sorted(FORMATS)}."
                )
        found += files
    return found


def as_list(inputs: Paths) -> list[str | os.PathLike[str]]:
    """Return one path, or several, as a list."""
    return [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)


def shards_of(path: Path) -> list[Shard]:
    """Cut a file into shards.

    Raises
    ------
    TableError
        If the file cannot be read.
    """
    return _format(path).shards(path)


def schema_of(path: Path) -> Any:
    """Return the names and types of a file's columns; the types of a CSV file are inferred.

    Returns
    -------
    pyarrow.Schema

    Raises
    ------
    TableError
        If the file cannot be read.
    """
    pyarrow = pyarrow_extra()
    try:
        schema = _format(path).schema(path)
        # Arrow decodes the names when they are asked for, and only UTF-8.
        list(schema.names)
        return schema
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error


def read_batches(shard: Shard, schema: Any) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a shard in batches of at most ``BATCH_ROWS`` rows.

    A thread reads the next batch while the caller processes the current one.

    Parameters
    ----------
    shard : Shard
        Rows to read.
    schema : pyarrow.Schema
        Columns to read. CSV files are also read as its types; other formats have types.

    Yields
    ------
    first_row : int
        Row of the file with which the batch starts.
    batch : pyarrow.RecordBatch
        The rows.

    Raises
    ------
    TableError
        If the file cannot be read.
    """
    batches = _batches(shard, schema)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _format(path: Path) -> TableFormat:
    """Return the format of a file that ``find_files`` has accepted."""
    found = format_of(path)
    assert found is not None
    return found


def _files_in(path: Path) -> list[Path]:
    """List the tables in a folder; for a file, the file itself."""
    if not path.is_dir():
        return [path]
    inside = (file for file in sorted(path.rglob("*")) if format_of(file) and file.is_file())
    return [file for file in inside if not is_hidden(file.relative_to(path))]


def is_hidden(path: Path) -> bool:
    """Whether Spark, Dask and pyarrow ignore this path in a folder."""
    return any(part.startswith(("_", ".")) for part in path.parts)


def _batches(shard: Shard, schema: Any) -> Iterator[tuple[int, Any]]:
    """Yield batches as ``read_batches`` does, in the caller's thread."""
    pyarrow = pyarrow_extra()
    first_row = shard.first_row
    try:
        for large in _format(shard.path).batches(shard, schema):
            for start in range(0, large.num_rows, BATCH_ROWS):
                batch = large.slice(start, BATCH_ROWS)
                yield first_row, batch
                first_row += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise TableError(f"{shard.path}: cannot be read: {error}") from error
