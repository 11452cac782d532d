"""Run a task over the shards of tables in files, in several processes, and resume runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import joblib

from skdistill.public_names import set_module
from skdistill.serving.batch.run_folder import RunFolder
from skdistill.serving.batch.table_scorer import Reject
from skdistill.tables.reading import shards_of
from skdistill.tables.shard import Shard


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
    """

    n_rows: int
    n_shards: int
    n_all_shards: int
    n_rejected: int


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
    files: list[Path],
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
    files : list of Path
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
        If a table cannot be read or scored, or the folder belongs to another run.
    OutputError
        If the output cannot be written.
    """
    shards = [shard for file in files for shard in shards_of(file)]
    folder.prepare(task.plan() | {"inputs": [_described(shard) for shard in shards]}, resume)
    finished = [folder.count(number) for number in range(len(shards))]
    left = [number for number, count in enumerate(finished) if count is None]
    counts = [count for count in finished if count is not None]

    def report() -> Progress:
        n_rows, n_rejected = sum(rows for rows, _ in counts), sum(bad for _, bad in counts)
        progress = Progress(n_rows, len(counts), len(shards), n_rejected)
        if on_progress is not None:
            on_progress(progress)
        return progress

    progress = report()
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    for count in parallel(joblib.delayed(_do)(task, folder, n, shards[n]) for n in left):
        counts.append(count)
        progress = report()
    return progress


def _do(task: ShardTask, folder: RunFolder, number: int, shard: Shard) -> tuple[int, int]:
    count = ShardCount()
    folder.write(folder.written(number), task.results(shard, count), task.schema)
    # The mark comes last, because a resumed run trusts every marked part.
    folder.finish(number, count.n_rows, count.rejects)
    return count.n_rows, len(count.rejects)


def _described(shard: Shard) -> dict[str, Any]:
    # A list, because JSON has no tuples and the plan is compared with one read from a file.
    groups = None if shard.row_groups is None else list(shard.row_groups)
    status = shard.path.stat()
    return asdict(shard) | {
        "path": str(shard.path),
        "row_groups": groups,
        "size": status.st_size,
        "modified": status.st_mtime_ns,
    }
