"""Reader of files with a JSON object per line."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.shard import BATCH_ROWS, Shard, TableFile
from skdistill.tables.text_file import open_text

INT64 = range(-(2**63), 2**63)


class JsonLines:
    """Format of files with a JSON object per line, compressed or not; each file is one shard.

    The values of a whole file determine the type of a column. Whole numbers and others together
    are numbers; text beside numbers, lists, objects and integers of more than 64 bits are text.
    """

    def schema(self, path: Path) -> Any:
        """Return the names and types of the columns; for this the whole file is read."""
        pyarrow = pyarrow_extra()
        kinds: dict[str, set[str]] = defaultdict(set)
        for objects in _objects(path):
            for one in objects:
                for name, value in one.items():
                    kinds[name].add(_kind(value))
        types = {name: _type(kinds_of_column) for name, kinds_of_column in kinds.items()}
        return pyarrow.schema(list(types.items()))

    def shards(self, file: TableFile) -> list[Shard]:
        """Return the whole file as one shard."""
        return [Shard(file, None, 0)]

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Yield the rows of a file in batches."""
        pyarrow = pyarrow_extra()
        fields = [shard.file.stored.field(name) for name in schema.names]
        for objects in _objects(shard.path):
            columns = []
            for field in fields:
                cells: Any = [one.get(field.name) for one in objects]
                if pyarrow.types.is_string(field.type):
                    cells = map(_text, cells)
                elif pyarrow.types.is_floating(field.type):
                    cells = (None if cell is None else float(cell) for cell in cells)
                columns.append(pyarrow.array(list(cells), field.type))
            yield pyarrow.RecordBatch.from_arrays(columns, names=schema.names)


def _objects(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects of a file, some at a time.

    Raises
    ------
    TableError
        If a line is not a JSON object.
    """
    with open_text(path) as source:
        lines = enumerate(io.TextIOWrapper(source, encoding="utf-8-sig"), 1)
        while block := list(islice(lines, BATCH_ROWS)):
            objects = []
            for number, line in block:
                if not line.strip():
                    continue
                try:
                    one = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise TableError(f"{path}: line {number} cannot be read: {error}.") from error
                if not isinstance(one, dict):
                    raise TableError(f"{path}: line {number} must hold a JSON object, got {one!r}.")
                objects.append(one)
            yield objects


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, int) and not isinstance(value, bool) and value not in INT64:
        return "long"
    return type(value).__name__


def _type(kinds: set[str]) -> Any:
    """Type that holds values of these kinds."""
    pyarrow = pyarrow_extra()
    kinds = kinds - {"null"}
    if not kinds:
        return pyarrow.null()
    if kinds == {"bool"}:
        return pyarrow.bool_()
    if kinds == {"int"}:
        return pyarrow.int64()
    return pyarrow.float64() if "float" in kinds <= {"int", "float"} else pyarrow.string()


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
