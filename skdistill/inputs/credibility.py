"""How far the categories of queries, such as those of users, can be told from each other.

A category that is the same in all rows of a query, such as its user, says nothing of the order of
the rows by itself. It says what other columns count for: this user looks for low prices. A query
tells this with much noise, and most users have few queries. So what the queries of a category agree
on has to be told from what a model would learn of each of them by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, lsqr

from skdistill.inputs.category_codes import N_SPECIAL
from skdistill.inputs.id_columns import MOST_ROWS, columns_of_queries
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.queries import Queries
from skdistill.inputs.variance_components import variance_ratio

# The regression that takes out what is common to all queries: its penalty, in rows of a category,
# and its steps, of which few suffice for columns of one scale.
PENALTY, STEPS = 4.0, 10


def credibilities(
    X: MixedTable,
    column_of_code: NDArray[np.int64],
    queries: Queries,
    targets: Sequence[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Say which part of the effect of each category its queries tell from noise.

    What a query tells of its category is, for each other column, the covariance of the column with
    the target within the query, beyond what holds for all queries. The categories of a column
    differ in it by some variance, and the queries of one category by another. The best estimate for
    a category of n queries is n / (n + k) of their mean, where k is the second variance divided by
    the first.

    Parameters
    ----------
    X : MixedTable of shape (n_rows, n_features)
        Scaled rows without missing numbers.
    column_of_code : ndarray of shape (n_codes,), int64
        Column of each code among those of ``X.codes``, ascending. The first ``N_SPECIAL`` codes of
        a column stand for missing and unknown categories.
    queries : Queries
        Segments of the rows.
    targets : sequence of ndarray of shape (n_rows,)
        What is to be ranked by, such as labels; NaN where there is none. The variances are compared
        for each, and the mean of the ratios is taken.

    Returns
    -------
    ndarray of shape (n_codes,), float64
        n / (n + k) for categories of columns that are the same in all rows of a query, and 1 for
        all others. It is 0 for categories without queries, and for all of a column whose categories
        do not differ.

    References
    ----------
    H. Bühlmann, "Experience Rating and Credibility", ASTIN Bulletin 4, 1967.
    """
    factors = np.ones(X.n_codes)
    places = columns_of_queries(X.codes, queries)
    if not places:
        return factors
    effects = [_effects(X, queries, target) for target in targets]
    for place in places:
        codes = X.codes[queries.starts, place]
        is_own = column_of_code == place
        special = np.flatnonzero(is_own)[:N_SPECIAL]
        ratio = np.mean([_ratio(codes[of], table, special) for of, table in effects])
        evidence = np.bincount(codes, minlength=X.n_codes)[is_own] * max(float(ratio), 0.0)
        factors[is_own] = evidence / (1 + evidence)
    return factors


def _effects(
    X: MixedTable, queries: Queries, target: NDArray[np.float64]
) -> tuple[NDArray[np.int64], Any]:
    """Covariance of each column with a target within each query, beyond that of all queries.

    Returns
    -------
    which : ndarray of shape (n_known,), int64
        Queries with a target, among the first ones.
    effects : CSR array of shape (n_known, n_features)
    """
    is_known = np.isfinite(target[:MOST_ROWS])
    # A slice makes no copy.
    known: Any = slice(len(is_known)) if is_known.all() else np.flatnonzero(is_known)
    which, sizes = np.unique(queries.segment[known], return_counts=True)
    lists, rows = Queries.from_sizes(sizes), X[known]
    # NumPy would convert the table to the type of what it is multiplied by.
    rest = _beyond_regression(rows, lists, target[known]).astype(rows.dtype)
    n_rows, n_columns = rows.codes.shape
    shape = (lists.n_queries, rows.n_codes)
    repeated = np.repeat(rest, n_columns), rows.codes.ravel(), lists.offsets * n_columns
    of_codes = sparse.csr_array(repeated, shape=shape)
    of_codes.sum_duplicates()
    by_query = sparse.csr_array((rest, np.arange(n_rows), lists.offsets))
    return which, sparse.hstack([by_query @ rows.numbers, of_codes], format="csr")


def _beyond_regression(
    X: MixedTable, queries: Queries, target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what a ridge regression within queries leaves of a target; its means are 0."""

    def centred(values: NDArray[Any]) -> NDArray[Any]:
        return values - (queries.sum(values) / queries.sizes)[queries.segment]

    def transposed(values: NDArray[Any]) -> NDArray[Any]:
        values = centred(values)
        repeated = np.repeat(values, X.codes.shape[1])
        of_codes = np.bincount(X.codes.ravel(), repeated, minlength=X.n_codes)
        return np.concatenate([values.astype(X.dtype) @ X.numbers, of_codes])

    design = LinearOperator(
        X.shape, matvec=lambda weights: centred(X @ weights), rmatvec=transposed, dtype=np.float64
    )
    target = centred(target)
    weights = lsqr(design, target, damp=np.sqrt(PENALTY), iter_lim=STEPS)[0]
    return target - design @ weights


def _ratio(codes: NDArray[np.int32], effects: Any, special: NDArray[np.int64]) -> float:
    """Ratio of the variances of effects, between and within the known categories."""
    known = np.flatnonzero(~np.isin(codes, special))
    _, group, counts = np.unique(codes[known], return_inverse=True, return_counts=True)
    effects = effects[known]
    share = 1 / np.sqrt(counts[group]), (group, np.arange(len(known)))
    sums = sparse.csr_array(share, shape=(len(counts), len(known))) @ effects
    total = effects.sum(axis=0)
    of_mean = float(total @ total) / max(len(known), 1)
    squares, of_sums = (float(table.data @ table.data) - of_mean for table in (effects, sums))
    return variance_ratio(squares, of_sums, counts)
