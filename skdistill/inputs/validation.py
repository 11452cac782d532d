"""The validation table of a fit: ``X_val``, ``y_val`` and what else describes its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.checks import check_finite, check_sample_weight
from skdistill.inputs.columns import query_ids
from skdistill.inputs.offsets import check_offset
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import check_qid
from skdistill.inputs.ranking_data import RankingData

# The arguments of ``fit``, which class-level requests route to every estimator that takes them.
VALIDATION_REQUESTS = {
    "X_val": True,
    "y_val": True,
    "qid_val": True,
    "sample_weight_val": True,
}
# Those that students and what distils them take besides.
OFFSET_REQUESTS = {"offset": True, "offset_val": True}


@dataclass(frozen=True)
class ValidationTable:
    """The validation arguments of a ``fit`` as the user passed them.

    Parameters
    ----------
    X : table of shape (n_val, n_features)
        Argument ``X_val``.
    y, qid, sample_weight, teacher_scores, offset : array-like of shape (n_val,), or None
        Arguments ``y_val``, ``qid_val``, ``sample_weight_val``, ``teacher_scores_val`` and
        ``offset_val``.
    """

    X: Any
    y: Any = None
    qid: Any = None
    sample_weight: Any = None
    teacher_scores: Any = None
    offset: Any = None

    @classmethod
    def of(cls, X_val: Any, **further: Any) -> ValidationTable | None:
        """Gather the arguments; None without ``X_val``.

        Raises
        ------
        ValueError
            If there are others, but no ``X_val``.
        """
        if X_val is not None:
            return cls(X_val, **further)
        given = [f"{name}_val" for name, value in further.items() if value is not None]
        if given:
            raise ValueError(
                f"{', '.join(given)} describe the rows of a validation table, but X_val is None. "
                "Pass X_val too."
            )
        return None

    def read(
        self,
        read_table: Callable[[Any], Any],
        read_labels: Callable[[Any, int], NDArray[np.float64]],
        *,
        has_queries: bool,
        query_column: Any = None,
        scores_follow: bool = False,
        has_offset: bool = False,
        without_ids: Callable[[int], Queries] = Queries.single,
    ) -> RankingData:
        """Check the validation table, and sort its rows by query.

        Parameters
        ----------
        read_table : callable
            Checks ``X_val`` and returns what ``RankingData`` holds.
        read_labels : callable
            ``read_labels(y_val, n_val)`` checks and returns the labels.
        has_queries : bool
            Whether the training rows have queries, so that these rows need them too.
        query_column : str or int, optional
            Column of ``X_val`` with the query ids.
        scores_follow : bool, default=False
            Whether a teacher will score the rows.
        has_offset : bool, default=False
            Whether the training rows have an offset, so that these rows need one too.
        without_ids : callable, default=Queries.single
            Makes the queries of rows without ids, as in :meth:`RankingData.sort`.

        Returns
        -------
        RankingData

        Raises
        ------
        ValueError
            If an argument is invalid, or the rows have nothing to measure a student by.
        """
        with in_validation_table():
            if query_column is not None and self.qid is not None:
                raise ValueError(
                    f"the queries are given twice: by qid_val= and by {query_column=}. Leave out "
                    "qid_val."
                )
            given = self.qid if query_column is None else query_ids(self.X, query_column)
            table = read_table(self.X)
            n_rows = table.shape[0]
            ids = check_qid(given, n_rows)
            if ids is None and has_queries:
                raise ValueError("the training rows have queries, but qid_val is None. Pass it.")
            labels = None if self.y is None else read_labels(self.y, n_rows)
            scores = self.teacher_scores
            if scores is not None:
                scores = check_finite("teacher_scores", scores, n_rows)
            weight = check_sample_weight(self.sample_weight, n_rows)
            offset = check_offset(self.offset, n_rows)
            if (offset is not None) != has_offset:
                here, there = ("no", "have one") if has_offset else ("an", "have none")
                raise ValueError(
                    f"there is {here} offset_val, but the training rows {there}. Pass offset and "
                    "offset_val, or neither: both tables are ordered by the same."
                )
            data = RankingData.sort(
                ids, table, labels, scores, weight, offset=offset, without_ids=without_ids
            )
            data = data if data.is_labelled.any() else replace(data, labels=None)
            _check_targets(data, scores_follow)
        return data


def _check_targets(data: RankingData, scores_follow: bool) -> None:
    """Refuse rows without labels and scores, and labels that rank no row above another."""
    if data.labels is None:
        if data.teacher_scores is None and not scores_follow:
            raise ValueError("y_val has no label, and no teacher scores the rows. Pass y_val.")
        return
    columns = data.labels.reshape(data.n_rows, -1)
    for number, column in enumerate(columns.T):
        shown = "y_val" if columns.shape[1] == 1 else f"column {number} of y_val"
        if np.isnan(column).all():
            raise ValueError(f"{shown} is NaN in every row. Pass labels.")
        if not data.queries.has_lists:
            continue  # not NDCG but the loss is measured, which takes any labels
        if np.nanmin(column) < 0:
            raise ValueError(f"{shown} must be 0 or more, since NDCG@10 is measured by it.")
        if not np.nanmax(column) > 0:
            raise ValueError(
                f"{shown} is 0 in every row, so that no model is better than another. Pass a table "
                "with relevant rows."
            )


def check_used(is_used: bool) -> None:
    """Refuse a validation table by which a student shall not stop, if nobody else uses it.

    Raises
    ------
    ValueError
        If it has no use.
    """
    if not is_used:
        raise ValueError(
            "early_stopping=False leaves X_val without a use. Set early_stopping='auto', or leave "
            "out X_val."
        )


@contextmanager
def in_validation_table() -> Iterator[None]:
    """Say that an error is about the validation table."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"In the validation table (X_val, y_val, ...): {error}") from error


def validation_arguments(data: RankingData | None) -> dict[str, Any]:
    """Return validation data as arguments of a ``fit`` with our names; nothing for None."""
    if data is None:
        return {}
    arguments = {
        "X_val": data.X,
        "y_val": data.labels,
        "qid_val": data.queries.segment,
        "sample_weight_val": data.sample_weight,
    }
    return {name: value for name, value in arguments.items() if value is not None}
