"""Scorers for GridSearchCV and the like: ranking metrics as ``scorer(estimator, X, y)``.

With metadata routing, the scorers request ``qid`` and ``offset``. Without routing, they take the
queries from the estimator's ``query_column``, also inside a Pipeline.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from skdistill._sklearn_compat import BaseScorer, BaseSearchCV
from skdistill.inputs.checks import single_column, unmask_labels
from skdistill.metrics.ndcg import dcg_score, ndcg_score
from skdistill.metrics.relevance import (
    average_precision_score,
    grouped_auc,
    mrr_score,
    precision_at_k,
    recall_at_k,
)


class QueryScorer(BaseScorer):
    """Scorer that calls ``metric(y_true, y_score, qid, **kwargs)``."""

    __metadata_request__score = {"qid": True, "offset": True}

    def __call__(
        self,
        estimator: Any,
        X: Any,
        y_true: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        """Return the metric of the predictions; rows with NaN or masked labels are left out."""
        metadata = {"qid": qid, "sample_weight": sample_weight, "offset": offset}
        return self._score(_call_method, estimator, X, y_true, **metadata)

    def _score(
        self,
        method_caller: Any,
        estimator: Any,
        X: Any,
        y_true: ArrayLike,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        # scikit-learn's multi-metric scorer calls this with a caller that caches predictions.
        scores = np.asarray(method_caller(estimator, "predict", X))
        labels = single_column(unmask_labels(y_true)).astype(np.float64)
        offset = offset_of(estimator, offset)
        columns = [labels, scores, queries_of(estimator, X, qid), sample_weight, offset]
        is_labelled = ~np.isnan(labels)
        if not is_labelled.all():
            columns = [None if c is None else np.asarray(c)[is_labelled] for c in columns]
        *arrays, weight, offset = columns
        options = {**self._kwargs, "sample_weight": weight, "offset": offset}
        return self._sign * self._score_func(*arrays, **options)


def _call_method(estimator: Any, method: str, X: Any) -> Any:
    """Call a method without caching, as ``method_caller``."""
    return getattr(estimator, method)(X)


def _last_step(estimator: Any) -> tuple[Any, list[Any]]:
    """Return the estimator inside searches and Pipelines, and the steps before it."""
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
    """Transform X by the steps before the estimator."""
    for head in heads:
        X = head.transform(X)
    return X


def queries_of(estimator: Any, X: Any, qid: ArrayLike | None) -> Any:
    """Return ``qid`` if it is given, otherwise the estimator's query column of X."""
    last, heads = _last_step(estimator)
    if not hasattr(last, "resolve_qid"):
        return qid
    return last.resolve_qid(X if qid is not None else _through(heads, X), qid)


def offset_of(estimator: Any, offset: ArrayLike | None) -> Any:
    """Return ``offset``; raise a ValueError if the estimator was fitted with one and lacks it."""
    last, _ = _last_step(estimator)
    return last.resolve_offset(offset) if hasattr(last, "resolve_offset") else offset


def default_scorer(estimator: Any, qid: ArrayLike | None) -> QueryScorer:
    """Make the scorer of what ``score`` returns: NDCG@10, or AUC for rows without queries."""
    last, _ = _last_step(estimator)
    takes_rows = hasattr(last, "scores_single_rows") and last.scores_single_rows(qid)
    return grouped_auc_scorer() if takes_rows else ndcg_scorer(k=10)


def ndcg_scorer(k: int | None = 10, **kwargs: Any) -> QueryScorer:
    """Make a scorer from :func:`ndcg_score`.

    Parameters
    ----------
    k : int or None, default=10
        Number of top places that count; None counts all.
    **kwargs
        Further arguments of :func:`ndcg_score`, such as ``convention``.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, qid=None, sample_weight=None, offset=None)``.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.metrics import ndcg_scorer
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(random_state=0)
    >>> student = LinearRanker(random_state=0).fit(data.X, data.y, qid=data.qid)
    >>> bool(ndcg_scorer(k=5)(student, data.X, data.y, qid=data.qid) > 0.5)
    True
    """
    return QueryScorer(ndcg_score, 1, {"k": k, **kwargs})


