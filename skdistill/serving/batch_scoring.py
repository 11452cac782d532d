"""score_table: files of any size through a scorer, each shard written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skdistill.serving.run_folder import RunFolder
from skdistill.serving.table_files import (
    FORMATS,
    Shard,
    TableError,
    find_files,
    pyarrow_extra,
    read_batches,
    schema_of,
    shards_of,
)
from skdistill.serving.table_scorer import Reject, TableScorer
from skdistill.serving.top_k import best_rows

OUTPUT_FORMATS = ("parquet", "csv")


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Parameters
    ----------
    n_rows, n_shards : int
        Done so far, those of an earlier run included.
    n_all_shards : int
    n_rejected : int
        Rows that were put aside.
    """

    n_rows: int
    n_shards: int
    n_all_shards: int
    n_rejected: int


def score_table(
    model: Any,
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
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
        For input that can't be read or scored, and output that can't be written, with file and
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
    paths = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    files = find_files(paths)
    scoring = Scoring.of(model, files, score_column, query_column, id_columns, top_k)
    shards = [shard for file in files for shard in shards_of(file)]
    folder = RunFolder(Path(output), output_format, top_k is not None)
    folder.prepare(
        scoring.plan()
        | {"rejects": rejects is not None, "output_format": output_format}
        | {"inputs": [_described(shard) for shard in shards]},
        resume,
    )

    done = [folder.done(number) for number in range(len(shards))]
    reports = [_counted(report) for report in done if report is not None]

    def progress() -> Progress:
        n_rows = sum(rows for rows, _ in reports)
        return Progress(n_rows, len(reports), len(shards), sum(bad for _, bad in reports))

    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    results = parallel(
        joblib.delayed(score_shard)(scoring, folder, number, shards[number], rejects is not None)
        for number, report in enumerate(done)
        if report is None
    )
    if on_progress is not None:
        on_progress(progress())
    for result in results:
        reports.append(result)
        if on_progress is not None:
            on_progress(progress())
    if top_k is not None:
        keep_best(scoring, folder, len(shards))
    if rejects is not None:
        folder.write_rejects(Path(rejects), len(shards))
    return progress()


@dataclass(frozen=True)
class Scoring:
    """What every process of a run knows.

    Parameters
    ----------
    scorer : TableScorer
    model_hash : str
    features : list of str
    carried : pyarrow.Schema
        The columns that go on into the output.
    csv_types : pyarrow.Schema
        What the columns are read as where the file does not say.
    score_column : str
    query_column : str or None
    top_k : int or None
    """

    scorer: TableScorer
    model_hash: str
    features: list[str]
    carried: Any
    csv_types: Any
    score_column: str
    query_column: str | None
    top_k: int | None

    @classmethod
    def of(
        cls,
        model: Any,
        files: list[Path],
        score_column: str,
        query_column: str | None,
        id_columns: Sequence[str] | None,
        top_k: int | None,
    ) -> Scoring:
        """By the first file; the others are held against it.

        Raises
        ------
        TableError
            For columns that are missing, hold no numbers, or are of another type in a later file.
        """
        pyarrow = pyarrow_extra()
        scorer = TableScorer(model)
        schema = schema_of(files[0])
        ids = list(id_columns or [])
        if query_column is not None and query_column not in ids:
            ids.insert(0, query_column)
        features = scorer.named(files[0], schema, ids)
        if id_columns is None:
            ids += [name for name in schema.names if name not in features and name not in ids]
        if score_column in ids:
            raise TableError(
                f"{files[0]}: has a column {score_column!r}; name another score_column."
            )
        _check_there(files[0], schema, [*features, *ids])
        types = {name: scorer.csv_type(schema.field(name).type) for name in features}
        types |= {name: schema.field(name).type for name in ids if name not in types}
        carried = pyarrow.schema([schema.field(name).remove_metadata() for name in ids])
        scoring = cls(
            scorer,
            joblib.hash(model),
            features,
            carried,
            pyarrow.schema(list(types.items())),
            score_column,
            query_column,
            top_k,
        )
        for file in files:
            scoring._check(file)
        return scoring

    def _check(self, file: Path) -> None:
        """See that a file fits, as far as its schema tells."""
        schema = schema_of(file)
        _check_there(file, schema, self.csv_types.names)
        # What a CSV file holds is known once it is read.
        if FORMATS[file.suffix] == "csv":
            return
        self.scorer.check_types(file, pyarrow_extra().schema(map(schema.field, self.features)))
        for field in self.carried:
            if not _same(schema.field(field.name).type, field.type):
                raise TableError(
                    f"{file}: column {field.name!r} holds {schema.field(field.name).type}, "
                    f"expected {field.type} as in the first file."
                )

    def plan(self) -> dict[str, Any]:
        """What two runs must have in common to share a folder."""
        return {
            "model": self.model_hash,
            "features": self.features,
            "carried": {field.name: str(field.type) for field in self.carried},
            "score_column": self.score_column,
            "query_column": self.query_column,
            "top_k": self.top_k,
        }

    @property
    def schema(self) -> Any:
        """Of the output."""
        return self.carried.append(pyarrow_extra().field(self.score_column, "float32"))

    def results(self, shard: Shard, rejects: list[Reject], keeps_rejects: bool) -> Iterator[Any]:
        """Carried columns and scores of a shard's rows, batch by batch."""
        pyarrow = pyarrow_extra()
        for first_row, record in read_batches(shard, self.csv_types):
            scores, bad = self.scorer.scores(
                record.select(self.features), str(shard.path), first_row
            )
            if bad and not keeps_rejects:
                raise TableError(_unscored(bad[0], self.scorer.allows_missing))
            rejects += bad
            carried = [record.column(field.name).cast(field.type) for field in self.carried]
            result = pyarrow.RecordBatch.from_arrays(
                [*carried, pyarrow.array(scores)], schema=self.schema
            )
            if bad:
                good = np.ones(len(scores), dtype=bool)
                good[[reject.row - first_row for reject in bad]] = False
                result = result.filter(pyarrow.array(good))
            yield result if self.top_k is None else result.take(self.best(result))

    def best(self, table: Any) -> Any:
        """Numbers of the rows that are among their query's best."""
        query = table.column(self.query_column).to_numpy(zero_copy_only=False)
        scores = table.column(self.score_column).to_numpy()
        rows = best_rows(_sortable(query), scores, self.top_k or len(scores))
        return pyarrow_extra().array(rows)


def score_shard(
    scoring: Scoring, folder: RunFolder, number: int, shard: Shard, keeps_rejects: bool
) -> tuple[int, int]:
    """Score one shard into its part; returns how many rows it had, and how many were rejected."""
    rejects: list[Reject] = []
    batches = scoring.results(shard, rejects, keeps_rejects)
    if scoring.top_k is not None:
        table = pyarrow_extra().Table.from_batches(batches, scoring.schema)
        batches = iter(table.take(scoring.best(table)).to_batches())
    n_rows = folder.write(folder.written(number), batches, scoring.schema) + len(rejects)
    folder.finish(number, n_rows, rejects)
    return n_rows, len(rejects)


def keep_best(scoring: Scoring, folder: RunFolder, n_shards: int) -> None:
    """Of the shards' best rows the best of all, into a final part for each shard."""
    candidates = [folder.written(number) for number in range(n_shards)]
    if not all(folder.part(number).exists() for number in range(n_shards)):
        _write_best(scoring, folder, candidates)
    for path in candidates:
        path.unlink(missing_ok=True)


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


def _check_there(file: Path, schema: Any, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise TableError(f"{file}: lacks the columns {missing}; it has {schema.names}.")


def _same(left: Any, right: Any) -> bool:
    types = pyarrow_extra().types
    texts = [types.is_string(one) or types.is_large_string(one) for one in (left, right)]
    return all(texts) or bool(left == right)


def _unscored(reject: Reject, allows_missing: bool) -> str:
    expected = "a finite number or nothing" if allows_missing else "a finite number"
    return (
        f"{reject.file}: row {reject.row}: column {reject.column!r} holds {reject.value}, expected "
        f"{expected}. Mend it, or have such rows put aside by rejects."
    )


def _described(shard: Shard) -> dict[str, Any]:
    # JSON knows no tuples: the plan is compared with what is read back.
    groups = None if shard.row_groups is None else list(shard.row_groups)
    size = shard.path.stat().st_size
    return asdict(shard) | {"path": str(shard.path), "row_groups": groups, "size": size}


def _counted(report: dict[str, Any]) -> tuple[int, int]:
    return report["rows"], len(report["rejects"])


def _sortable(query: NDArray[Any]) -> NDArray[Any]:
    return query.astype(str) if query.dtype == object else query
