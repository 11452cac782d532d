"""Reader of Arrow (Feather) files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.shard import Shard, TableFile


class Arrow:
    """Format of Arrow files; each file is one shard."""

    def schema(self, path: Path) -> Any:
        """Return the names and types of the columns."""
        pyarrow = pyarrow_extra()
        with pyarrow.memory_map(str(path)) as source:
            return pyarrow.ipc.open_file(source).schema

    def shards(self, file: TableFile) -> list[Shard]:
        """Return the whole file as one shard."""
        return [Shard(file, None, 0)]

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Yield the rows of a file in batches."""
        pyarrow = pyarrow_extra()
        with pyarrow.memory_map(str(shard.path)) as source:
            reader = pyarrow.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number).select(schema.names)
