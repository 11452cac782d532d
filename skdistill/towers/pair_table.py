"""Split a log of (query, item) rows into distinct queries, distinct items, and pairs of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.base import RankingEstimator
from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.column_kinds import column_kinds, to_kinds
from skdistill.inputs.columns import (
    as_table,
    column_names,
    column_positions,
    positions_of_names,
    row_codes,
    side_by_side,
    stack_rows,
    take_columns,
    take_rows,
)
from skdistill.inputs.encoder_kinds import kinds_of_input
from skdistill.inputs.row_errors import RowError

# Names of the two tables in messages.
NAMES = {"query": "queries", "item": "items"}


@dataclass(frozen=True)
class PairColumns:
    """Which columns of a log describe the query and which the item.

    Parameters
    ----------
    query, item : list of int
        Positions of the columns.
    query_names, item_names : list of str, or int
        Names of the columns; their number if the log has no names.
    query_kinds, item_kinds : list of str, or None
        Kind of values in each column of the log; None if all are numbers, or if it is not known.
    """

    query: list[int]
    item: list[int]
    query_names: Any
    item_names: Any
    query_kinds: Sequence[str | None] | None = None
    item_kinds: Sequence[str | None] | None = None

    @classmethod
    def find(cls, X: Any, query_columns: Any, item_columns: Any) -> PairColumns:
        """Look the columns up in a table.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The log.
        query_columns, item_columns : columns as in ColumnTransformer
            Columns of X that describe the query and the item.

        Returns
        -------
        PairColumns

        Raises
        ------
        ValueError
            If a column does not exist, either selection is empty, or both select the same column.
        """
        query = column_positions(X, query_columns, "query_columns")
        item = column_positions(X, item_columns, "item_columns")
        for parameter, positions in (("query_columns", query), ("item_columns", item)):
            if not positions:
                raise ValueError(
                    f"{parameter} selects no column of X, which has {X.shape[1]} feature(s)."
                )
        names = column_names(X)
        both = sorted(set(query) & set(item))
        if both:
            shown = both if names is None else [names[position] for position in both]
            raise ValueError(
                f"query_columns and item_columns both select {shown}; a column describes either "
                "the query or the item."
            )
        kinds = column_kinds(take_columns(X, query)), column_kinds(take_columns(X, item))
        if names is None:
            return cls(query, item, len(query), len(item), *kinds)
        return cls(query, item, [names[p] for p in query], [names[p] for p in item], *kinds)

    def with_kinds_of(self, query_transformer: Any, item_transformer: Any) -> PairColumns:
        """Fill in the kinds that a file of 0.1.0 lacks, as far as fitted transformers show them.

        Parameters
        ----------
        query_transformer, item_transformer : transformer
            The fitted transformers.

        Returns
        -------
        PairColumns
        """
        if isinstance(self.query_names, int) or self.query_kinds is not None:
            return self
        return replace(
            self,
            query_kinds=kinds_of_input(query_transformer, len(self.query), self.query_names),
            item_kinds=kinds_of_input(item_transformer, len(self.item), self.item_names),
        )

    def kinds_of_log(self, n_columns: int) -> list[str | None]:
        """Kind of values in each column of a log; columns of neither side may hold any text.

        Parameters
        ----------
        n_columns : int
            Number of columns of the log.

        Returns
        -------
        list of (str or None)
            Kinds as in ``inputs.column_kinds``; None if one is not known.
        """
        kinds: list[str | None] = ["text"] * n_columns
        sides = (self.query, self.query_kinds), (self.item, self.item_kinds)
        for positions, of_side in sides:
            for position, kind in zip(
                positions, of_side or ["float"] * len(positions), strict=True
            ):
                kinds[position] = kind
        return kinds

    def queries(self, X: Any) -> Any:
        """Take the query columns of a log.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The log.

        Returns
        -------
        table of shape (n_rows, n_query_columns)
        """
        return take_columns(X, self.query)

    def items(self, X: Any) -> Any:
        """Take the item columns of a log.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The log.

        Returns
        -------
        table of shape (n_rows, n_item_columns)
        """
        return take_columns(X, self.item)

    def side_by_side(self, queries: Any, items: Any) -> Any:
        """Join queries and items, with columns in the order of the log: default pair features.

        Parameters
        ----------
        queries : table of shape (n_rows, n_query_columns)
            The query of each row.
        items : table of shape (n_rows, n_item_columns)
            The item of each row.

        Returns
        -------
        table of shape (n_rows, n_query_columns + n_item_columns)
        """
        order = np.argsort([*self.query, *self.item])
        return take_columns(side_by_side(queries, items), [int(place) for place in order])

    def check(
        self, table: Any, side: str, *, keeps_numbers: bool = False, signs_integers: bool = True
    ) -> Any:
        """Check a table of queries or items, and bring its columns to the order and kinds of fit.

        Parameters
        ----------
        table : table of shape (n_rows, n_columns)
            Queries or items. Further named columns are left out.
        side : {"query", "item"}
            Which of the two it is.
        keeps_numbers : bool, default=False
            Whether any number may take the place of an integer.
        signs_integers : bool, default=True
            Whether to give integers a type that scikit-learn compares exactly.

        Returns
        -------
        table of shape (n_rows, n_query_columns) or (n_rows, n_item_columns)

        Raises
        ------
        ValueError
            If a column is missing, several have its name, or a cell cannot be converted exactly to
            its kind in ``fit``.
        """
        table = self._in_order(table, side)
        kinds = self.query_kinds if side == "query" else self.item_kinds
        # A visitor without an account is a query; an item of the catalogue has an id.
        allows_words = side == "query"
        return to_kinds(
            table,
            kinds,
            NAMES[side],
            keeps_numbers=keeps_numbers,
            allows_words=allows_words,
            signs_integers=signs_integers,
        )

    def _in_order(self, table: Any, side: str) -> Any:
        """Take the columns of a table in the order of ``fit``."""
        expected = self.query_names if side == "query" else self.item_names
        name = NAMES[side]
        rows = table if isinstance(table, list | tuple) else [table]
        if rows and isinstance(rows[0], Mapping):
            raise TypeError(
                f"{name} must be a table with a row per {side}, got dictionaries. Pass "
                "pandas.DataFrame([row, ...])."
            )
        if not hasattr(table, "columns") and not hasattr(table, "shape"):
            table = np.asarray(table)
        names = column_names(table)
        if isinstance(expected, int):
            if table.ndim != 2 or table.shape[1] != expected:
                raise ValueError(f"{name} must have {expected} columns, got shape {table.shape}.")
            return canonical_csr(table)
        if names is None:
            raise ValueError(
                f"{name} must be a data frame with the columns {expected}, as in fit; got "
                f"{type(table).__name__}."
            )
        if names == expected:
            return table
        positions = positions_of_names(names, expected)
        if positions is None:
            missing = [column for column in expected if column not in names]
            raise ValueError(
                f"{name} lacks the columns {missing}: expected {expected}, as in fit, got {names}."
            )
        return take_columns(table, positions)


class WithPairColumns(RankingEstimator):
    """Base of estimators whose log has query columns and item columns.

    Attributes
    ----------
    pair_columns_ : PairColumns
        Columns that describe the query and columns that describe the item.
    """

    pair_columns_: PairColumns

    def resolve_qid(self, X: Any, qid: ArrayLike | None) -> Any:
        """Queries of a table: ``qid``, or ``query_column``, or rows with equal query columns."""
        if self.query_column is not None or qid is not None:
            return super().resolve_qid(X, qid)
        return row_codes(self.pair_columns_.queries(as_table(X)))[0]


@dataclass(frozen=True)
class PairTable:
    """The log and the catalogue as two tables of distinct rows.

    Parameters
    ----------
    queries : table of shape (n_queries, n_query_columns)
        Distinct queries, in the order of the sorted query ids.
    items : table of shape (n_items, n_item_columns)
        The catalogue, row for row, then items of the log that are not in it.
    n_catalogue : int
        Number of rows of the catalogue; without one, number of distinct items of the log.
    query, item : ndarray of shape (n_rows,), int64
        Row of ``queries`` and of ``items`` for each row of the log.
    n_repeated : int
        Number of items of the catalogue that equal an earlier one.
    """

    queries: Any
    items: Any
    n_catalogue: int
    query: NDArray[np.int64]
    item: NDArray[np.int64]
    n_repeated: int

    @cached_property
    def catalogue(self) -> Any:
        """Items of the catalogue, without those that only occur in the log."""
        if self.n_catalogue == self.items.shape[0]:
            return self.items
        return take_rows(self.items, np.arange(self.n_catalogue))

    @property
    def n_queries(self) -> int:
        return int(self.queries.shape[0])

    @classmethod
    def split(
        cls, query_columns: Any, item_columns: Any, ids: NDArray[Any], catalogue: Any
    ) -> PairTable:
        """Split a log.

        Parameters
        ----------
        query_columns, item_columns : tables of shape (n_rows, ...)
            The query and the item of each row.
        ids : ndarray of shape (n_rows,)
            Query ids.
        catalogue : table or None
            The catalogue, with the columns of ``item_columns``.

        Returns
        -------
        PairTable

        Raises
        ------
        ValueError
            If the query columns differ within a query.
        """
        (codes,) = row_codes(query_columns)
        _, first, query = np.unique(ids, return_index=True, return_inverse=True)
        differing = np.flatnonzero(codes != codes[first][query])
        if len(differing):
            row = int(differing[0])
            two = take_rows(query_columns, np.array([row, first[query[row]]]))
            raise RowError(
                "The query columns must be the same in all rows of a query: ",
                row,
                f" differs from another row of its query{_differing(two)}. Give each list an id of "
                "its own, or leave such columns out of the query columns.",
            )
        if catalogue is None:
            (item_codes,) = row_codes(item_columns)
            _, first_item, item = np.unique(item_codes, return_index=True, return_inverse=True)
            items = take_rows(item_columns, first_item)
            n_catalogue, n_repeated = len(first_item), 0
        else:
            items, item, n_repeated = _match(item_columns, catalogue)
            n_catalogue = catalogue.shape[0]
        return cls(take_rows(query_columns, first), items, n_catalogue, query, item, n_repeated)


def _differing(two_rows: Any) -> str:
    """Name the columns in which two rows differ."""
    names = column_names(two_rows)
    if names is None:
        return ""
    codes = (row_codes(take_columns(two_rows, [place]))[0] for place in range(len(names)))
    found = [name for name, (one, other) in zip(names, codes, strict=True) if one != other]
    return f" in {found}"


def _match(log_items: Any, catalogue: Any) -> tuple[Any, NDArray[np.int64], int]:
    """Find each row's item in the catalogue, to which missing items are appended.

    The last number is that of the catalogue's items that equal an earlier one.
    """
    catalogue_codes, log_codes = row_codes(catalogue, log_items)
    n_codes = int(max(catalogue_codes.max(), log_codes.max())) + 1
    place = np.full(n_codes, -1, dtype=np.int64)
    # If rows of the catalogue are equal, the first one is taken.
    place[catalogue_codes[::-1]] = np.arange(len(catalogue_codes))[::-1]
    n_repeated = len(catalogue_codes) - int((place >= 0).sum())
    item = place[log_codes]
    if (item >= 0).all():
        return catalogue, item, n_repeated
    foreign = item < 0
    _, first, inverse = np.unique(log_codes[foreign], return_index=True, return_inverse=True)
    item[foreign] = len(catalogue_codes) + inverse
    added = take_rows(log_items, np.flatnonzero(foreign)[first])
    return stack_rows(catalogue, added), item, n_repeated
