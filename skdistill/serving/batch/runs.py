"""A run over tables in files: shard by shard, in several processes, on from where one stopped."""

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
    """How far a run has come.

    Parameters
    ----------
    n_rows, n_shards : int
        Read so far, those of an earlier run included.
    n_all_shards : int
    n_rejected : int
        Rows that were put aside.
    """

    n_rows: int
    n_shards: int
    n_all_shards: int
    n_rejected: int


@dataclass
class ShardCount:
    """What became of a shard's rows; counted while its results are read.

    Parameters
    ----------
    n_rows : int
        Read from the file.
    rejects : list of Reject
    """

    n_rows: int = 0
    rejects: list[Reject] = field(default_factory=list)


class ShardTask(Protocol):
    """What is done with each shard; sent to other processes."""

    @property
    def schema(self) -> Any:
        """Of the output."""

    def plan(self) -> dict[str, Any]:
        """What two runs must have in common to share a folder."""

    def results(self, shard: Shard, count: ShardCount) -> Iterator[Any]:
        """Record batches of the output."""


def run(
    task: ShardTask,
    files: list[Path],
    folder: RunFolder,
    *,
    resume: bool,
    n_jobs: int | None,
    on_progress: Callable[[Progress], None] | None,
) -> Progress:
    """Do the shards of files that are not done yet.

    Parameters
    ----------
    task : ShardTask
    files : list of Path
    folder : RunFolder
    resume : bool
    n_jobs : int, optional
    on_progress : callable, optional
        Called before the first shard and after each.

    Raises
    ------
    TableError
    """
    shards = [shard for file in files for shard in shards_of(file)]
    folder.prepare(task.plan() | {"inputs": [_described(shard) for shard in shards]}, resume)
    known = [folder.count(number) for number in range(len(shards))]
    left = [number for number, count in enumerate(known) if count is None]
    counts = [count for count in known if count is not None]

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
    # The mark comes last: only what it stands for is believed.
    folder.finish(number, count.n_rows, count.rejects)
    return count.n_rows, len(count.rejects)


def _described(shard: Shard) -> dict[str, Any]:
    # JSON knows no tuples: the plan is compared with what is read back.
    groups = None if shard.row_groups is None else list(shard.row_groups)
    status = shard.path.stat()
    return asdict(shard) | {
        "path": str(shard.path),
        "row_groups": groups,
        "size": status.st_size,
        "modified": status.st_mtime_ns,
    }
