"""The evidence of a report: a table that was read once, and what models say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from skdistill.inputs.checks import check_finite, check_k, check_labels
from skdistill.inputs.column_reading import ordered_cells, ordered_values
from skdistill.inputs.columns import as_table, column_names, column_positions, query_ids
from skdistill.inputs.offsets import check_offset, log_unless_logs
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import check_qid
from skdistill.inputs.ranking_data import RankingData
from skdistill.inspection.models import scores_of, teacher_columns, teacher_of, unwrapped
from skdistill.inspection.relevant_queries import require_relevant_queries
from skdistill.inspection.report.findings import NEEDS_MODEL, NEEDS_TEACHER
from skdistill.metrics import kendall_tau, ndcg_score, per_query
from skdistill.metrics.scorers import offset_of, queries_of
from skdistill.teachers.fitting import check_teacher, fit_teacher
from skdistill.user_warnings import warn_user


@dataclass(frozen=True)
class Evidence:
    """What a report and its checks are made from.

    Parameters
    ----------
    model : estimator
        The student as the user passed it.
    teacher : model or None
        Its teacher; None if only the teacher's scores are known.
    data : RankingData
        Rows that nothing was fitted on, sorted by query, with labels and teacher scores. The table
        has the user's columns.
    ids : ndarray of shape (n_queries,)
        Id of each query.
    scores : ndarray of shape (n_rows,)
        Scores of the student.
    train : RankingData or None
        The rows that the student was fitted on, with labels.
    slices : dict of str to ndarray of shape (n_rows,)
        Values by which the rows are sliced.
    k : int
        Number of top places that count.
    seed : int
        Seed of everything random.
    """

    model: Any
    teacher: Any
    data: RankingData
    ids: NDArray[Any]
    scores: NDArray[np.float64]
    train: RankingData | None
    slices: Mapping[str, NDArray[Any]]
    k: int
    seed: int

    @property
    def labels(self) -> NDArray[np.float64]:
        """Labels of the rows."""
        assert self.data.labels is not None  # required by the report
        return self.data.labels

    @property
    def queries(self) -> Queries:
        """Segments of the rows."""
        return self.data.queries

    @cached_property
    def ordered(self) -> NDArray[np.float64]:
        """What the student ranks the rows by: its scores, and the offset if there is one."""
        offset = self.data.offset
        return self.scores if offset is None else self.scores + offset

    @cached_property
    def taught(self) -> NDArray[np.float64] | None:
        """What the teacher ranks the rows by; None if there is no teacher."""
        scores, offset = self.data.teacher_scores, self.data.offset
        return scores if scores is None or offset is None else scores + offset

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """NDCG of the student for each query."""
        return self.ndcg(self.scores)

    @cached_property
    def teacher_values(self) -> NDArray[np.float64] | None:
        """NDCG of the teacher for each query; None if there is no teacher."""
        scores = self.data.teacher_scores
        return None if scores is None else self.ndcg(scores)

    @cached_property
    def tau(self) -> NDArray[np.float64] | None:
        """Kendall's tau of student and teacher for each query; None if there is no teacher."""
        if self.taught is None:
            return None
        return per_query(kendall_tau, self.taught, self.ordered, self.queries.segment)

    @cached_property
    def is_comparable(self) -> NDArray[np.bool_]:
        """Whether the orders of a query can differ by degrees: it has three rows or more."""
        assert self.tau is not None  # there is a teacher
        return (self.queries.sizes > 2) & ~np.isnan(self.tau)

    def ndcg(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Compute the NDCG of each query by scores of the rows."""
        return per_query(
            *(ndcg_score, self.labels, scores, self.queries.segment),
            k=self.k,
            offset=self.data.offset,
        )

    @property
    def lacks_teacher(self) -> str:
        """What a check that asks the teacher needs, if there is none to ask."""
        return NEEDS_TEACHER if self.data.teacher_scores is None else NEEDS_MODEL

    @property
    def query_column(self) -> Any:
        """Column of the table that holds the query ids; None if there is none."""
        return getattr(last_step(unwrapped(self.model)), "query_column", None)

    @cached_property
    def feature_positions(self) -> list[int]:
        """Positions of the columns of the table that are features."""
        columns = list(range(self.data.X.shape[1]))
        if self.query_column is None:
            return columns
        position = column_positions(self.data.X, self.query_column, "query_column")
        return [column for column in columns if column not in position]

    @cached_property
    def on_labels(self) -> Any:
        """The same student, fitted on the labels of the training rows alone."""
        assert self.train is not None  # the caller has asked
        model = unwrapped(self.model)
        names = model.get_params(deep=True)
        weights = [name for name in names if name == "alpha" or name.endswith("__alpha")]
        if not weights:
            return None
        nearest = min(weights, key=len)
        twin = clone(model).set_params(**{nearest: 0.0})
        if self.query_column is not None:
            return twin.fit(self.train.X, self.train.labels)
        return fit_teacher(twin, self.train)


def gather(
    model: Any,
    X: Any,
    y: ArrayLike,
    *,
    qid: ArrayLike | None,
    teacher: Any,
    teacher_scores: ArrayLike | None,
    offset: ArrayLike | None,
    train: tuple[Any, Any, Any] | None,
    slices: Sequence[Any] | Mapping[str, ArrayLike] | None,
    k: int,
    seed: int,
) -> Evidence:
    """Check the arguments of a report, sort the rows, and score them once."""
    check_k(k)
    if not hasattr(model, "predict"):
        raise TypeError(f"model must be a fitted model with predict, got {model!r}.")
    if teacher is not None:
        check_teacher(teacher)
    X = as_table(X)
    n_rows = X.shape[0]
    ids = check_qid(queries_of(model, X, qid), n_rows)
    labels = check_labels(y, n_rows)
    offset = offset_of(model, offset)
    added = None if offset is None else check_offset(offset, n_rows)
    taught = None
    if teacher_scores is not None:
        taught = check_finite("teacher_scores", teacher_scores, n_rows)
    by_row = _slices(X, slices, n_rows)
    data = RankingData.sort(ids, X, labels, taught, offset=added)
    data = data.subset(data.is_labelled)
    _check_lists(ids, data)
    teacher = teacher_of(model, teacher)
    if taught is None and teacher is not None:
        scores = scores_of(teacher, teacher_columns(model, data.X), data.queries)
        data = replace(data, teacher_scores=scores)
    if added is not None and data.teacher_scores is not None:
        # The offset is that of logarithms.
        data = replace(data, teacher_scores=log_unless_logs(data.teacher_scores))
    rows = np.arange(n_rows) if data.order is None else data.order
    assert ids is not None  # one query would have been refused
    learnt = None if train is None else _read_train(model, *train)
    _warn_of_same_rows(data, learnt)
    return Evidence(
        model=model,
        teacher=teacher,
        data=data,
        ids=ids[rows[data.queries.starts]],
        scores=scores_of(model, data.X, data.queries).astype(np.float64),
        train=learnt,
        slices={name: values[rows] for name, values in by_row.items()},
        k=k,
        seed=seed,
    )


def _check_lists(ids: NDArray[Any] | None, data: RankingData) -> None:
    """Refuse a table without queries or relevant rows, whose intervals would mean nothing."""
    if not data.n_rows:
        raise ValueError("A report needs rows with a label, but y is NaN in all rows. Check y.")
    if ids is None or data.queries.n_queries < 2:
        raise ValueError(
            "A report compares rankings over queries, but all rows are one query. Pass qid=; for "
            "rows without queries, skdistill.serving.evaluate_table and scikit-learn's metrics of "
            "classifiers compare scores."
        )
    require_relevant_queries(data, "A report")


def _warn_of_same_rows(data: RankingData, train: RankingData | None) -> None:
    """Warn if the rows that are tested are those that the student was fitted on."""
    if train is not None and data.has_labels_of(train):
        warn_user(
            "The training rows (X_train, --train) seem to be the rows that are tested: they have "
            "the same queries and labels. All models rank the rows that they were fitted on too "
            "well, so the comparison says nothing of new rows. Test on rows that came later."
        )


def _read_train(model: Any, X: Any, y: Any, qid: Any) -> RankingData:
    """Check training rows, and sort them by query."""
    X = as_table(X)
    n_rows = X.shape[0]
    column = getattr(last_step(unwrapped(model)), "query_column", None)
    ids = check_qid(qid if column is None else query_ids(X, column), n_rows)
    data = RankingData.sort(ids, X, check_labels(y, n_rows))
    data = data.subset(data.is_labelled)
    if data.queries.n_queries < 2:
        raise ValueError(
            "The training rows with a label must be of two queries or more, but X_train has "
            f"{data.queries.n_queries}. Pass qid_train=, or leave X_train out."
        )
    return data


def _slices(
    X: Any, slices: Sequence[Any] | Mapping[str, ArrayLike] | None, n_rows: int
) -> dict[str, NDArray[Any]]:
    """Return the values of each row by which a table is sliced."""
    if isinstance(slices, Mapping):
        by_row = {str(name): ordered_values(values) for name, values in slices.items()}
        for name, values in by_row.items():
            if values.shape != (n_rows,):
                raise ValueError(
                    f"slices[{name!r}] must hold one value per row: expected shape ({n_rows},), "
                    f"got {values.shape}."
                )
        return by_row
    slices = [slices] if isinstance(slices, str) else slices
    positions = column_positions(X, list(slices), "slices") if slices else []
    names = column_names(X) or [f"column {place}" for place in range(X.shape[1])]
    return {str(names[place]): ordered_cells(X, place) for place in positions}
