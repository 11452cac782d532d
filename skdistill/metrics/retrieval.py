"""Metrics of the items that a retriever returns from a catalogue.

``retrieved`` holds the positions in the catalogue that ``ExactIndex(embeddings).search`` returns.
``relevant`` is a sparse matrix whose positive entries are the relevant pairs of query and item.
Queries without a relevant item are left out. An item that is returned several times for a query
counts at its first place only.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning

from skdistill.inputs.checks import check_finite, check_k
from skdistill.metrics.item_lists import check_positions, first_places, is_padding, kind_of_ids


def retrieval_recall(relevant: Any, retrieved: ArrayLike, *, k: int) -> float:
    """Compute the mean fraction of a query's relevant items among the first k returned.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
        Positive entries mark the relevant items of each query.
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items, best first; -1 pads short lists. An item that is repeated
        counts at its first place only.
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
        Positions of the returned items, best first; -1 pads short lists. An item that is repeated
        counts at its first place only.
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
        Positions of the returned items, best first; -1 pads short lists. An item that is repeated
        counts at its first place only.
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
        Positions of the returned items, best first; -1 pads short lists. An item that is repeated
        counts at its first place only.
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
    places = max(hits.shape[1], min(k, int(counts.max(initial=1))))
    discount = 1 / np.log2(np.arange(2, places + 2))
    ideal = np.cumsum(discount)[np.minimum(counts, k) - 1]
    # The two sums are taken in different orders, so that their ratio may be rounded above 1.
    return _mean(np.minimum(hits @ discount[: hits.shape[1]] / ideal, 1.0))


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
            If all returned items have a lower recall, or it does not lie between 0 and 1.
        """
        if not 0 <= recall <= 1:
            raise ValueError(f"recall must lie between 0 and 1, got {recall!r}.")
        reached = self.recall[-1] if len(self.recall) else 0.0
        if not len(self.m) or reached < recall:
            raise ValueError(
                f"A recall of {recall} is not reached: {len(self.m)} items have {reached:.4f}. "
                "Retrieve more."
            )
        return int(self.m[np.argmax(self.recall >= recall)])


def retrieval_curve(wanted: ArrayLike, retrieved: ArrayLike) -> RetrievalCurve:
    """Compute the mean fraction of wanted items among the first m returned, for every m.

    Parameters
    ----------
    wanted : array-like of shape (n_queries, k)
        Items that the strong stage would show, such as the teacher's top 10. -1, None and NaN pad
        short lists. Queries without a wanted item are left out.
    retrieved : array-like of shape (n_queries, n_returned)
        Items that the cheap stage returns, best first, with the same kind of ids as ``wanted`` and
        the same padding. On either side, an item that is repeated counts once.

    Returns
    -------
    RetrievalCurve
        Recall between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no item is wanted.

    Raises
    ------
    ValueError
        If there is not one row per query on either side, or the ids of both sides are of different
        kinds, such as numbers and text.

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
    kinds = {kind_of_ids(top), kind_of_ids(returned)} - {"object"}
    if len(kinds) > 1:
        raise ValueError(
            "wanted and retrieved must hold ids of the same kind, got "
            f"{top.dtype} and {returned.dtype}."
        )
    is_wanted = first_places(top, ~is_padding(top))
    found = np.zeros(returned.shape)
    for column in range(top.shape[1]):
        query, place = np.nonzero((returned == top[:, [column]]) & is_wanted[:, [column]])
        first = np.unique(query, return_index=True)[1]
        found[query[first], place[first]] += 1
    counts = is_wanted.sum(axis=1)
    if not counts.any():
        _warn_undefined("wanted")
        recall = np.zeros(returned.shape[1])
    else:
        has_wanted = counts > 0
        recall = (np.cumsum(found[has_wanted], axis=1) / counts[has_wanted][:, None]).mean(axis=0)
    return RetrievalCurve(np.arange(1, returned.shape[1] + 1), recall)


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

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types.

    Examples
    --------
    >>> from skdistill.metrics import catalogue_coverage
    >>> catalogue_coverage([[0, 2], [2, -1]], n_items=4)
    0.5
    """
    check_k(n_items, "n_items")
    returned = check_positions(retrieved, n_items)
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
        1 if only the most popular item is returned, 0 if only the least popular; 0 with an
        ``UndefinedMetricWarning`` if no item is returned.

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types, or a popularity is not finite.

    Examples
    --------
    >>> from skdistill.metrics import mean_popularity
    >>> mean_popularity([[0, 2]], popularity=[9, 5, 7])
    0.75
    """
    from scipy.stats import rankdata

    counts = check_finite("popularity", popularity, np.size(popularity))
    returned = check_positions(retrieved, len(counts))
    rank = (rankdata(counts) - 1) / max(len(counts) - 1, 1)
    return _mean(rank[returned[returned >= 0]], "returned")


def _hits(relevant: Any, retrieved: ArrayLike, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return whether each of the first k items is relevant, and how many relevant items there are.

    Queries without a relevant item are left out.
    """
    check_k(k)
    if not sparse.issparse(relevant):
        raise ValueError(
            "relevant must be a sparse matrix of shape (n_queries, n_items), got "
            f"{type(relevant).__name__}."
        )
    matrix = sparse.csr_array(relevant)
    if np.isnan(matrix.data).any():
        raise ValueError("relevant must hold numbers, but some entries are NaN.")
    matrix = matrix > 0
    returned = check_positions(retrieved, matrix.shape[1], matrix.shape[0])[:, :k]
    query = np.repeat(np.arange(len(returned)), returned.shape[1])
    is_relevant = np.asarray(matrix[query, np.maximum(returned.ravel(), 0)])
    hit = np.flatnonzero(is_relevant & (returned.ravel() >= 0))
    _, first = np.unique(query[hit] * matrix.shape[1] + returned.ravel()[hit], return_index=True)
    hits = np.zeros(returned.shape, dtype=bool)
    hits.ravel()[hit[first]] = True
    counts = matrix.sum(axis=1)
    has_relevant = counts > 0
    return hits[has_relevant], counts[has_relevant]


def _mean(values: Any, what: str = "relevant") -> float:
    """Average over queries; warn if there are none."""
    if not len(values):
        _warn_undefined(what)
        return 0.0
    return float(values.mean())


def _warn_undefined(what: str) -> None:
    warnings.warn(
        f"No query has a {what} item: the metric is undefined and set to 0.",
        UndefinedMetricWarning,
        stacklevel=4,
    )
