"""What ensembles of teachers share: members' scores on one scale, and their mean.

Members' scores have scales of their own. They are brought to one scale within each query if the
ensemble is told the queries (``predict(X, qid=...)``, as when it teaches). Otherwise each member's
scores are divided by their mean standard deviation within a training query, which orders the rows
of a query alike if queries do not differ much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.base import RankingEstimator
from skdistill.inputs.checks import check_labels, check_sample_weight
from skdistill.inputs.columns import as_table
from skdistill.inputs.queries import Queries, check_qid, sort_by_query
from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.asking import score_rows


def standardize_by_query(scores: NDArray[Any], queries: Queries) -> NDArray[np.float64]:
    """Mean 0 and deviation 1 within each query; a constant list becomes 0."""
    centred, deviation = _about_the_mean(scores, queries)
    deviation[deviation == 0] = 1
    return centred / queries.spread(deviation)


def _about_the_mean(
    scores: NDArray[Any], queries: Queries
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores less their query's mean, and their deviation in each query."""
    centred = scores - queries.spread(queries.mean(scores))
    return centred, np.sqrt(queries.mean(centred**2))


def scores_of(members: list[Any], X: Any) -> NDArray[np.float64]:
    """Scores of every fitted member, shape (n_rows, n_members)."""
    return np.column_stack([score_rows(member, X) for member in members])


def rank_fraction(scores: NDArray[Any], queries: Queries) -> NDArray[np.float64]:
    """1 for the first row of a query down to 0 for its last; ties by the order of the rows."""
    last = queries.spread(np.maximum(queries.sizes - 1, 1))
    return 1 - queries.rank_descending(scores) / last


class Ensemble(RankingEstimator):
    """What both kinds share: checked queries in, members' scores on one scale, their mean out."""

    averaging: str
    estimators_: list[Any]
    deviations_: NDArray[np.float64]

    def predict(self, X: Any, qid: ArrayLike | None = None) -> NDArray[np.float64]:
        """Scores of rows, higher is better; in the order of the rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        qid : array-like of shape (n_rows,), optional
            Query of each row; needed for averaging ranks and for weights by query.

        Returns
        -------
        ndarray of shape (n_rows,), float64
        """
        check_is_fitted(self)
        X = as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
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
        if self.averaging == "rank":
            raise ValueError("averaging='rank' looks at whole queries: predict needs qid.")
        return (scores / self.deviations_).mean(axis=1)

    def _on_one_scale(self, scores: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
        rescale = rank_fraction if self.averaging == "rank" else standardize_by_query
        return np.column_stack([rescale(column, queries) for column in scores.T])

    def _combine(self, scores: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
        return scores.mean(axis=1)

    def _read(
        self, X: Any, y: ArrayLike, qid: ArrayLike | None, sample_weight: ArrayLike | None
    ) -> RankingData:
        self._validate_params()
        X = as_table(X)
        validate_data(self, X, reset=True, skip_check_array=True)
        n_rows = X.shape[0]
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        labels, weight = check_labels(y, n_rows), check_sample_weight(sample_weight, n_rows)
        ids = self.check_ids(X, qid, n_rows)
        return RankingData.sort(ids, X, labels=labels, sample_weight=weight)

    def _remember_deviations(self, data: RankingData) -> None:
        """Keep the mean standard deviation of each member's scores within a training query."""
        scores = scores_of(self.estimators_, data.X)
        deviations = [_about_the_mean(column, data.queries)[1].mean() for column in scores.T]
        self.deviations_ = np.where(np.array(deviations) > 0, deviations, 1.0)
