"""Training data of a ranker: a table sorted by query, with labels, scores and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._sklearn_compat import take_metadata
from skdistill.inputs.columns import row_keys, take_rows, take_values
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import sort_by_query
from skdistill.user_warnings import warn_user

# Labels of fewer rows than this say too little, if there is a teacher.
LEAST_LABELLED = 0.5


@dataclass(frozen=True)
class RankingData:
    """A table sorted by query, with the labels, teacher scores and weights of its rows.

    Parameters
    ----------
    X : table of shape (n_rows, n_features)
        Rows sorted by query.
    queries : Queries
        Segments of the rows.
    order : ndarray of shape (n_rows,), int64, or None
        Row of the user's table at each place. None if the user's table is already in order.
    labels : ndarray of shape (n_rows,) or (n_rows, n_label_objectives), float64, or None
        NaN for rows without a label.
    teacher_scores : ndarray of shape (n_rows,), float64, or None
        The teacher's score of each row.
    sample_weight : ndarray of shape (n_rows,), float64, or None
        Row weights.
    metadata : dict
        Further arguments of the teacher's ``fit`` by name. Arrays with an entry per row are sorted
        and sliced like the rows.
    offset : ndarray of shape (n_rows,), float64, or None
        What is added to the student's and the teacher's scores before they are compared.
    owns_table : bool, default=False
        Whether nobody else needs ``X``, so that it may be overwritten.
    """

    X: Any
    queries: Queries
    order: NDArray[np.int64] | None = None
    labels: NDArray[np.float64] | None = None
    teacher_scores: NDArray[np.float64] | None = None
    sample_weight: NDArray[np.float64] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    offset: NDArray[np.float64] | None = None
    owns_table: bool = False

    @classmethod
    def sort(
        cls,
        ids: NDArray[Any] | None,
        X: Any,
        labels: NDArray[np.float64] | None = None,
        teacher_scores: NDArray[np.float64] | None = None,
        sample_weight: NDArray[np.float64] | None = None,
        metadata: Mapping[str, Any] | None = None,
        offset: NDArray[np.float64] | None = None,
        without_ids: Callable[[int], Queries] = Queries.single,
    ) -> RankingData:
        """Sort checked rows by query.

        Sums, ties in a teacher's ranking and LightGBM itself depend on the order of the rows. The
        rows of a query are therefore ordered by their content, so that a shuffled table gives the
        same model.

        Parameters
        ----------
        ids : ndarray of shape (n_rows,) or None
            Checked query ids.
        X, labels, teacher_scores, sample_weight, metadata, offset
            As for the class, but in the order of the user's table.
        without_ids : callable, default=Queries.single
            ``without_ids(n_rows)`` makes the queries if ``ids`` is None: one of all rows, or one of
            each row.

        Returns
        -------
        RankingData
        """
        queries, order = sort_by_query(ids, X.shape[0], row_keys(X), without_ids)
        return cls(
            take_rows(X, order),
            queries,
            order,
            take_values(labels, order),
            take_values(teacher_scores, order),
            take_values(sample_weight, order),
            _take_metadata(metadata or {}, order, X.shape[0]),
            take_values(offset, order),
            owns_table=order is not None,  # the rows were copied
        )

    @property
    def n_rows(self) -> int:
        """Number of rows of all queries."""
        return self.queries.n_rows

    @property
    def rows_of_table(self) -> NDArray[np.int64]:
        """Row numbers in the user's table, ascending."""
        return np.arange(self.n_rows) if self.order is None else np.sort(self.order)

    @cached_property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Whether each row has a label, shape (n_rows,); with several objectives, any label."""
        if self.labels is None:
            return np.zeros(self.n_rows, dtype=bool)
        unknown = np.isnan(self.labels).reshape(self.n_rows, -1)
        return np.logical_not(np.logical_and.reduce(unknown, axis=1))

    @property
    def is_mostly_labelled(self) -> bool:
        """Whether labels say enough by themselves: fewer do not, if there is a teacher."""
        return bool(self.is_labelled.mean() >= LEAST_LABELLED)

    def has_labels_of(self, other: RankingData) -> bool:
        """Whether other rows have the same labels, of which there are some, in equal lists."""
        if self.labels is None or other.labels is None:
            return False
        have_sizes = np.array_equal(self.queries.sizes, other.queries.sizes)
        return have_sizes and np.array_equal(self.labels, other.labels, equal_nan=True)

    def warn_if_constant(self, estimator: str, compares_rows: bool) -> None:
        """Warn if the teacher's scores, or without them the labels, contain no order to learn.

        Parameters
        ----------
        estimator : str
            Name of what is fitted, for the message.
        compares_rows : bool
            Whether rows are compared within their queries only.
        """
        given = self.labels if self.teacher_scores is None else self.teacher_scores
        lists = self.queries if compares_rows else Queries.single(self.n_rows)
        if given is None or not _is_constant(given.reshape(self.n_rows, -1), lists):
            return
        what = "label" if self.teacher_scores is None else "teacher score"
        reason = f"no query has two rows with different {what}s"
        if lists.n_queries == self.n_rows:
            reason = "each row is a query of its own, and rows are compared within queries only"
        elif len(values := np.unique(given[~np.isnan(given)])) == 1:
            reason = f"every {what} is {values[0]:.6g}"
        warn_user(
            f"{estimator} learns no order: {reason}. Check y, the teacher, and qid, which must "
            "hold the same value in all rows of a list.",
        )

    def take(self, rows: NDArray[np.int64], queries: Queries) -> RankingData:
        """Select rows, which form these queries."""
        return RankingData(
            take_rows(self.X, rows),
            queries,
            rows if self.order is None else self.order[rows],
            take_values(self.labels, rows),
            take_values(self.teacher_scores, rows),
            take_values(self.sample_weight, rows),
            _take_metadata(self.metadata, rows, self.n_rows),
            take_values(self.offset, rows),
            self.owns_table,
        )

    def take_queries(self, chosen: NDArray[np.int64]) -> RankingData:
        """Select all rows of some queries."""
        return self.take(*self.queries.take(chosen))

    def subset(self, mask: NDArray[np.bool_]) -> RankingData:
        """Select rows by a mask; returns the data itself if the mask keeps all rows."""
        if mask.all():
            return self
        return self.take(np.flatnonzero(mask), self.queries.subset(mask))

    def with_table(self, X: Any) -> RankingData:
        """Replace the columns, keeping the rows."""
        return replace(self, X=X, owns_table=False)


def _take_metadata(
    metadata: Mapping[str, Any], rows: NDArray[np.int64] | None, n_rows: int
) -> Mapping[str, Any]:
    """Select rows of the metadata; ``rows=None`` selects all."""
    return metadata if rows is None or not metadata else take_metadata(metadata, rows, n_rows)


def _is_constant(columns: NDArray[np.float64], queries: Queries) -> bool:
    """Whether no query has two different values in a column; NaN differs from nothing."""
    return all(
        not (
            np.fmax.reduceat(column, queries.starts) > np.fmin.reduceat(column, queries.starts)
        ).any()
        for column in columns.T
    )


@dataclass(frozen=True)
class SyntheticRows:
    """Synthetic rows with their teacher scores; they belong to no query.

    Parameters
    ----------
    X : table of shape (n_synthetic, n_features)
        The rows.
    scores : ndarray of shape (n_synthetic,), float64
        The teacher's score of each row.
    fraction : float
        Fraction of synthetic rows in a training step.
    """

    X: Any
    scores: NDArray[np.float64]
    fraction: float
