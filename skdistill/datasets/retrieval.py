"""Synthetic retrieval problems of any size, with a known utility of every pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_random_state

# A positive is the best of so many items that a query happens to see.
SEEN = 64
CHUNK = 1 << 16


@dataclass(frozen=True)
class Utility:
    """What is true of a pair: a bias of the item and the dot product of hidden factors.

    Parameters
    ----------
    query_factors, item_factors : ndarray of shape (n_columns, n_factors)
    item_bias : ndarray of shape (n_item_columns,)
    """

    query_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    item_bias: NDArray[np.float32]

    def __call__(self, queries: Any, items: Any) -> NDArray[np.float32]:
        """Utility of aligned rows, shape (n_pairs,), float32: a teacher, as a callable."""
        left, right = queries @ self.query_factors, items @ self.item_factors
        return np.einsum("ij,ij->i", left, right) + items @ self.item_bias

    def best(self, queries: Any, items: Any, k: int) -> NDArray[np.int64]:
        """Positions of the k items of largest utility for each query, best first."""
        from skdistill.index import ExactIndex

        left = np.column_stack([queries @ self.query_factors, np.ones(queries.shape[0])])
        right = np.column_stack([items @ self.item_factors, items @ self.item_bias])
        return ExactIndex(right).search(left, k)[0]


class RetrievalData(NamedTuple):
    """A log, its two sides, and the truth; a named tuple, for ``Bunch.items`` is a method.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_columns), float32
        The log: query columns, then item columns.
    y, qid, item : ndarray of shape (n_rows,)
    queries, items : ndarray or CSR matrix
        The query table and the catalogue.
    query_columns, item_columns : slice
        Of X.
    utility : Utility
        A callable of two aligned tables.
    """

    X: Any
    y: NDArray[np.float64]
    qid: NDArray[np.int64]
    item: NDArray[np.int64]
    queries: Any
    items: Any
    query_columns: slice
    item_columns: slice
    utility: Utility


def make_retrieval(
    n_queries: int = 1000,
    n_items: int = 1000,
    n_pairs: int = 10,
    *,
    n_features: int = 8,
    query_ids: tuple[int, ...] = (),
    item_ids: tuple[int, ...] = (),
    n_factors: int = 8,
    positive_share: float = 0.5,
    random_state: Any = None,
) -> RetrievalData:
    """Queries, a catalogue, and a log of pairs drawn from a known utility.

    Parameters
    ----------
    n_queries, n_items : int, default=1000
    n_pairs : int, default=10
        Logged pairs of each query.
    n_features : int, default=8
        Numeric columns of queries, and of items.
    query_ids, item_ids : tuple of int, default=()
        Number of values of each id column; as many values as rows make a column that names them.
        With any on either side, the tables are CSR: numeric columns, then one-hot ids.
    n_factors : int, default=8
        Of the utility: a rank that embeddings of one more dimension can reach.
    positive_share : float, default=0.5
        Of the logged pairs. A positive is the best of 64 random items, the others are random.
    random_state : int, RandomState or None

    Returns
    -------
    RetrievalData
    """
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    as_csr = bool(query_ids or item_ids)
    queries, query_factors = _table(rng, n_queries, n_features, query_ids, n_factors, as_csr)
    items, item_factors = _table(rng, n_items, n_features, item_ids, n_factors, as_csr)
    bias = (rng.standard_normal(items.shape[1]) / np.sqrt(n_features + 1)).astype(np.float32)
    utility = Utility(query_factors, item_factors, bias)

    query = np.repeat(np.arange(n_queries), n_pairs)
    item = rng.integers(0, n_items, len(query))
    is_positive = np.tile(np.arange(n_pairs) < max(round(positive_share * n_pairs), 1), n_queries)
    left, right = queries @ query_factors, items @ item_factors
    item_bias = items @ bias
    for start in range(0, len(query), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(query)))
        rows = rows[is_positive[rows]]
        seen = rng.integers(0, n_items, (len(rows), SEEN))
        scores = np.einsum("if,ijf->ij", left[query[rows]], right[seen]) + item_bias[seen]
        item[rows] = seen[np.arange(len(rows)), scores.argmax(axis=1)]
    if as_csr:
        X = sparse.hstack([queries[query], items[item]], format="csr")
    else:
        X = np.concatenate([queries[query], items[item]], axis=1)
    width = queries.shape[1]
    return RetrievalData(
        X=X,
        y=is_positive.astype(np.float64),
        qid=query,
        item=item,
        queries=queries,
        items=items,
        query_columns=slice(0, width),
        item_columns=slice(width, width + items.shape[1]),
        utility=utility,
    )


def _table(
    rng: np.random.Generator,
    n_rows: int,
    n_features: int,
    ids: tuple[int, ...],
    n_factors: int,
    as_csr: bool,
) -> tuple[Any, NDArray[np.float32]]:
    """Columns, and the factors that make a row's hidden vector of them, of deviation about 1."""
    numbers = rng.standard_normal((n_rows, n_features)).astype(np.float32)
    parts = [rng.standard_normal((n_features, n_factors)) / np.sqrt(n_features * (1 + len(ids)))]
    table: Any = numbers
    if as_csr:
        blocks = [sparse.csr_array(numbers)]
        for n_values in ids:
            names_rows = n_values == n_rows
            column = np.arange(n_rows) if names_rows else rng.integers(0, n_values, n_rows)
            one_hot = (np.ones(n_rows, dtype=np.float32), column, np.arange(n_rows + 1))
            blocks.append(sparse.csr_array(one_hot, shape=(n_rows, n_values)))
            parts.append(rng.standard_normal((n_values, n_factors)) / np.sqrt(1 + len(ids)))
        table = sparse.hstack(blocks, format="csr")
    return table, np.concatenate(parts).astype(np.float32)
