"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY_NAME = re.compile(r"\.skdistill-[0-9a-f]{16}\.part")


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a file under a temporary name, then rename it when the block ends without an error.

    Even if the process dies, ``path`` is either the old file or the new one, never a part of it.
    Several processes may write to one path: each writes a file of its own, and the last one to
    finish stays. A killed process leaves a hidden file with a name like ``TEMPORARY_NAME``.

    Parameters
    ----------
    path : str or path
        File to write. A link is replaced; its target stays as it is.

    Yields
    ------
    file
        Temporary file in the same folder, open for writing and reading in binary mode.

    Raises
    ------
    OSError
        If the file cannot be written, or is a folder.
    """
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(f"{path} is a folder. Name a file, such as {path / 'name'}.")
    temporary = path.with_name(f".skdistill-{secrets.token_hex(8)}.part")
    try:
        # Mode "x" creates the file. It opens neither a file that is there already nor a link. The
        # permissions are those of any new file.
        file = open(temporary, "x+b")  # noqa: SIM115
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    # The rename is safe once the folder is synced, too. Windows cannot sync folders.
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
