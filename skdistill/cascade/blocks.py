"""Blocks of queries that pass through the stages together, and what becomes of their lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import take_rows


def query_blocks(
    queries: Any, size: int, exclude: Any = None
) -> Iterator[tuple[NDArray[np.int64], Any, Any]]:
    """Cut a query table into blocks of bounded memory.

    Parameters
    ----------
    queries : table of shape (n_queries, n_query_columns)
        The query table.
    size : int
        Number of queries of a block.
    exclude : CSR matrix of shape (n_queries, n_items), optional
        Cut along with the queries.

    Yields
    ------
    block : ndarray of int64
        Rows of the query table.
    table : table of shape (n_block, n_query_columns)
        These rows; the table itself if there is one block.
    exclude : CSR matrix of shape (n_block, n_items), or None
        These rows.
    """
    n_queries = queries.shape[0]
    for start in range(0, n_queries, size):
        block = np.arange(start, min(start + size, n_queries))
        table = queries if len(block) == n_queries else take_rows(queries, block)
        yield block, table, None if exclude is None else exclude[block]


def stack_padded(
    parts: Sequence[NDArray[Any]], padding: float, width: int | None = None
) -> NDArray[Any]:
    """Stack lists of several widths.

    Parameters
    ----------
    parts : sequence of ndarray of shape (n_block, its width)
        At least one.
    padding : float
        Fills the places that a part does not have.
    width : int, optional
        Width of the result; that of the widest part by default.

    Returns
    -------
    ndarray of shape (n_queries, width)
    """
    if width is None:
        width = max(part.shape[1] for part in parts)
    stacked = np.full((sum(map(len, parts)), width), padding, dtype=parts[0].dtype)
    first = 0
    for part in parts:
        stacked[first : first + len(part), : part.shape[1]] = part
        first += len(part)
    return stacked
