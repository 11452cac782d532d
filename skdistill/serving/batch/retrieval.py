"""retrieve_table and rank_table: find the best items for each query in files of any size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np

from skdistill.cascade.estimator import RankingCascade
from skdistill.cascade.fitted import FittedCascade
from skdistill.cascade.spec import check_length, read_stages
from skdistill.inputs.column_kinds import ColumnKindError
from skdistill.public_names import set_module
from skdistill.serving.batch.model_kinds import other_model
from skdistill.serving.batch.run_folder import RunFolder
from skdistill.serving.batch.runs import Progress, ShardCount, run
from skdistill.serving.compiled_cascade import compile_cascade
from skdistill.tables.column_types import arrow_type
from skdistill.tables.columns import TableColumns, copied_columns
from skdistill.tables.csv import CsvOptions
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.reading import Paths, read_batches
from skdistill.tables.shard import Shard, TableFile
from skdistill.tables.text import is_text, parse
from skdistill.towers.fitted import FittedTowers
from skdistill.towers.pair_table import PairColumns
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
        raise other_model("retrieve_table takes a retriever", model)
    if not hasattr(model, "index_"):
        raise ValueError(
            "The retriever has no index: fit it with the catalogue as items=, or call "
            "index(items), before it is saved."
        )
    search = Search(model.retrieve, joblib.hash(model), k, model.pair_columns_, model.index_.ids)
    return _run(
        *(search, queries, output, id_columns, output_format, csv_options),
        resume=resume,
        n_jobs=n_jobs,
        on_progress=on_progress,
    )


@set_module("skdistill.serving")
def rank_table(
    cascade: RankingCascade,
    queries: Paths,
    output: str | os.PathLike[str],
    *,
    k: int | None = None,
    id_columns: Sequence[str] | Literal["all"] | None = None,
    output_format: str = "parquet",
    csv_options: CsvOptions | None = None,
    resume: bool = True,
    n_jobs: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Rank the best items for tables of queries, which may be larger than memory.

    It writes what :func:`retrieve_table` writes, of the items that the whole cascade ranks first.
    The cascade is compiled for the run.

    Parameters
    ----------
    cascade : RankingCascade
        Fitted on tables with column names.
    queries : path, or sequence of paths
        Files, folders or globs of tables with the query columns, as in :func:`retrieve_table`.
    output : path
        Output folder: new, or that of an earlier run.
    k : int, optional
        Number of items per query; the size of the last stage by default.
    id_columns : sequence of str or "all", optional
        Columns to copy to the output, as in :func:`retrieve_table`.
    output_format : {"parquet", "csv"}, default="parquet"
        Format of the output files.
    csv_options : CsvOptions, optional
        Delimiter, decimal point and encoding of CSV files.
    resume : bool, default=True
        Continue an earlier run with the same cascade, inputs and options. If False, start again.
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
        If a table cannot be read, or its queries cannot be ranked, as in :func:`retrieve_table`.
    OutputError
        If the output cannot be written, would replace an input, or would be read as one by the next
        run.
    TypeError
        If the model is not a cascade.
    ValueError
        If the cascade has no column names, ``k`` is less than 1 or more than the first stage
        returns, or the ids of the items are of several types.
    ImportError
        If PyArrow is not installed (extra ``serving``).
    """
    if not isinstance(cascade, FittedCascade):
        raise other_model("rank_table takes a RankingCascade", cascade)
    compiled = compile_cascade(cascade)
    search = Search(
        *(compiled.rank, joblib.hash(cascade), check_length(read_stages(cascade.stages), k)),
        *(cascade.pair_columns_, cascade.item_ids_),
        frames=type(cascade.funnel_.items).__module__.partition(".")[0],
    )
    return _run(
        *(search, queries, output, id_columns, output_format, csv_options),
        resume=resume,
        n_jobs=n_jobs,
        on_progress=on_progress,
    )


@dataclass(frozen=True)
class Search:
    """What finds items for queries.

    Parameters
    ----------
    find : callable
        ``find(queries, k)`` returns the ids and scores of the best items.
    model_hash : str
        Identifies the model in the plan of a run.
    k : int
        Number of items per query.
    pair_columns : PairColumns
        The query columns.
    ids : ndarray of shape (n_items,), or None
        Ids of the items.
    frames : {"pandas", "polars"}, default="pandas"
        Library of the data frames that ``find`` takes.
    """

    find: Callable[[Any, int], tuple[Any, Any]]
    model_hash: str
    k: int
    pair_columns: PairColumns
    ids: Any
    frames: str = "pandas"


def _run(
    search: Search,
    queries: Paths,
    output: str | os.PathLike[str],
    id_columns: Sequence[str] | str | None,
    output_format: str,
    csv_options: CsvOptions | None,
    **options: Any,
) -> Progress:
    """Check the tables, and search shard by shard."""
    names, kinds = search.pair_columns.query_names, search.pair_columns.query_kinds
    if isinstance(names, int):
        raise ValueError(
            "The model was fitted without column names, so the columns of a file cannot be "
            "matched. Fit it on a data frame."
        )
    if search.k < 1:
        raise ValueError(f"k must be 1 or more, got {search.k}.")
    folder = RunFolder(Path(output), output_format, keeps_candidates=False)
    files = folder.inputs(queries, csv_options)
    folder.check(queries, [file.path for file in files])
    columns = _match(files, list(names), kinds, id_columns)
    return run(Retrieval(search, columns, _item_type(search.ids)), files, folder, **options)


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
    search : Search
        Finds items.
    columns : TableColumns
        Query columns and copied columns of the tables.
    item_type : pyarrow.DataType
        Type of the items' ids.
    """

    search: Search
    columns: TableColumns
    item_type: Any

    def plan(self) -> dict[str, Any]:
        return {"model": self.search.model_hash, "k": self.search.k} | self.columns.plan()

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
                ids, scores = self.search.find(queries, self.search.k)
            except ColumnKindError as error:
                at = f"{shard.path}: row {first_row + error.row}"
                raise TableError(f"{at}: {error.problem}") from error
            except (TypeError, ValueError) as error:
                last = first_row + record.num_rows - 1
                raise TableError(f"{shard.path}: rows {first_row} to {last}: {error}") from error
            # If fewer than k items are found, the last places are empty.
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
        """Query columns of a batch as a data frame, with the types and the library of ``fit``."""
        columns = []
        for name, kind in zip(self.columns.features, self.columns.kinds, strict=True):
            column, type_ = record.column(name), arrow_type(kind)
            if is_text(column.type) and not is_text(type_):
                converted, is_unfit = parse(column, type_)
                # If a cell cannot be converted, the model names it.
                column = column if is_unfit.any() else converted
            columns.append(column)
        batch = pyarrow_extra().Table.from_arrays(columns, names=self.columns.features)
        if self.search.frames == "polars":
            import polars

            return polars.from_arrow(batch)
        # Otherwise one missing id would make all integers floats.
        return batch.to_pandas(integer_object_nulls=True)
