"""Errors about a row, which name the row of the user's table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RowError(ValueError):
    """An error about a row of a table.

    Parameters
    ----------
    before, after : str
        What the message says before and after the number of the row.
    row : int
        Number of the row.
    """

    def __init__(self, before: str, row: int, after: str) -> None:
        self.before, self.row, self.after = before, row, after
        super().__init__(f"{before}row {row}{after}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the class with the message alone, in another process.
        return _restore, (type(self), self.args, vars(self))


def _restore(kind: type[RowError], args: tuple[str], state: dict[str, Any]) -> RowError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


@contextmanager
def rows_of_user(order: NDArray[np.int64] | None) -> Iterator[None]:
    """Let errors about rows of a sorted table name those of the user's table.

    Parameters
    ----------
    order : ndarray of shape (n_rows,), int64, or None
        Row of the user's table at each place; None if they are the same.
    """
    try:
        yield
    except RowError as error:
        if order is None:
            raise
        raise RowError(error.before, int(order[error.row]), error.after) from error
