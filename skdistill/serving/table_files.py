"""Tables in files: Parquet, CSV and Arrow, read in batches of float32 rows."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
BATCH_ROWS = 1 << 16
# Parquet files are cut between row groups into shards of about so many rows: what a killed run
# has to do again.
SHARD_ROWS = 1 << 20
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


class TableError(ValueError):
    """A table that can't be scored: what is wrong, in which file and where."""


def pyarrow_extra() -> Any:
    """The library that reads tables, or an error that names the extra."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            'Tables in files need the extra serving: pip install "skdistill[serving]".'
        ) from error
    return pyarrow


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
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix in FORMATS and p.is_file())
            files = [p for p in inside if not p.name.startswith(("_", "."))]
        elif path.exists():
            files = [path]
        else:
            files = [Path(name) for name in sorted(glob.glob(str(given), recursive=True))]
        if not files:
            raise TableError(f"{given}: there is no table here; known are {sorted(FORMATS)}.")
        for file in files:
            if file.suffix not in FORMATS:
                raise TableError(
                    f"{file}: its ending is none of {sorted(FORMATS)}, which tell the format."
                )
        found += files
    return found


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
    n_rows : int or None
        None where only reading tells.
    """

    path: Path
    row_groups: tuple[int, ...] | None
    first_row: int
    n_rows: int | None


def shards_of(path: Path) -> list[Shard]:
    """A file cut into shards: Parquet between row groups, other formats are one each.

    Raises
    ------
    TableError
        For a file that can't be read.
    """
    if FORMATS[path.suffix] != "parquet":
        return [Shard(path, None, 0, None)]
    metadata = _opened_parquet(path).metadata
    shards: list[Shard] = []
    groups: list[int] = []
    first_row = n_rows = 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        n_rows += metadata.row_group(group).num_rows
        if n_rows >= SHARD_ROWS or group == metadata.num_row_groups - 1:
            shards.append(Shard(path, tuple(groups), first_row, n_rows))
            first_row, n_rows, groups = first_row + n_rows, 0, []
    return shards or [Shard(path, (), 0, 0)]


def column_types(path: Path) -> dict[str, Any]:
    """Name and type of each column of a file.

    Raises
    ------
    TableError
        For a file that can't be read.
    """
    schema = _schema(path)
    return dict(zip(schema.names, schema.types, strict=True))


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32, C-contiguous
    carried : pyarrow.RecordBatch
        The columns that go on into the output.
    first_row : int
        Row of the file that the batch starts with.
    wrong : ndarray of shape (n_rows,), int64, or None
        Position of a feature that holds text which is no number, -1 where there is none.
    """

    X: NDArray[np.float32]
    carried: Any
    first_row: int
    wrong: NDArray[np.int64] | None


def read_batches(shard: Shard, features: list[str], carried: list[str]) -> Iterator[Batch]:
    """The rows of a shard, some at a time.

    Raises
    ------
    TableError
        For a column that is not there or holds no numbers, and for a file that can't be read.
    """
    check_columns(shard.path, features, carried)
    first_row = shard.first_row
    columns = list(dict.fromkeys([*features, *carried]))
    for record in _record_batches(shard, columns, features):
        X, wrong = _matrix(record.select(features))
        yield Batch(X, record.select(carried), first_row, wrong)
        first_row += record.num_rows


def check_columns(path: Path, features: list[str], carried: list[str]) -> None:
    """See that a file has its columns, and numbers where numbers are wanted.

    Raises
    ------
    TableError
        When it does not.
    """
    types = column_types(path)
    missing = [name for name in [*features, *carried] if name not in types]
    if missing:
        raise TableError(f"{path}: lacks the columns {missing}; it has {list(types)}.")
    for name in features:
        # What a CSV file holds is known once it is read.
        if FORMATS[path.suffix] != "csv" and not _is_number(types[name]):
            raise TableError(f"{path}: column {name!r} holds {types[name]}, expected numbers.")


def _record_batches(shard: Shard, columns: list[str], features: list[str]) -> Iterator[Any]:
    pyarrow = pyarrow_extra()
    try:
        if FORMATS[shard.path.suffix] == "parquet":
            file = _opened_parquet(shard.path)
            yield from file.iter_batches(BATCH_ROWS, shard.row_groups, columns=columns)
        elif FORMATS[shard.path.suffix] == "csv":
            yield from _even_batches(_csv_batches(shard.path, columns, features))
        else:
            with pyarrow.memory_map(str(shard.path)) as source:
                reader = pyarrow.ipc.open_file(source)
                batches = (
                    reader.get_batch(number).select(columns)
                    for number in range(reader.num_record_batches)
                )
                yield from _even_batches(batches)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise TableError(f"{shard.path}: can't be read: {error}") from error


def _csv_batches(path: Path, columns: list[str], features: list[str]) -> Iterator[Any]:
    """A CSV file's rows, features as text: what is no number is found by row, not by file."""
    from pyarrow import csv, string

    types = column_types(path) | dict.fromkeys(features, string())

    reader = csv.open_csv(
        path,
        convert_options=csv.ConvertOptions(
            include_columns=columns,
            column_types={name: types[name] for name in columns},
            strings_can_be_null=True,
        ),
    )
    yield from reader


def _even_batches(batches: Iterator[Any]) -> Iterator[Any]:
    """The same rows, ``BATCH_ROWS`` at the most at a time."""
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _matrix(record: Any) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Rows of float32, NaN where a value is missing or is no number; and where it is none."""
    pyarrow = pyarrow_extra()
    columns, wrong = [], None
    for position, column in enumerate(record.columns):
        if pyarrow.types.is_string(column.type):
            column, is_wrong = _parsed(column)
            if is_wrong.any():
                wrong = np.full(record.num_rows, -1) if wrong is None else wrong
                wrong[is_wrong] = position
        elif pyarrow.types.is_boolean(column.type):
            column = column.cast(pyarrow.uint8())
        if column.type != pyarrow.float32():
            column = column.cast(pyarrow.float32(), safe=False)
        columns.append(column)
    names = [str(number) for number in range(len(columns))]
    floats = pyarrow.RecordBatch.from_arrays(columns, names)
    matrix = floats.to_tensor(null_to_nan=True, row_major=True).to_numpy()
    return np.ascontiguousarray(matrix), wrong


def _parsed(column: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Text as numbers, null where it is none; and where it is something else."""
    pyarrow = pyarrow_extra()
    from pyarrow import compute

    text = compute.utf8_trim_whitespace(column)
    is_number = compute.match_substring_regex(text, NUMBER)
    numbers = compute.if_else(is_number, text, None).cast(pyarrow.float32())
    is_wrong = compute.fill_null(compute.invert(is_number), False)
    return numbers, is_wrong.to_numpy(zero_copy_only=False)


def _is_number(type_: Any) -> bool:
    types = pyarrow_extra().types
    return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_boolean(type_))


def _opened_parquet(path: Path) -> Any:
    pyarrow = pyarrow_extra()
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: can't be read: {error}") from error


def _schema(path: Path) -> Any:
    pyarrow = pyarrow_extra()
    try:
        if FORMATS[path.suffix] == "parquet":
            return _opened_parquet(path).schema_arrow
        if FORMATS[path.suffix] == "csv":
            from pyarrow import csv

            with csv.open_csv(path) as reader:
                return reader.schema
        with pyarrow.memory_map(str(path)) as source:
            return pyarrow.ipc.open_file(source).schema
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: can't be read: {error}") from error
