"""How far the queries of a user, or of another category, tell what it is about.

A category that is the same in all rows of a query, such as its user, says nothing of the order of
the rows by itself. It changes what other columns count for: this user looks for low prices. A query
tells this with much noise, and most users have few queries. So the effects that the queries of a
category share have to be separated from the noise of single queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """Return the factor m / (m + k) of each category: how far to trust the mean of its queries.

    The effect of a query is the covariance within the query of each column with the target, beyond
    a regression over all queries. Let v be its variance between the categories of a column, and
    w / m that of the queries of one category, where m is the number of rows of a query, less one.
    Variances are summed over the columns. Effects have the mean 0 after the regression, so the best
    linear estimate for a category whose queries have m such rows together is m / (m + k) of their
    mean, with k = w / v.

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
        m / (m + k) for categories of columns that are the same in all rows of a query, and 1 for
        all others, and if there are few queries. It is 0 for categories without queries, and for
        all of a column whose categories differ no more than chance explains. k is estimated from
        the first rows, m is that of all.

    References
    ----------
    H. Bühlmann, E. Straub, "Glaubwürdigkeit für Schadensätze", Bulletin of the Swiss Association of
    Actuaries 70, 1970.
    """
    factors = np.ones(X.n_codes)
    places = columns_of_queries(X.codes, queries)
    if not places:
        return factors
    effects = [_Effects.of(X, queries, target) for target in targets]
    for place in places:
        codes = X.codes[queries.starts, place]
        is_own = column_of_code == place
        special = np.flatnonzero(is_own)[:N_SPECIAL]
        ratio = float(np.mean([of_target.ratio(codes, special) for of_target in effects]))
        weights = np.bincount(codes, queries.sizes - 1, minlength=X.n_codes)
        evidence = weights[is_own] * max(ratio, 0.0)
        factors[is_own] = evidence / (1 + evidence)
    return factors


@dataclass(frozen=True)
class _Effects:
    """What queries tell of a target.

    Parameters
    ----------
    which : ndarray of shape (n_known,), int64
        Queries with two rows or more that have a target, among the first ones.
    weights : ndarray of shape (n_known,), int64
        Number of these rows, less one.
    sums : CSR array of shape (n_known, n_features)
        Sum of the products of each column with the target in the rows of a query, both without
        their means: its weight times the covariance.
    """

    which: NDArray[np.int64]
    weights: NDArray[np.int64]
    sums: Any

    @classmethod
    def of(cls, X: MixedTable, queries: Queries, target: NDArray[np.float64]) -> _Effects:
        """Compute what the queries tell beyond a regression over all of them."""
        is_known = np.isfinite(target[:MOST_ROWS])
        # A slice makes no copy.
        known: Any = slice(len(is_known)) if is_known.all() else np.flatnonzero(is_known)
        which, sizes = np.unique(queries.segment[known], return_counts=True)
        lists, rows = Queries.from_sizes(sizes), X[known]
        # NumPy would convert the table to the type of what it is multiplied by.
        rest = _beyond_regression(rows, lists, target[known]).astype(rows.dtype)
        n_rows, n_columns = rows.codes.shape
        repeated = np.repeat(rest, n_columns), rows.codes.ravel(), lists.offsets * n_columns
        of_codes = sparse.csr_array(repeated, shape=(lists.n_queries, rows.n_codes))
        of_codes.sum_duplicates()
        by_query = sparse.csr_array((rest, np.arange(n_rows), lists.offsets))
        sums = sparse.hstack([by_query @ rows.numbers, of_codes], format="csr")
        are_lists = sizes > 1
        return cls(which[are_lists], sizes[are_lists] - 1, sums[are_lists])

    def ratio(self, codes: NDArray[np.int32], special: NDArray[np.int64]) -> float:
        """Ratio of the variances of the effects, between categories and within them.

        Parameters
        ----------
        codes : ndarray of shape (n_queries,), int32
            Category of each query.
        special : ndarray of shape (n_special,), int64
            Codes that are no categories of their own.
        """
        codes = codes[self.which]
        known = np.flatnonzero(~np.isin(codes, special))
        group = np.unique(codes[known], return_inverse=True)[1]
        weights, sums = self.weights[known].astype(np.float64), self.sums[known]
        of_groups: NDArray[Any] = np.bincount(group, weights)
        total = sums.sum(axis=0)
        of_mean = float(total @ total) / max(weights.sum(), 1.0)
        members = sparse.csr_array((np.ones(len(known)), (group, np.arange(len(known)))),
                                   shape=(len(of_groups), len(known)))  # fmt: skip
        squares, between = (
            _sum_of_squares(table, by) - of_mean
            for table, by in ((sums, weights), (members @ sums, of_groups))
        )
        return variance_ratio(squares, between, len(known), of_groups)


def _sum_of_squares(sums: Any, weights: NDArray[Any]) -> float:
    """Sum of the squares of each row, divided by its weight."""
    return float(np.repeat(1 / weights, np.diff(sums.indptr)) @ sums.data**2)


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
