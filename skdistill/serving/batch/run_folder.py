"""The output folder of a run: its plan, one part per shard, and marks of finished shards."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from skdistill.serving.batch.rejects import Reject
from skdistill.tables.atomic_write import TEMPORARY_NAME, atomic_write
from skdistill.tables.csv import CsvOptions
from skdistill.tables.errors import OutputError, pyarrow_extra
from skdistill.tables.overwriting import check_is_not_read, check_replaces_none
from skdistill.tables.reading import Paths, as_list, find_files
from skdistill.tables.shard import TableFile
from skdistill.tables.writing import write_batches
from skdistill.user_warnings import warn_user

PLAN = "_plan.json"
DONE = "_done"
CANDIDATES = "_candidates"
OUTPUT_FORMATS = ("parquet", "csv")
PART = re.compile(r"part-\d{5,}\.(parquet|csv)")


@dataclass(frozen=True)
class Mark:
    """What the folder records of a finished shard.

    Parameters
    ----------
    rows : int
        Number of rows read from the shard.
    rejects : list of dict
        Rows that could not be scored.
    files : dict of str to dict
        Size (``bytes``) and digest (``sha256``) of each file that was written for the shard, by its
        path in the folder. Marks of 0.1.0 have none.
    """

    rows: int
    rejects: list[dict[str, Any]]
    files: dict[str, dict[str, Any]]


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

    def inputs(self, inputs: Paths, csv_options: CsvOptions | None = None) -> list[TableFile]:
        """Find the inputs, without the output of an earlier run if the folder lies among them.

        Raises
        ------
        TableError
            If an input matches no table.
        OutputError
            If there are no others.
        """
        for given in as_list(inputs):
            if _is_inside(given, self.path):
                raise OutputError(
                    f"{self.path}: is the output, but also holds the input {given}. Choose another "
                    "folder for the output."
                )
        found = find_files(inputs, csv_options)
        files = [file for file in found if not _is_inside(file.path, self.path)]
        if not files:
            raise OutputError(
                f"{self.path}: is the output, but also holds all tables of the inputs. Choose "
                "another folder for the output."
            )
        return files

    def check(self, inputs: Paths, files: list[Path], rejects: Path | None = None) -> None:
        """Check that the run replaces none of its inputs and none of its own files.

        Parameters
        ----------
        inputs : path, or sequence of paths
            Where the inputs are looked for.
        files : list of Path
            The inputs.
        rejects : Path, optional
            Output outside the parts.

        Raises
        ------
        OutputError
            If an output is an input, or ``rejects`` would be read as one by the next run.
        """
        self._warn_of_name()
        own = list(self.path.rglob("*"))
        check_replaces_none(own, files)
        if rejects is None:
            return
        check_replaces_none([rejects], [*files, *filter(self._owns, own)])
        if not _is_inside(rejects, self.path):
            check_is_not_read(rejects, inputs)
        if self._owns(rejects):
            raise OutputError(
                f"{rejects}: cannot be written: the run keeps its own files there. Choose another "
                "path for the rejects."
            )
        parent = rejects.resolve().parent
        if not (parent.is_dir() or parent == self.path.resolve()):
            raise OutputError(f"{rejects}: cannot be written: there is no such folder.")

    def prepare(self, plan: dict[str, Any], resume: bool) -> None:
        """Make the folder and write the plan, or check that it holds the same plan.

        Parameters
        ----------
        plan : dict
            Everything that two runs must have in common to use one folder.
        resume : bool
            If False, remove the output of an earlier run first: the files that its plan names.

        Raises
        ------
        OutputError
            If the folder cannot be written, or holds other files or the output of a different run.
        """
        plan = plan | {"output_format": self.output_format}
        text = json.dumps(plan, indent=1)
        path = self.path / PLAN
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            earlier = path.read_bytes().decode(errors="replace") if path.exists() else None
            if earlier is None and not all(map(_is_leftover, self.path.iterdir())):
                raise OutputError(
                    f"{self.path}: holds files that were not written by a run. Choose an empty "
                    "folder."
                )
            for name in (DONE, CANDIDATES):
                if (self.path / name).is_symlink():
                    raise OutputError(
                        f"{self.path / name}: is a link, which a run does not follow. Remove it, "
                        "or choose another folder."
                    )
            if earlier not in (None, text) and resume:
                raise OutputError(
                    f"{self.path}: holds the output of another run: {_difference(earlier, plan)} "
                    "differ. Choose another folder, or replace its output by resume=False "
                    "(--no-resume)."
                )
            if earlier is not None and not resume:
                self._remove(earlier)
            for folder in (self.path, self.path / DONE, self.path / CANDIDATES):
                for leftover in filter(_is_leftover, folder.glob("*")):
                    leftover.unlink()
            if earlier != text:
                with atomic_write(path) as file:
                    file.write(text.encode())
            (self.path / DONE).mkdir(exist_ok=True)
            if self.keeps_candidates:
                (self.path / CANDIDATES).mkdir(exist_ok=True)
        except OSError as error:
            is_file = self.path.is_file()
            reason = "it is a file, and the output of a run is a folder." if is_file else error
            raise OutputError(f"{self.path}: cannot be written: {reason}") from error

    def write(self, path: Path, batches: Iterator[Any], schema: Any) -> dict[str, dict[str, Any]]:
        """Write a file completely or not at all.

        Returns
        -------
        dict of str to dict
            The file's entry in the mark of its shard.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            with atomic_write(path) as file:
                write_batches(file, path.suffix.removeprefix("."), batches, schema)
                return {path.relative_to(self.path).as_posix(): _record(file)}
        except (OSError, pyarrow_extra().ArrowException) as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def finish(self, number: int, mark: Mark) -> None:
        """Mark a shard as done. This must be the last thing written for it.

        Raises
        ------
        OutputError
            If the mark cannot be written.
        """
        path = self._mark_path(number)
        try:
            with atomic_write(path) as file:
                file.write(json.dumps(asdict(mark)).encode())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def mark(self, number: int) -> Mark | None:
        """Return the mark of a shard, or None if the shard is not finished."""
        try:
            mark = json.loads(self._mark_path(number).read_bytes())
            return Mark(int(mark["rows"]), list(mark["rejects"]), dict(mark.get("files", {})))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def intact(self, n_shards: int) -> set[int]:
        """Find the finished shards whose files are as they were written, by size and digest.

        If the final parts of all shards are intact, no candidates are needed.
        """
        if self.has_all_parts(n_shards):
            return set(range(n_shards))
        return {number for number in range(n_shards) if self._holds(number, self.written(number))}

    def has_all_parts(self, n_shards: int) -> bool:
        """Check whether the final parts of all shards are as they were written."""
        return all(self._holds(number, self.part(number)) for number in range(n_shards))

    def remove_candidates(self, n_shards: int) -> None:
        """Remove the candidates, once the final parts are written.

        Raises
        ------
        OutputError
            If they cannot be removed.
        """
        try:
            for number in range(n_shards):
                self.written(number).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error}") from error
        # Files of others may be in it.
        with suppress(OSError):
            (self.path / CANDIDATES).rmdir()

    def write_rejects(self, path: Path, n_shards: int) -> None:
        """Write all rows that could not be scored to one CSV file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            with atomic_write(path) as file:
                text = codecs.getwriter("utf-8")(file)
                writer = csv.DictWriter(text, list(Reject.__dataclass_fields__))
                writer.writeheader()
                for mark in filter(None, map(self.mark, range(n_shards))):
                    writer.writerows(mark.rejects)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def _warn_of_name(self) -> None:
        """Warn if a new folder is named as a file of another format."""
        ending = self.path.suffix.lower().removeprefix(".")
        if ending in OUTPUT_FORMATS and ending != self.output_format and not self.path.exists():
            warn_user(
                f"{self.path} is the name of a {ending} file, but the output is a folder of "
                f"{self.output_format} files. To write {ending}, pass output_format={ending!r} "
                f"(--format {ending})."
            )

    def _mark_path(self, number: int) -> Path:
        return self.path / DONE / f"part-{number:05d}.json"

    def _holds(self, number: int, path: Path) -> bool:
        """Whether a file is there as the mark of its shard describes it."""
        mark = self.mark(number)
        expected = mark.files.get(path.relative_to(self.path).as_posix()) if mark else None
        if expected is None:
            return False
        try:
            with open(path, "rb") as file:
                return _record(file) == expected
        except OSError:
            return False

    def _owns(self, path: Path) -> bool:
        """Whether a path is that of the plan, of a mark, of a candidate or of a part."""
        folder, path = self.path.resolve(), path.resolve()
        if not path.is_relative_to(folder) or path == folder:
            return path == folder
        first = path.relative_to(folder).parts[0]
        return first in (PLAN, DONE, CANDIDATES) or PART.fullmatch(first) is not None

    def _remove(self, earlier: str) -> None:
        """Remove the files that the plan of an earlier run names, and no others."""
        try:
            plan = json.loads(earlier)
            n_shards = len(plan["inputs"])
            run = replace(self, output_format=plan["output_format"], keeps_candidates=True)
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self.path / PLAN}: cannot be read, so it is not known which files the earlier "
                "run wrote. Remove the folder, or choose another."
            ) from error
        # Marks go first: if this process dies here, the next run trusts no part.
        for kind in (run._mark_path, run.written, run.part):
            for number in range(n_shards):
                kind(number).unlink(missing_ok=True)


def _is_inside(path: str | os.PathLike[str], folder: Path) -> bool:
    """Whether a path lies in a folder or is the folder, by their names alone."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def _is_leftover(path: Path) -> bool:
    """Whether a file is what a killed process had not finished writing."""
    return TEMPORARY_NAME.fullmatch(path.name) is not None


def _record(file: Any) -> dict[str, Any]:
    """Size and digest of an open file."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": file.seek(0, os.SEEK_END), "sha256": digest}


def _difference(earlier: str | None, plan: dict[str, Any]) -> str:
    try:
        old = dict(json.loads(earlier or ""))
    except (ValueError, TypeError):
        return "its plan cannot be read, so that everything may"
    return ", ".join(sorted(name for name in plan if old.get(name) != plan[name]))
