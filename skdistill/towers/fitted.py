"""Fitted towers at work: embeddings, scores of pairs, an index, retrieval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.base import RankingEstimator
from skdistill.index import make_index
from skdistill.inputs.columns import as_table
from skdistill.inputs.encoding import encode
from skdistill.inputs.scaling import ColumnScaler
from skdistill.models.scoring import Scorer
from skdistill.models.two_tower import TwoTower, side
from skdistill.towers.pair_table import PairColumns

# Attributes of 0.1.0 by other names.
FORMER_ATTRIBUTES = {"_columns": "pair_columns_", "draw_correction": "logq_correction"}


class FittedTowers(RankingEstimator):
    """What a retriever does once it is fitted; fitting is the subclass's.

    Attributes
    ----------
    params_ : dict of ndarray
    query_transformer_, item_transformer_ : transformer
    query_scaler_, item_scaler_ : ColumnScaler
    index_ : ExactIndex or another index
    """

    embedding_dim: int
    query_hidden: tuple[int, ...]
    item_hidden: tuple[int, ...]
    item_bias: bool
    similarity: str
    params_: dict[str, NDArray[Any]]
    query_scaler_: ColumnScaler
    item_scaler_: ColumnScaler
    pair_columns_: PairColumns
    _scorers: dict[str, Scorer]

    def predict(self, X: Any) -> NDArray[np.float32]:
        """Dot products of pairs, higher is better; in the order of the rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of ``fit``; only those of queries and items are read.

        Returns
        -------
        ndarray of shape (n_rows,), float32
        """
        check_is_fitted(self)
        X = as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        left = self.transform_queries(self.pair_columns_.queries(X))
        right = self.transform_items(self.pair_columns_.items(X))
        return np.einsum("ij,ij->i", left, right)

    def transform_queries(self, queries: Any) -> NDArray[np.float32]:
        """Embeddings of queries.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            A data frame may have further columns.

        Returns
        -------
        ndarray of shape (n_queries, embedding_dim), float32
        """
        return self._embed(queries, "query")

    def transform_items(self, items: Any) -> NDArray[np.float32]:
        """Embeddings of items.

        Parameters
        ----------
        items : table of shape (n_items, n_item_columns)
            A data frame may have further columns.

        Returns
        -------
        ndarray of shape (n_items, embedding_dim), float32
        """
        return self._embed(items, "item")

    def index(
        self, items: Any, ids: ArrayLike | None = None, *, engine: str = "exact", **options: Any
    ) -> FittedTowers:
        """Embed items and make them what ``retrieve`` searches.

        Parameters
        ----------
        items : table of shape (n_items, n_item_columns)
        ids : array-like of shape (n_items,), optional
            What to return for each item, of any type; its position by default.
        engine : {"exact", "faiss", "usearch", "hnswlib"}, default="exact"
            The others are approximate and come with the extras ``ann`` and ``hnswlib``.
        **options
            Of the engine, see :mod:`skdistill.index.approximate`.

        Returns
        -------
        self
        """
        self.index_ = make_index(engine, self.transform_items(items), ids, **options)
        return self

    def retrieve(
        self,
        queries: Any,
        k: int = 10,
        *,
        exclude: Any = None,
        mask: ArrayLike | None = None,
        n_jobs: int | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Best items of the index for each query, best first.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            May have no rows.
        k : int, default=10
        exclude : sparse matrix of shape (n_queries, n_items), optional
            Its non-zero entries are not returned: what a query has seen already.
        mask : array-like of shape (n_items,), bool, optional
            Items that may be returned.
        n_jobs : int, optional
            Threads over blocks of queries.

        Returns
        -------
        ids : ndarray of shape (n_queries, k)
            -1, or None for ids that are no numbers, where fewer than k items are left.
        scores : ndarray of shape (n_queries, k), float32
            There -inf.
        """
        embeddings = self.transform_queries(queries)
        if not hasattr(self, "index_"):
            raise ValueError(
                "There is no index to search: call index(items), or fit with items=, the catalogue."
            )
        return self.index_.search(embeddings, k, exclude=exclude, mask=mask, n_jobs=n_jobs)

    def __getstate__(self) -> dict[str, Any]:
        # Scorers are the parameters once more, folded: made anew rather than kept in files.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_scorers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for former, name in FORMER_ATTRIBUTES.items():
            if former in state and name not in state:
                state[name] = state.pop(former)
        super().__setstate__(state)
        if hasattr(self, "params_"):
            self._scorers = self._fold(self.params_)

    @property
    def served_combination(self) -> NDArray[np.float32] | None:
        """Weights of a query's embeddings in the score; None: a query has one embedding."""
        return None

    def make_model(self) -> TwoTower:
        return TwoTower(
            self.embedding_dim,
            tuple(self.query_hidden),
            tuple(self.item_hidden),
            item_bias=self.item_bias and self.similarity == "dot",
            cosine=self.similarity == "cosine",
        )

    def _embed(self, table: Any, name: str) -> NDArray[np.float32]:
        check_is_fitted(self)
        table = self.pair_columns_.check(table, name)
        if not table.shape[0]:
            return np.empty((0, self.embedding_dim), dtype=np.float32)
        outputs = self._scorers[name](encode(getattr(self, f"{name}_transformer_"), table, name))
        model = self.make_model()
        finish = model.finish_queries if name == "query" else model.finish_items
        return finish(outputs)[0]

    def _fold(self, params: dict[str, Any]) -> dict[str, Scorer]:
        model = self.make_model()
        return {
            "query": Scorer.fold(model.query_tower, side("query_", params), self.query_scaler_),
            "item": Scorer.fold(model.item_tower, side("item_", params), self.item_scaler_),
        }
