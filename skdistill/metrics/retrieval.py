"""Metrics of the items that a retriever returns from a catalogue.

``retrieved`` holds the positions in the catalogue that ``ExactIndex(embeddings).search`` returns.
``relevant`` is a sparse matrix whose positive entries are the relevant pairs of query and item.
Queries without a relevant item are left out. An item that is returned several times for a query
counts at its first place only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skdistill.inputs.checks import check_k
from skdistill.inputs.queries import Queries
from skdistill.metrics.averaging import QueryValues, averaged
from skdistill.metrics.item_lists import check_positions
from skdistill.metrics.ordering import check_choice

# How much a relevant item gains, from its entry in the matrix.
GAINS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "binary": np.ones_like,
    "linear": np.asarray,
    "exponential": lambda relevance: np.expm1(np.log(2) * relevance),
}


@averaged
def retrieval_recall(relevant: Any, retrieved: ArrayLike, *, k: int) -> QueryValues:
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
    found = Hits.find(relevant, retrieved, k)
    return found.by_query(found.is_hit.sum(axis=1, dtype=np.float64) / found.n_relevant)


@averaged
def retrieval_precision(relevant: Any, retrieved: ArrayLike, *, k: int) -> QueryValues:
    """Compute the mean fraction of the first k returned items that are relevant.

    Places beyond the end of a shorter list count as irrelevant.

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
    >>> from skdistill.metrics import retrieval_precision
    >>> retrieval_precision(csr_array([[0, 1, 1]]), [[0, 2]], k=2)
    0.5
    """
    found = Hits.find(relevant, retrieved, k)
    return found.by_query(found.is_hit.sum(axis=1) / k)


@averaged
def hit_rate(relevant: Any, retrieved: ArrayLike, *, k: int) -> QueryValues:
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
    found = Hits.find(relevant, retrieved, k)
    return found.by_query(found.is_hit.any(axis=1).astype(np.float64))


@averaged
def retrieval_mrr(relevant: Any, retrieved: ArrayLike, *, k: int) -> QueryValues:
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
    found = Hits.find(relevant, retrieved, k)
    if not found.is_hit.shape[1]:
        return found.by_query(np.zeros(len(found.is_hit)))
    reciprocal = 1 / (found.is_hit.argmax(axis=1) + 1)
    return found.by_query(np.where(found.is_hit.any(axis=1), reciprocal, 0.0))


@averaged
def retrieval_average_precision(relevant: Any, retrieved: ArrayLike, *, k: int) -> QueryValues:
    """Compute the mean average precision over the whole catalogue (MAP).

    The average precision of a query is the sum of the precision at the rank of each relevant item
    among the first k returned, divided by the number of its relevant items, as in trec_eval.

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
    >>> from skdistill.metrics import retrieval_average_precision
    >>> retrieval_average_precision(csr_array([[0, 1, 1]]), [[0, 2]], k=2)
    0.25
    """
    found = Hits.find(relevant, retrieved, k)
    hits = found.is_hit.astype(np.float64)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return found.by_query((hits * precision).sum(axis=1) / found.n_relevant)


@averaged
def retrieval_ndcg(
    relevant: Any, retrieved: ArrayLike, *, k: int, gain: str = "binary"
) -> QueryValues:
    """Compute the mean NDCG@k over the whole catalogue.

    Parameters
    ----------
    relevant : sparse matrix of shape (n_queries, n_items)
        Positive entries mark the relevant items of each query.
    retrieved : array-like of shape (n_queries, n_returned), int
        Positions of the returned items, best first; -1 pads short lists. An item that is repeated
        counts at its first place only.
    k : int
        Number of returned items that count.
    gain : {"binary", "linear", "exponential"}, default="binary"
        Gain of a relevant item whose entry is y: 1, :math:`y` as in trec_eval, or
        :math:`2^y - 1`.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query has a relevant item.

    Raises
    ------
    ValueError
        If the inputs do not have these shapes and types, or an option is invalid.

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
    check_choice("gain", gain, tuple(GAINS))
    found = Hits.find(relevant, retrieved, k)
    gains = GAINS[gain](found.relevance.data)
    if not np.isfinite(gains).all():
        raise ValueError(
            f"The {gain} gain of the relevance {found.relevance.data.max():.6g} is not finite. Use "
            "gain='linear'."
        )
    width = found.is_hit.shape[1]
    achieved = np.zeros(found.is_hit.shape)
    achieved[found.is_hit] = gains[found.entry[found.is_hit]]
    discount = 1 / np.log2(np.arange(2, width + 2))
    ideal = found.ideal(gains, k)
    # The two sums are taken in different orders, so that their ratio may be rounded above 1.
    return found.by_query(np.minimum(achieved @ discount / ideal, 1.0))


