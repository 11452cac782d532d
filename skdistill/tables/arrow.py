"""The Arrow (Feather) reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.shard import Shard


class Arrow:
    """Arrow files, one shard each."""

    def schema(self, path: Path) -> Any:
        """Names and types of the columns."""
        pyarrow = pyarrow_extra()
        with pyarrow.memory_map(str(path)) as source:
            return pyarrow.ipc.open_file(source).schema

    def shards(self, path: Path) -> list[Shard]:
        """The whole file."""
        return [Shard(path, None, 0)]

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Rows of a file, some at a time."""
        pyarrow = pyarrow_extra()
        with pyarrow.memory_map(str(shard.path)) as source:
            reader = pyarrow.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number).select(schema.names)
