"""Rows to segments: which rows belong to one query.

Everything that compares rows compares them within their query. ``Queries`` is the one description
of that: rows stand sorted by query, and query ``q`` owns rows ``offsets[q]`` to ``offsets[q + 1]``.
No query is empty, because ``np.ufunc.reduceat`` returns a wrong number for an empty segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def positions_within(sizes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Positions 0, 1, ... of each of several runs, one run after the other.

    Parameters
    ----------
    sizes : ndarray of shape (n_runs,)

    Returns
    -------
    ndarray of shape (sum of sizes,), int64
    """
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)


@dataclass(frozen=True)
class Queries:
    """Contiguous, non-empty segments of rows, one a query.

    Parameters
    ----------
    offsets : ndarray of shape (n_queries + 1,), int64
        Strictly increasing, from 0 to the number of rows.
    """

    offsets: NDArray[np.int64]

    @classmethod
    def from_sizes(cls, sizes: ArrayLike) -> Queries:
        """Build from the number of rows of each query, every one at least 1."""
        offsets = np.zeros(np.size(sizes) + 1, dtype=np.int64)
        np.cumsum(sizes, out=offsets[1:])
        return cls(offsets)

    @classmethod
    def even(cls, n_queries: int, width: int) -> Queries:
        """Lists of one length, which is known without looking at them."""
        queries = cls(np.arange(0, n_queries * width + 1, width))
        queries.__dict__["width"] = width
        return queries

    @classmethod
    def single(cls, n_rows: int) -> Queries:
        """All rows are one list."""
        return cls(np.array([0, n_rows], dtype=np.int64))

    @property
    def n_rows(self) -> int:
        return int(self.offsets[-1])

    @property
    def n_queries(self) -> int:
        return len(self.offsets) - 1

    @property
    def starts(self) -> NDArray[np.int64]:
        return self.offsets[:-1]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    @cached_property
    def segment(self) -> NDArray[np.int64]:
        """Index of each row's query, shape (n_rows,)."""
        return np.repeat(np.arange(self.n_queries), self.sizes)

    @cached_property
    def width(self) -> int:
        """Rows of every query where all have as many, else 0."""
        width = self.n_rows // self.n_queries
        is_even = width * self.n_queries == self.n_rows and (self.sizes == width).all()
        return width if is_even else 0

    def _reduce(self, operation: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        if self.width:
            # A table of lists: several times as fast as segments of it.
            return operation.reduce(values.reshape(self.n_queries, self.width), axis=1)
        return operation.reduceat(values, self.starts)

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sum of the rows of each query, shape (n_queries,)."""
        return self._reduce(np.add, values)

    def mean(self, values: NDArray[Any]) -> NDArray[Any]:
        return self.sum(values) / self.sizes.astype(values.dtype)

    def max(self, values: NDArray[Any]) -> NDArray[Any]:
        return self._reduce(np.maximum, values)

    def min(self, values: NDArray[Any]) -> NDArray[Any]:
        return self._reduce(np.minimum, values)

    def spread(self, per_query: NDArray[Any]) -> NDArray[Any]:
        """One value a query to one value a row, the inverse of the reductions."""
        return np.repeat(per_query, self.width or self.sizes)

    def apply(
        self,
        operation: np.ufunc,
        values: NDArray[Any],
        per_query: NDArray[Any],
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """``operation(values, spread(per_query))``; of even lists without spreading."""
        if not self.width:
            return operation(values, self.spread(per_query), out=out)
        shape = (self.n_queries, self.width)
        if out is not None:
            out = out.reshape(shape)
        return operation(values.reshape(shape), per_query[:, None], out=out).ravel()

    def segment_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the query of some rows; of few rows faster than ``segment``."""
        if self.width:
            return rows // self.width
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def sort_descending(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Row numbers, query by query, the largest value first; ties keep the order of the rows."""
        # Two stable sorts of one key each beat np.lexsort, which sorts indirectly by every key.
        by_value = np.argsort(-values, kind="stable")
        if self.n_queries == 1:
            return by_value
        return by_value[np.argsort(self._narrow_segment[by_value], kind="stable")]

    @cached_property
    def _narrow_segment(self) -> NDArray[Any]:
        # NumPy's stable sort is a radix sort for 16-bit integers: many times faster.
        return self.segment.astype(np.uint16 if self.n_queries <= 1 << 16 else np.int64)

    @cached_property
    def position(self) -> NDArray[np.int64]:
        """Place of each row within its query, from 0."""
        return np.arange(self.n_rows) - self.spread(self.starts)

    def rank_descending(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Rank of each row within its query, 0 for the largest value; ties by order of the rows."""
        rank = np.empty(self.n_rows, dtype=np.int64)
        rank[self.sort_descending(values)] = self.position
        return rank

    def take(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], Queries]:
        """Rows of the chosen queries, one after the other, and their segments."""
        if self.width:
            # Even lists: no lengths to add up.
            rows = self.starts[chosen]
            if self.width > 1:
                rows = (rows[:, None] + np.arange(self.width)).ravel()
            return rows, Queries.even(len(chosen), self.width)
        taken = Queries.from_sizes(self.sizes[chosen])
        rows = np.arange(taken.n_rows) + taken.spread(self.starts[chosen] - taken.starts)
        return rows, taken

    def subset(self, mask: NDArray[np.bool_]) -> Queries:
        """Segments of the rows that the mask keeps; queries left without a row vanish."""
        kept = np.add.reduceat(mask.astype(np.int64), self.starts)
        return Queries.from_sizes(kept[kept > 0])


def check_qid(qid: ArrayLike | None, n_rows: int) -> NDArray[Any] | None:
    """Check the query ids of a table.

    Parameters
    ----------
    qid : array-like of shape (n_rows,) or None
        One id a row, of any sortable type; None: no ids were given.
    n_rows : int
        Rows of the table.

    Returns
    -------
    ndarray of shape (n_rows,) or None

    Raises
    ------
    ValueError
        When the length differs or an id is missing (None, NaN, NaT).
    """
    if qid is None:
        return None
    ids = np.asarray(qid)
    if ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    if ids.ndim != 1 or len(ids) != n_rows:
        raise ValueError(
            f"qid must hold one query id a row: expected shape ({n_rows},), got {ids.shape}."
        )
    # NaN and NaT differ from themselves, in object arrays too; None does not.
    missing = ids != ids
    if ids.dtype == object:
        missing = missing | np.array([value is None for value in ids])
    if np.any(missing):
        row = int(np.flatnonzero(missing)[0])
        raise ValueError(f"qid must name a query in every row: row {row} holds {ids[row]!r}.")
    return ids


def sort_by_query(
    qid: NDArray[Any] | None, n_rows: int, tie_break: NDArray[Any] | None = None
) -> tuple[Queries, NDArray[np.int64] | None]:
    """Bring rows into segments.

    Parameters
    ----------
    qid : ndarray of shape (n_rows,) or None
        Checked ids; None: the rows are one list.
    n_rows : int
    tie_break : ndarray of shape (n_rows,), optional
        Order of the rows within a query; without it they keep the order of the table.

    Returns
    -------
    queries : Queries
    order : ndarray of shape (n_rows,), int64, or None
        Row of the table at each place of the segments. None: the table stands in order already.
    """
    if qid is None:
        order = None if tie_break is None else np.argsort(tie_break, kind="stable")
        return Queries.single(n_rows), order
    codes: NDArray[Any]
    if qid.dtype.kind in "iufbM":
        codes = qid
    else:
        try:
            codes = np.unique(qid, return_inverse=True)[1]
        except TypeError as error:
            raise ValueError(
                f"qid must hold ids of one sortable type, got a mixture: {error}."
            ) from error
    order = (
        np.argsort(codes, kind="stable") if tie_break is None else np.lexsort((tie_break, codes))
    )
    ordered = codes[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    queries = Queries(np.append(first, n_rows).astype(np.int64))
    if np.array_equal(order, np.arange(n_rows)):
        return queries, None
    return queries, order
