"""The retriever that returns the same, most popular items for every query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.index import ExactIndex
from skdistill.inputs.checks import check_labels
from skdistill.inputs.columns import (
    as_table,
    column_names,
    column_positions,
    row_codes,
    take_columns,
)
from skdistill.public_names import set_module


@set_module("skdistill.cascade")
class PopularityRetriever(BaseEstimator):
    """Retrieve the items with the most positive rows in the log, the same for every query.

    It is the simplest rival of a retriever, and a second source of candidates in the first stage of
    a :class:`RankingCascade`: queries that towers know nothing about still get usual items.

    Parameters
    ----------
    item_columns : columns as in ColumnTransformer, optional
        Columns of the log that describe the item, in the order of the catalogue's columns. By
        default, the columns of the log that have the names of the catalogue's columns.

    Attributes
    ----------
    items_ : table of shape (n_items, n_item_columns)
        The catalogue of ``fit``.
    counts_ : ndarray of shape (n_items,), float64
        Number of positive rows of each of its items.
    n_features_in_ : int
        Number of columns of the log.
    feature_names_in_ : ndarray of str
        Names of the columns; only for tables that have names.
    index_ : ExactIndex
        What ``retrieve`` searches.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.cascade import PopularityRetriever
    >>> log = np.array([[1.0, 7.0], [1.0, 8.0], [2.0, 8.0]])  # user, item
    >>> popular = PopularityRetriever([1]).fit(log, items=np.array([[7.0], [8.0], [9.0]]))
    >>> popular.retrieve(np.array([[5.0]]), k=2)[0].tolist()
    [[1, 0]]
    """

    def __init__(self, item_columns: Any = None) -> None:
        self.item_columns = item_columns

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Cells are only compared with each other.
        for name in ("allow_nan", "string", "categorical", "sparse"):
            setattr(tags.input_tags, name, True)
        return tags

    def fit(
        self, X: Any, y: ArrayLike | None = None, *, qid: Any = None, items: Any
    ) -> PopularityRetriever:
        """Count the positive rows of each item.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The log.
        y : array-like of shape (n_rows,), optional
            Labels; rows with a label above 0 count. All rows count without it.
        qid : array-like, optional
            Not used.
        items : table of shape (n_items, n_item_columns)
            The catalogue.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the log lacks an item column, or the catalogue has more or fewer of them.
        """
        X, items = as_table(X), as_table(items)
        validate_data(self, X, reset=True, skip_check_array=True)
        names = column_names(items)
        if self.item_columns is None and names is None:
            raise ValueError(
                "PopularityRetriever needs item_columns: the catalogue is an array, whose columns "
                "have no names to look for in the log."
            )
        wanted = names if self.item_columns is None else self.item_columns
        positions = column_positions(X, wanted, "item_columns")
        if len(positions) != items.shape[1]:
            raise ValueError(
                f"item_columns selects {len(positions)} columns of X, which has {X.shape[1]} "
                f"feature(s), but the catalogue items= has {items.shape[1]} columns. Select one "
                "for each of them, in their order."
            )
        counted = np.ones(X.shape[0]) if y is None else check_labels(y, X.shape[0]) > 0
        codes, item_codes = row_codes(take_columns(X, positions), items)
        counts = np.bincount(codes, weights=counted, minlength=int(item_codes.max()) + 1)
        self.items_, self.counts_ = items, counts[item_codes]
        return self.index(items)

    def index(self, items: Any, ids: ArrayLike | None = None) -> PopularityRetriever:
        """Search other items; those that were not in the catalogue of ``fit`` have no count.

        Parameters
        ----------
        items : table of shape (n_items, n_item_columns)
            The items.
        ids : array-like of shape (n_items,), optional
            Ids that ``retrieve`` returns; positions by default.

        Returns
        -------
        self
        """
        check_is_fitted(self, "counts_")
        codes, item_codes = row_codes(self.items_, as_table(items))
        counts = np.zeros(int(max(codes.max(), item_codes.max())) + 1, dtype=np.float32)
        counts[codes] = self.counts_
        self.index_ = ExactIndex(counts[item_codes][:, None], ids)
        return self

    def retrieve(
        self, queries: Any, k: int = 10, *, exclude: Any = None, mask: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the most popular items.

        Parameters
        ----------
        queries : table of shape (n_queries, n_columns)
            Only its number of rows matters.
        k : int, default=10
            Number of items per query.
        exclude : sparse matrix of shape (n_queries, n_items), optional
            Items with a non-zero entry are not returned.
        mask : array-like of shape (n_items,), bool, or sparse (n_queries, n_items), optional
            Items that may be returned.

        Returns
        -------
        ids : ndarray of shape (n_queries, min(k, n_items))
            Most popular first, ties by position.
        scores : ndarray of shape (n_queries, min(k, n_items)), float32
            Number of positive rows.
        """
        check_is_fitted(self, "counts_")
        n_queries = np.shape(queries)[0]
        ones = np.ones((n_queries, 1), dtype=np.float32)
        return self.index_.search(ones, k, exclude=exclude, mask=mask)

    def score_pairs(
        self, queries: Any, query: NDArray[np.int64], item: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Score pairs by the popularity of their item.

        Parameters
        ----------
        queries : table
            Not used.
        query, item : ndarray of shape (n_pairs,), int64
            Row of the query table and position in the index.

        Returns
        -------
        ndarray of shape (n_pairs,), float32
        """
        ones = np.ones((int(query.max(initial=0)) + 1, 1), dtype=np.float32)
        return self.index_.score_pairs(ones, query, item)
