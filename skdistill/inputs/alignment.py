"""Call a user's function of tables so that row k of all tables and of the result belong together.

pandas combines tables by their index, wherever the rows stand. Tables that are aligned by position
must therefore have the same index, and so must what a function makes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skdistill.user_warnings import warn_user


def number_rows(table: Any) -> Any:
    """Give a pandas table the index 0, 1, 2, ...; other tables have no index and stay as they are.

    Parameters
    ----------
    table : table of shape (n_rows, n_columns)
        It is not changed.

    Returns
    -------
    table of shape (n_rows, n_columns)
    """
    return table.reset_index(drop=True) if hasattr(table, "reset_index") else table


def call_aligned(function: Callable[..., Any], *tables: Any, name: str) -> Any:
    """Call a function of aligned tables, which all get the same new index.

    Parameters
    ----------
    function : callable
        ``function(*tables)`` returns one row or value per row.
    *tables : tables of shape (n_rows, ...)
        Row k of each belongs together.
    name : str
        The function, as the subject of error messages.

    Returns
    -------
    object
        What the function returned.

    Raises
    ------
    ValueError
        If its index is not that of the tables.
    """
    numbered = [number_rows(table) for table in tables]
    result = function(*numbered)
    check_index(result, numbered[0], name)
    return result


def check_index(result: Any, table: Any, name: str) -> None:
    """Check that a pandas result has the index of the table that it was made from.

    A new index 0, 1, 2, ... also passes: it is what pandas gives to an array.

    Parameters
    ----------
    result : object
        What a user's function returned. Only pandas objects have an index.
    table : table of shape (n_rows, n_columns)
        What the function was given.
    name : str
        The function, as the subject of the error message.

    Raises
    ------
    ValueError
        If the index is another one, as after sorting or filtering rows.
    """
    if not hasattr(result, "reset_index"):
        return
    import pandas

    index = result.index
    new = pandas.RangeIndex(len(index))
    expected = table.index if hasattr(table, "reset_index") else new
    if index.equals(expected) or (isinstance(index, pandas.RangeIndex) and index.equals(new)):
        return
    raise ValueError(
        f"{name} must return one row per row of its input, in the same order, but the index of the "
        f"returned {type(result).__name__} is not that of the input: expected "
        f"{_shown(expected)}, got {_shown(index)}. Keep the order of the rows; if it is right, "
        "return an array, or call reset_index(drop=True)."
    )


def warn_of_other_order(X: Any, **columns: Any) -> None:
    """Warn if the index of a column has the labels of the table's index in another order.

    Parameters
    ----------
    X : table of shape (n_rows, n_columns)
        Only data frames of pandas have an index.
    **columns : array-like of shape (n_rows,), or None
        What belongs to the rows, by the names of the arguments.
    """
    if not hasattr(X, "reset_index"):
        return
    indexes = {name: one.index for name, one in columns.items() if hasattr(one, "reset_index")}
    found = [name for name, index in indexes.items() if _is_reordered(index, X.index)]
    if found:
        name = found[0]
        warn_user(
            f"The index of {' and of '.join(found)} has the labels of the index of X in another "
            "order. Rows are taken by position, whatever their index: pass "
            f"{name}.loc[X.index]. If the positions are right, pass {name}.to_numpy()."
        )


def _is_reordered(index: Any, other: Any) -> bool:
    """Whether two indexes have the same distinct labels in different orders."""
    if len(index) != len(other) or index.nlevels != other.nlevels or index.equals(other):
        return False
    try:
        return bool(index.is_unique and other.is_unique and other.isin(index).all())
    except (TypeError, ValueError):  # labels of types that cannot be compared are others
        return False


def _shown(index: Any) -> str:
    """Show the length and the first labels of an index."""
    return f"{len(index)} rows {index[:5].tolist()}" + ("..." if len(index) > 5 else "")
