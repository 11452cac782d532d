"""score_table: score tables in files of any size, each shard completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np

from skdistill.public_names import set_module
from skdistill.serving.batch.best_rows import best_rows
from skdistill.serving.batch.rejects import Reject, unscored
from skdistill.serving.batch.run_folder import RunFolder
from skdistill.serving.batch.runs import Progress, ShardCount, run
from skdistill.serving.batch.table_scorer import TableScorer, table_scorer
from skdistill.serving.probabilities import ProbabilityColumn, probability_column_of
from skdistill.tables.columns import TableColumns, copied_columns
from skdistill.tables.csv import CsvOptions
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.query_codes import missing_cells, query_codes
from skdistill.tables.reading import Paths, read_batches
from skdistill.tables.shard import Shard

# Kinds of features that identify no item.
NOT_NAMES = ("float", "boolean", "date", "timedelta")


@set_module("skdistill.serving")
def score_table(
    model: Any,
    inputs: Paths,
    output: str | os.PathLike[str],
    *,
    score_column: str = "score",
    probability_column: str | None = None,
    query_column: str | None = None,
    id_columns: Sequence[str] | Literal["all"] | None = None,
    top_k: int | None = None,
    output_format: str = "parquet",
    rejects: str | os.PathLike[str] | None = None,
    csv_options: CsvOptions | None = None,
    resume: bool = True,
    n_jobs: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Score tables in files, which may be larger than memory, into a folder of files.

    A run writes its plan and then one file per shard of the input. A shard is a CSV or Arrow file,
    or row groups of a Parquet file with about a million rows. The same call after an interruption
    scores the remaining shards, and those whose file is missing or was changed since; the files are
    byte for byte those of an uninterrupted run.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A fitted model. It is compiled if its steps can be folded; otherwise its ``predict`` is
        called.
    inputs : path, or sequence of paths
        Files, folders or globs of Parquet, CSV, JSON lines or Arrow tables. Columns are matched by
        the names that the model was fitted with. Folders named ``column=value`` add columns. A
        model without names takes all columns of the files in order, except those that
        ``query_column`` and ``id_columns`` name. CSV files and folders have no types: features are
        read as what the model takes, and all other columns as text. What an earlier run wrote into
        ``output`` is no input.
    output : path
        Output folder: new, or that of an earlier run.
    score_column : str, default="score"
        Name of the output column with the scores.
    probability_column : str, optional
        Name of an output column with the probabilities of ``predict_proba``, float64; without a
        name there is none.
    query_column : str, optional
        Column of query ids. Required for ``top_k``, which ranks no row without a query id: such a
        row ends the run or is one of the rejects.
    id_columns : sequence of str or "all", optional
        Columns to copy to the output besides ``query_column``. By default, those of text, integers,
        bytes, UUIDs and dates that are not features, and with ``top_k`` the categories that are,
        such as an item's id; with "all", every column that is not a feature. Columns of CSV files
        and of folders count as text. In files without such a column it is null, and if types in
        several files have nothing in common it becomes text.
    top_k : int, optional
        Number of rows to keep per query, over all files; all rows by default. Kept rows stay in the
        order of the input. Of equal scores, the earlier row is kept. The query and score of
        ``top_k`` rows per query and shard are held in memory.
    output_format : {"parquet", "csv"}, default="parquet"
        Format of the output files.
    rejects : path, optional
        CSV file that lists rows that cannot be scored, by file, row, column and value. By default,
        the first such row ends the run. An existing file is replaced, unless it belongs to the run.
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
        Number of rows, shards and rejects when the run ends.

    Raises
    ------
    TableError
        If a table cannot be read or scored. The message names the file and the row. Finished shards
        stay in the folder.
    OutputError
        If the output cannot be written, would replace an input, or would be read as one by the next
        run.
    ValueError
        If ``output_format`` or ``top_k`` is invalid, ``top_k`` comes without ``query_column``, or
        two output columns have one name.
    TypeError
        If the model scores no rows, or has no probabilities for the ``probability_column``.
    NotFittedError
        If the model is not fitted.
    ImportError
        If PyArrow is not installed (extra ``serving``).
    """
    if top_k is not None and (query_column is None or top_k < 1):
        raise ValueError(
            "top_k (--top-k) must be 1 or more and needs a query_column (--query-column), got "
            f"top_k={top_k} and query_column={query_column!r}."
        )
    folder = RunFolder(Path(output), output_format, top_k is not None)
    ids, rest = copied_columns(id_columns)
    files = folder.inputs(inputs, csv_options)
    paths = [file.path for file in files]
    folder.check(inputs, paths, None if rejects is None else Path(rejects))
    scorer = table_scorer(model)
    probabilities = probability_column_of(model, probability_column, score_column)
    added = [score_column, *([] if probability_column is None else [probability_column])]
    if top_k is not None and id_columns is None:
        # The place of a row in the input, by which an item could be known, is lost.
        ids = [name for name in _categories_of(scorer) if name not in added]
    columns = TableColumns.match(
        files,
        features=scorer.features,
        n_features=scorer.n_features,
        ids=ids,
        targets=[] if query_column is None else [query_column],
        rest=rest,
        added=added,
        kinds=scorer.kinds,
        parses_text=True,
    )
    scoring = Scoring(
        scorer,
        joblib.hash(model),
        columns,
        score_column,
        query_column,
        top_k,
        rejects is not None,
        probabilities=probabilities,
    )
    progress = run(scoring, files, folder, resume=resume, n_jobs=n_jobs, on_progress=on_progress)
    if top_k is not None:
        keep_best(scoring, folder, progress.n_shards)
    if rejects is not None:
        folder.write_rejects(Path(rejects), progress.n_shards)
    return progress


