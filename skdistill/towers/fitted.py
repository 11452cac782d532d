"""What fitted towers do: embed, score pairs, index a catalogue, retrieve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skdistill.index import make_index
from skdistill.inputs.columns import as_table, take_rows, without_query_column
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.inputs.scaling import ColumnScaler
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.metrics.agreement import fraction_of_top, teacher_recall
from skdistill.models.scoring import Scorer
from skdistill.models.two_tower import TwoTower, side
from skdistill.teachers.asking import score_rows
from skdistill.teachers.pair_scores import pair_rows, teacher_scores_of
from skdistill.towers.pair_table import WithPairColumns
from skdistill.towers.reading import read_table

# Queries whose scores of the whole catalogue are compared at once.
RECALL_QUERIES = 256
# Attributes that were renamed after release 0.1.0.
FORMER_ATTRIBUTES = {"_columns": "pair_columns_", "draw_correction": "logq_correction"}


class FittedTowers(WithPairColumns):
    """Base of the retrievers: everything after ``fit``, which subclasses add.

    Attributes
    ----------
    params_ : dict of ndarray
        Parameters of both towers.
    query_transformer_, item_transformer_ : TableEncoder or transformer
        What reads the columns.
    query_scaler_, item_scaler_ : ColumnScaler
        Softsign, shift and scale of each encoded column, twice if its tail is very heavy.
    index_ : ExactIndex or another index
        What ``retrieve`` searches.
    """

    embedding_dim: int
    query_hidden: tuple[int, ...]
    item_hidden: tuple[int, ...]
    item_bias: bool
    similarity: str
    params_: dict[str, NDArray[Any]]
    query_scaler_: ColumnScaler
    item_scaler_: ColumnScaler
    pair_features: Any
    teacher_: Any
    items_: Any
    _scorers: dict[str, Scorer]

    def predict(self, X: Any) -> NDArray[np.float32]:
        """Score pairs by the dot product of their embeddings; higher is better.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            Pairs, with the columns of ``fit``. Only the query and item columns are read.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            One score per row.

        Raises
        ------
        NotFittedError
            If the retriever is not fitted.
        ValueError
            If the columns differ from those of ``fit``.
        """
        check_is_fitted(self)
        X = as_table(X)
        self.check_columns(X, reset=False)
        left = self.transform_queries(self.pair_columns_.queries(X))
        right = self.transform_items(self.pair_columns_.items(X))
        return np.einsum("ij,ij->i", left, right)

    def transform_queries(self, queries: Any) -> NDArray[np.float32]:
        """Embed queries.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query columns of ``fit``. A data frame may have further columns.

        Returns
        -------
        ndarray of shape (n_queries, embedding_dim), float32

        Raises
        ------
        NotFittedError
            If the retriever is not fitted.
        ValueError
            If a column is missing.
        """
        return self._embed(queries, "query")

    def transform_items(self, items: Any) -> NDArray[np.float32]:
        """Embed items.

        Parameters
        ----------
        items : table of shape (n_items, n_item_columns)
            The item columns of ``fit``. A data frame may have further columns.

        Returns
        -------
        ndarray of shape (n_items, embedding_dim), float32

        Raises
        ------
        NotFittedError
            If the retriever is not fitted.
        ValueError
            If a column is missing.
        """
        return self._embed(items, "item")

    def index(
        self,
        items: Any,
        ids: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        engine: str = "exact",
        **options: Any,
    ) -> FittedTowers:
        """Embed items and index them for ``retrieve``; replaces an earlier index.

        Parameters
        ----------
        items : table of shape (n_items, n_item_columns)
            The items to search, with the item columns of ``fit``.
        ids : array-like of shape (n_items,), optional
            Distinct ids of any type that ``retrieve`` returns; positions by default.
        offset : array-like of shape (n_items,), optional
            Added to the scores of each item. If these are log-probabilities, the logarithms of bids
            make ``retrieve`` order by bid x probability. ``index_.set_offset(ids, offset)`` changes
            it without embedding the items again.
        engine : {"exact", "faiss", "usearch", "hnswlib"}, default="exact"
            Library that searches. All but "exact" are approximate and need the extra ``ann`` or
            ``hnswlib``.
        **options
            Options of the engine; see its class, such as :class:`skdistill.index.FaissIndex`.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            If the retriever is not fitted.
        ValueError
            If a column is missing, the ids are not distinct or do not match the items, or the
            engine is unknown.
        ImportError
            If the engine's library is not installed.
        """
        embeddings = self.transform_items(items)
        self.index_ = make_index(engine, embeddings, ids, offset=offset, **options)
        return self

    def retrieve(
        self,
        queries: Any,
        k: int = 10,
        *,
        exclude: Any = None,
        mask: Any = None,
        n_jobs: int | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Find the best items of the index for each query, best first.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query columns of ``fit``. A data frame may have further columns. It may have no
            rows.
        k : int, default=10
            Number of items per query.
        exclude : sparse matrix of shape (n_queries, n_items), optional
            Items with a non-zero entry are not returned, such as those that a query has seen.
        mask : array-like of shape (n_items,), bool, or sparse (n_queries, n_items), optional
            Items that may be returned; all by default. A sparse matrix is an allow-list per query,
            its non-zero entries.
        n_jobs : int, optional
            Number of threads over blocks of queries, as in joblib.

        Returns
        -------
        ids : ndarray of shape (n_queries, min(k, n_items))
            Ids of the items. If fewer than k items are left, the rest is -1, or None if ids are not
            numbers.
        scores : ndarray of shape (n_queries, min(k, n_items)), float32
            Scores of the items; -inf for missing ones.

        Raises
        ------
        NotFittedError
            If the retriever is not fitted.
        ValueError
            If there is no index, a column is missing, or ``k``, ``exclude`` or ``mask`` is invalid.
        """
        embeddings = self.transform_queries(queries)
        if not hasattr(self, "index_"):
            raise ValueError("There is no index to search: fit with items=, or call index(items).")
        return self.index_.search(embeddings, k, exclude=exclude, mask=mask, n_jobs=n_jobs)

    def score_pairs(
        self, queries: Any, query: NDArray[np.int64], item: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Score pairs of a query and an item of the index, as ``retrieve`` does.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query columns of ``fit``.
        query, item : ndarray of shape (n_pairs,), int64
            Row of the table and position in the index for each pair.

        Returns
        -------
        ndarray of shape (n_pairs,), float32
        """
        return self.index_.score_pairs(self.transform_queries(queries), query, item)

    def teacher_recall(
        self, X: Any, *, qid: ArrayLike | None = None, k: int = 10, m: int = 50
    ) -> float:
        """Measure the fraction of the teacher's top k in the towers' top m, averaged over queries.

        Both rank the catalogue if the towers were fitted with one, otherwise each query's rows in
        X.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            A log with the columns of ``fit``. With a catalogue, only its queries matter.
        qid : array-like of shape (n_rows,), optional
            Query of each row.
        k, m : int, default=10, 50
            Lengths of the teacher's and the towers' lists.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        NotFittedError
            If the retriever is not fitted.
        ValueError
            If no teacher was kept, or the columns differ from those of ``fit``.
        """
        check_is_fitted(self)
        if self.teacher_ is None:
            raise ValueError(
                "teacher_recall needs the fitted teacher, and none was kept: fit with teacher=, "
                "and fit and save with keep_teacher=True."
            )
        X = as_table(X)
        self.check_columns(X, reset=False)
        ids = self.resolve_qid(X, qid)
        if self.items_ is None:
            rows = without_query_column(X, self.query_column)
            if self.pair_features is not None:
                tables = self.pair_columns_.queries(X), self.pair_columns_.items(X)
                rows = pair_rows(self.pair_features, *tables)
            return teacher_recall(score_rows(self.teacher_, rows), self.predict(X), ids, k=k, m=m)
        grouped, order = sort_by_query(check_qid(ids, X.shape[0]), X.shape[0])
        first = grouped.starts if order is None else order[grouped.starts]
        queries = take_rows(self.pair_columns_.queries(X), first)
        features = self.pair_features or self.pair_columns_.side_by_side
        scores = teacher_scores_of(self.teacher_, features, queries, self.items_)
        left, right = self.transform_queries(queries), self.transform_items(self.items_)
        fractions = []
        for start in range(0, len(left), RECALL_QUERIES):
            block = np.arange(start, min(start + RECALL_QUERIES, len(left)))
            by_teacher = scores.grid(block, np.arange(len(right)))
            fractions.append(fraction_of_top(by_teacher, left[block] @ right.T, k, m))
        return float(np.concatenate(fractions).mean())

    def __getstate__(self) -> dict[str, Any]:
        # Scorers hold the parameters once more, folded: they are rebuilt rather than stored.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_scorers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for former, name in FORMER_ATTRIBUTES.items():
            if former in state and name not in state:
                state[name] = state.pop(former)
        super().__setstate__(state)
        if hasattr(self, "pair_columns_"):
            self.pair_columns_ = self.pair_columns_.with_kinds_of(
                self.query_transformer_, self.item_transformer_
            )
        if hasattr(self, "params_"):
            self._scorers = self._fold(self.params_)

    def check_table(self, table: Any, side: str) -> Any:
        """Check a table of queries or items, and bring its columns to the order and kinds of fit.

        Parameters
        ----------
        table : table of shape (n_rows, n_columns)
            Queries or items.
        side : {"query", "item"}
            Which of the two it is.

        Returns
        -------
        table of shape (n_rows, n_query_columns) or (n_rows, n_item_columns)

        Raises
        ------
        ValueError
            If a column is missing, or a cell cannot be converted exactly.
        """
        is_auto = isinstance(getattr(self, f"{side}_transformer"), str)
        fitted = getattr(self, f"{side}_transformer_", None)
        # A transformer of the user may take any number, "auto" takes integers for categories. In
        # files of former releases, "auto" is a transformer of scikit-learn.
        return self.pair_columns_.check(
            table,
            side,
            keeps_numbers=not is_auto,
            signs_integers=not is_auto or not isinstance(fitted, TableEncoder | None),
        )

    def input_kinds(self) -> list[str | None]:
        """Kind of values that the towers take in each column of ``fit``.

        Returns
        -------
        list of (str or None)
            Kinds as in ``inputs.column_kinds``; None if one is not known.
        """
        return self.pair_columns_.kinds_of_log(self.n_features_in_)

    @property
    def served_combination(self) -> NDArray[np.float32] | None:
        """Weight of each query vector in the score; None if a query has one vector."""
        return None

    def make_model(self) -> TwoTower:
        """Make the two-tower model that the parameters define.

        Returns
        -------
        TwoTower
        """
        return TwoTower(
            self.embedding_dim,
            tuple(self.query_hidden),
            tuple(self.item_hidden),
            item_bias=self.item_bias and self.similarity == "dot",
            cosine=self.similarity == "cosine",
        )

    def _embed(self, table: Any, name: str) -> NDArray[np.float32]:
        if not hasattr(self, "params_"):
            check_is_fitted(self)  # which costs as much as a query
        table = self.check_table(table, name)
        if not table.shape[0]:
            return np.empty((0, self.embedding_dim), dtype=np.float32)
        encoded = read_table(self, getattr(self, f"{name}_transformer_"), table, name)
        outputs = self._scorers[name](encoded)
        model = self.make_model()
        finish = model.finish_queries if name == "query" else model.finish_items
        return finish(outputs)[0]

    def _fold(self, params: dict[str, Any]) -> dict[str, Scorer]:
        model = self.make_model()
        return {
            "query": Scorer.fold(model.query_tower, side("query_", params), self.query_scaler_),
            "item": Scorer.fold(model.item_tower, side("item_", params), self.item_scaler_),
        }
