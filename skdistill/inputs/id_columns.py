"""Find columns of integers that are ids, which a model that computes with numbers cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import Queries
from skdistill.inputs.variance_components import variance_ratio

# A column may hold ids if it has so many values that are about as frequent as each other, and so
# many rows per value that the mean of a value says something.
LEAST_VALUES, LEAST_ROWS = 20, 4
# Rows that are looked at. The first ones tell whether a column holds integers.
MOST_ROWS, FIRST_ROWS = 200_000, 1000
# Amounts and counts crowd at the lower end of their range: at some point, the share of the values
# below is larger by this than the share of the range. A gap counts at most as so many usual ones,
# so that ids of two ranges are no amounts.
LARGEST_CROWD, LARGEST_GAP = 0.2, 20
# Values on either side whose means are compared with that of a value. They explain at most so much
# of what it explains, and that is larger than its standard error by so much.
NEIGHBOURS = 2
LARGEST_SHARE = 0.25
LEAST_DEVIATIONS = 3
# Places are known by so many of the queries: logs lack some rows.
MOST_LISTS = 0.9
# A column names the queries if this share of them has a value of its own. Queries with the most
# frequent value are not counted: it may be the code that rare categories share. Of users who come
# again, fewer have a value of their own.
MOST_SINGLE = 0.8


def columns_like_ids(numbers: NDArray[Any]) -> list[int]:
    """Find columns of integers whose values are spread like those of ids.

    Ids are about as frequent as each other, and about as dense at the upper end of their range as
    at the lower. Amounts and counts, such as prices and views, are not.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_columns)
        NaN where a number is missing.

    Returns
    -------
    list of int
        Positions of the columns, ascending.
    """
    found = []
    for position in range(numbers.shape[1]):
        column = numbers[:MOST_ROWS, position]
        first = column[:FIRST_ROWS]
        if (first != np.rint(first))[np.isfinite(first)].any():
            continue
        column = column[np.isfinite(column)]
        if not len(column):
            continue
        values, counts = np.unique(column, return_counts=True)
        # Simpson's index: with the years of films, of which four hold most rows, it is about ten.
        n_frequent = len(column) ** 2 / np.square(counts, dtype=np.float64).sum()
        if n_frequent < LEAST_VALUES or len(column) < LEAST_ROWS * len(counts):
            continue
        if _crowd(values) <= LARGEST_CROWD:
            found.append(position)
    return found


def _crowd(values: NDArray[Any]) -> float:
    """Say how far the values crowd at the lower end of their range; 0 if they are spread evenly.

    It is the one-sided distance of Kolmogorov and Smirnov from the uniform distribution.
    """
    gaps = np.diff(values.astype(np.float64))
    place = np.cumsum(np.minimum(gaps, LARGEST_GAP * np.median(gaps)))
    return float((np.arange(1, len(values)) / len(gaps) - place / place[-1]).max())


def missed_effects(
    columns: NDArray[Any],
    target: NDArray[np.float64],
    scores: NDArray[np.float64],
    queries: Queries,
) -> NDArray[np.float64]:
    """Measure what single values of columns explain of a target, which scores do not explain.

    The means by value of what the scores leave, of half of the queries, are tried on the other
    half: those of a row's own value, and those of the neighbouring values. Effects that rise and
    fall with the number are known by the neighbours too. Those of an id are not.

    Parameters
    ----------
    columns : ndarray of shape (n_rows, n_columns)
        NaN where a number is missing. The rows are the first ones of ``queries``.
    target : ndarray of shape (n_rows,)
        Labels or a teacher's scores; NaN where there is none.
    scores : ndarray of shape (n_rows,)
        Of a model that has read the columns as numbers.
    queries : Queries
        Segments of at least these rows. Without queries of two rows, all rows are compared.

    Returns
    -------
    ndarray of shape (n_columns,), float64
        Sum of squares that the values explain, relative to what they and the scores explain
        together. It is 0 for columns whose values have no effects of their own.
    """
    lists = queries if queries.has_lists else Queries.single(queries.n_rows)
    known = np.flatnonzero(np.isfinite(target))
    segment = lists.segment[known]
    rest, line = (_without_means(values[known], segment) for values in (target, scores))
    power = float(line @ line)
    slope = float(rest @ line) / power if power else 0.0
    explained = slope**2 * power
    rest = rest - slope * line
    group = segment if lists.n_queries > 1 else known
    shares = np.zeros(columns.shape[1])
    for position, column in enumerate(columns[known].T):
        is_there = np.isfinite(column)
        values, code = np.unique(column[is_there], return_inverse=True)
        if len(values) < LEAST_VALUES:  # of the rows with a target
            continue
        own, neighbours = _gains(code, rest[is_there], group[is_there] % 2 == 0)
        of_group = np.bincount(group[is_there], own)
        of_group = of_group[np.bincount(group[is_there]) > 0]
        gain = float(own.sum())
        error = float(of_group.std()) * np.sqrt(len(of_group))
        is_own = neighbours <= LARGEST_SHARE * gain
        if is_own and gain > LEAST_DEVIATIONS * error:
            shares[position] = gain / (gain + explained)
    return shares


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

    return columns_of_queries(numbers, queries, rise)


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


def columns_naming_queries(columns: NDArray[Any], queries: Queries) -> list[int]:
    """Find columns in which nearly all queries have a value that no other query has.

    Parameters
    ----------
    columns : ndarray of shape (n_rows, n_columns)
        Times, or codes of categories, of which rare ones may share a code.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    list of int
        Positions of the columns, ascending. None are found among few queries, or if no query has
        two rows.
    """

    def name_them(of_queries: NDArray[Any]) -> bool:
        counts = np.unique(of_queries, return_counts=True)[1]
        n_single, n_others = (counts == 1).sum(), len(of_queries) - counts.max()
        return bool(2 * n_single > len(of_queries) and n_single >= MOST_SINGLE * n_others)

    return columns_of_queries(columns, queries, name_them)


def columns_of_queries(
    columns: NDArray[Any],
    queries: Queries,
    are_wanted: Callable[[NDArray[Any]], bool] = lambda of_queries: True,
) -> list[int]:
    """Find columns with one value in each query.

    Parameters
    ----------
    columns : ndarray of shape (n_rows, n_columns)
        Numbers or codes of categories.
    queries : Queries
        Segments of the rows.
    are_wanted : callable, optional
        ``are_wanted(of_queries)`` decides by the value of each query. By default all are wanted.

    Returns
    -------
    list of int
        Positions of the columns, ascending. None are found among few queries, or if no query has
        two rows.
    """
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
        if is_constant and are_wanted(column[queries.starts]):
            found.append(position)
    return found


def _without_means(values: NDArray[np.float64], segment: NDArray[np.int64]) -> NDArray[np.float64]:
    """Subtract from each value the mean of its query."""
    sums, sizes = np.bincount(segment, values), np.bincount(segment)
    return values - (sums / np.maximum(sizes, 1))[segment]


def _gains(
    code: NDArray[np.int64], target: NDArray[np.float64], is_first: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Measure by how much the means of values reduce the squares of a target.

    Each half of the rows is tried with means of the other half, which are shrunk towards zero.

    Returns
    -------
    own : ndarray of shape (n_rows,), float64
        By the mean of a row's own value.
    neighbours : float
        By that of the neighbouring values, the sum over all rows.
    """
    n_values = int(code.max()) + 1
    own, neighbours = np.zeros(len(code)), 0.0
    window = np.ones(2 * NEIGHBOURS + 1)
    window[NEIGHBOURS] = 0
    for is_fitted in (is_first, ~is_first):
        fitted, tried = target[is_fitted], target[~is_fitted]
        sums = np.bincount(code[is_fitted], fitted, minlength=n_values)
        counts = np.bincount(code[is_fitted], minlength=n_values)
        seen = counts > 0
        of_values = float((sums[seen] ** 2 / counts[seen]).sum())
        squares = float(fitted @ fitted)
        ratio = max(variance_ratio(squares, of_values, len(fitted), counts[seen]), 0.0)
        at = code[~is_fitted]
        means = (ratio * sums / (1 + ratio * counts))[at]
        own[~is_fitted] = means * (2 * tried - means)
        around = [np.convolve(of, window, "same") for of in (sums, counts)]
        means = (ratio * around[0] / (1 + ratio * around[1]))[at]
        neighbours += float((means * (2 * tried - means)).sum())
    return own, neighbours
