"""Metrics of what a retriever returns out of a catalogue.

``retrieved`` are rows of positions in the catalogue, best first, -1 where fewer were left, as
``ExactIndex(embeddings).search`` returns them; ``relevant`` is a sparse matrix of queries by
items whose positive entries are the relevant pairs. Queries without a relevant item are left out.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning

from skdistill.metrics.ordering import check_k


def retrieval_recall(relevant: Any, retrieved: ArrayLike, *, k: int) -> float:
    """Mean share of a query's relevant items among the first k returned.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
    retrieved : array-like of shape (n_queries, n_returned), int
    k : int
    """
    hits, counts = _hits(relevant, retrieved, k)
    return _mean(hits.sum(axis=1) / counts)


def hit_rate(relevant: Any, retrieved: ArrayLike, *, k: int) -> float:
    """Share of the queries with at least one relevant item among the first k returned.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
    retrieved : array-like of shape (n_queries, n_returned), int
    k : int
    """
    hits, _ = _hits(relevant, retrieved, k)
    return _mean(hits.any(axis=1).astype(np.float64))


def retrieval_mrr(relevant: Any, retrieved: ArrayLike, *, k: int) -> float:
    """Mean of 1 / (rank of the first relevant item), 0 where none is among the first k.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
    retrieved : array-like of shape (n_queries, n_returned), int
    k : int
    """
    hits, _ = _hits(relevant, retrieved, k)
    if not hits.shape[1]:
        return _mean(np.zeros(len(hits)))
    return _mean(np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0))


def retrieval_ndcg(relevant: Any, retrieved: ArrayLike, *, k: int) -> float:
    """NDCG@k over the whole catalogue, every relevant item of gain 1.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
    retrieved : array-like of shape (n_queries, n_returned), int
    k : int
    """
    hits, counts = _hits(relevant, retrieved, k)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(counts, k) - 1]
    return _mean(hits @ discount[: hits.shape[1]] / ideal)


class RetrievalCurve(NamedTuple):
    """Recall of a wanted list by the number of items returned.

    Attributes
    ----------
    m : ndarray of shape (n_returned,), int64
        1, 2, ...
    recall : ndarray of shape (n_returned,), float64
        Mean share of the wanted items among the first m.
    """

    m: NDArray[np.int64]
    recall: NDArray[np.float64]

    def items_needed(self, recall: float) -> int:
        """Least number of returned items that reaches a recall.

        Raises
        ------
        ValueError
            When the curve ends below it.
        """
        if self.recall[-1] < recall:
            raise ValueError(
                f"A recall of {recall} is not reached: {self.m[-1]} items have "
                f"{self.recall[-1]:.4f}. Retrieve more."
            )
        return int(self.m[np.argmax(self.recall >= recall)])


def retrieval_curve(wanted: ArrayLike, retrieved: ArrayLike) -> RetrievalCurve:
    """Mean share of the wanted items among the first m returned, for every m.

    Parameters
    ----------
    wanted : array-like of shape (n_queries, k)
        What the strong stage would show, such as the teacher's top 10; -1 for none.
    retrieved : array-like of shape (n_queries, n_returned)
        What the cheap stage returns, best first. Same kind of ids as ``wanted``.

    Returns
    -------
    RetrievalCurve

    Examples
    --------
    >>> curve = retrieval_curve([[1, 2]], [[2, 5, 1]])
    >>> curve.recall.tolist()
    [0.5, 0.5, 1.0]
    >>> curve.items_needed(0.9)
    3
    """
    top, returned = np.asarray(wanted), np.asarray(retrieved)
    if top.ndim != 2 or returned.ndim != 2 or len(top) != len(returned):
        raise ValueError(
            "wanted and retrieved must have a row for each query: got shapes "
            f"{top.shape} and {returned.shape}."
        )
    found = np.zeros(returned.shape)
    for column in range(top.shape[1]):
        found += (returned == top[:, [column]]) & (top[:, [column]] != -1)
    counts = (top != -1).sum(axis=1)
    shares = np.cumsum(found, axis=1)[counts > 0] / counts[counts > 0][:, None]
    return RetrievalCurve(np.arange(1, returned.shape[1] + 1), shares.mean(axis=0))


def catalogue_coverage(retrieved: ArrayLike, n_items: int) -> float:
    """Share of the catalogue that is returned to any query.

    Parameters
    ----------
    retrieved : array-like of shape (n_queries, n_returned), int
    n_items : int
    """
    returned = np.asarray(retrieved)
    return len(np.unique(returned[returned >= 0])) / n_items


def mean_popularity(retrieved: ArrayLike, popularity: ArrayLike) -> float:
    """Mean popularity of the returned items, as a rank share: 1 the most popular, 0 the least.

    Parameters
    ----------
    retrieved : array-like of shape (n_queries, n_returned), int
    popularity : array-like of shape (n_items,)
        Such as counts in the log; equal ones share their mean rank.
    """
    from scipy.stats import rankdata

    returned, counts = np.asarray(retrieved), np.asarray(popularity)
    rank = (rankdata(counts) - 1) / max(len(counts) - 1, 1)
    return float(rank[returned[returned >= 0]].mean())


def fraction_of_top(
    teacher_scores: NDArray[Any], student_scores: NDArray[Any], k: int, m: int
) -> NDArray[np.float64]:
    """Share of the teacher's top k columns among the student's top m, a number a row."""
    n_items = teacher_scores.shape[1]
    k, m = min(k, n_items), min(m, n_items)
    top = np.argpartition(-teacher_scores, k - 1, axis=1)[:, :k]
    # A tie with the m-th score counts against the student: constant scores earn nothing.
    bar = np.partition(student_scores, n_items - m, axis=1)[:, n_items - m]
    at_top = np.take_along_axis(student_scores, top, axis=1)
    above = at_top > bar[:, None]
    at_bar = at_top == bar[:, None]
    places = m - (student_scores > bar[:, None]).sum(axis=1)
    others = (student_scores == bar[:, None]).sum(axis=1) - at_bar.sum(axis=1)
    # Of the places at the bar those that the others leave over.
    left = np.clip(places - others, 0, at_bar.sum(axis=1))
    return (above.sum(axis=1) + left) / k


def _hits(relevant: Any, retrieved: ArrayLike, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Whether each of the first k returned is relevant, and how many relevant ones there are.

    Of the queries that have any.
    """
    check_k(k)
    returned = np.asarray(retrieved)
    if not sparse.issparse(relevant):
        raise ValueError("relevant must be a sparse matrix of shape (n_queries, n_items).")
    if returned.ndim != 2 or returned.dtype.kind not in "iu" or len(returned) != relevant.shape[0]:
        raise ValueError(
            f"retrieved must hold positions, shape ({relevant.shape[0]}, n_returned), got "
            f"{returned.dtype} of shape {returned.shape}."
        )
    matrix = sparse.csr_array(relevant) > 0
    returned = returned[:, :k]
    if returned.size and returned.max() >= matrix.shape[1]:
        raise ValueError(
            f"retrieved names item {returned.max()}, the catalogue has {matrix.shape[1]} items."
        )
    query = np.repeat(np.arange(len(returned)), returned.shape[1])
    hits = np.asarray(matrix[query, np.maximum(returned.ravel(), 0)]).reshape(returned.shape)
    counts = matrix.sum(axis=1)
    asking = counts > 0
    return (hits & (returned >= 0))[asking], counts[asking]


def _mean(values: Any) -> float:
    if not len(values):
        warnings.warn(
            "No query has a relevant item: the metric is 0.", UndefinedMetricWarning, stacklevel=3
        )
        return 0.0
    return float(values.mean())
