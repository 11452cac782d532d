"""Warn of columns of categories of which a model knows none, as in another spelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skdistill.inputs.category_codes import MISSING, OTHER
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.number_ranges import MANY_ROWS
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.user_warnings import warn_user


def warn_of_unknown(names: Sequence[Any], model: str) -> None:
    """Warn that a model knows no category of some columns.

    Parameters
    ----------
    names : sequence
        Names of the columns; there is no warning if there are none.
    model : str
        Which model it is.
    """
    if names:
        warn_user(
            f"The {model} knows none of the categories in the columns {list(names)}, and treats "
            "all of them alike. Are they spelt as in its fit, upper and lower case included?"
        )


def columns_without_known(encoder: TableEncoder, table: Any) -> list[Any]:
    """Return the names of a student's columns of categories in which it knows none.

    Parameters
    ----------
    encoder : TableEncoder
        Of the student.
    table : ndarray or MixedTable
        What it has made of at least so many rows that not all of them can be new.
    """
    if not isinstance(table, MixedTable) or len(table.codes) < MANY_ROWS:
        return []
    found, start = [], 0
    named = zip(encoder.category_names, encoder.categories, strict=True)
    for place, (name, codes) in enumerate(named):
        column = table.codes[:, place] - start
        start += codes.n_codes
        if len(codes.values) and (column <= OTHER).all() and (column != MISSING).any():
            found.append(name)
    return found
