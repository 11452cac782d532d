"""retrieve_table: find the best items for each query in files of any size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np

from skdistill.inputs.column_kinds import ColumnKindError
from skdistill.public_names import set_module
from skdistill.serving.batch.run_folder import RunFolder
from skdistill.serving.batch.runs import Progress, ShardCount, run
from skdistill.tables.column_types import arrow_type
from skdistill.tables.columns import TableColumns, copied_columns
from skdistill.tables.csv import CsvOptions
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.reading import Paths, read_batches
from skdistill.tables.shard import Shard, TableFile
from skdistill.tables.text import is_text, parse
from skdistill.towers.fitted import FittedTowers
from skdistill.towers.retriever import TwoTowerRetriever

ADDED = ("item", "rank", "score")


@set_module("skdistill.serving")
def retrieve_table(
    model: TwoTowerRetriever,
    queries: Paths,
    output: str | os.PathLike[str],
    *,
    k: int = 10,
    id_columns: Sequence[str] | Literal["all"] | None = None,
    output_format: str = "parquet",
    csv_options: CsvOptions | None = None,
    resume: bool = True,
    n_jobs: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Retrieve the best items for tables of queries, which may be larger than memory.

    A run writes a folder of files, and can be resumed as in :func:`score_table`. The output has
    ``k`` rows per query, best first: the copied columns, then ``item``, ``rank`` (from 1) and
    ``score``.

    Parameters
    ----------
    model : TwoTowerRetriever or MultiObjectiveRetriever
        A retriever with an index, fitted on tables with column names.
    queries : path, or sequence of paths
        Files, folders or globs of Parquet, CSV or Arrow tables with the query columns. They are
        converted to the types of ``fit`` where that is exact, such as text of whole numbers to
        integer ids.
    output : path
        Output folder: new, or that of an earlier run.
    k : int, default=10
        Number of items per query; fewer if the index is smaller.
    id_columns : sequence of str or "all", optional
        Columns to copy to the output. By default, those of text, integers, bytes, UUIDs and dates
        that are not query columns; if there are none, the query columns. With "all", every column
        that is not a query column.
    output_format : {"parquet", "csv"}, default="parquet"
        Format of the output files.
    csv_options : CsvOptions, optional
        Delimiter, decimal point and encoding of CSV files.
    resume : bool, default=True
        Continue an earlier run with the same model, inputs and options. If False, start again.
    n_jobs : int, optional
        Number of processes over shards, as in joblib; 1 by default.
    on_progress : callable, optional
        Called with a :class:`Progress` before the first shard and after each one.

    Returns
    -------
    Progress
        Number of queries and shards when the run ends.

    Raises
    ------
    TableError
        If a table cannot be read, or its queries cannot be embedded: a query id of another type
        than in ``fit`` that has no exact counterpart is refused. The message names the file and the
        rows.
    OutputError
        If the output cannot be written, would replace an input, or would be read as one by the next
        run.
    TypeError
        If the model is not a retriever.
    ValueError
        If the retriever has no index or no column names, ``k`` is less than 1, or the ids of the
        index are of several types.
    ImportError
        If PyArrow is not installed (extra ``serving``).
    """
    if not isinstance(model, FittedTowers):
        raise TypeError(f"retrieve_table takes a retriever, got {type(model).__name__}.")
    if not hasattr(model, "index_"):
        raise ValueError(
            "The retriever has no index: fit it with the catalogue as items=, or call "
            "index(items), before it is saved."
        )
    if isinstance(model.pair_columns_.query_names, int):
        raise ValueError(
            "The retriever was fitted without column names, so the columns of a file cannot be "
            "matched. Fit it on a data frame."
        )
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}.")
    folder = RunFolder(Path(output), output_format, keeps_candidates=False)
    files = folder.inputs(queries, csv_options)
    folder.check(queries, [file.path for file in files])
    item_type = _item_type(model.index_.ids)
    columns = _match(
        files,
        list(model.pair_columns_.query_names),
        model.pair_columns_.query_kinds,
        id_columns,
    )
    task = Retrieval(model, joblib.hash(model), columns, k, item_type)
    return run(task, files, folder, resume=resume, n_jobs=n_jobs, on_progress=on_progress)


