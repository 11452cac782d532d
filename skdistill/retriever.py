"""TwoTowerRetriever: the teacher's order over a catalogue, as dot products."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.approximate_index import make_index
from skdistill.columns import (
    as_table,
    column_names,
    column_positions,
    row_codes,
    row_keys,
    take_columns,
    take_rows,
    without_query_column,
)
from skdistill.encoding import encode, make_transformer
from skdistill.inputs import Rows
from skdistill.losses import get_loss
from skdistill.models.two_tower import TwoTower, side
from skdistill.pair_table import PairTable, check_same_columns
from skdistill.pairs import Pairs
from skdistill.protocols import Loss
from skdistill.queries import check_qid, sort_by_query
from skdistill.ranking_estimator import (
    Epochs,
    RankingEstimator,
    check_finite,
    check_labels,
    check_sample_weight,
)
from skdistill.scaling import ColumnScaler
from skdistill.scoring import Scorer
from skdistill.teacher_check import check_teacher_fitness
from skdistill.teachers import check_pair_scores
from skdistill.tower_lesson import (
    TowerLesson,
    TowerTraining,
    columns_side_by_side,
    over_catalogue,
    over_table,
)
from skdistill.training import SETTINGS_CONSTRAINTS, Training, TrainingSettings, hold_out, train


class TwoTowerRetriever(RankingEstimator):
    """Two networks map queries and items to vectors whose dot product follows the teacher's scores.

    With a catalogue (``fit(..., items=)``) each query's list is all of it, or ``n_candidates`` of
    it, logged or not, and the teacher is asked about every pair of the list; without one the lists
    are the logged rows, which makes a pre-ranking scorer.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator or ``lightgbm.Booster``, optional
        As in :class:`DistilledRanker`. None: the labels teach, or ``fit(..., teacher_scores=)``.
    query_columns, item_columns : columns as in ColumnTransformer
        Of X. The other columns describe pairs; only a teacher without a catalogue sees them.
    embedding_dim : int, default=32
        Length of the embeddings, the item bias included.
    query_hidden, item_hidden : tuple of int, default=()
        Hidden layers of the towers; linear towers without.
    query_transformer, item_transformer : transformer or "auto", default="auto"
        From the columns to numbers, fitted on the distinct queries and items. "auto": floats are
        imputed and standardised, integers, strings, booleans and categories are one-hot encoded;
        unknown categories and those seen once share one, an unknown id has no share at all, so
        that new queries and items are embedded by their other columns. Arrays and CSR matrices
        hold numbers.
    pair_features : callable, optional
        ``pair_features(queries, items)`` -> the teacher's input rows, of two aligned tables with
        the query and the item columns. By default their columns side by side, in the order of X.
    loss : str or Loss, default="listwise"
        How the towers' scores are compared with the teacher's.
    hard_loss : str or Loss, optional
        How they are compared with labels; as ``loss`` by default.
    alpha : float, default=1.0
        Share of the teacher; the rest goes to the labels. 0: labels alone.
    temperature : float, default=1.0
        Divides the teacher's and the towers' scores in ``loss``.
    n_candidates : int, optional
        Teacher scores a query of the catalogue costs in all: logged items, uniform draws, then
        those the towers themselves rank highest (12 bytes each). None: the whole catalogue, 8
        bytes a pair.
    draw_correction : float, default=0.5
        How far the probability of the uniform draws is corrected for: 1 makes a sampled list
        estimate the whole catalogue's loss without bias, but a draw that stands for a hundred
        items is noise; towards 0 the lists count as they are. Teacher and towers are corrected
        alike, so that the optimum stays the same.
    similarity : {"dot", "cosine"}, default="dot"
        "cosine": embeddings of length 1, times a scale that is learnt, the inverse of a
        temperature.
    item_bias : bool, default=True
        Give the last dimension to a bias of items; without effect on cosines.
    spectral_start : bool, default=True
        Start from the singular vectors of the teacher's scores of the catalogue.
    teacher_check : bool, default=True
        With a catalogue, a teacher and labels, compare the teacher with popularity and with towers
        trained on labels; costs another fit of an unfitted teacher. See ``teacher_check_``.
    keep_teacher : bool, default=True
        Keep the fitted teacher as ``teacher_``.
    max_iter : int, default=20
        Epochs.
    batch_size : int, default=64
        Queries a step.
    max_batch_rows : int, default=65536
        Without a catalogue, rows a step at the most.
    optimizer : {"adam", "adagrad"}, default="adam"
    learning_rate_init : float, default=0.02
    learning_rate : {"constant", "cosine", "linear"}, default="cosine"
    weight_decay : float, default=0.0
    early_stopping : bool, default=False
        Hold queries out; keep the epoch in which most of the teacher's top 10 are among the towers'
        top 50 of the catalogue (without one, or without a teacher: the best NDCG@10). A query whose
        only columns are ids has no embedding while it is held out.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=5
    tol : float, default=1e-4
    query_column : str or int, optional
        Column of X with the query ids, where no ``qid`` is passed; without either, rows with equal
        query columns are one query.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    params_ : dict of ndarray
        Of both towers.
    query_transformer_, item_transformer_ : transformer
    query_scaler_, item_scaler_ : ColumnScaler
    teacher_ : estimator or None
    teacher_check_ : TeacherCheck or None
        Recall of held-out positives by teacher, popularity and towers trained on labels.
    index_ : ExactIndex or another index
        Of the catalogue, or of what ``index`` was given.
    loss_curve_ : list of float
    validation_scores_ : list of float
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    Covington, Adams, Sargin, "Deep Neural Networks for YouTube Recommendations", RecSys 2016.
    Kang, Hwang, Kweon, Yu, "DE-RRD: A Knowledge Distillation Framework for Recommender System",
    CIKM 2020.

    Examples
    --------
    >>> from skdistill import TwoTowerRetriever
    >>> from skdistill.datasets import make_retrieval
    >>> data = make_retrieval(n_queries=200, n_items=300, random_state=0)
    >>> retriever = TwoTowerRetriever(
    ...     query_columns=data.query_columns, item_columns=data.item_columns, random_state=0
    ... )
    >>> retriever = retriever.fit(
    ...     data.X, data.y, qid=data.qid, items=data.items, teacher_scores=data.utility
    ... )
    >>> ids, scores = retriever.retrieve(data.queries[:2], k=5)
    >>> ids.shape
    (2, 5)
    """

    __metadata_request__fit = {"items": True}

    _parameter_constraints: dict[str, list[Any]] = {
        **SETTINGS_CONSTRAINTS,
        "embedding_dim": [Interval(Integral, 2, None, closed="left")],
        "query_hidden": ["array-like"],
        "item_hidden": ["array-like"],
        "pair_features": [callable, None],
        "loss": [str, Loss],
        "hard_loss": [str, Loss, None],
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "n_candidates": [Interval(Integral, 8, None, closed="left"), None],
        "draw_correction": [Interval(Real, 0, 1, closed="both")],
        "similarity": [StrOptions({"dot", "cosine"})],
        "item_bias": ["boolean"],
        "spectral_start": ["boolean"],
        "teacher_check": ["boolean"],
        "keep_teacher": ["boolean"],
        "max_batch_rows": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        teacher: Any = None,
        *,
        query_columns: Any,
        item_columns: Any,
        embedding_dim: int = 32,
        query_hidden: tuple[int, ...] = (),
        item_hidden: tuple[int, ...] = (),
        query_transformer: Any = "auto",
        item_transformer: Any = "auto",
        pair_features: Callable[[Any, Any], Any] | None = None,
        loss: str | Loss = "listwise",
        hard_loss: str | Loss | None = None,
        alpha: float = 1.0,
        temperature: float = 1.0,
        n_candidates: int | None = None,
        draw_correction: float = 0.5,
        similarity: str = "dot",
        item_bias: bool = True,
        spectral_start: bool = True,
        teacher_check: bool = True,
        keep_teacher: bool = True,
        max_iter: int = 20,
        batch_size: int = 64,
        max_batch_rows: int = 1 << 16,
        optimizer: str = "adam",
        learning_rate_init: float = 0.02,
        learning_rate: str = "cosine",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        query_column: str | int | None = None,
        random_state: Any = None,
    ) -> None:
        self.teacher = teacher
        self.query_columns = query_columns
        self.item_columns = item_columns
        self.embedding_dim = embedding_dim
        self.query_hidden = query_hidden
        self.item_hidden = item_hidden
        self.query_transformer = query_transformer
        self.item_transformer = item_transformer
        self.pair_features = pair_features
        self.loss = loss
        self.hard_loss = hard_loss
        self.alpha = alpha
        self.temperature = temperature
        self.n_candidates = n_candidates
        self.draw_correction = draw_correction
        self.similarity = similarity
        self.item_bias = item_bias
        self.spectral_start = spectral_start
        self.teacher_check = teacher_check
        self.keep_teacher = keep_teacher
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.max_batch_rows = max_batch_rows
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.query_column = query_column
        self.random_state = random_state

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        items: Any = None,
        sample_weight: ArrayLike | None = None,
        teacher_scores: Any = None,
    ) -> TwoTowerRetriever:
        """Fit the teacher, ask it about the lists, train the towers, index the catalogue.

        Parameters
        ----------
        X : data frame, array or CSR matrix of shape (n_rows, n_features)
            The log, a row a pair: query, item and pair columns. Rows in any order.
        y : array-like of shape (n_rows,), optional
            Relevance, NaN where unknown.
        qid : array-like of shape (n_rows,), optional
            Query of each row; query columns are the same in all rows of a query.
        items : table of shape (n_items, n_item_columns), optional
            The catalogue, with the columns of ``item_columns``.
        sample_weight : array-like of shape (n_rows,), optional
            Of the labels' terms; a query of the catalogue counts with the mean of its rows.
        teacher_scores : array-like of shape (n_rows,), matrix, CSR matrix or callable, optional
            Scores that are known. With a catalogue: a matrix of shape (n_queries, n_items), a row
            for each sorted query id; CSR: the best items of each query, all others count as its
            least stored one; or ``teacher_scores(queries, items)`` of two aligned tables.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For tables that don't match, query columns that differ within a query, and training
            that diverges.
        """
        self._validate_params()
        lesson = self._read_lesson(X, y, qid, items, sample_weight, teacher_scores)
        rng = self._generator()
        lesson = self._teach(lesson, items is not None)
        query_rows, item_rows = self._encode_tables(lesson.pairs)
        towers = TowerTraining(
            model=self._model(),
            query_rows=query_rows,
            item_rows=item_rows,
            soft=get_loss(self.loss, self.temperature),
            hard=get_loss(self.loss if self.hard_loss is None else self.hard_loss),
            alpha=self.alpha,
            settings=TrainingSettings.of(self),
            n_candidates=self.n_candidates,
            draw_correction=self.draw_correction,
            spectral_start=self.spectral_start,
        )
        self.teacher_check_ = None
        if self.teacher_check and items is not None:
            self.teacher_check_ = check_teacher_fitness(
                lesson, towers, self._refit(items is not None), rng.spawn(1)[0]
            )
        params = towers.model.initialize((query_rows.n_features, item_rows.n_features), rng)
        taking_part, held_out = np.arange(lesson.pairs.n_queries), None
        if self.early_stopping:
            taking_part, held_out = hold_out(len(taking_part), self.validation_fraction, rng)
        if items is None:
            curriculum, validate = over_table(lesson, towers, taking_part, held_out)
        else:
            curriculum, validate = over_catalogue(
                lesson, towers, taking_part, held_out, params, rng
            )
        epochs = Epochs(
            self,
            self._attributes_after,
            {"X": X, "y": y, "metadata": None if qid is None else {"qid": np.asarray(qid)}},
        )
        training = train(
            towers.model,
            towers.settings.make_optimizer(towers.model, params, Pairs(query_rows, item_rows, ())),
            curriculum,
            towers.settings,
            rng,
            validate=validate,
            on_epoch=epochs.watch,
        )
        for name, value in self._attributes_after(training).items():
            setattr(self, name, value)
        if items is not None:
            self.index(take_rows(lesson.pairs.items, np.arange(lesson.pairs.n_catalogue)))
        if not self.keep_teacher:
            self.teacher_ = None
        epochs.end(training)
        return self

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
        left = self.transform_queries(take_columns(X, self._query_positions))
        right = self.transform_items(take_columns(X, self._item_positions))
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
    ) -> TwoTowerRetriever:
        """Embed items and make them what ``retrieve`` searches.

        Parameters
        ----------
        items : table of shape (n_items, n_item_columns)
        ids : array-like of shape (n_items,), optional
            What to return for each item, of any type; its position by default.
        engine : {"exact", "faiss", "usearch", "hnswlib"}, default="exact"
            The others are approximate and come with the extra ``ann``.
        **options
            Of the engine, see :mod:`skdistill.approximate_index`.

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
        check_is_fitted(self)
        if not hasattr(self, "index_"):
            raise ValueError(
                "There is no index to search: call index(items), or fit with items=, the catalogue."
            )
        return self.index_.search(
            self.transform_queries(queries), k, exclude=exclude, mask=mask, n_jobs=n_jobs
        )

    def __getstate__(self) -> dict[str, Any]:
        # Scorers are the parameters once more, folded: made anew rather than kept in files.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_scorers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "params_"):
            self._scorers = self._fold(self.params_)

    def _model(self) -> TwoTower:
        return TwoTower(
            self.embedding_dim,
            tuple(self.query_hidden),
            tuple(self.item_hidden),
            item_bias=self.item_bias and self.similarity == "dot",
            cosine=self.similarity == "cosine",
        )

    def _resolve_qid(self, X: Any, qid: ArrayLike | None) -> Any:
        """Queries of a table: as given, or a column, or else rows of equal query columns."""
        if self.query_column is not None or qid is not None:
            return super()._resolve_qid(X, qid)
        X = as_table(X)
        positions = column_positions(X, self.query_columns, "query_columns")
        return row_codes(take_columns(X, positions))[0]

    def _read_lesson(
        self,
        X: Any,
        y: ArrayLike | None,
        qid: ArrayLike | None,
        items: Any,
        sample_weight: ArrayLike | None,
        teacher_scores: Any,
    ) -> TowerLesson:
        X = as_table(X)
        validate_data(self, X, reset=True, skip_check_array=True)
        n_rows = X.shape[0]
        if y is None and teacher_scores is None and self.teacher is None:
            raise ValueError(
                "TwoTowerRetriever requires y to be passed, but the target y is None, and there "
                "is neither a teacher nor teacher_scores."
            )
        labels = None if y is None else check_labels(y, n_rows)
        weight = check_sample_weight(sample_weight, n_rows)
        self._read_columns(X)
        ids = check_qid(self._resolve_qid(X, qid), n_rows)
        table = without_query_column(X, self.query_column)
        queries, order = sort_by_query(ids, n_rows, row_keys(table))
        if order is None:
            order = np.arange(n_rows)
        X, table = take_rows(X, order), take_rows(table, order)
        if items is not None:
            items = check_same_columns(as_table(items), self._item_names, "items")
        pairs = PairTable.split(
            take_columns(X, self._query_positions),
            take_columns(X, self._item_positions),
            queries.segment,
            items,
        )
        row_scores = pair_scores = None
        if teacher_scores is not None:
            if items is None:
                row_scores = check_finite("teacher_scores", teacher_scores, n_rows)[order]
            else:
                pair_scores = check_pair_scores(
                    teacher_scores, pairs.n_queries, pairs.n_catalogue, pairs.queries, pairs.items
                )
        return TowerLesson(
            table,
            pairs,
            queries,
            None if labels is None else labels[order],
            None if weight is None else weight[order],
            row_scores,
            pair_scores,
        )

    def _read_columns(self, X: Any) -> None:
        """Positions and names of the two sides' columns."""
        query = column_positions(X, self.query_columns, "query_columns")
        item = column_positions(X, self.item_columns, "item_columns")
        names = column_names(X)
        for parameter, positions in (("query_columns", query), ("item_columns", item)):
            if not positions:
                raise ValueError(f"{parameter}={getattr(self, parameter)!r} names no column of X.")
        both = sorted(set(query) & set(item))
        if both:
            shown = both if names is None else [names[position] for position in both]
            raise ValueError(f"query_columns and item_columns both name {shown}.")
        self._query_positions, self._item_positions = query, item
        self._query_names: Any = len(query)
        self._item_names: Any = len(item)
        if names is not None:
            self._query_names = [names[position] for position in query]
            self._item_names = [names[position] for position in item]

    def _teach(self, lesson: TowerLesson, has_catalogue: bool) -> TowerLesson:
        self.teacher_ = None
        knows = lesson.row_scores is not None or lesson.pair_scores is not None
        if knows or self.teacher is None or self.alpha == 0:
            if not knows and self.teacher is None and lesson.labels is None:
                raise ValueError("There are no labels, no teacher and no teacher_scores.")
            return lesson
        lesson, self.teacher_ = self._refit(has_catalogue)(lesson)
        return lesson

    def _refit(self, has_catalogue: bool) -> Callable[[TowerLesson], tuple[TowerLesson, Any]]:
        """Fits the teacher to a lesson and lets it teach; what is not to be fitted, as it is."""
        features = columns_side_by_side([*self._query_positions, *self._item_positions])

        def refit(lesson: TowerLesson) -> tuple[TowerLesson, Any]:
            return lesson.taught_by(self.teacher, self.pair_features, features, has_catalogue)

        return refit

    def _encode_tables(self, pairs: PairTable) -> tuple[Rows, Rows]:
        """Fit the transformers and scalers of both sides."""
        rows = []
        for name, table in (("query", pairs.queries), ("item", pairs.items)):
            transformer = make_transformer(getattr(self, f"{name}_transformer"), table).fit(table)
            encoded = encode(transformer, table, name)
            scaler = ColumnScaler.fit(encoded, squash=True, standardize=True)
            setattr(self, f"{name}_transformer_", transformer)
            setattr(self, f"{name}_scaler_", scaler)
            rows.append(Rows(scaler.transform(encoded)))
        return rows[0], rows[1]

    def _embed(self, table: Any, name: str) -> NDArray[np.float32]:
        check_is_fitted(self)
        expected = self._query_names if name == "query" else self._item_names
        whose = "queries" if name == "query" else "items"
        if not hasattr(table, "columns") and not hasattr(table, "shape"):
            table = np.asarray(table)
        table = check_same_columns(table, expected, whose)
        if not table.shape[0]:
            return np.empty((0, self.embedding_dim), dtype=np.float32)
        outputs = self._scorers[name](encode(getattr(self, f"{name}_transformer_"), table, name))
        model = self._model()
        finish = model.finish_queries if name == "query" else model.finish_items
        return finish(outputs)[0]

    def _fold(self, params: dict[str, Any]) -> dict[str, Scorer]:
        model = self._model()
        return {
            "query": Scorer.fold(model.query_tower, side("query_", params), self.query_scaler_),
            "item": Scorer.fold(model.item_tower, side("item_", params), self.item_scaler_),
        }

    def _attributes_after(self, training: Training) -> dict[str, Any]:
        params = {name: array.copy() for name, array in training.params.items()}
        return {
            "params_": params,
            "loss_curve_": list(training.loss_curve),
            "validation_scores_": list(training.validation_scores),
            "n_iter_": len(training.loss_curve),
            "_scorers": self._fold(params),
        }
