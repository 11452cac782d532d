"""Metrics of the items that a retriever returns from a catalogue.

``retrieved`` holds the positions in the catalogue that ``ExactIndex(embeddings).search`` returns.
``relevant`` is a sparse matrix whose positive entries are the relevant pairs of query and item.
Queries without a relevant item are left out.
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
    """Compute the mean fraction of a query's relevant items among the first k returned.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
        Positive entries mark the relevant items of each query.
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items, best first; -1 pads short lists.
    k : int
        Number of returned items that count.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query has a relevant item.

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from skdistill.metrics import retrieval_recall
    >>> retrieval_recall(csr_array([[0, 1, 1]]), [[0, 2]], k=2)
    0.5
    """
    hits, counts = _hits(relevant, retrieved, k)
    return _mean(hits.sum(axis=1) / counts)


def hit_rate(relevant: Any, retrieved: ArrayLike, *, k: int) -> float:
    """Compute the fraction of queries with a relevant item among the first k returned.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
        Positive entries mark the relevant items of each query.
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items, best first; -1 pads short lists.
    k : int
        Number of returned items that count.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query has a relevant item.

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from skdistill.metrics import hit_rate
    >>> hit_rate(csr_array([[0, 1, 1]]), [[0, 2]], k=2)
    1.0
    """
    hits, _ = _hits(relevant, retrieved, k)
    return _mean(hits.any(axis=1).astype(np.float64))


def retrieval_mrr(relevant: Any, retrieved: ArrayLike, *, k: int) -> float:
    """Compute the mean reciprocal rank of the first relevant item.

    A query counts 0 if no relevant item is among the first k returned.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
        Positive entries mark the relevant items of each query.
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items, best first; -1 pads short lists.
    k : int
        Number of returned items that count.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query has a relevant item.

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from skdistill.metrics import retrieval_mrr
    >>> retrieval_mrr(csr_array([[0, 1, 1]]), [[0, 2]], k=2)
    0.5
    """
    hits, _ = _hits(relevant, retrieved, k)
    if not hits.shape[1]:
        return _mean(np.zeros(len(hits)))
    return _mean(np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0))


def retrieval_ndcg(relevant: Any, retrieved: ArrayLike, *, k: int) -> float:
    """Compute the mean NDCG@k over the whole catalogue, with gain 1 for each relevant item.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
        Positive entries mark the relevant items of each query.
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items, best first; -1 pads short lists.
    k : int
        Number of returned items that count.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query has a relevant item.

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types.

    References
    ----------
    Jarvelin, Kekalainen, "Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from skdistill.metrics import retrieval_ndcg
    >>> round(retrieval_ndcg(csr_array([[0, 1, 1]]), [[0, 2]], k=2), 3)
    0.387
    """
    hits, counts = _hits(relevant, retrieved, k)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(counts, k) - 1]
    return _mean(hits @ discount[: hits.shape[1]] / ideal)


class RetrievalCurve(NamedTuple):
    """Recall of wanted items as a function of the number of returned items.

    Attributes
    ----------
    m : ndarray of shape (n_returned,), int64
        Number of returned items: 1, 2, ...
    recall : ndarray of shape (n_returned,), float64
        Mean fraction of the wanted items among the first m.
    """

    m: NDArray[np.int64]
    recall: NDArray[np.float64]

    def items_needed(self, recall: float) -> int:
        """Return the least number of returned items that reaches a recall.

        Parameters
        ----------
        recall : float
            Recall to reach, between 0 and 1.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If all returned items have a lower recall.
        """
        if self.recall[-1] < recall:
            raise ValueError(
                f"A recall of {recall} is not reached: {self.m[-1]} items have "
                f"{self.recall[-1]:.4f}. Retrieve more."
            )
        return int(self.m[np.argmax(self.recall >= recall)])


def retrieval_curve(wanted: ArrayLike, retrieved: ArrayLike) -> RetrievalCurve:
    """Compute the mean fraction of wanted items among the first m returned, for every m.

    Parameters
    ----------
    wanted : array-like of shape (n_queries, k)
        Items that the strong stage would show, such as the teacher's top 10; -1 pads short lists.
        Queries without a wanted item are left out.
    retrieved : array-like of shape (n_queries, n_returned)
        Items that the cheap stage returns, best first, with the same kind of ids as ``wanted``.

    Returns
    -------
    RetrievalCurve

    Raises
    ------
    ValueError
        If there is not one row per query on either side.

    Examples
    --------
    >>> from skdistill.metrics import retrieval_curve
    >>> curve = retrieval_curve([[1, 2]], [[2, 5, 1]])
    >>> curve.recall.tolist()
    [0.5, 0.5, 1.0]
    >>> curve.items_needed(0.9)
    3
    """
    top, returned = np.asarray(wanted), np.asarray(retrieved)
    if top.ndim != 2 or returned.ndim != 2 or len(top) != len(returned):
        raise ValueError(
            "wanted and retrieved must have one row per query each, got shapes "
            f"{top.shape} and {returned.shape}."
        )
    found = np.zeros(returned.shape)
    for column in range(top.shape[1]):
        found += (returned == top[:, [column]]) & (top[:, [column]] != -1)
    counts = (top != -1).sum(axis=1)
    recall = np.cumsum(found, axis=1)[counts > 0] / counts[counts > 0][:, None]
    return RetrievalCurve(np.arange(1, returned.shape[1] + 1), recall.mean(axis=0))


def catalogue_coverage(retrieved: ArrayLike, n_items: int) -> float:
    """Compute the fraction of the catalogue that is returned for any query.

    Parameters
    ----------
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items; -1 pads short lists.
    n_items : int
        Number of items in the catalogue.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> from skdistill.metrics import catalogue_coverage
    >>> catalogue_coverage([[0, 2], [2, -1]], n_items=4)
    0.5
    """
    returned = np.asarray(retrieved)
    return len(np.unique(returned[returned >= 0])) / n_items


def mean_popularity(retrieved: ArrayLike, popularity: ArrayLike) -> float:
    """Compute the mean popularity rank of the returned items, scaled to between 0 and 1.

    Parameters
    ----------
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items; -1 pads short lists.
    popularity : array-like of shape (n_items,)
        Popularity of each item, such as its count in the log. Ties have the mean of their ranks.

    Returns
    -------
    float
        1 if only the most popular item is returned, 0 if only the least popular.

    Examples
    --------
    >>> from skdistill.metrics import mean_popularity
    >>> mean_popularity([[0, 2]], popularity=[9, 5, 7])
    0.75
    """
    from scipy.stats import rankdata

    returned, counts = np.asarray(retrieved), np.asarray(popularity)
    rank = (rankdata(counts) - 1) / max(len(counts) - 1, 1)
    return float(rank[returned[returned >= 0]].mean())


def fraction_of_top(
    teacher_scores: NDArray[Any], student_scores: NDArray[Any], k: int, m: int
) -> NDArray[np.float64]:
    """Return the fraction of the teacher's top k columns in the student's top m, for each row.

    Ties are broken as in :func:`teacher_recall`.
    """
    n_items = teacher_scores.shape[1]
    k, m = min(k, n_items), min(m, n_items)
    wanted = _first_columns(teacher_scores, k)
    # Ties with the m-th score count against the student, so that a constant score earns nothing.
    bar = np.partition(student_scores, n_items - m, axis=1)[:, [n_items - m]]
    above, at_bar = student_scores > bar, student_scores == bar
    wanted_at_bar = (at_bar & wanted).sum(axis=1)
    others_at_bar = at_bar.sum(axis=1) - wanted_at_bar
    places = m - above.sum(axis=1)
    return ((above & wanted).sum(axis=1) + np.clip(places - others_at_bar, 0, wanted_at_bar)) / k


def _first_columns(scores: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """Whether each column is among the k best of its row; ties go to the earlier column."""
    bar = np.partition(scores, scores.shape[1] - k, axis=1)[:, [scores.shape[1] - k]]
    above, at_bar = scores > bar, scores == bar
    places = k - above.sum(axis=1, keepdims=True)
    return above | (at_bar & (np.cumsum(at_bar, axis=1) <= places))


def _hits(relevant: Any, retrieved: ArrayLike, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return whether each of the first k items is relevant, and how many relevant items there are.

    Queries without a relevant item are left out.
    """
    check_k(k)
    returned = np.asarray(retrieved)
    if not sparse.issparse(relevant):
        raise ValueError(
            "relevant must be a sparse matrix of shape (n_queries, n_items), got "
            f"{type(relevant).__name__}."
        )
    if returned.ndim != 2 or returned.dtype.kind not in "iu" or len(returned) != relevant.shape[0]:
        raise ValueError(
            "retrieved must hold positions of items: expected integers of shape "
            f"({relevant.shape[0]}, n_returned), got {returned.dtype} of shape {returned.shape}."
        )
    matrix = sparse.csr_array(relevant) > 0
    returned = returned[:, :k]
    if returned.size and returned.max() >= matrix.shape[1]:
        raise ValueError(
            f"retrieved names item {returned.max()}, but the catalogue has only "
            f"{matrix.shape[1]} items."
        )
    query = np.repeat(np.arange(len(returned)), returned.shape[1])
    hits = np.asarray(matrix[query, np.maximum(returned.ravel(), 0)]).reshape(returned.shape)
    counts = matrix.sum(axis=1)
    has_relevant = counts > 0
    return (hits & (returned >= 0))[has_relevant], counts[has_relevant]


def _mean(values: Any) -> float:
    """Average over queries; warn if there are none."""
    if not len(values):
        warnings.warn(
            "No query has a relevant item: the metric is undefined and set to 0.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
        return 0.0
    return float(values.mean())
