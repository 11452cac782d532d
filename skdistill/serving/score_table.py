"""score_table: files of any size through a scorer, shard by shard, each written whole or not at all.

A run writes its plan first and then a file for each shard of the input. One that is started again
with the same plan scores the shards that are not there yet.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skdistill.ranker import DistilledRanker
from skdistill.serving.atomic import written_whole
from skdistill.serving.compiled import compile_scorer
from skdistill.serving.table_files import (
    Batch,
    Shard,
    TableError,
    check_columns,
    column_types,
    find_files,
    pyarrow_extra,
    read_batches,
    shards_of,
)
from skdistill.serving.top_k import best_rows

PLAN = "_plan.json"
OUTPUTS = ("parquet", "csv")
# Rows of an output file's row group.
GROUP_ROWS = 1 << 16


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Parameters
    ----------
    n_rows, n_shards : int
        Done so far, shards of an earlier run included.
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

    Parameters
    ----------
    model : student, DistilledRanker, or Pipeline that ends in either
        Fitted. Compiled where its steps can be folded; else its ``predict`` is called.
    inputs : path, or sequence of paths
        Files (Parquet, CSV, Arrow), folders and globs. Columns are matched by the names that the
        model was fitted with; one without names takes all columns of numbers but those that
        ``query_column`` and ``id_columns`` name.
    output : path
        A folder; one file for each shard of the input, in the same order.
    score_column : str, default="score"
    query_column : str, optional
        Needed for ``top_k``.
    id_columns : sequence of str, optional
        Columns that go on into the output; by default all that are no features.
    top_k : int, optional
        Only each query's best rows, over all files; of equal scores the earlier row. A query's
        place in the output is that of its rows in the input.
    output_format : {"parquet", "csv"}, default="parquet"
    rejects : path, optional
        A CSV file for rows that can't be scored (file, row, column, value); without it the first
        one ends the run.
    resume : bool, default=True
        Go on where an earlier run of the same plan stopped. False: start anew.
    n_jobs : int, optional
        Processes over shards, as in joblib; 1 by default.
    on_progress : callable, optional
        Called after each shard.

    Returns
    -------
    Progress

    Raises
    ------
    TableError
        For tables that can't be scored: which file, which column or row. Shards that are written
        stay.
    ImportError
        Without the extra ``serving``.
    """
    pyarrow_extra()
    if output_format not in OUTPUTS:
        raise ValueError(f"output_format must be one of {list(OUTPUTS)}, got {output_format!r}.")
    if top_k is not None and query_column is None:
        raise ValueError("top_k is by query: name the column by query_column.")
    files = find_files([inputs] if isinstance(inputs, str | os.PathLike) else list(inputs))
    features, carried = _columns(model, files[0], query_column, id_columns)
    if score_column in carried:
        raise TableError(
            f"{files[0]}: has a column {score_column!r}, which is to hold the scores. Name another "
            "by score_column."
        )
    shards = [shard for file in files for shard in shards_of(file)]
    job = Job(
        model, features, carried, score_column, query_column, top_k, output_format, Path(output)
    )
    job.prepare(shards, resume, rejects is not None)
    done = [number for number in range(len(shards)) if job.written(number).exists()]
    left = [number for number in range(len(shards)) if number not in set(done)]
    counts = {number: _counted(job.written(number)) for number in done}
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    scored = parallel(
        joblib.delayed(job.score)(number, shards[number], rejects is not None) for number in left
    )
    progress = _progress(counts, len(shards))
    if on_progress is not None:
        on_progress(progress)
    for number, n_rows, n_rejected in scored:
        counts[number] = n_rows, n_rejected
        progress = _progress(counts, len(shards))
        if on_progress is not None:
            on_progress(progress)
    if top_k is not None:
        job.keep_best(len(shards))
    if rejects is not None:
        job.write_rejects(len(shards), Path(rejects))
    return progress


