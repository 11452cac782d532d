"""A table to learn a ranking from: checked, sorted by query, with all that is known of its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import row_keys, take_rows, take_values
from skdistill.inputs.queries import Queries, sort_by_query


@dataclass(frozen=True)
class RankingData:
    """Rows sorted by query, the rows of a query in a canonical order.

    Parameters
    ----------
    X : table of shape (n_rows, n_features)
    queries : Queries
    order : ndarray of shape (n_rows,), int64, or None
        Row of the user's table at each place; None if the user's table was in order already.
    labels : ndarray of shape (n_rows,) or (n_rows, n_label_objectives), float64, or None
        NaN where unknown.
    teacher_scores : ndarray of shape (n_rows,), float64, or None
    sample_weight : ndarray of shape (n_rows,), float64, or None
    """

    X: Any
    queries: Queries
    order: NDArray[np.int64] | None = None
    labels: NDArray[np.float64] | None = None
    teacher_scores: NDArray[np.float64] | None = None
    sample_weight: NDArray[np.float64] | None = None

    @classmethod
    def sort(
        cls,
        ids: NDArray[Any] | None,
        X: Any,
        labels: NDArray[np.float64] | None = None,
        teacher_scores: NDArray[np.float64] | None = None,
        sample_weight: NDArray[np.float64] | None = None,
    ) -> RankingData:
        """Sort checked rows by query.

        Sums, ties in a teacher's ranking and LightGBM itself depend on the order of the rows. The
        rows of a query are therefore ordered by their content, so that a shuffled table gives the
        same model.

        Parameters
        ----------
        ids : ndarray of shape (n_rows,) or None
            Checked query ids. None: all rows are one query.
        X, labels, teacher_scores, sample_weight
            In the order of the user's table.
        """
        queries, order = sort_by_query(ids, X.shape[0], row_keys(X))
        return cls(
            take_rows(X, order),
            queries,
            order,
            *(take_values(values, order) for values in (labels, teacher_scores, sample_weight)),
        )

    @property
    def n_rows(self) -> int:
        return self.queries.n_rows

    @property
    def rows_of_table(self) -> NDArray[np.int64]:
        """Which rows of the user's table these are, ascending."""
        return np.arange(self.n_rows) if self.order is None else np.sort(self.order)

    @cached_property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Which rows have a label, shape (n_rows,); of several objectives, any label."""
        if self.labels is None:
            return np.zeros(self.n_rows, dtype=bool)
        unknown = np.isnan(self.labels).reshape(self.n_rows, -1)
        return np.logical_not(np.logical_and.reduce(unknown, axis=1))

    def take(self, rows: NDArray[np.int64], queries: Queries) -> RankingData:
        """Some rows, which form these queries."""
        return RankingData(
            take_rows(self.X, rows),
            queries,
            rows if self.order is None else self.order[rows],
            *(
                take_values(values, rows)
                for values in (self.labels, self.teacher_scores, self.sample_weight)
            ),
        )

    def take_queries(self, chosen: NDArray[np.int64]) -> RankingData:
        """The rows of some queries."""
        return self.take(*self.queries.take(chosen))

    def subset(self, mask: NDArray[np.bool_]) -> RankingData:
        """The rows that a mask keeps; the data itself if it keeps all."""
        if mask.all():
            return self
        return self.take(np.flatnonzero(mask), self.queries.subset(mask))

    def with_table(self, X: Any) -> RankingData:
        """The same rows with other columns."""
        return replace(self, X=X)


@dataclass(frozen=True)
class SyntheticRows:
    """Rows of no query that a teacher has scored.

    Parameters
    ----------
    X : table of shape (n_synthetic, n_features)
    scores : ndarray of shape (n_synthetic,), float64
        The teacher's.
    fraction : float
        Fraction of a training step's rows that is to be synthetic.
    """

    X: Any
    scores: NDArray[np.float64]
    fraction: float
