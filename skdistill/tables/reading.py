"""Finds tables in files of any format, and reads their rows."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from skdistill.tables.arrow import Arrow
from skdistill.tables.csv import Csv, CsvOptions
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.json_lines import JsonLines
from skdistill.tables.parquet import Parquet
from skdistill.tables.shard import BATCH_ROWS, Shard, TableFile, TableFormat, unreadable
from skdistill.tables.text import convert_text
from skdistill.tables.text_file import PACKED

# A file, a folder or a glob, or several of them.
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# Formats by the endings of their files, in small letters.
FORMATS: dict[str, TableFormat] = {
    ".parquet": Parquet(),
    ".parq": Parquet(),
    ".pq": Parquet(),
    ".csv": Csv(","),
    ".tsv": Csv("\t"),
    ".jsonl": JsonLines(),
    ".ndjson": JsonLines(),
    ".arrow": Arrow(),
    ".feather": Arrow(),
    ".ipc": Arrow(),
}


def format_of(path: Path, csv_options: CsvOptions | None = None) -> TableFormat | None:
    """Return the format of a file by its ending, or None if the ending is unknown."""
    name = Path(path.name.lower())
    is_packed = name.suffix in PACKED
    found = FORMATS.get(name.with_suffix("").suffix if is_packed else name.suffix)
    if is_packed and not isinstance(found, Csv | JsonLines):
        return None
    return found.with_options(csv_options) if isinstance(found, Csv) and csv_options else found


def find_files(inputs: Paths, csv_options: CsvOptions | None = None) -> list[TableFile]:
    """List the files that paths, folders and globs match.

    Parameters
    ----------
    inputs : path, or sequence of paths
        Files, folders and globs.
    csv_options : CsvOptions, optional
        How CSV files are written.

    Returns
    -------
    list of TableFile
        Sorted within each input.

    Raises
    ------
    TableError
        If an input matches no table, or a file has an unknown ending.
    """
    found: list[TableFile] = []
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
            found_format = format_of(file, csv_options)
            if found_format is None:
                raise TableError(
                    f"{file}: the ending determines the format and must be one of "
                    f"{sorted(FORMATS)}."
                )
            found.append(TableFile(file, found_format))
    return found


def as_list(inputs: Paths) -> list[str | os.PathLike[str]]:
    """Return one path, or several, as a list."""
    return [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)


def read_batches(shard: Shard, schema: Any) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a shard in batches of at most ``BATCH_ROWS`` rows.

    A thread reads the next batch while the caller processes the current one.

    Parameters
    ----------
    shard : Shard
        Rows to read.
    schema : pyarrow.Schema
        Columns to read. Text of CSV files and of folders' names is converted to its types; other
        columns have types. A column that the file does not have is null.

    Yields
    ------
    first_row : int
        Row of the file with which the batch starts.
    batch : pyarrow.RecordBatch
        The rows.

    Raises
    ------
    TableError
        If the file cannot be read, or a cell of text cannot be converted exactly.
    """
    batches = _batches(shard, schema)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


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
    stored = shard.file.stored
    if not stored.names:
        return
    # Any column tells how many rows there are.
    inside = [field for field in schema if field.name in stored.names] or [stored.field(0)]
    is_complete = len(inside) == len(schema)
    try:
        for large in shard.file.format.batches(shard, pyarrow.schema(inside)):
            for start in range(0, large.num_rows, BATCH_ROWS):
                batch = large.slice(start, BATCH_ROWS)
                yield first_row, batch if is_complete else _completed(batch, schema, shard)
                first_row += batch.num_rows
    except (pyarrow.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise unreadable(shard.path, error) from error


def _completed(batch: Any, schema: Any, shard: Shard) -> Any:
    """Add the columns that are not inside of the file."""
    pyarrow = pyarrow_extra()
    columns = []
    for field in schema:
        if field.name in batch.schema.names:
            columns.append(batch.column(field.name))
            continue
        value = pyarrow.scalar(shard.file.partitions.get(field.name), pyarrow.string())
        text = pyarrow.repeat(value, batch.num_rows)
        columns.append(convert_text(text, field, "its folder's name", shard.path))
    return pyarrow.RecordBatch.from_arrays(columns, names=schema.names)
