"""What can be wrong with tables in files."""

from __future__ import annotations

from typing import Any

from skdistill.extras import import_extra
from skdistill.public_names import set_module


@set_module("skdistill.serving")
class TableError(ValueError):
    """A table that cannot be read or scored; the message names the file and the place."""


@set_module("skdistill.serving")
class OutputError(TableError):
    """Output that cannot be written: no room, no permission, or something in the way."""


def pyarrow_extra() -> Any:
    """The library that reads tables.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra.
    """
    return import_extra("pyarrow", "serving", "A table in a file")
