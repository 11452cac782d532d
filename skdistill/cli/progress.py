"""Progress of a run: a bar in a terminal, otherwise a line from time to time."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from skdistill.cli.exit_codes import messages

if TYPE_CHECKING:
    from skdistill.serving.batch.runs import Progress

# Seconds between two lines if the output is not a terminal.
LINE_EVERY = 10.0


class ProgressReport:
    """Show the :class:`Progress` of a run: call it with each one, inside a ``with`` block."""

    def __init__(self, unit: str = "rows") -> None:
        self.unit = unit
        self.started = self.last_line = time.monotonic()
        self.first: Progress | None = None
        self.bar = Bar(
            TextColumn("{task.fields[speed]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("shards,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=messages,
            disable=not messages.is_terminal,
        )
        self.task = self.bar.add_task("", total=None, speed="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def __call__(self, progress: Progress) -> None:
        self.first = self.first or progress
        now = time.monotonic()
        done = f"{progress.n_rows:,} {self.unit}"
        n_new = progress.n_rows - self.first.n_rows
        if n_new:
            done += f", {n_new / max(now - self.started, 1e-9):,.0f} per second"
        elif progress.n_rows:
            done += ", done by an earlier run"
        self.bar.update(
            self.task,
            completed=progress.n_shards,
            total=progress.n_all_shards,
            speed=done,
        )
        is_last = progress.n_shards == progress.n_all_shards
        if not messages.is_terminal and (is_last or now - self.last_line >= LINE_EVERY):
            self.last_line = now
            done_now = progress.n_shards - self.first.n_shards
            left = progress.n_all_shards - progress.n_shards
            text = f"{progress.n_shards} of {progress.n_all_shards} shards, {done}"
            if done_now and left:
                text += f", {(now - self.started) / done_now * left:.0f} s left"
            messages.print(text)
