"""Run a task over the shards of tables in files, in several processes, and resume runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import joblib

from skdistill.public_names import set_module
from skdistill.serving.batch.rejects import Reject
from skdistill.serving.batch.run_folder import Mark, RunFolder
from skdistill.tables.reading import format_of
from skdistill.tables.shard import Shard, TableFile
from skdistill.threads import single_blas_thread


@set_module("skdistill.serving")
@dataclass(frozen=True)
class Progress:
    """Progress of a run over tables.

    Parameters
    ----------
    n_rows : int
        Number of rows read so far, including those of a resumed run.
    n_shards : int
        Number of shards finished so far, including those of a resumed run.
    n_all_shards : int
        Number of shards of the whole input.
    n_rejected : int
        Number of rows that could not be scored and were set aside.
    n_repeated : int, default=0
        Number of shards that an earlier run had finished, but whose file is missing or was changed
        since, so that they are done again.
    """

    n_rows: int
    n_shards: int
    n_all_shards: int
    n_rejected: int
    n_repeated: int = 0


@dataclass
class ShardCount:
    """Counts the rows of a shard while its results are read.

    Parameters
    ----------
    n_rows : int
        Number of rows read from the file.
    rejects : list of Reject
        Rows that cannot be scored.
    """

    n_rows: int = 0
    rejects: list[Reject] = field(default_factory=list)


class ShardTask(Protocol):
    """Processes each shard; sent to other processes."""

    @property
    def schema(self) -> Any:
        """Schema of the output."""

    def plan(self) -> dict[str, Any]:
        """Everything that two runs must have in common to use one folder."""

    def results(self, shard: Shard, count: ShardCount) -> Iterator[Any]:
        """Yield record batches of the output, and update the count."""


def run(
    task: ShardTask,
    files: list[TableFile],
    folder: RunFolder,
    *,
    resume: bool,
    n_jobs: int | None,
    on_progress: Callable[[Progress], None] | None,
) -> Progress:
    """Process all shards of files that are not finished yet.

    Parameters
    ----------
    task : ShardTask
        Processes each shard.
    files : list of TableFile
    folder : RunFolder
        Receives the output.
    resume : bool
        Whether to continue an earlier run.
    n_jobs : int, optional
        Number of processes over shards.
    on_progress : callable, optional
        Called with a :class:`Progress` before the first shard and after each one.

    Returns
    -------
    Progress

    Raises
    ------
    TableError
        If a table cannot be read or scored.
    OutputError
        If the output cannot be written, or the folder holds something else.
    """
    shards = [shard for file in files for shard in file.shards()]
    folder.prepare(task.plan() | {"inputs": [_described(shard) for shard in shards]}, resume)
    marks = dict(enumerate(map(folder.mark, range(len(shards)))))
    intact = folder.intact(len(shards))
    left = [number for number in marks if number not in intact]
    counts = [_count(mark) for number, mark in marks.items() if number in intact and mark]
    n_repeated = sum(marks[number] is not None for number in left)

    def report() -> Progress:
        n_rows, n_rejected = sum(rows for rows, _ in counts), sum(bad for _, bad in counts)
        progress = Progress(n_rows, len(counts), len(shards), n_rejected, n_repeated)
        if on_progress is not None:
            on_progress(progress)
        return progress

    progress = report()
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    parent = os.getpid(), os.getcwd()
    for count in parallel(joblib.delayed(_do)(parent, task, folder, n, shards[n]) for n in left):
        counts.append(count)
        progress = report()
    return progress


def _do(
    parent: tuple[int, str], task: ShardTask, folder: RunFolder, number: int, shard: Shard
) -> tuple[int, int]:
    process, working_folder = parent
    is_worker = os.getpid() != process
    if is_worker:
        # A worker may have been started by an earlier call, in another folder.
        os.chdir(working_folder)
    count = ShardCount()
    # Workers share the cores. If each took as many BLAS threads as OMP_NUM_THREADS allows, these
    # would wait for each other.
    with single_blas_thread if is_worker else nullcontext():
        files = folder.write(folder.written(number), task.results(shard, count), task.schema)
    mark = Mark(count.n_rows, [asdict(reject) for reject in count.rejects], files)
    # The mark comes last, because a resumed run trusts every marked part.
    folder.finish(number, mark)
    return _count(mark)


def _count(mark: Mark) -> tuple[int, int]:
    return mark.rows, len(mark.rejects)


def _described(shard: Shard) -> dict[str, Any]:
    # A list, because JSON has no tuples and the plan is compared with one read from a file.
    groups = None if shard.row_groups is None else list(shard.row_groups)
    status = shard.path.stat()
    # CSV files that are read in another way are other inputs.
    is_usual = shard.file.format == format_of(shard.path)
    return ({} if is_usual else {"format": str(shard.file.format)}) | {
        "path": str(shard.path),
        "row_groups": groups,
        "first_row": shard.first_row,
        "size": status.st_size,
        "modified": status.st_mtime_ns,
    }