def _categories_of(scorer: TableScorer) -> list[str]:
    """Names of the features that are categories of text, integers and the like."""
    named = zip(scorer.features or [], scorer.kinds, strict=False)
    return [name for name, kind in named if kind not in (*NOT_NAMES, None)]


@dataclass(frozen=True)
class Scoring:
    """Scores the rows of a shard; sent to every process of a run.

    Parameters
    ----------
    scorer : TableScorer
    model_hash : str
        Identifies the model in the plan of a run.
    columns : TableColumns
        Features and copied columns of the tables.
    score_column : str
        Name of the output column with the scores.
    query_column : str or None
        Column of query ids.
    top_k : int or None
        Number of rows to keep per query.
    keeps_rejects : bool
        Whether rows that cannot be scored are set aside rather than end the run.
    can_keep_rejects : bool, default=True
        Whether the caller could ask for that.
    probabilities : ProbabilityColumn, optional
        The output column with probabilities.
    """

    scorer: TableScorer
    model_hash: str
    columns: TableColumns
    score_column: str
    query_column: str | None
    top_k: int | None
    keeps_rejects: bool
    can_keep_rejects: bool = True
    probabilities: ProbabilityColumn | None = None

    def plan(self) -> dict[str, Any]:
        names = ("score_column", "query_column", "top_k", "keeps_rejects")
        options = {name: getattr(self, name) for name in names}
        made_by = {"model": self.model_hash, "engine": self.scorer.engine}
        if self.probabilities is not None:
            options["probability_column"] = self.probabilities.name
        return made_by | self.columns.plan() | options

    @property
    def schema(self) -> Any:
        pyarrow = pyarrow_extra()
        schema = self.columns.carried.append(pyarrow.field(self.score_column, "float32"))
        if self.probabilities is None:
            return schema
        return schema.append(pyarrow.field(self.probabilities.name, "float64"))

    def results(self, shard: Shard, count: ShardCount) -> Iterator[Any]:
        batches = self._batches(shard, count)
        if self.top_k is None:
            return batches
        best_of_batches = (batch.take(self.best(batch)) for batch in batches)
        table = pyarrow_extra().Table.from_batches(best_of_batches, self.schema)
        return iter(table.take(self.best(table)).to_batches())

    def _batches(self, shard: Shard, count: ShardCount) -> Iterator[Any]:
        pyarrow = pyarrow_extra()
        for first_row, record in read_batches(shard, self.columns.csv_types):
            count.n_rows += record.num_rows
            features = self.columns.model_input(record, shard.path)
            scores, rejects = self.scorer.scores(features, str(shard.path), first_row)
            if self.top_k is not None:
                rejects = self._without_query(record, str(shard.path), first_row, rejects)
            arrays = [*self.columns.carry(record, shard.path), pyarrow.array(scores)]
            if self.probabilities is not None:
                arrays.append(pyarrow.array(self.probabilities.of_scores(scores)))
            result = pyarrow.RecordBatch.from_arrays(arrays, schema=self.schema)
            if rejects:
                if not self.keeps_rejects:
                    raise TableError(self._message(rejects[0]))
                count.rejects += rejects
                good = np.ones(len(scores), dtype=bool)
                good[[reject.row - first_row for reject in rejects]] = False
                result = result.filter(pyarrow.array(good))
            yield result

    def _without_query(
        self, record: Any, file: str, first_row: int, rejects: list[Reject]
    ) -> list[Reject]:
        """Add rows without a query id to the rejects, in the order of the rows."""
        assert self.query_column is not None  # top_k needs it
        missing = missing_cells(record.column(self.query_column))
        if not missing.any():
            return rejects
        by_row = {
            first_row + row: Reject(file, first_row + row, self.query_column, "nothing")
            for row in np.flatnonzero(missing).tolist()
        }
        by_row |= {reject.row: reject for reject in rejects}
        return [by_row[row] for row in sorted(by_row)]

    def _message(self, reject: Reject) -> str:
        """Message about a row that ends the run."""
        is_query = reject.column == self.query_column
        is_lacking = is_query and reject.column not in self.columns.features
        expected = "a query id" if is_lacking else self.scorer.expected_in(reject.column)
        return unscored(reject, expected, self.can_keep_rejects)

    def best(self, table: Any) -> Any:
        """Positions of the ``top_k`` best rows of each query."""
        query = query_codes(table.column(self.query_column))
        scores = table.column(self.score_column).to_numpy()
        rows = best_rows(query, scores, self.top_k or len(scores))
        return pyarrow_extra().array(rows)


def keep_best(scoring: Scoring, folder: RunFolder, n_shards: int) -> None:
    """Write the final part of each shard: its candidates that are among the best of all shards."""
    if not folder.has_all_parts(n_shards):
        _write_best(scoring, folder, [folder.written(number) for number in range(n_shards)])
    folder.remove_candidates(n_shards)


def _write_best(scoring: Scoring, folder: RunFolder, candidates: list[Path]) -> None:
    pyarrow = pyarrow_extra()
    from pyarrow import parquet

    columns = [scoring.query_column, scoring.score_column]
    heads = [parquet.read_table(path, columns=columns) for path in candidates]
    ends = np.cumsum([0, *map(len, heads)])
    best = scoring.best(pyarrow.concat_tables(heads)).to_numpy()
    for number, (start, stop) in enumerate(pairwise(ends)):
        rows = best[np.searchsorted(best, start) : np.searchsorted(best, stop)] - start
        table = parquet.read_table(candidates[number]).take(pyarrow.array(rows))
        files = folder.write(folder.part(number), iter(table.to_batches()), scoring.schema)
        mark = folder.mark(number)
        assert mark is not None
        folder.finish(number, replace(mark, files=mark.files | files))
