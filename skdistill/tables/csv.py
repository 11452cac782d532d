"""Reader of CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skdistill.tables.shard import Shard


class Csv:
    """Format of CSV files, compressed or not; each file is one shard."""

    def schema(self, path: Path) -> Any:
        """Return the names of the columns and the types that the first rows suggest."""
        from pyarrow import csv

        with csv.open_csv(path) as reader:
            return reader.schema

    def shards(self, path: Path) -> list[Shard]:
        """Return the whole file as one shard."""
        return [Shard(path, None, 0)]

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Yield the rows of a file in batches, with the columns and types of ``schema``."""
        from pyarrow import csv

        options = csv.ConvertOptions(
            include_columns=schema.names, column_types=schema, strings_can_be_null=True
        )
        with csv.open_csv(shard.path, convert_options=options) as reader:
            yield from reader