def dcg_scorer(k: int | None = 10, **kwargs: Any) -> QueryScorer:
    """Make a scorer from :func:`dcg_score`.

    Parameters
    ----------
    k : int or None, default=10
        Number of top places that count; None counts all.
    **kwargs
        Further arguments of :func:`dcg_score`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, qid=None, sample_weight=None, offset=None)``.
    """
    return QueryScorer(dcg_score, 1, {"k": k, **kwargs})


def mrr_scorer(k: int | None = None, **kwargs: Any) -> QueryScorer:
    """Make a scorer from :func:`mrr_score`.

    Parameters
    ----------
    k : int, optional
        Number of top places that count; all by default.
    **kwargs
        Further arguments of :func:`mrr_score`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, qid=None, sample_weight=None, offset=None)``.
    """
    return QueryScorer(mrr_score, 1, {"k": k, **kwargs})


def average_precision_scorer(**kwargs: Any) -> QueryScorer:
    """Make a scorer from :func:`average_precision_score`.

    Parameters
    ----------
    **kwargs
        Arguments of :func:`average_precision_score`, such as ``k``.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, qid=None, sample_weight=None, offset=None)``.
    """
    return QueryScorer(average_precision_score, 1, kwargs)


def precision_scorer(k: int, **kwargs: Any) -> QueryScorer:
    """Make a scorer from :func:`precision_at_k`.

    Parameters
    ----------
    k : int
        Number of top places.
    **kwargs
        Further arguments of :func:`precision_at_k`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, qid=None, sample_weight=None, offset=None)``.
    """
    return QueryScorer(precision_at_k, 1, {"k": k, **kwargs})


def recall_scorer(k: int, **kwargs: Any) -> QueryScorer:
    """Make a scorer from :func:`recall_at_k`.

    Parameters
    ----------
    k : int
        Number of top places.
    **kwargs
        Further arguments of :func:`recall_at_k`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, qid=None, sample_weight=None, offset=None)``.
    """
    return QueryScorer(recall_at_k, 1, {"k": k, **kwargs})


def grouped_auc_scorer(**kwargs: Any) -> QueryScorer:
    """Make a scorer from :func:`grouped_auc`.

    Parameters
    ----------
    **kwargs
        Arguments of :func:`grouped_auc`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, qid=None, sample_weight=None, offset=None)``.
    """
    return QueryScorer(grouped_auc, 1, kwargs)


class RetrievalScorer(BaseScorer):
    """Scorer that calls a retriever's ``teacher_recall``."""

    __metadata_request__score = {"qid": True}

    def __init__(self, k: int, m: int) -> None:
        super().__init__(None, 1, {"k": k, "m": m})

    def __call__(
        self, estimator: Any, X: Any, y_true: ArrayLike | None = None, *, qid: Any = None
    ) -> float:
        """Return the fraction of the teacher's top k in the top m; ``y_true`` is ignored."""
        return self._score(_call_method, estimator, X, y_true, qid=qid)

    def _score(
        self, method_caller: Any, estimator: Any, X: Any, y_true: Any, qid: Any = None
    ) -> float:
        last, heads = _last_step(estimator)
        return last.teacher_recall(_through(heads, X), qid=qid, **self._kwargs)


def retrieval_scorer(k: int = 10, m: int = 50) -> RetrievalScorer:
    """Make a scorer from :meth:`TwoTowerRetriever.teacher_recall`.

    Parameters
    ----------
    k : int, default=10
        Size of the teacher's top.
    m : int, default=50
        Number of items that the retriever returns.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None, *, qid=None)``; ``y`` is ignored.
    """
    return RetrievalScorer(k, m)
