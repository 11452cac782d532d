"""Tables in files of any format: finding them, cutting them into shards, reading their rows."""

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
    """How tables of one format are read."""

    def schema(self, path: Path) -> Any:
        """Names and types of a file's columns, a ``pyarrow.Schema``."""

    def shards(self, path: Path) -> list[Shard]:
        """A file cut into shards."""

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Rows of a shard, some at a time: record batches with the columns of ``schema``."""


# Every format by the ending of its files.
FORMATS: dict[str, TableFormat] = {
    ".parquet": Parquet(),
    ".pq": Parquet(),
    ".csv": Csv(),
    ".arrow": Arrow(),
    ".feather": Arrow(),
    ".ipc": Arrow(),
}
# CSV files that pyarrow unpacks while it reads them.
PACKED = (".gz", ".bz2", ".zst", ".lz4")


def format_of(path: Path) -> TableFormat | None:
    """Format of a file by its ending; None for an unknown ending."""
    if path.suffix in PACKED and path.stem.endswith(".csv"):
        return FORMATS[".csv"]
    return FORMATS.get(path.suffix)


def find_files(inputs: Paths) -> list[Path]:
    """Files that paths, folders and globs stand for.

    Parameters
    ----------
    inputs : path, or sequence of paths

    Returns
    -------
    list of Path
        In sorted order within each input.

    Raises
    ------
    TableError
        If there is no table, or a file has an unknown ending.
    """
    given = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    found: list[Path] = []
    for pattern in given:
        path = Path(pattern)
        matches = [path]
        if not path.exists():
            matches = sorted(map(Path, glob.glob(str(pattern), recursive=True)))
        files = [file for match in matches for file in _files_in(match)]
        if not files:
            raise TableError(f"{pattern}: there is no table; known endings are {sorted(FORMATS)}.")
        for file in files:
            if format_of(file) is None:
                raise TableError(
                    f"{file}: the ending tells the format and must be one of {sorted(FORMATS)}."
                )
        found += files
    return found


def shards_of(path: Path) -> list[Shard]:
    """A file cut into shards.

    Raises
    ------
    TableError
        If the file cannot be read.
    """
    return _format(path).shards(path)


def schema_of(path: Path) -> Any:
    """Names and types of a file's columns; of a CSV file, those of its first rows.

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
        return _format(path).schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error


def read_batches(shard: Shard, schema: Any) -> Iterator[tuple[int, Any]]:
    """Read a shard, at most ``BATCH_ROWS`` rows at a time.

    A thread reads the next batch while the caller works on one.

    Parameters
    ----------
    shard : Shard
    schema : pyarrow.Schema
        The columns, and the types that those of a CSV file are read as. Other formats have types
        of their own.

    Yields
    ------
    int
        Row of the file that a batch starts with.
    pyarrow.RecordBatch

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
    found = format_of(path)
    assert found is not None  # find_files has looked
    return found


def _files_in(path: Path) -> list[Path]:
    """The tables in a folder; a file is itself."""
    if not path.is_dir():
        return [path]
    inside = (file for file in sorted(path.rglob("*")) if format_of(file) and file.is_file())
    return [file for file in inside if not _is_hidden(file.relative_to(path))]


def _is_hidden(path: Path) -> bool:
    """What Spark, Dask and pyarrow ignore in a folder."""
    return any(part.startswith(("_", ".")) for part in path.parts)


def _batches(shard: Shard, schema: Any) -> Iterator[tuple[int, Any]]:
    pyarrow = pyarrow_extra()
    first_row = shard.first_row
    try:
        for large in _format(shard.path).batches(shard, schema):
            for start in range(0, large.num_rows, BATCH_ROWS):
                batch = large.slice(start, BATCH_ROWS)
                yield first_row, batch
                first_row += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(f"{shard.path}: cannot be read: {error}") from error
