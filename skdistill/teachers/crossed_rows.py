"""Synthetic rows for students of any teacher: training rows that exchange some of their columns.

A student that only sees the training rows also learns what its teacher remembers of them. Rows that
no one has labelled show what the teacher does elsewhere. Each is a training row of which half of
the item's columns come from another row, so that every value is a real one, whatever the type of
its column, and the columns of the query stay together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import cells, select_columns, side_by_side, stack_rows, take_rows
from skdistill.inputs.ids import id_codes
from skdistill.inputs.queries import Queries

# Number of different choices of columns.
N_CHOICES = 32


def item_columns(X: Any, queries: Queries) -> list[int]:
    """Find the columns that differ between the rows of a query, which describe the item.

    Parameters
    ----------
    X : data frame or array of shape (n_rows, n_columns)
        Rows sorted by query.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    list of int
    """
    found = []
    for position in range(X.shape[1]):
        (codes,) = id_codes(cells(X, position))
        highest = np.maximum.reduceat(codes, queries.starts)
        if (highest > np.minimum.reduceat(codes, queries.starts)).any():
            found.append(position)
    return found


def cross_rows(X: Any, queries: Queries, n_rows: int, rng: np.random.Generator) -> Any:
    """Draw rows of which half of the item's columns come from another row.

    Parameters
    ----------
    X : data frame or array of shape (n_seen, n_columns)
        Training rows, sorted by query.
    queries : Queries
        Segments of the training rows.
    n_rows : int
        Number of rows to draw.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    data frame or array of shape (n_rows, n_columns)
        A table of the same kind as X.
    """
    exchangeable = np.array(item_columns(X, queries))
    parts = []
    for size in _sizes(n_rows):
        exchanged = rng.permutation(exchangeable)[: (len(exchangeable) + 1) // 2]
        kept = np.setdiff1d(np.arange(X.shape[1]), exchanged)
        base, other = rng.integers(X.shape[0], size=(2, size))
        joined = side_by_side(
            select_columns(take_rows(X, base), kept.tolist()),
            select_columns(take_rows(X, other), exchanged.tolist()),
        )
        order = np.argsort(np.concatenate([kept, exchanged]))
        parts.append(select_columns(joined, order.tolist()))
    return stack_rows(*parts)


def _sizes(n_rows: int) -> NDArray[np.int64]:
    """Number of rows of each choice of columns."""
    sizes = np.full(N_CHOICES, n_rows // N_CHOICES)
    sizes[: n_rows % N_CHOICES] += 1
    return sizes[sizes > 0]
