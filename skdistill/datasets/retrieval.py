"""Synthetic retrieval problems in which the utility of every pair is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_random_state

from skdistill.user_warnings import warn_user

# A positive is the best of so many random items.
SEEN = 64
CHUNK = 1 << 16


@dataclass(frozen=True)
class Utility:
    """True utility of a pair: an item bias plus the dot product of hidden factors.

    Parameters
    ----------
    query_factors, item_factors : ndarray of shape (n_columns, n_factors), float32
        Factors of each column of the query table and of the catalogue.
    item_bias : ndarray of shape (n_item_columns,), float32
        Bias of each column of the catalogue.
    """

    query_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    item_bias: NDArray[np.float32]

    def __call__(self, queries: Any, items: Any) -> NDArray[np.float32]:
        """Compute the utility of aligned rows, shape (n_pairs,), float32, as a teacher does."""
        left, right = queries @ self.query_factors, items @ self.item_factors
        return np.einsum("ij,ij->i", left, right) + items @ self.item_bias

    def best(self, queries: Any, items: Any, k: int) -> NDArray[np.int64]:
        """Return the positions of the k items of largest utility for each query, best first."""
        from skdistill.index import ExactIndex

        left = np.column_stack([queries @ self.query_factors, np.ones(queries.shape[0])])
        right = np.column_stack([items @ self.item_factors, items @ self.item_bias])
        return ExactIndex(right).search(left, k)[0]


class RetrievalData(NamedTuple):
    """A log of pairs, the query table, the catalogue and the true utility.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_columns), float32
        The log: query columns, then item columns.
    y : ndarray of shape (n_rows,), float64
        1 for positives, 0 for other pairs.
    qid, item : ndarray of shape (n_rows,), int64
        Positions of each row's query and item in the two tables.
    queries, items : ndarray or CSR matrix, float32
        The query table and the catalogue.
    query_columns, item_columns : slice
        Columns of X that describe the query and the item.
    utility : Utility
        Takes aligned query and item rows, and returns the utility of each pair.
    """

    # A named tuple, because items would be a method of a Bunch.

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
    positive_fraction: float = 0.5,
    random_state: Any = None,
    positive_share: float | None = None,
) -> RetrievalData:
    """Make queries, a catalogue, and a log of pairs with known utility.

    Parameters
    ----------
    n_queries : int, default=1000
        Number of queries.
    n_items : int, default=1000
        Number of items in the catalogue.
    n_pairs : int, default=10
        Number of logged pairs per query.
    n_features : int, default=8
        Number of numeric columns of the query table, and of the catalogue.
    query_ids : tuple of int, default=()
        Number of values of each id column of the query table. With ``n_queries`` values, each query
        has a different id. With ids on either side, both tables are CSR: numeric columns, then
        one-hot ids.
    item_ids : tuple of int, default=()
        Number of values of each id column of the catalogue.
    n_factors : int, default=8
        Number of hidden factors. Embeddings with one more dimension can represent the utility.
    positive_fraction : float, default=0.5
        Fraction of positives among the logged pairs. A positive has the best of 64 random items,
        other pairs have a random item.
    random_state : int, RandomState or None, default=None
        Pass an int for reproducible data.
    positive_share : float, deprecated
        Former name of ``positive_fraction``.

        .. deprecated:: 0.2
            It will be removed in 0.3.

    Returns
    -------
    RetrievalData
        A named tuple with the attributes:

        - ``X``: ndarray or CSR matrix of shape (n_queries * n_pairs, n_columns), float32, the log;
        - ``y``: ndarray of shape (n_queries * n_pairs,), float64, 1 for positives, else 0;
        - ``qid``, ``item``: ndarray of shape (n_queries * n_pairs,), int64, positions of each row's
          query and item in the two tables;
        - ``queries``, ``items``: ndarray or CSR matrix, float32, the query table and the catalogue;
        - ``query_columns``, ``item_columns``: slice, the columns of X that describe each;
        - ``utility``: callable of aligned query and item rows, the true utility.

    Examples
    --------
    >>> from skdistill.datasets import make_retrieval
    >>> data = make_retrieval(n_queries=20, n_items=50, n_pairs=4, random_state=0)
    >>> data.X.shape, data.queries.shape, data.items.shape
    ((80, 16), (20, 8), (50, 8))
    """
    if positive_share is not None:
        warn_user(
            "positive_share was renamed to positive_fraction; the former name will be removed in "
            "0.3.",
            FutureWarning,
        )
        positive_fraction = positive_share
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    as_csr = bool(query_ids or item_ids)
    queries, query_factors = _table(rng, n_queries, n_features, query_ids, n_factors, as_csr)
    items, item_factors = _table(rng, n_items, n_features, item_ids, n_factors, as_csr)
    bias = (rng.standard_normal(items.shape[1]) / np.sqrt(n_features + 1)).astype(np.float32)
    utility = Utility(query_factors, item_factors, bias)

    query = np.repeat(np.arange(n_queries), n_pairs)
    item = rng.integers(0, n_items, len(query))
    is_positive = np.tile(
        np.arange(n_pairs) < max(round(positive_fraction * n_pairs), 1), n_queries
    )
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
    """Draw a table, and factors that give its rows hidden vectors of deviation about 1."""
    numbers = rng.standard_normal((n_rows, n_features)).astype(np.float32)
    factors = [rng.standard_normal((n_features, n_factors)) / np.sqrt(n_features * (1 + len(ids)))]
    table: Any = numbers
    if as_csr:
        blocks = [sparse.csr_array(numbers)]
        for n_values in ids:
            names_rows = n_values == n_rows
            column = np.arange(n_rows) if names_rows else rng.integers(0, n_values, n_rows)
            one_hot = (np.ones(n_rows, dtype=np.float32), column, np.arange(n_rows + 1))
            blocks.append(sparse.csr_array(one_hot, shape=(n_rows, n_values)))
            factors.append(rng.standard_normal((n_values, n_factors)) / np.sqrt(1 + len(ids)))
        table = sparse.hstack(blocks, format="csr")
    return table, np.concatenate(factors).astype(np.float32)
