"""The CSV reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skdistill.tables.shard import Shard


class Csv:
    """CSV files, packed or not, one shard each."""

    def schema(self, path: Path) -> Any:
        """Names of the columns, and the types that their first rows suggest."""
        from pyarrow import csv

        with csv.open_csv(path) as reader:
            return reader.schema

    def shards(self, path: Path) -> list[Shard]:
        """The whole file."""
        return [Shard(path, None, 0)]

    def batches(self, shard: Shard, schema: Any) -> Iterator[Any]:
        """Rows of a file, some at a time, its columns read as the types of ``schema``."""
        from pyarrow import csv

        options = csv.ConvertOptions(
            include_columns=schema.names, column_types=schema, strings_can_be_null=True
        )
        with csv.open_csv(shard.path, convert_options=options) as reader:
            yield from reader
