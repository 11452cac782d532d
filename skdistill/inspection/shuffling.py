"""Tables in which the values of one column have changed places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import row_codes, side_by_side, take_columns, take_rows
from skdistill.inputs.queries import Queries


@dataclass(frozen=True)
class ColumnShuffler:
    """Shuffles a column within queries, or between queries if it says nothing within them.

    Parameters
    ----------
    column, others : table
        The column, and the other columns of the table.
    position : int
        Position of the column in the table.
    queries : Queries
        Segments of the sorted rows.
    order : ndarray of shape (n_rows,), int64
        Row of the table at each place of the sorted rows.
    is_constant : bool
        Whether all rows of each query hold the same value.
    """

    column: Any
    others: Any
    position: int
    queries: Queries
    order: NDArray[np.int64]
    is_constant: bool

    @classmethod
    def of(
        cls, X: Any, position: int, queries: Queries, order: NDArray[np.int64]
    ) -> ColumnShuffler:
        """Take a column out of a table."""
        column = take_columns(X, [position])
        others = take_columns(X, [place for place in range(X.shape[1]) if place != position])
        codes = row_codes(column)[0][order]
        is_constant = bool((queries.max(codes) == queries.min(codes)).all())
        return cls(column, others, position, queries, order, is_constant)

    def shuffled(self, rng: np.random.Generator) -> Any:
        """Return the table with the values of the column in other rows."""
        source = np.empty(len(self.order), dtype=np.int64)
        within = _between_queries if self.is_constant else _within_queries
        source[self.order] = self.order[within(self.queries, rng)]
        moved = take_rows(self.column, source)
        n_columns = self.others.shape[1] + 1
        if n_columns == 1:
            return moved
        last = n_columns - 1
        places = [*range(self.position), last, *range(self.position, last)]
        return take_columns(side_by_side(self.others, moved), places)


def _within_queries(queries: Queries, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the row of the same query from which each row gets its value."""
    return np.lexsort((rng.random(queries.n_rows), queries.segment))


def _between_queries(queries: Queries, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a row of another query for each row, the same for all rows of a query."""
    return queries.spread(queries.starts[rng.permutation(queries.n_queries)])