@dataclass(frozen=True)
class Hits:
    """The relevant items among the first k that each query gets.

    Parameters
    ----------
    relevance : csr_array of shape (n_queries, n_items)
        Positive entries alone.
    is_hit : ndarray of shape (n_queries, n_places), bool
        Whether a place holds a relevant item that no earlier place holds.
    entry : ndarray of shape (n_queries, n_places), int64
        Number of the item's entry in ``relevance.data``; any number where there is no hit.
    """

    relevance: Any
    is_hit: NDArray[np.bool_]
    entry: NDArray[np.int64]

    @classmethod
    def find(cls, relevant: Any, retrieved: ArrayLike, k: int) -> Hits:
        """Check the arguments of a metric and find the hits.

        Raises
        ------
        ValueError
            If they do not have the expected shapes and types.
        """
        check_k(k)
        if not sparse.issparse(relevant):
            raise ValueError(
                "relevant must be a sparse matrix of shape (n_queries, n_items), got "
                f"{type(relevant).__name__}."
            )
        matrix = sparse.csr_array(relevant, dtype=np.float64, copy=True)
        matrix.sum_duplicates()
        if np.isnan(matrix.data).any():
            raise ValueError("relevant must hold numbers, but some entries are NaN.")
        returned = check_positions(retrieved, matrix.shape[1], matrix.shape[0])[:, :k]
        matrix.data = np.maximum(matrix.data, 0)
        matrix.eliminate_zeros()
        n_queries, n_items = matrix.shape
        relevant_query = np.repeat(np.arange(n_queries), np.diff(matrix.indptr))
        keys = relevant_query * n_items + matrix.indices
        wanted = (np.arange(n_queries)[:, None] * n_items + returned).ravel()
        entry = np.searchsorted(keys, wanted)
        is_relevant = np.append(keys, -1)[entry] == wanted
        hit = np.flatnonzero(is_relevant & (returned.ravel() >= 0))
        hit = hit[np.unique(entry[hit], return_index=True)[1]]
        is_hit = np.zeros(returned.shape, dtype=bool)
        is_hit.ravel()[hit] = True
        return cls(matrix, is_hit, entry.reshape(returned.shape))

    @property
    def has_relevant(self) -> NDArray[np.bool_]:
        """Whether each query has a relevant item."""
        return np.diff(self.relevance.indptr) > 0

    @property
    def n_relevant(self) -> NDArray[np.int64]:
        """Number of relevant items of each query, 1 where there are none."""
        return np.maximum(np.diff(self.relevance.indptr), 1)

    def ideal(self, gains: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """Discounted gain of the best k items of each query, 1 where there are none."""
        ideal = np.ones(len(self.has_relevant))
        if len(gains):
            queries = Queries.from_sizes(np.diff(self.relevance.indptr)[self.has_relevant])
            best = gains[queries.sort_descending(gains)] / np.log2(2 + queries.position)
            ideal[self.has_relevant] = queries.sum(np.where(queries.position < k, best, 0.0))
        return ideal

    def by_query(self, values: Any) -> QueryValues:
        """Return the values of queries, which are defined for those with a relevant item."""
        return QueryValues(values, self.has_relevant, "a relevant item")