def _match(
    files: list[TableFile],
    features: list[str],
    kinds: Sequence[str | None] | None,
    id_columns: Sequence[str] | str | None,
) -> TableColumns:
    """Match the query columns, and the columns that are carried into the output."""
    match = partial(
        TableColumns.match,
        files,
        features=features,
        n_features=len(features),
        added=ADDED,
        kinds=kinds,
    )
    ids, rest = copied_columns(id_columns)
    columns = match(ids=ids, rest=rest)
    if columns.carried.names or rest == "none":
        return columns
    # If there are no columns besides those of the queries, they identify the rows of the output.
    return match(ids=features)


def _item_type(ids: Any) -> Any:
    """Type of the column of items, which holds all ids of the index.

    Raises
    ------
    ValueError
        If no type does.
    """
    pyarrow = pyarrow_extra()
    if ids is None:
        return pyarrow.int64()
    try:
        return pyarrow.array(ids).type
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"The ids of the index do not fit into one column of a file: {error}. Index the items "
            "with ids of one type: index(items, ids)."
        ) from error


@dataclass(frozen=True)
class Retrieval:
    """Retrieves items for the queries of a shard; sent to every process of a run.

    Parameters
    ----------
    model : TwoTowerRetriever
    model_hash : str
        Identifies the model in the plan of a run.
    columns : TableColumns
        Query columns and copied columns of the tables.
    k : int
        Number of items per query.
    item_type : pyarrow.DataType
        Type of the items' ids.
    """

    model: TwoTowerRetriever
    model_hash: str
    columns: TableColumns
    k: int
    item_type: Any

    def plan(self) -> dict[str, Any]:
        return {"model": self.model_hash, "k": self.k} | self.columns.plan()

    @property
    def schema(self) -> Any:
        pyarrow = pyarrow_extra()
        types = (self.item_type, pyarrow.int32(), pyarrow.float32())
        schema = self.columns.carried
        for name, type_ in zip(ADDED, types, strict=True):
            schema = schema.append(pyarrow.field(name, type_))
        return schema

    def results(self, shard: Shard, count: ShardCount) -> Iterator[Any]:
        pyarrow = pyarrow_extra()
        for first_row, record in read_batches(shard, self.columns.csv_types):
            count.n_rows += record.num_rows
            queries = self._queries(record)
            try:
                ids, scores = self.model.retrieve(queries, self.k)
            except ColumnKindError as error:
                at = f"{shard.path}: row {first_row + error.row}"
                raise TableError(f"{at}: {error.problem}") from error
            except (TypeError, ValueError) as error:
                last = first_row + record.num_rows - 1
                raise TableError(f"{shard.path}: rows {first_row} to {last}: {error}") from error
            # If the index has fewer than k items, the last places are empty.
            row, place = np.nonzero(np.isfinite(scores))
            carried = pyarrow.RecordBatch.from_arrays(
                self.columns.carry(record, shard.path), schema=self.columns.carried
            ).take(pyarrow.array(row))
            found = [
                pyarrow.array(ids[row, place], self.item_type),
                pyarrow.array((place + 1).astype(np.int32)),
                pyarrow.array(scores[row, place]),
            ]
            yield pyarrow.RecordBatch.from_arrays([*carried.columns, *found], schema=self.schema)

    def _queries(self, record: Any) -> Any:
        """Query columns of a batch as a data frame, with the types of ``fit``."""
        columns = []
        for name, kind in zip(self.columns.features, self.columns.kinds, strict=True):
            column, type_ = record.column(name), arrow_type(kind)
            if is_text(column.type) and not is_text(type_):
                converted, is_unfit = parse(column, type_)
                # If a cell cannot be converted, retrieve names it.
                column = column if is_unfit.any() else converted
            columns.append(column)
        batch = pyarrow_extra().RecordBatch.from_arrays(columns, names=self.columns.features)
        # Otherwise one missing id would make all integers floats.
        return batch.to_pandas(integer_object_nulls=True)
