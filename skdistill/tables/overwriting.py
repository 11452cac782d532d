"""Refuse outputs that would replace an input or be read as one, before anything is written."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from pathlib import Path

from skdistill.tables.errors import OutputError
from skdistill.tables.reading import Paths, as_list, format_of, is_hidden


def check_replaces_none(outputs: Iterable[Path], files: Iterable[Path]) -> None:
    """Check that no output is one of the files, under any name: links and hard links count.

    Raises
    ------
    OutputError
        If an output is one of the files.
    """
    by_identity = {identity: file for file in files for identity in _identities(file)}
    for output in outputs:
        for identity in _identities(output):
            if identity in by_identity:
                raise OutputError(
                    f"{output}: is an output, but also {by_identity[identity]}, which this run "
                    "reads or keeps. Choose another path for the output."
                )


def check_is_not_read(output: Path, inputs: Paths) -> None:
    """Check that no input is a folder or a glob that finds an output, now or in the next run.

    Raises
    ------
    OutputError
        If an input finds the output.
    """
    for given in as_list(inputs):
        if _finds(Path(given), output):
            raise OutputError(
                f"{output}: lies where the input {given} is looked for, so the next run would read "
                "it. Choose a path elsewhere. In an input folder, names that begin with '_' are "
                "not read."
            )


def _identities(path: Path) -> list[object]:
    """The resolved path and, if there is such a file, its device and number."""
    identities: list[object] = [path.resolve()]
    try:
        status = path.stat()
    except OSError:
        return identities
    return [*identities, (status.st_dev, status.st_ino)]


def _finds(given: Path, output: Path) -> bool:
    """Whether ``find_files`` finds an output, even if it is not there yet."""
    if format_of(output) is None:
        return False
    if given.is_dir():
        folder, path = given.resolve(), output.resolve()
        return path.is_relative_to(folder) and not is_hidden(path.relative_to(folder))
    if given.exists():
        return False
    pattern = Path(os.path.abspath(given)).parts
    paths = (Path(os.path.abspath(output)), output.resolve())
    return any(_match(pattern, path.parts) for path in paths)


def _match(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether a glob matches a path or one of the folders that it is in."""
    if not pattern:
        return not is_hidden(Path(*path))
    if not path:
        return False  # not even "**" finds something inside of a file
    if pattern[0] == "**":
        if _match(pattern[1:], path):
            return True
        return not path[0].startswith(".") and _match(pattern, path[1:])
    if path[0].startswith(".") and not pattern[0].startswith("."):
        return False
    return fnmatch.fnmatchcase(path[0], pattern[0]) and _match(pattern[1:], path[1:])
