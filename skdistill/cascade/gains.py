"""Gains of items, and the NDCG of the lists that a cascade returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.queries import Queries
from skdistill.metrics import retrieval_ndcg
from skdistill.metrics.averaging import per_query


@dataclass(frozen=True)
class LabelledQueries:
    """Queries of a log, and what the items of the catalogue gain for them.

    Parameters
    ----------
    table : table of shape (n_queries, n_query_columns)
        The query table, in the order of the sorted query ids.
    gains : csr_array of shape (n_queries, n_items)
        Gain of each item, above 0.
    queries : Queries
        Segments of the rows of the log, sorted by query.
    order : ndarray of shape (n_rows,), int64, or None
        Row of the user's log at each place; None if it is in order.
    """

    table: Any
    gains: Any
    queries: Queries
    order: NDArray[np.int64] | None


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
    return per_query(retrieval_ndcg, gains, lists, k=k, gain="linear")


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
