"""Find columns of integers that are ids, which a model that computes with numbers cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import Queries

# A column is looked at if it has so many values that are about as frequent as each other, and so
# many rows per value that the mean of a value says something.
LEAST_VALUES, LEAST_ROWS = 20, 4
# Rows that are looked at. The first ones tell whether a column holds integers.
MOST_ROWS, FIRST_ROWS = 200_000, 1000
# Values on either side whose means are compared with that of a value.
NEIGHBOURS = 2
# A value's own mean explains at least so much of the variance, and the means of its neighbours at
# most so much of what it explains.
LEAST_EXPLAINED, LARGEST_SHARE = 0.02, 0.25
# Places are known by so many of the queries: logs lack some rows.
MOST_LISTS = 0.9
# Rows of the mean that a value without rows would have: 0.
PRIOR_ROWS = 2.0


def columns_like_ids(
    numbers: NDArray[Any], target: NDArray[np.float64], queries: Queries
) -> list[int]:
    """Find columns of integers of which each value has an effect of its own.

    The means of the target by value, of half of the queries, are tried on the other half: those of
    a row's own value, and those of the neighbouring values. Effects that rise and fall with the
    number are known by the neighbours too. Those of an id are not.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_columns)
        NaN where a number is missing.
    target : ndarray of shape (n_rows,)
        A teacher's scores, or labels; NaN where there is none.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    list of int
        Positions of the columns, ascending.
    """
    rest, is_fitted = _without_means(target, queries)[:MOST_ROWS], _halves(queries)
    known = np.isfinite(rest)
    found = []
    for position in range(numbers.shape[1]):
        column = numbers[:MOST_ROWS, position]
        first = column[:FIRST_ROWS]
        if (first != np.rint(first))[np.isfinite(first)].any():
            continue
        rows = np.flatnonzero(known & np.isfinite(column))
        if not len(rows):
            continue
        code, counts = np.unique(column[rows], return_inverse=True, return_counts=True)[1:]
        # Simpson's index: with the years of films, of which four hold most rows, it is about ten.
        n_frequent = len(rows) ** 2 / np.square(counts, dtype=np.float64).sum()
        if n_frequent < LEAST_VALUES or len(rows) < LEAST_ROWS * len(counts):
            continue
        if _are_own(*_explained(code, len(counts), rest[rows], is_fitted[rows]), LEAST_EXPLAINED):
            found.append(position)
    return found


def columns_with_own_effects(
    columns: NDArray[Any],
    target: NDArray[np.float64],
    scores: NDArray[np.float64],
    queries: Queries,
    least: float,
) -> list[int]:
    """Find the columns whose values explain what scores leave of the target, as those of ids do.

    Parameters
    ----------
    columns : ndarray of shape (n_rows, n_columns)
        NaN where a number is missing. The rows are the first ones of ``queries``.
    target : ndarray of shape (n_rows,)
        NaN where there is none.
    scores : ndarray of shape (n_rows,)
        Of a model that has read the columns as numbers.
    queries : Queries
        Segments of at least these rows.
    least : float
        Share of the variance of the target that the values must explain beyond the scores.

    Returns
    -------
    list of int
        Positions of the columns, ascending.
    """
    n_rows, is_fitted = len(target), _halves(queries)
    whole = np.full(queries.n_rows, np.nan)
    whole[:n_rows] = np.where(np.isfinite(target), scores, np.nan)
    line = _without_means(whole, queries)[:n_rows]
    whole[:n_rows] = target
    rest = _without_means(whole, queries)[:n_rows]
    known = np.isfinite(rest)
    total, power = (float(np.square(values[known]).sum()) for values in (rest, line))
    if power:
        rest = rest - float(rest[known] @ line[known]) / power * line
    left = float(np.square(rest[known]).sum()) / total if total else 0.0
    found = []
    for position in range(columns.shape[1]):
        rows = np.flatnonzero(known & np.isfinite(columns[:, position]))
        values = columns[rows, position]
        code, counts = np.unique(values, return_inverse=True, return_counts=True)[1:]
        own, neighbours = _explained(code, len(counts), rest[rows], is_fitted[rows])
        if _are_own(left * own, left * neighbours, least):
            found.append(position)
    return found


def columns_like_query_ids(numbers: NDArray[Any], queries: Queries) -> list[int]:
    """Find columns that hold another whole number for each query, in the order of the queries.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_columns)
        NaN where a number is missing. The rows are in the order of their queries' ids.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    list of int
        Positions of the columns, ascending. None are found among few queries, or if no query has
        two rows.
    """

    def rise(values: NDArray[Any]) -> bool:
        return bool((np.diff(values) > 0).all() and (values == np.rint(values)).all())

    return _columns_of_queries(numbers, queries, rise)


def columns_of_places(numbers: NDArray[Any], queries: Queries) -> list[int]:
    """Find columns that number the rows of each query from 0 or 1, in whichever order.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_columns)
        NaN where a number is missing.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    list of int
        Positions of the columns, ascending. None are found among few queries of two rows or more.
    """
    segment = queries.segment[:MOST_ROWS]
    if (np.bincount(segment) > 1).sum() < LEAST_VALUES:
        return []
    found = []
    for position in range(numbers.shape[1]):
        column = numbers[:MOST_ROWS, position]
        # Most columns are told by their first rows, and need not be sorted.
        begin = column[:FIRST_ROWS], segment[:FIRST_ROWS]
        if _are_places(*begin) and _are_places(column, segment):
            found.append(position)
    return found


def _are_places(column: NDArray[Any], segment: NDArray[np.int64]) -> bool:
    """Whether a column numbers the rows of most queries of two rows or more from 0 or 1."""
    sizes = np.bincount(segment)
    starts = np.cumsum(sizes) - sizes
    ordered = column[np.lexsort((column, segment))]
    place = np.arange(len(segment)) - starts[segment]
    least = ordered[starts]
    is_numbered = np.logical_and.reduceat(ordered == least[segment] + place, starts)
    is_numbered &= (least == 0) | (least == 1)
    return bool(is_numbered[sizes > 1].mean() >= MOST_LISTS) if (sizes > 1).any() else False


def categories_of_queries(codes: NDArray[Any], queries: Queries) -> list[int]:
    """Find columns of categories in which most queries have one value, which no other query has.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_columns), integer
        Codes of the categories. Rare ones may share a code.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    list of int
        Positions of the columns, ascending. None are found among few queries, or if no query has
        two rows.
    """

    def are_own(values: NDArray[Any]) -> bool:
        n_own = int((np.unique(values, return_counts=True)[1] == 1).sum())
        return 2 * n_own > len(values)

    return _columns_of_queries(codes, queries, are_own)


def _columns_of_queries(
    columns: NDArray[Any], queries: Queries, are_ids: Callable[[NDArray[Any]], bool]
) -> list[int]:
    """Find columns with one value in each query, whose values by query are those of ids."""
    if queries.n_queries < LEAST_VALUES or not queries.has_lists:
        return []
    first = queries.starts[queries.segment]
    found = []
    for position in range(columns.shape[1]):
        column = columns[:, position]
        # Most columns differ within one of the first queries.
        is_constant = (column[:FIRST_ROWS] == column[first[:FIRST_ROWS]]).all() and (
            column == column[first]
        ).all()
        if is_constant and are_ids(column[queries.starts]):
            found.append(position)
    return found


def _are_own(own: float, neighbours: float, least: float) -> bool:
    """Whether values explain so much, and their neighbours hardly any of it."""
    return own >= least and neighbours <= LARGEST_SHARE * own


def _halves(queries: Queries) -> NDArray[np.bool_]:
    """Mark the rows of every other query, of those that are looked at."""
    return queries.segment[:MOST_ROWS] % 2 == 0


def _without_means(target: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
    """Subtract from each value the mean of its query."""
    return target - _means(target, queries)[queries.segment]


def _means(target: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
    """Mean of the known values of each query."""
    known = np.isfinite(target)
    n_known = np.maximum(queries.sum(known.astype(np.float64)), 1)
    return queries.sum(np.where(known, target, 0.0)) / n_known


def _explained(
    code: NDArray[np.int64],
    n_values: int,
    target: NDArray[np.float64],
    is_fitted: NDArray[np.bool_],
) -> tuple[float, float]:
    """Shares of the variance of the other rows that own and neighbouring values explain."""
    sums = np.bincount(code[is_fitted], target[is_fitted], minlength=n_values)
    counts = np.bincount(code[is_fitted], minlength=n_values).astype(np.float64)
    window = np.ones(2 * NEIGHBOURS + 1)
    window[NEIGHBOURS] = 0
    around_sums, around_counts = (
        np.convolve(sums, window, "same"),
        np.convolve(counts, window, "same"),
    )
    tested, at = target[~is_fitted], code[~is_fitted]
    variance = float(np.square(tested).sum())
    if not variance:
        return 0.0, 0.0

    def explained(sums: NDArray[Any], counts: NDArray[Any]) -> float:
        means = sums / (counts + PRIOR_ROWS)
        return 1 - float(np.square(tested - means[at]).sum()) / variance

    return explained(sums, counts), explained(around_sums, around_counts)
