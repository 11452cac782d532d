"""The output folder of a run: its plan, one part per shard, and marks of finished shards."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skdistill.serving.batch.table_scorer import Reject
from skdistill.tables.atomic_write import atomic_write
from skdistill.tables.errors import OutputError, TableError, pyarrow_extra
from skdistill.tables.writing import write_batches

PLAN = "_plan.json"
DONE = "_done"
CANDIDATES = "_candidates"
OUTPUT_FORMATS = ("parquet", "csv")


@dataclass(frozen=True)
class RunFolder:
    """The folder that a run writes to.

    Readers of tables ignore names that begin with ``_``, and so see the parts alone.

    Parameters
    ----------
    path : Path
    output_format : {"parquet", "csv"}
        Format of the parts.
    keeps_candidates : bool
        Whether shards write candidates, from which the final parts are made at the end.
    """

    path: Path
    output_format: str
    keeps_candidates: bool

    def __post_init__(self) -> None:
        if self.output_format not in OUTPUT_FORMATS:
            raise ValueError(
                f"output_format must be one of {OUTPUT_FORMATS}, got {self.output_format!r}."
            )

    def part(self, number: int) -> Path:
        """Path of a shard's final output."""
        return self.path / f"part-{number:05d}.{self.output_format}"

    def written(self, number: int) -> Path:
        """Path of the file that is written while the shard is scored."""
        if not self.keeps_candidates:
            return self.part(number)
        return self.path / CANDIDATES / f"part-{number:05d}.parquet"

    def prepare(self, plan: dict[str, Any], resume: bool) -> None:
        """Make the folder and write the plan, or check that it holds the same plan.

        Parameters
        ----------
        plan : dict
            Everything that two runs must have in common to use one folder.
        resume : bool
            If False, remove the output of an earlier run first.

        Raises
        ------
        TableError
            If the folder holds other files, or the output of a different run.
        OutputError
            If the folder cannot be written.
        """
        plan = plan | {"output_format": self.output_format}
        text = json.dumps(plan, indent=1)
        path = self.path / PLAN
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            earlier = path.read_text() if path.exists() else None
            if earlier is None and any(self.path.iterdir()):
                raise TableError(
                    f"{self.path}: holds files that were not written by a run. Choose an empty "
                    "folder."
                )
            if earlier not in (None, text) and resume:
                raise TableError(
                    f"{self.path}: holds the output of another run: {_difference(earlier, plan)} "
                    "differ. Choose another folder, or replace its output by resume=False "
                    "(--no-resume)."
                )
            if not resume:
                # Marks go first: if the run dies here, the next one trusts no part.
                for pattern in (f"{DONE}/*", f"{CANDIDATES}/*", "part-*"):
                    for old in self.path.glob(pattern):
                        old.unlink()
            for leftover in self.path.glob("**/*.part"):
                leftover.unlink()
            (self.path / DONE).mkdir(exist_ok=True)
            if self.keeps_candidates:
                (self.path / CANDIDATES).mkdir(exist_ok=True)
            if earlier != text:
                with atomic_write(path) as temporary:
                    temporary.write_text(text)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error}") from error

    def write(self, path: Path, batches: Iterator[Any], schema: Any) -> None:
        """Write a file completely or not at all.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            with atomic_write(path) as temporary:
                write_batches(temporary, batches, schema)
        except (OSError, pyarrow_extra().ArrowException) as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def finish(self, number: int, n_rows: int, rejects: list[Reject]) -> None:
        """Mark a shard as done. This must be the last thing written for it.

        Raises
        ------
        OutputError
            If the mark cannot be written.
        """
        report = {"rows": n_rows, "rejects": [asdict(reject) for reject in rejects]}
        path = self._mark(number)
        try:
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(report))
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def count(self, number: int) -> tuple[int, int] | None:
        """Number of rows and of rejects of a finished shard; None if it is not finished."""
        if not self._mark(number).exists():
            return None
        report = json.loads(self._mark(number).read_text())
        return report["rows"], len(report["rejects"])

    def write_rejects(self, path: Path, n_shards: int) -> None:
        """Write all rows that could not be scored to one CSV file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
                writer = csv.DictWriter(file, list(Reject.__dataclass_fields__))
                writer.writeheader()
                for number in range(n_shards):
                    writer.writerows(json.loads(self._mark(number).read_text())["rejects"])
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def _mark(self, number: int) -> Path:
        return self.path / DONE / f"part-{number:05d}.json"


def _difference(earlier: str, plan: dict[str, Any]) -> str:
    try:
        old = json.loads(earlier)
    except ValueError:
        return "its plan cannot be read, so that everything may"
    return ", ".join(sorted(name for name in plan if old.get(name) != plan[name]))
