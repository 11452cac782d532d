"""Errors of tables in files."""

from __future__ import annotations

from typing import Any

from skdistill.extras import import_extra
from skdistill.public_names import set_module


@set_module("skdistill.serving")
class TableError(ValueError):
    """Raised if a table cannot be read or scored; the message names the file and the place."""


@set_module("skdistill.serving")
class OutputError(TableError):
    """Raised if output cannot be written: no space, no permission, or a file that is in the way."""


def pyarrow_extra() -> Any:
    """Import pyarrow, which reads tables.

    Raises
    ------
    ImportError
        If it is not installed. The message names the extra.
    """
    return import_extra("pyarrow", "serving", "A table in a file")