@dataclass(frozen=True)
class Job:
    """What every process of a run knows.

    Parameters
    ----------
    model : estimator
    features, carried : list of str
    score_column : str
    query_column : str or None
    top_k : int or None
    output_format : str
    output : Path
    """

    model: Any
    features: list[str]
    carried: list[str]
    score_column: str
    query_column: str | None
    top_k: int | None
    output_format: str
    output: Path

    def written(self, number: int) -> Path:
        """Where the scores of a shard are."""
        name = f"part-{number:05d}.{self.output_format}"
        return self.output / "_candidates" / name if self.top_k else self.output / name

    def rejected(self, number: int) -> Path:
        """Where the rows of a shard that can't be scored are."""
        return self.output / "_rejects" / f"part-{number:05d}.csv"

    def prepare(self, shards: list[Shard], resume: bool, has_rejects: bool) -> None:
        """Make the folder and write the plan, or see that the one there is the same."""
        plan = {
            "model": joblib.hash(self.model),
            "features": self.features,
            "carried": self.carried,
            "score_column": self.score_column,
            "query_column": self.query_column,
            "top_k": self.top_k,
            "rejects": has_rejects,
            "inputs": [
                {**asdict(shard), "path": str(shard.path), "size": shard.path.stat().st_size}
                for shard in shards
            ],
        }
        text = json.dumps(plan, indent=1)
        path = self.output / PLAN
        self.output.mkdir(parents=True, exist_ok=True)
        if not resume:
            for old in sorted(self.output.glob("**/part-*")):
                old.unlink()
        elif path.exists() and path.read_text() != text:
            raise TableError(
                f"{self.output}: holds the output of another run (model, inputs or columns "
                "differ). Choose another folder, or start anew with resume=False."
            )
        elif not path.exists() and any(self.output.glob("part-*")):
            raise TableError(
                f"{self.output}: holds files of something else. Choose another folder."
            )
        with written_whole(path) as temporary:
            temporary.write_text(text)
        self.written(0).parent.mkdir(exist_ok=True)
        if has_rejects:
            self.rejected(0).parent.mkdir(exist_ok=True)

    def score(self, number: int, shard: Shard, keeps_rejects: bool) -> tuple[int, int, int]:
        """Score one shard; returns its number, and how many rows it had and rejected."""
        rejects: list[tuple[Any, ...]] = []
        n_rows = 0

        def results() -> Iterator[Any]:
            nonlocal n_rows
            for batch in read_batches(shard, self.features, self.carried):
                n_rows += len(batch.X)
                kept = self._good_rows(batch, shard, rejects, keeps_rejects)
                yield self._result(batch, kept)

        batches = results()
        if self.top_k is not None:
            batches = iter([self._best(list(batches))])
        # Rejects first: with the scores in place a shard counts as done.
        self._write(self.written(number), batches, lambda: (n_rows, len(rejects)), rejects, number)
        return number, n_rows, len(rejects)

    @cached_property
    def _scorer(self) -> Callable[[Any], NDArray[np.float32]]:
        try:
            return compile_scorer(self.model)
        except TypeError:
            return self._predict

    def _predict(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        if not hasattr(_first(self.model), "feature_names_in_"):
            return self.model.predict(X)
        import pandas as pd

        return self.model.predict(pd.DataFrame(X, columns=self.features))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    @cached_property
    def _allows_missing(self) -> bool:
        return bool(get_tags(_first(self.model)).input_tags.allow_nan)

    def _good_rows(
        self, batch: Batch, shard: Shard, rejects: list[tuple[Any, ...]], keeps_rejects: bool
    ) -> NDArray[np.bool_] | None:
        """Rows that can be scored; None: all."""
        # Any NaN or infinity makes the sum one.
        if batch.wrong is None and np.isfinite(batch.X.sum()):
            return None
        bad = np.isinf(batch.X) if self._allows_missing else ~np.isfinite(batch.X)
        if batch.wrong is not None:
            rows = np.flatnonzero(batch.wrong >= 0)
            bad[rows, batch.wrong[rows]] = True
        rows = np.flatnonzero(bad.any(axis=1))
        for row in rows:
            position = int(np.flatnonzero(bad[row])[0])
            value = batch.X[row, position]
            is_text = batch.wrong is not None and batch.wrong[row] == position
            what = "text that is no number" if is_text else f"{value}"
            place = batch.first_row + int(row)
            if not keeps_rejects:
                raise TableError(
                    f"{shard.path}: row {place}: column {self.features[position]!r} holds {what}, "
                    "expected a finite number"
                    + (" or nothing." if self._allows_missing else ".")
                    + " Mend it, or put such rows aside by rejects."
                )
            rejects.append((str(shard.path), place, self.features[position], what))
        if not len(rows):
            return None
        good = np.ones(len(batch.X), dtype=bool)
        good[rows] = False
        return good

    def _result(self, batch: Batch, kept: NDArray[np.bool_] | None) -> Any:
        pyarrow = pyarrow_extra()
        X, carried = batch.X, batch.carried
        if kept is not None:
            X = np.ascontiguousarray(X[kept])
            carried = carried.filter(pyarrow.array(kept))
        scores = self._scorer(X) if len(X) else np.empty(0, np.float32)
        columns = [*carried.columns, pyarrow.array(scores.astype(np.float32, copy=False))]
        return pyarrow.RecordBatch.from_arrays(columns, [*carried.schema.names, self.score_column])

    def _best(self, batches: list[Any]) -> Any:
        """The best rows of each query in a shard."""
        pyarrow = pyarrow_extra()
        table = pyarrow.Table.from_batches(batches)
        return table.take(pyarrow.array(self._places(table)))

    def _places(self, table: Any) -> NDArray[np.int64]:
        assert self.top_k is not None
        query = table[self.query_column].to_numpy()
        return best_rows(_sortable(query), table[self.score_column].to_numpy(), self.top_k)

    def keep_best(self, n_shards: int) -> None:
        """Of the shards' best rows the best of all, into a file for each shard."""
        pyarrow = pyarrow_extra()
        paths = [self.written(number) for number in range(n_shards)]
        columns = [self.query_column, self.score_column]
        parts = [_read(path).select(columns) for path in paths]
        ends = np.cumsum([len(part) for part in parts])
        # Row numbers over all shards; only two columns of them are in memory.
        places = self._places(pyarrow.concat_tables(parts))
        pieces = np.split(places, np.searchsorted(places, ends[:-1]))
        for number, (path, piece) in enumerate(zip(paths, pieces, strict=True)):
            table = _read(path).take(pyarrow.array(piece - (ends[number] - len(parts[number]))))
            self._write(self.output / path.name, iter([table]), lambda n=len(table): (n, 0))

    def _write(
        self,
        path: Path,
        batches: Iterator[Any],
        counts: Callable[[], tuple[int, int]],
        rejects: list[tuple[Any, ...]] | None = None,
        number: int = 0,
    ) -> None:
        pyarrow = pyarrow_extra()
        try:
            with written_whole(path) as temporary:
                _write_batches(temporary, batches, self.output_format, counts)
                if rejects:
                    with (
                        written_whole(self.rejected(number)) as own,
                        open(own, "w", newline="") as file,
                    ):
                        csv.writer(file).writerows(rejects)
        except (OSError, pyarrow.ArrowException) as error:
            raise TableError(f"{path}: can't be written: {error}") from error

    def write_rejects(self, n_shards: int, path: Path) -> None:
        """One file of all rows that could not be scored."""
        with written_whole(path) as temporary, open(temporary, "w", newline="") as file:
            csv.writer(file).writerow(["file", "row", "column", "value"])
            for number in range(n_shards):
                if self.rejected(number).exists():
                    file.write(self.rejected(number).read_text())


def _columns(
    model: Any, path: Path, query_column: str | None, id_columns: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Features and carried columns, by the first file."""
    types = column_types(path)
    ids = list(id_columns or [])
    if query_column is not None:
        ids = [query_column, *(name for name in ids if name != query_column)]
    first = _first(model)
    names = getattr(first, "feature_names_in_", None)
    if names is not None:
        dropped = getattr(first, "query_column", None)
        features = [str(name) for name in names if dropped is None or name != dropped]
    else:
        features = [name for name in types if name not in ids]
        n_features = first.n_features_in_
        if len(features) != n_features:
            raise TableError(
                f"{path}: the model was fitted without column names and takes {n_features} "
                f"columns; there are {len(features)} besides {ids}. Name the others by id_columns."
            )
    if id_columns is None:
        ids += [name for name in types if name not in features and name not in ids]
    check_columns(path, features, ids)
    return features, ids


def _first(model: Any) -> Any:
    """The step that sees the table."""
    if isinstance(model, Pipeline):
        return next(part for _, part in model.steps if part not in (None, "passthrough"))
    return model


def _sortable(query: NDArray[Any]) -> NDArray[Any]:
    return query.astype(str) if query.dtype == object else query


def _progress(counts: dict[int, tuple[int, int]], n_shards: int) -> Progress:
    rows, rejected = (
        (sum(column) for column in zip(*counts.values(), strict=True)) if counts else (0, 0)
    )
    return Progress(rows, len(counts), n_shards, rejected)


_ = (hashlib, time, DistilledRanker)
