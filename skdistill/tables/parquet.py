"""Reader of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.shard import BATCH_ROWS, Shard, TableFile, unreadable

# Files are cut between row groups into shards of at least so many rows. A killed run has to repeat
# the shards that it had not finished.
SHARD_ROWS = 1 << 20
# Bytes of each column that are read ahead. Without a limit, pyarrow holds a whole row group.
READ_AHEAD = 1 << 18


class Parquet:
    """Format of Parquet files; a file can have several shards."""

    def schema(self, path: Path) -> Any:
        """Return the names and types of the columns."""
        with _opened(path) as file:
            return file.schema_arrow

    def shards(self, file: TableFile) -> list[Shard]:
        """Cut a file between row groups into shards."""
        with _opened(file.path) as reader:
            groups_of_file = range(reader.num_row_groups)
            group_rows = [reader.metadata.row_group(g).num_rows for g in groups_of_file]
        shards: list[Shard] = []
        groups: list[int] = []
        first_row = n_rows = 0
        for group, rows in enumerate(group_rows):
            groups.append(group)
            n_rows += rows
            if n_rows >= SHARD_ROWS or group == len(group_rows) - 1:
                shards.append(Shard(file, tuple(groups), first_row))
                first_row, n_rows, groups = first_row + n_rows, 0, []
        return shards or [Shard(file, (), 0)]

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Yield the rows of a shard in batches."""
        with _opened(shard.path) as file:
            groups = list(shard.row_groups or ())
            # One thread reads faster alone than by handing its work to another.
            options = {"columns": schema.names, "use_threads": pyarrow_extra().cpu_count() > 1}
            for batch in file.iter_batches(BATCH_ROWS, groups, **options):
                yield batch.select(schema.names)


def _opened(path: Path) -> Any:
    """Open a file; raise a TableError if that fails."""
    pyarrow = pyarrow_extra()
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path, buffer_size=READ_AHEAD, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
