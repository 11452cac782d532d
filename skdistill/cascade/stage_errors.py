"""Errors of a stage's model that name the stage, and the columns that the model cannot take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse

from skdistill.inputs.column_reading import as_floats, column_of
from skdistill.inputs.columns import column_names

# What the messages of other libraries about missing and infinite values have in common.
ABOUT_VALUES = re.compile("nan|infinite|infinity|missing", re.IGNORECASE)


@contextmanager
def naming_stage(name: str, failed: str, table: Any) -> Iterator[None]:
    """Name the stage in errors of its model.

    Parameters
    ----------
    name : str
        Name of the stage.
    failed : str
        What it cannot do, with a colon.
    table : table of shape (n_rows, n_features)
        Rows that the model gets. If the error is about missing or infinite values, and names no
        column that holds some, such columns are added.

    Raises
    ------
    ValueError
        In place of one that the model raises.
    """
    try:
        yield
    except ValueError as error:
        message = str(error)
        columns = _not_finite(table) if ABOUT_VALUES.search(message) else []
        if columns and not any(str(column) in message for column in columns):
            message = f"columns {columns} hold missing or infinite values. {message}"
        raise ValueError(f"The stage {name!r} {failed} {message}") from error


def _not_finite(table: Any) -> list[Any]:
    """Names, or positions without names, of columns of numbers that are not all finite."""
    if sparse.issparse(table):
        stored = table.tocoo()
        return np.unique(stored.col[~np.isfinite(stored.data)]).tolist()
    names = column_names(table) or list(range(table.shape[1]))
    numbers = ((name, as_floats(column_of(table, n, name))) for n, name in enumerate(names))
    return [name for name, of in numbers if of is not None and not np.isfinite(of).all()]
