"""The base of ensembles of teachers: it brings members' scores to one scale and averages them.

Members score on different scales. If ``predict`` gets the queries, as it does when an ensemble
teaches, scores are brought to one scale within each query. Otherwise each member's scores are
divided by their mean standard deviation within a training query. That gives nearly the same order
if queries do not differ much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skdistill.base import RankingEstimator
from skdistill.inputs.checks import check_labels, check_sample_weight
from skdistill.inputs.columns import as_table
from skdistill.inputs.leaks import warn_of_leaks
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.validation import VALIDATION_REQUESTS, ValidationTable
from skdistill.teachers.asking import score_rows


def standardize_by_query(scores: NDArray[Any], queries: Queries) -> NDArray[np.float64]:
    """Bring scores to mean 0 and standard deviation 1 within each query; constants become 0."""
    centred, deviation = _about_the_mean(scores, queries)
    deviation[deviation == 0] = 1
    return centred / queries.spread(deviation)


def _about_the_mean(
    scores: NDArray[Any], queries: Queries
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Subtract each query's mean, and return each query's standard deviation too."""
    centred = scores - queries.spread(queries.mean(scores))
    return centred, np.sqrt(queries.mean(centred**2))


def scores_of(members: list[Any], X: Any) -> NDArray[np.float64]:
    """Score rows with every fitted member; the result has the shape (n_rows, n_members)."""
    return np.column_stack([score_rows(member, X) for member in members])


def rank_fraction(scores: NDArray[Any], queries: Queries) -> NDArray[np.float64]:
    """Turn scores into rank fractions, from 1 for the first row of a query to 0 for its last.

    Ties are broken by the order of the rows.
    """
    last = queries.spread(np.maximum(queries.sizes - 1, 1))
    return 1 - queries.rank_descending(scores) / last


class Ensemble(RankingEstimator):
    """Base of ensembles: it checks queries, and averages members' scores on one scale."""

    __metadata_request__fit = VALIDATION_REQUESTS

    averaging: str
    estimators_: list[Any]
    deviations_: NDArray[np.float64]

    def predict(self, X: Any, qid: ArrayLike | None = None) -> NDArray[np.float64]:
        """Score rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``; rows in any order.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Required if the ensemble averages ranks, or weights members per
            query.

        Returns
        -------
        ndarray of shape (n_rows,), float64
            One score per row, in the order of X; higher is better.

        Raises
        ------
        NotFittedError
            If the ensemble is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or ``qid`` is required and missing.
        """
        check_is_fitted(self)
        X = as_table(X)
        self.check_columns(X, reset=False)
        scores = scores_of(self.estimators_, X)
        ids = check_qid(qid, X.shape[0])
        if ids is None:
            return self._without_queries(scores)
        queries, order = sort_by_query(ids, X.shape[0])
        order = np.arange(X.shape[0]) if order is None else order
        combined = np.empty(X.shape[0])
        combined[order] = self._combine(self._on_one_scale(scores[order], queries), queries)
        return combined

    def _without_queries(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average scores of rows whose queries are not given."""
        if self.averaging == "rank":
            raise ValueError(
                "averaging='rank' ranks the rows of each query, so predict needs qid. Pass qid=, "
                "or set averaging='score'."
            )
        return (scores / self.deviations_).mean(axis=1)

    def _on_one_scale(self, scores: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
        """Bring each member's scores to one scale within each query."""
        rescale = rank_fraction if self.averaging == "rank" else standardize_by_query
        return np.column_stack([rescale(column, queries) for column in scores.T])

    def _combine(self, scores: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
        """Average members' scores that are on one scale."""
        return scores.mean(axis=1)

    def _read(
        self,
        X: Any,
        y: ArrayLike,
        qid: ArrayLike | None,
        sample_weight: ArrayLike | None,
        metadata: Mapping[str, Any] | None = None,
    ) -> RankingData:
        """Check parameters and arguments, and sort the rows by query."""
        self._validate_params()
        X = as_table(X)
        self.check_columns(X, reset=True)
        n_rows = X.shape[0]
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Pass "
                "relevance labels."
            )
        labels, weight = check_labels(y, n_rows), check_sample_weight(sample_weight, n_rows)
        warn_of_leaks(X, labels, None)
        ids = self.check_ids(X, qid, n_rows)
        return RankingData.sort(ids, X, labels=labels, sample_weight=weight, metadata=metadata)

    def _read_validation(self, X_val: Any, **given: Any) -> RankingData | None:
        """Check the validation table, and sort its rows by query; None without one."""
        table = ValidationTable.of(X_val, **given)
        if table is None:
            return None
        return table.read(
            lambda X: self.check_columns(as_table(X), reset=False),
            check_labels,
            has_queries=self._queries_of_fit is not None,
        )

    def _remember_deviations(self, data: RankingData) -> None:
        """Store the mean standard deviation of each member's scores within a training query."""
        scores = scores_of(self.estimators_, data.X)
        deviations = [_about_the_mean(column, data.queries)[1].mean() for column in scores.T]
        self.deviations_ = np.where(np.array(deviations) > 0, deviations, 1.0)
