"""What every estimator that ranks has in common: queries of its rows, metadata requests, score."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import Tags, check_random_state

from skdistill.columns import query_ids, row_keys, take_rows
from skdistill.metrics import ndcg_scorer
from skdistill.queries import check_qid, sort_by_query


class RankingEstimator(CallbackSupportMixin, BaseEstimator):
    """Base of rankers: ``qid`` as routed metadata, or as the column that ``query_column`` names.

    Attributes
    ----------
    fitted_with_qid_ : bool
        Whether the queries were told at fit; then scoring without them is refused.
    """

    __metadata_request__fit = {"qid": True, "teacher_scores": True}
    __metadata_request__partial_fit = {"qid": True, "teacher_scores": True}
    __metadata_request__score = {"qid": True}

    query_column: Any = None
    random_state: Any = None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.positive_only = True
        tags.target_tags.single_output = True
        tags.input_tags.sparse = True
        return tags

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """NDCG@10 of the predicted order; queries without a relevant row are left out.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
            Relevance, 0 or more; rows with NaN are left out.
        qid : array-like of shape (n_rows,), optional
            Needed when the model was fitted with queries and has no ``query_column``.
        sample_weight : array-like of shape (n_rows,), optional

        Returns
        -------
        float
        """
        return ndcg_scorer(k=10)(self, X, y, qid=qid, sample_weight=sample_weight)

    def _resolve_qid(self, X: Any, qid: ArrayLike | None) -> Any:
        """Queries to score by: as given, or out of X; refused where one silent query is at hand."""
        if self.query_column is not None:
            self._refuse_two_sources(qid)
            return query_ids(X, self.query_column)
        if qid is None and getattr(self, "fitted_with_qid_", False):
            raise ValueError(
                f"{type(self).__name__} was fitted with qid, so scoring needs qid too: without it "
                "the whole table would count as one query. Pass qid=; in cross-validation enable "
                "metadata routing (sklearn.set_config(enable_metadata_routing=True)), or name a "
                "column of X by query_column."
            )
        return qid

    def _ids_for_fit(self, X: Any, qid: ArrayLike | None, n_rows: int) -> NDArray[Any] | None:
        """Checked query ids of the rows to fit; one silent query is at least said aloud."""
        if self.query_column is not None:
            self._refuse_two_sources(qid)
            qid = query_ids(X, self.query_column)
        ids = check_qid(qid, n_rows)
        if ids is None:
            warnings.warn(
                f"{type(self).__name__} got no qid: all {n_rows} rows are taken for one query. "
                "Pass qid=, or name a column of X by query_column; qid=np.zeros(len(X)) says that "
                "one query is meant.",
                UserWarning,
                stacklevel=4,
            )
        return ids

    def _check_labels(self, y: Any, n_rows: int) -> NDArray[np.float64]:
        """Labels as float64, NaN where unknown: one a row here."""
        return check_labels(y, n_rows)

    def _generator(self) -> np.random.Generator:
        """NumPy's generator, seeded by ``random_state``."""
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))

    def _refuse_two_sources(self, qid: ArrayLike | None) -> None:
        if qid is not None:
            raise ValueError(
                f"The queries are given twice: qid= and query_column={self.query_column!r}."
            )


class Epochs:
    """Tells an estimator's callbacks of its fit, epoch by epoch.

    Parameters
    ----------
    estimator : RankingEstimator
        With ``max_iter`` epochs at the most; inside its ``fit``.
    attributes_after : callable
        Fitted attributes, given the state of the training.
    seen : dict
        What callbacks may look at: ``X``, ``y`` and ``metadata``, or functions that make them.
    """

    def __init__(
        self,
        estimator: Any,
        attributes_after: Callable[[Any], dict[str, Any]],
        seen: dict[str, Any],
    ) -> None:
        self.estimator = estimator
        self.attributes_after = attributes_after
        self.seen = seen
        self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.context.call_on_fit_task_begin(estimator=estimator, **seen)

    @property
    def watch(self) -> Callable[[int, Any], bool] | None:
        """What the training loop calls after each epoch; None where nobody listens."""
        return self._on_epoch if hasattr(self.estimator, "_skl_callbacks") else None

    def _on_epoch(self, epoch: int, state: Any) -> bool:
        task = self.context.subcontext(task_name=f"epoch {epoch + 1}")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.seen)
        return task.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: self.attributes_after(state),
            **self.seen,
        )

    def end(self, state: Any) -> None:
        self.context.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: self.attributes_after(state),
            **self.seen,
        )


def in_query_order(ids: NDArray[Any] | None, table: Any, *columns: Any) -> tuple[Any, ...]:
    """A table and its columns sorted by query, rows of a query in a canonical order.

    Returns
    -------
    queries : Queries
    order : ndarray of shape (n_rows,), int64
        Row of the table at each place.
    table, *columns
        Sorted; None stays None.
    """
    queries, order = sort_by_query(ids, table.shape[0], row_keys(table))
    if order is None:
        return queries, np.arange(table.shape[0]), table, *columns
    ordered = (None if column is None else column[order] for column in columns)
    return queries, order, take_rows(table, order), *ordered


def check_labels(y: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    """Labels as float64 of shape (n_rows,), NaN where unknown.

    Raises
    ------
    ValueError
        For another length, and for infinities.
    """
    labels = np.asarray(y)
    if labels.dtype.kind not in "iufb":
        try:
            labels = labels.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must be numeric, got dtype {labels.dtype}: {error}.") from error
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    _check_one_value_a_row("y", labels, n_rows)
    labels = labels.astype(np.float64)
    if np.isinf(labels).any():
        row = int(np.flatnonzero(np.isinf(labels))[0])
        raise ValueError(f"y must be finite, or NaN where unknown: row {row} holds {labels[row]}.")
    return labels


def check_finite(name: str, values: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    """One finite number a row, as float64.

    Raises
    ------
    ValueError
        For another length, NaN and infinities.
    """
    array = np.asarray(values, dtype=np.float64)
    _check_one_value_a_row(name, array, n_rows)
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite: row {row} holds {array[row]}.")
    return array


def check_sample_weight(values: ArrayLike | None, n_rows: int) -> NDArray[np.float64] | None:
    """Weights of at least 0 as float64; None stays None; a number stands for all rows."""
    if values is None:
        return None
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0:
        values = np.full(n_rows, values)
    weight = check_finite("sample_weight", values, n_rows)
    if weight.min() < 0:
        row = int(np.argmin(weight))
        raise ValueError(f"sample_weight must be 0 or more: row {row} holds {weight[row]}.")
    if not weight.any():
        raise ValueError("sample_weight is zero in every row: nothing is left to learn from.")
    return weight


def _check_one_value_a_row(name: str, values: NDArray[Any], n_rows: int) -> None:
    if values.shape != (n_rows,):
        raise ValueError(
            f"{name} must hold one value a row: expected shape ({n_rows},), got {values.shape}. "
            "The numbers of rows are inconsistent."
        )
