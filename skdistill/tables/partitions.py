"""Columns that are written into the names of folders, as Hive and Spark partition a table."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

# What Hive, Spark and PyArrow write for a missing value.
MISSING = "__HIVE_DEFAULT_PARTITION__"


def partitions_of(path: Path) -> dict[str, str | None]:
    """Return the values of folders that are named ``column=value``.

    Parameters
    ----------
    path : Path
        Path of a file, of which only the folders count.

    Returns
    -------
    dict of str to (str or None)
        Text of each column as it stands in the name, None for a missing value. Of two folders with
        one column, the inner one counts.
    """
    found: dict[str, str | None] = {}
    for folder in path.parent.parts:
        name, sign, value = folder.partition("=")
        if name and sign:
            found[unquote(name)] = None if value == MISSING else unquote(value)
    return found
