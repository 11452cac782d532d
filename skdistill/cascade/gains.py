"""Gains of items, and the NDCG of the lists that a cascade returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def largest_labels(
    labels: NDArray[np.float64],
    query: NDArray[np.int64],
    item: NDArray[np.int64],
    shape: tuple[int, int],
) -> Any:
    """Return a CSR matrix of labels; a pair that was logged several times has its largest label."""
    order = np.argsort(-labels, kind="stable")
    _, first = np.unique(query[order] * shape[1] + item[order], return_index=True)
    kept = order[first]
    return sparse.csr_array((labels[kept], (query[kept], item[kept])), shape=shape)


def gains_of_labels(relevance: Any, offset: NDArray[np.float64] | None) -> Any:
    """Return the gains :math:`2^y - 1` of labels; with offsets, times their exponentials.

    Parameters
    ----------
    relevance : csr_array of shape (n_queries, n_items)
        Labels above 0.
    offset : ndarray of shape (n_items,), float64, or None
        Such as log bids. NDCG does not change with a common factor.

    Returns
    -------
    csr_array of shape (n_queries, n_items)
    """
    gains = np.exp2(relevance.data) - 1
    if offset is not None:
        gains = gains * np.exp(offset - offset.max())[relevance.indices]
    return sparse.csr_array((gains, relevance.indices, relevance.indptr), shape=relevance.shape)


def ndcg_of_lists(lists: NDArray[np.int64], gains: Any, k: int) -> NDArray[np.float64]:
    """NDCG@k of lists, query by query.

    Parameters
    ----------
    lists : ndarray of shape (n_queries, width), int64
        Best first; -1 is padding.
    gains : CSR matrix of shape (n_queries, n_items)
        Gain of each item, 0 or more.
    k : int
        Number of places that count.

    Returns
    -------
    ndarray of shape (n_queries,), float64
        NaN for queries without a gain.
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = ideal_gains(gains, k) @ discount
    dcg = gains_of(lists[:, :k], gains) @ discount[: min(k, lists.shape[1])]
    return np.divide(dcg, ideal, out=np.full(len(ideal), np.nan), where=ideal > 0)


def ceilings(lists: NDArray[np.int64], gains: Any, k: int) -> NDArray[np.float64]:
    """NDCG@k of the best order of what is in the lists, as :func:`ndcg_of_lists`."""
    of_items = gains_of(lists, gains)
    best = np.take_along_axis(lists, np.argsort(-of_items, axis=1, kind="stable"), axis=1)
    return ndcg_of_lists(best, gains, k)


def gains_of(lists: NDArray[np.int64], gains: Any) -> NDArray[np.float64]:
    """Gains of the items in lists; 0 for padding."""
    if not lists.size:
        return np.zeros(lists.shape)
    query = np.repeat(np.arange(len(lists)), lists.shape[1])
    found = np.asarray(sparse.csr_array(gains)[query, np.maximum(lists, 0).ravel()])
    return np.where(lists >= 0, found.ravel().reshape(lists.shape), 0.0)


def ideal_gains(gains: Any, k: int) -> NDArray[np.float64]:
    """The k largest gains of each query, in descending order."""
    matrix = sparse.csr_array(gains)
    counts = np.diff(matrix.indptr)
    width = max(int(counts.max(initial=0)), k)
    dense = np.zeros((matrix.shape[0], width))
    dense[np.arange(width) < counts[:, None]] = matrix.data
    return -np.sort(-dense, axis=1)[:, :k]
