"""Segments of rows: which rows belong to one query.

Rows are only compared within their query. ``Queries`` describes rows sorted by query: query ``q``
has the rows from ``offsets[q]`` up to ``offsets[q + 1]``. No query is empty, because ``reduceat``
returns a wrong number for an empty segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.segment_sort import ROWS_PER_TABLE, size_tables, sort_within


def positions_within(sizes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number the elements of runs of these sizes, starting from 0 in each run."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)


@dataclass(frozen=True)
class Queries:
    """Contiguous, non-empty segments of rows, one per query.

    Parameters
    ----------
    offsets : ndarray of shape (n_queries + 1,), int64
        First row of each query, followed by the number of rows. Strictly increasing, from 0.
    """

    offsets: NDArray[np.int64]

    @classmethod
    def from_sizes(cls, sizes: ArrayLike) -> Queries:
        """Make the segments from the size of each query.

        Parameters
        ----------
        sizes : array-like of shape (n_queries,), integer
            Number of rows of each query, at least 1.

        Returns
        -------
        Queries
        """
        offsets = np.zeros(np.size(sizes) + 1, dtype=np.int64)
        np.cumsum(sizes, out=offsets[1:])
        return cls(offsets)

    @classmethod
    def even(cls, n_queries: int, width: int) -> Queries:
        """Make segments of equal size, which is then not computed again.

        Parameters
        ----------
        n_queries : int
            Number of queries.
        width : int
            Number of rows of each query.

        Returns
        -------
        Queries
        """
        queries = cls(np.arange(0, n_queries * width + 1, width))
        queries.__dict__["width"] = width
        return queries

    @classmethod
    def single(cls, n_rows: int) -> Queries:
        """Make a single segment of all rows.

        Parameters
        ----------
        n_rows : int
            Number of rows, at least 1.

        Returns
        -------
        Queries
        """
        return cls(np.array([0, n_rows], dtype=np.int64))

    @property
    def n_rows(self) -> int:
        """Number of rows of all queries."""
        return int(self.offsets[-1])

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.offsets) - 1

    @property
    def has_lists(self) -> bool:
        """Whether any query has two rows, which can be compared."""
        return self.n_queries < self.n_rows

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of each query, shape (n_queries,)."""
        return self.offsets[:-1]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of rows of each query, shape (n_queries,)."""
        return np.diff(self.offsets)

    @cached_property
    def segment(self) -> NDArray[np.int64]:
        """Index of each row's query, shape (n_rows,)."""
        return np.repeat(np.arange(self.n_queries), self.sizes)

    @cached_property
    def width(self) -> int:
        """Number of rows of each query if it is the same for all, else 0."""
        width = self.n_rows // self.n_queries
        is_even = width * self.n_queries == self.n_rows and (self.sizes == width).all()
        return width if is_even else 0

    def _reduce(self, operation: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        """Reduce the rows of each query by a ufunc."""
        if self.width:  # several times as fast
            return operation.reduce(values.reshape(self.n_queries, self.width), axis=1)
        return operation.reduceat(values, self.starts)

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sum the values of each query.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            One value per row.

        Returns
        -------
        ndarray of shape (n_queries,)
        """
        return self._reduce(np.add, values)

    def mean(self, values: NDArray[Any]) -> NDArray[Any]:
        """Average the values of each query.

        Parameters
        ----------
        values : ndarray of shape (n_rows,), float
            One value per row.

        Returns
        -------
        ndarray of shape (n_queries,), of the dtype of ``values``
        """
        return self.sum(values) / self.sizes.astype(values.dtype)

    def max(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the largest value of each query.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            One value per row.

        Returns
        -------
        ndarray of shape (n_queries,)
        """
        return self._reduce(np.maximum, values)

    def min(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the smallest value of each query.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            One value per row.

        Returns
        -------
        ndarray of shape (n_queries,)
        """
        return self._reduce(np.minimum, values)

    def spread(self, per_query: NDArray[Any]) -> NDArray[Any]:
        """Repeat each query's value for all its rows.

        Parameters
        ----------
        per_query : ndarray of shape (n_queries,)
            One value per query.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        return np.repeat(per_query, self.width or self.sizes)

    def apply(
        self,
        operation: np.ufunc,
        values: NDArray[Any],
        per_query: NDArray[Any],
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Compute ``operation(values, spread(per_query))``, without the copy for even queries.

        Parameters
        ----------
        operation : numpy.ufunc
            Takes two arrays, such as ``np.subtract``.
        values : ndarray of shape (n_rows,)
            One value per row.
        per_query : ndarray of shape (n_queries,)
            One value per query.
        out : ndarray of shape (n_rows,), optional
            Array for the result, which may be ``values``.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        if not self.width:
            return operation(values, self.spread(per_query), out=out)
        shape = (self.n_queries, self.width)
        out = None if out is None else out.reshape(shape)
        return operation(values.reshape(shape), per_query[:, None], out=out).ravel()

    def segment_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the query of some rows; for few rows, this is faster than ``segment``.

        Parameters
        ----------
        rows : ndarray of shape (n_chosen,), int64
            Row numbers.

        Returns
        -------
        ndarray of shape (n_chosen,), int64
        """
        if self.width:
            return rows // self.width
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def sort_descending(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Sort the rows of each query by descending value; ties keep the order of the rows.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            One value per row.

        Returns
        -------
        ndarray of shape (n_rows,), int64
            Row numbers, query by query.
        """
        n_sizes = 1
        if self.n_rows >= ROWS_PER_TABLE and not self.width:
            n_sizes = min(self.n_queries, self.sizes.max())
        if self.n_rows < ROWS_PER_TABLE * n_sizes:
            return sort_within(self.segment, -values)
        ranked = np.empty(self.n_rows, dtype=np.int64)
        for rows in self.tables:
            ranked[rows] = rows[:, :1] + np.argsort(-values[rows], axis=1, kind="stable")
        return ranked

    @cached_property
    def tables(self) -> list[NDArray[np.int64]]:
        """Row numbers of the queries of each size, tables of shape (n_queries_of_size, size)."""
        if self.width:
            return [np.arange(self.n_rows).reshape(self.n_queries, self.width)]
        return size_tables(self.starts, self.sizes)

    @cached_property
    def position(self) -> NDArray[np.int64]:
        """Position of each row within its query, from 0, shape (n_rows,)."""
        return np.arange(self.n_rows) - self.spread(self.starts)

    def rank_descending(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Rank the rows of each query by descending value; ties keep the order of the rows.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            One value per row.

        Returns
        -------
        ndarray of shape (n_rows,), int64
            Rank of each row within its query; 0 for the largest value.
        """
        rank = np.empty(self.n_rows, dtype=np.int64)
        rank[self.sort_descending(values)] = self.position
        return rank

    def ties(self, *ordered: NDArray[Any]) -> Queries:
        """Find the blocks of equal values in each query's order.

        Parameters
        ----------
        *ordered : ndarray of shape (n_rows,)
            Values in the order of ``sort_descending``. Rows of a block are equal in all arrays.

        Returns
        -------
        Queries
            Segments of the ordered rows, one per block; a value without an equal is a block of one.
        """
        is_first = np.zeros(self.n_rows, dtype=bool)
        for values in ordered:
            is_first[1:] |= values[1:] != values[:-1]
        is_first[self.starts] = True
        if is_first.all():
            return Queries.even(self.n_rows, 1)
        return Queries(np.append(np.flatnonzero(is_first), self.n_rows))

    def level(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Number the distinct values of each query in ascending order.

        The numbers keep order and ties of the values, and small integers are exact in float32.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            One value per row.

        Returns
        -------
        ndarray of shape (n_rows,), int64
            0 for the query's largest value, -1 for the next smaller one, and so on.
        """
        ranked = self.sort_descending(values)
        ties = self.ties(values[ranked])
        first = np.searchsorted(ties.offsets, self.starts)
        level = np.empty(self.n_rows, dtype=np.int64)
        level[ranked] = self.spread(first) - ties.segment
        return level

    def mean_over_ties(self, values: NDArray[Any], of_place: NDArray[Any]) -> NDArray[Any]:
        """Give each row what its place in the descending order is worth; ties share alike.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            One value per row, by which the rows are ranked.
        of_place : ndarray of shape (n_rows,), float
            Worth of each place, query by query.

        Returns
        -------
        ndarray of shape (n_rows,)
            Worth of the row's place. Rows with equal values get the mean over their places.
        """
        ranked = self.sort_descending(values)
        ties = self.ties(values[ranked])
        worth = np.empty_like(of_place)
        worth[ranked] = ties.spread(ties.mean(of_place)) if ties.has_lists else of_place
        return worth

    def take(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], Queries]:
        """Select queries.

        Parameters
        ----------
        chosen : ndarray of shape (n_chosen,), int64
            Query numbers, in any order; repeats are allowed.

        Returns
        -------
        rows : ndarray, int64
            Row numbers of the chosen queries, one query after the other.
        queries : Queries
            Segments of these rows.
        """
        if self.width:
            rows = self.starts[chosen]
            if self.width > 1:
                rows = (rows[:, None] + np.arange(self.width)).ravel()
            return rows, Queries.even(len(chosen), self.width)
        taken = Queries.from_sizes(self.sizes[chosen])
        return np.arange(taken.n_rows) + taken.spread(self.starts[chosen] - taken.starts), taken

    def subset(self, mask: NDArray[np.bool_]) -> Queries:
        """Select rows; queries without any selected row are dropped.

        Parameters
        ----------
        mask : ndarray of shape (n_rows,), bool
            Rows to keep.

        Returns
        -------
        Queries
        """
        kept = np.add.reduceat(mask.astype(np.int64), self.starts)
        return Queries.from_sizes(kept[kept > 0])
