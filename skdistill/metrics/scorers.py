"""Scorers for GridSearchCV and friends: a metric by query behind ``scorer(estimator, X, y)``.

With metadata routing on they request ``qid`` by themselves. With it off they take the queries from
the estimator's ``query_column``, through a Pipeline where there is one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from skdistill._sklearn_compat import BaseScorer, BaseSearchCV
from skdistill.metrics.ndcg import ndcg_score
from skdistill.metrics.relevance import (
    average_precision_score,
    grouped_auc,
    mrr_score,
    recall_at_k,
)


class QueryScorer(BaseScorer):
    """A scorer of ``metric(y_true, y_score, qid, **kwargs)``."""

    __metadata_request__score = {"qid": True}

    def __call__(
        self,
        estimator: Any,
        X: Any,
        y_true: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Value of the metric for the predictions; rows with NaN labels are left out."""
        return self._score(_call_method, estimator, X, y_true, qid=qid, sample_weight=sample_weight)

    def _score(
        self,
        method_caller: Any,
        estimator: Any,
        X: Any,
        y_true: ArrayLike,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        # scikit-learn's multi-metric scorer comes in here, its caller remembers predictions.
        scores = np.asarray(method_caller(estimator, "predict", X))
        labels = np.asarray(y_true, dtype=np.float64)
        columns = [labels, scores, queries_of(estimator, X, qid), sample_weight]
        unknown = np.isnan(labels)
        if unknown.any():
            columns = [None if c is None else np.asarray(c)[~unknown] for c in columns]
        *arrays, weight = columns
        return self._sign * self._score_func(*arrays, sample_weight=weight, **self._kwargs)


def _call_method(estimator: Any, method: str, X: Any) -> Any:
    return getattr(estimator, method)(X)


def _last_step(estimator: Any) -> tuple[Any, list[Any]]:
    """The estimator inside searches and Pipelines, and the Pipelines' heads before it."""
    heads = []
    while isinstance(estimator, BaseSearchCV | Pipeline):
        if isinstance(estimator, BaseSearchCV):
            estimator = estimator.best_estimator_
        else:
            if len(estimator) > 1:
                heads.append(estimator[:-1])
            estimator = estimator[-1]
    return estimator, heads


def _through(heads: list[Any], X: Any) -> Any:
    for head in heads:
        X = head.transform(X)
    return X


def queries_of(estimator: Any, X: Any, qid: ArrayLike | None) -> Any:
    """The queries of a table as the estimator knows them: as given, or out of X."""
    last, heads = _last_step(estimator)
    if not hasattr(last, "resolve_qid"):
        return qid
    return last.resolve_qid(X if qid is not None else _through(heads, X), qid)


def ndcg_scorer(k: int | None = 10, **kwargs: Any) -> QueryScorer:
    """Scorer of :func:`ndcg_score` at k; further arguments (``convention=``, ...) go to it."""
    return QueryScorer(ndcg_score, 1, {"k": k, **kwargs})


def mrr_scorer(k: int | None = None, **kwargs: Any) -> QueryScorer:
    """Scorer of :func:`mrr_score` at k; further arguments go to it."""
    return QueryScorer(mrr_score, 1, {"k": k, **kwargs})


def average_precision_scorer(**kwargs: Any) -> QueryScorer:
    """Scorer of :func:`average_precision_score`, to which the arguments go."""
    return QueryScorer(average_precision_score, 1, kwargs)


def recall_scorer(k: int, **kwargs: Any) -> QueryScorer:
    """Scorer of :func:`recall_at_k` at k; further arguments go to it."""
    return QueryScorer(recall_at_k, 1, {"k": k, **kwargs})


def grouped_auc_scorer(**kwargs: Any) -> QueryScorer:
    """Scorer of :func:`grouped_auc`, to which the arguments go."""
    return QueryScorer(grouped_auc, 1, kwargs)


class RetrievalScorer(BaseScorer):
    """A scorer of how much of the teacher's top a retriever returns."""

    __metadata_request__score = {"qid": True}

    def __init__(self, k: int, m: int) -> None:
        super().__init__(None, 1, {"k": k, "m": m})

    def __call__(
        self, estimator: Any, X: Any, y_true: ArrayLike | None = None, *, qid: Any = None
    ) -> float:
        """Share of the teacher's top k among the retriever's top m; ``y_true`` is not looked at."""
        return self._score(_call_method, estimator, X, y_true, qid=qid)

    def _score(
        self, method_caller: Any, estimator: Any, X: Any, y_true: Any, qid: Any = None
    ) -> float:
        last, heads = _last_step(estimator)
        return last.teacher_recall(_through(heads, X), qid=qid, **self._kwargs)


def retrieval_scorer(k: int = 10, m: int = 50) -> RetrievalScorer:
    """Scorer of :meth:`TwoTowerRetriever.teacher_recall`: the teacher's top k in the top m."""
    return RetrievalScorer(k, m)
