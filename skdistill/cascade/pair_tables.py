"""Builds the table of a stage: features of pairs, and the scores of the stages before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import (
    append_numbers,
    column_names,
    column_positions,
    side_by_side,
    take_columns,
    take_rows,
)
from skdistill.teachers.pair_scores import pair_rows
from skdistill.towers.pair_table import PairColumns

Features = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class ChosenColumns:
    """Features of a pair that are columns of its query and of its item.

    Parameters
    ----------
    query, item : list of int
        Positions among the query columns and among the item columns.
    order : list of int
        Place of each column of the result among the query columns, then the item columns.
    """

    query: list[int]
    item: list[int]
    order: list[int]

    @classmethod
    def find(cls, columns: PairColumns, X: Any, chosen: Any, parameter: str) -> ChosenColumns:
        """Look columns up in the log.

        Parameters
        ----------
        columns : PairColumns
            Which columns of the log describe the query and which the item.
        X : table of shape (n_rows, n_features)
            The log.
        chosen : columns as in ColumnTransformer, or None
            The columns to take; all that describe queries and items by default.
        parameter : str
            What names them, for messages.

        Returns
        -------
        ChosenColumns

        Raises
        ------
        ValueError
            If a column is not in the log, or describes neither the query nor the item.
        """
        everything = sorted([*columns.query, *columns.item])
        wanted = everything if chosen is None else column_positions(X, chosen, parameter)
        names = column_names(X)
        others = [position for position in wanted if position not in everything]
        if others:
            shown = others if names is None else [names[position] for position in others]
            raise ValueError(
                f"{parameter} names {shown}, which are neither query columns nor item columns: a "
                "cascade ranks pairs that are in no log, and would not know them. Add them to "
                "query_columns or item_columns, or compute them by a function of the two tables."
            )
        query = [columns.query.index(p) for p in wanted if p in columns.query]
        item = [columns.item.index(p) for p in wanted if p in columns.item]
        joined = [columns.query[p] for p in query] + [columns.item[p] for p in item]
        return cls(query, item, [joined.index(position) for position in wanted])

    def __call__(self, queries: Any, items: Any) -> Any:
        """Build the rows of aligned pairs.

        Parameters
        ----------
        queries, items : tables of shape (n_pairs, ...)
            The query and the item of each pair.

        Returns
        -------
        table of shape (n_pairs, n_columns)
        """
        if not self.item:
            return take_columns(queries, self.query)
        if not self.query:
            return take_columns(items, self.item)
        joined = side_by_side(take_columns(queries, self.query), take_columns(items, self.item))
        if self.order == sorted(self.order):
            return joined
        return take_columns(joined, self.order)


def is_function(features: Any) -> bool:
    """Whether features are a function of the user, and not columns."""
    return callable(features) and not isinstance(features, type | ChosenColumns)


@dataclass(frozen=True)
class StageTable:
    """Builds the rows that a stage scores.

    Parameters
    ----------
    name : str
        What the user calls the features, for messages.
    features : callable
        ``features(queries, items)`` returns one row per pair of two aligned tables.
    score_columns : tuple of str
        Scores of earlier stages that are further columns.
    """

    name: str
    features: Features
    score_columns: tuple[str, ...] = ()

    def rows(
        self,
        queries: Any,
        items: Any,
        query: NDArray[np.int64],
        item: NDArray[np.int64],
        scores: Mapping[str, NDArray[np.float64]],
    ) -> Any:
        """Build the rows of pairs.

        Parameters
        ----------
        queries, items : tables
            The query table and the item table.
        query, item : ndarray of shape (n_pairs,), int64
            Rows of the two tables.
        scores : dict of str to ndarray of shape (n_pairs,), float64
            Scores of earlier stages.

        Returns
        -------
        table of shape (n_pairs, n_features + n_score_columns)

        Raises
        ------
        ValueError
            If the features are not one row per pair, or have the name of a score.
        """
        tables = take_rows(queries, query), take_rows(items, item)
        rows = pair_rows(self.features, *tables, name=self.name)
        if not self.score_columns:
            return rows
        taken = set(self.score_columns) & set(column_names(rows) or ())
        if taken:
            raise ValueError(
                f"{self.name} returns the columns {sorted(taken)}, which are the names of the "
                "scores of earlier stages. Rename the columns, or the stages."
            )
        return append_numbers(rows, {name: scores[name] for name in self.score_columns})
