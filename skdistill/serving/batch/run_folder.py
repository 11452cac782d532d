"""The folder of a run over tables: its plan, a part for each shard, and which of them are done."""

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


@dataclass(frozen=True)
class RunFolder:
    """Where a run writes. Readers pass over names that begin with ``_``, and see the parts alone.

    Parameters
    ----------
    path : Path
    output_format : {"parquet", "csv"}
    keeps_candidates : bool
        Whether the shards' parts are candidates, of which the best are kept in the end.
    """

    path: Path
    output_format: str
    keeps_candidates: bool

    def part(self, number: int) -> Path:
        """The final output of a shard."""
        return self.path / f"part-{number:05d}.{self.output_format}"

    def written(self, number: int) -> Path:
        """What scoring a shard writes."""
        if not self.keeps_candidates:
            return self.part(number)
        return self.path / CANDIDATES / f"part-{number:05d}.parquet"

    def prepare(self, plan: dict[str, Any], resume: bool) -> None:
        """Make the folder and write the plan, or see that the one there is the same.

        Raises
        ------
        TableError
            When the folder holds something else, or cannot be written.
        """
        plan = plan | {"output_format": self.output_format}
        text = json.dumps(plan, indent=1)
        path = self.path / PLAN
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            known = path.read_text() if path.exists() else None
            if known is None and any(self.path.iterdir()):
                raise TableError(
                    f"{self.path}: holds files that no run wrote. Choose an empty folder."
                )
            if known not in (None, text) and resume:
                raise TableError(
                    f"{self.path}: holds the output of another run: {_difference(known, plan)} "
                    "differ. Choose another folder, or start anew (resume=False, --no-resume)."
                )
            if not resume:
                # Marks of what is done go first: a run that dies here believes nothing.
                for pattern in (f"{DONE}/*", f"{CANDIDATES}/*", "part-*"):
                    for old in self.path.glob(pattern):
                        old.unlink()
            for leftover in self.path.glob("**/*.part"):
                leftover.unlink()
            (self.path / DONE).mkdir(exist_ok=True)
            if self.keeps_candidates:
                (self.path / CANDIDATES).mkdir(exist_ok=True)
            if known != text:
                with atomic_write(path) as temporary:
                    temporary.write_text(text)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error}") from error

    def write(self, path: Path, batches: Iterator[Any], schema: Any) -> None:
        """Write a part whole or not at all."""
        try:
            with atomic_write(path) as temporary:
                write_batches(temporary, batches, schema)
        except (OSError, pyarrow_extra().ArrowException) as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def finish(self, number: int, n_rows: int, rejects: list[Reject]) -> None:
        """Mark a shard as done: the last thing that is written of it."""
        report = {"rows": n_rows, "rejects": [asdict(reject) for reject in rejects]}
        path = self._mark(number)
        try:
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(report))
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def count(self, number: int) -> tuple[int, int] | None:
        """How many rows and rejects a shard had that is done, else None."""
        if not self._mark(number).exists():
            return None
        report = json.loads(self._mark(number).read_text())
        return report["rows"], len(report["rejects"])

    def write_rejects(self, path: Path, n_shards: int) -> None:
        """All rows that could not be scored, in one CSV file.

        Raises
        ------
        OutputError
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


def _difference(known: str, plan: dict[str, Any]) -> str:
    try:
        old = json.loads(known)
    except ValueError:
        return "its plan cannot be read; all may"
    return ", ".join(sorted(name for name in plan if old.get(name) != plan[name]))
