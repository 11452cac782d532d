"""A log of (query, item) rows taken apart: each query once, each item once, and who met whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.columns import column_names, row_codes, stack_rows, take_rows


@dataclass(frozen=True)
class PairTable:
    """The log and the catalogue as two tables of distinct rows.

    Parameters
    ----------
    queries : table of shape (n_queries, n_query_columns)
        In the order of the sorted query ids.
    items : table of shape (n_items, n_item_columns)
        The catalogue, row for row, then items of the log that are not in it.
    n_catalogue : int
        Rows of the catalogue; without one, all items of the log.
    query, item : ndarray of shape (n_rows,), int64
        Rows of the two tables for each row of the log.
    """

    queries: Any
    items: Any
    n_catalogue: int
    query: NDArray[np.int64]
    item: NDArray[np.int64]

    @property
    def n_queries(self) -> int:
        return int(self.queries.shape[0])

    @classmethod
    def split(
        cls, query_columns: Any, item_columns: Any, ids: NDArray[Any], catalogue: Any
    ) -> PairTable:
        """Take a log apart.

        Parameters
        ----------
        query_columns, item_columns : tables of shape (n_rows, ...)
        ids : ndarray of shape (n_rows,)
            Query ids.
        catalogue : table or None
            With the columns of ``item_columns``.

        Raises
        ------
        ValueError
            When the query columns differ within one query.
        """
        (codes,) = row_codes(query_columns)
        names, first, query = np.unique(ids, return_index=True, return_inverse=True)
        differing = np.flatnonzero(codes != codes[first][query])
        if len(differing):
            row = int(differing[0])
            raise ValueError(
                f"The query columns must be the same in all rows of a query: in query "
                f"{names[query[row]]!r} row {row} differs from row {first[query[row]]}."
            )
        if catalogue is None:
            (item_codes,) = row_codes(item_columns)
            _, first_item, item = np.unique(item_codes, return_index=True, return_inverse=True)
            items = take_rows(item_columns, first_item)
            n_catalogue = len(first_item)
        else:
            items, item = _match(item_columns, catalogue)
            n_catalogue = catalogue.shape[0]
        return cls(take_rows(query_columns, first), items, n_catalogue, query, item)


def check_same_columns(table: Any, expected: Any, name: str) -> Any:
    """The table with the expected columns in their order; surplus named columns are left out.

    Parameters
    ----------
    expected : list of names, or int
        Names of the columns, or for arrays their number.

    Raises
    ------
    ValueError
        When a column is missing.
    """
    names = column_names(table)
    if isinstance(expected, int):
        if table.shape[1] != expected:
            raise ValueError(f"{name} must have {expected} columns, got {table.shape[1]}.")
        return table
    if names is None:
        raise ValueError(
            f"{name} must be a data frame with the columns {expected}, as in fit; got "
            f"{type(table).__name__}."
        )
    missing = [column for column in expected if column not in names]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}; it has {names}.")
    return table[expected] if names != expected else table


def _match(log_items: Any, catalogue: Any) -> tuple[Any, NDArray[np.int64]]:
    """Items of a log by their rows in the catalogue; those that are not in it are added."""
    catalogue_codes, log_codes = row_codes(catalogue, log_items)
    n_codes = int(max(catalogue_codes.max(), log_codes.max())) + 1
    place = np.full(n_codes, -1, dtype=np.int64)
    # Of equal rows in the catalogue the first one stands for the item.
    place[catalogue_codes[::-1]] = np.arange(len(catalogue_codes))[::-1]
    item = place[log_codes]
    if (item >= 0).all():
        return catalogue, item
    foreign = item < 0
    _, first, inverse = np.unique(log_codes[foreign], return_index=True, return_inverse=True)
    item[foreign] = len(catalogue_codes) + inverse
    added = take_rows(log_items, np.flatnonzero(foreign)[first])
    return stack_rows(catalogue, added), item
