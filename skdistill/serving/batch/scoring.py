"""score_table: files of any size through a scorer, each shard written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skdistill.public_names import set_module
from skdistill.serving.batch.run_folder import RunFolder
from skdistill.serving.batch.runs import Progress, ShardCount, run
from skdistill.serving.batch.table_scorer import TableScorer, table_scorer, unscored
from skdistill.serving.batch.top_k import best_rows
from skdistill.tables.columns import TableColumns
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.reading import Paths, find_files, read_batches
from skdistill.tables.shard import Shard

OUTPUT_FORMATS = ("parquet", "csv")


@set_module("skdistill.serving")
def score_table(
    model: Any,
    inputs: Paths,
    output: str | os.PathLike[str],
    *,
    score_column: str = "score",
    query_column: str | None = None,
    id_columns: Sequence[str] | None = None,
    top_k: int | None = None,
    output_format: str = "parquet",
    rejects: str | os.PathLike[str] | None = None,
    resume: bool = True,
    n_jobs: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Score tables in files, larger than memory, into a folder of files.

    A run writes its plan first and then a file for each shard of the input (a CSV or Arrow file, or
    row groups of a Parquet file, about a million rows). Started again with the same plan it scores
    the shards that are not there yet; the files are the same to the byte as of a run that was never
    stopped.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        Fitted. Compiled where its steps can be folded; else its ``predict`` is called.
    inputs : path, or sequence of paths
        Files (Parquet, CSV, Arrow), folders and globs. Columns are matched by the names that the
        model was fitted with; one without names takes all columns in their order, but those that
        ``query_column`` and ``id_columns`` name.
    output : path
        A folder, new or of an earlier run.
    score_column : str, default="score"
    query_column : str, optional
        Needed for ``top_k``.
    id_columns : sequence of str, optional
        Columns that go on into the output; by default all that are no features.
    top_k : int, optional
        Only each query's best rows, over all files, in the order of the input; of equal scores the
        earlier row. Queries and scores of the candidates (``top_k`` a query and shard) are held in
        memory.
    output_format : {"parquet", "csv"}, default="parquet"
    rejects : path, optional
        A CSV file for rows that can't be scored (file, row, column, value); without it the first
        one ends the run.
    resume : bool, default=True
        Go on where an earlier run of the same plan stopped. False: start anew.
    n_jobs : int, optional
        Processes over shards, as in joblib; 1 by default.
    on_progress : callable, optional
        Called with a :class:`Progress` before the first shard and after each.

    Returns
    -------
    Progress

    Raises
    ------
    TableError
        For input that cannot be read or scored, and output that cannot be written, with file and
        row. Shards that were done stay.
    ValueError
        For options that don't go together.
    ImportError
        Without the extra ``serving``.
    """
    if output_format not in OUTPUT_FORMATS:
        raise ValueError(f"output_format must be one of {OUTPUT_FORMATS}, got {output_format!r}.")
    if top_k is not None and (query_column is None or top_k < 1):
        raise ValueError(f"top_k={top_k} needs a query_column, and must be 1 or more.")
    files = find_files(inputs)
    scorer = table_scorer(model)
    columns = TableColumns.match(
        files,
        features=scorer.features,
        n_features=scorer.n_features,
        ids=[*([] if query_column is None else [query_column]), *(id_columns or [])],
        carries_rest=id_columns is None,
        added=[score_column],
        wants_numbers=scorer.wants_numbers,
    )
    scoring = Scoring(
        scorer, joblib.hash(model), columns, score_column, query_column, top_k, rejects is not None
    )
    folder = RunFolder(Path(output), output_format, top_k is not None)
    progress = run(scoring, files, folder, resume=resume, n_jobs=n_jobs, on_progress=on_progress)
    if top_k is not None:
        keep_best(scoring, folder, progress.n_shards)
    if rejects is not None:
        folder.write_rejects(Path(rejects), progress.n_shards)
    return progress


@dataclass(frozen=True)
class Scoring:
    """Rows to scores: what every process of a run knows.

    Parameters
    ----------
    scorer : TableScorer
    model_hash : str
    columns : TableColumns
    score_column : str
    query_column : str or None
    top_k : int or None
    keeps_rejects : bool
        Whether rows that can't be scored are put aside rather than end the run.
    """

    scorer: TableScorer
    model_hash: str
    columns: TableColumns
    score_column: str
    query_column: str | None
    top_k: int | None
    keeps_rejects: bool

    def plan(self) -> dict[str, Any]:
        names = ("score_column", "query_column", "top_k", "keeps_rejects")
        options = {name: getattr(self, name) for name in names}
        made_by = {"model": self.model_hash, "engine": self.scorer.engine}
        return made_by | self.columns.plan() | options

    @property
    def schema(self) -> Any:
        return self.columns.carried.append(pyarrow_extra().field(self.score_column, "float32"))

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
            features = record.select(self.columns.features)
            scores, rejects = self.scorer.scores(features, str(shard.path), first_row)
            arrays = [*self.columns.carry(record), pyarrow.array(scores)]
            result = pyarrow.RecordBatch.from_arrays(arrays, schema=self.schema)
            if rejects:
                if not self.keeps_rejects:
                    raise TableError(unscored(rejects[0], self.scorer.allows_missing))
                count.rejects += rejects
                good = np.ones(len(scores), dtype=bool)
                good[[reject.row - first_row for reject in rejects]] = False
                result = result.filter(pyarrow.array(good))
            yield result

    def best(self, table: Any) -> Any:
        """Numbers of the rows that are among their query's best."""
        query = table.column(self.query_column).to_numpy(zero_copy_only=False)
        scores = table.column(self.score_column).to_numpy()
        rows = best_rows(_sortable(query), scores, self.top_k or len(scores))
        return pyarrow_extra().array(rows)


def keep_best(scoring: Scoring, folder: RunFolder, n_shards: int) -> None:
    """Of the shards' best rows the best of all, into a final part for each shard."""
    candidates = [folder.written(number) for number in range(n_shards)]
    if not all(folder.part(number).exists() for number in range(n_shards)):
        _write_best(scoring, folder, candidates)
    for path in candidates:
        path.unlink(missing_ok=True)
    candidates[0].parent.rmdir()


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
        folder.write(folder.part(number), iter(table.to_batches()), scoring.schema)


def _sortable(query: NDArray[Any]) -> NDArray[Any]:
    return query.astype(str) if query.dtype == object else query
