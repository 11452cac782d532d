"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name, then rename it when the block ends without an error.

    Even if the process dies, ``path`` is either the old file or the new one, never a part of it. A
    killed process leaves a file that ends in ``.part``, which the next process overwrites.

    Parameters
    ----------
    path : str or path
        File to write.

    Yields
    ------
    Path
        Temporary file in the same folder.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
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
