"""TwoTowerRetriever: the teacher's order over a catalogue, as dot products."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.callback import with_callbacks
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.columns import (
    as_table,
    row_codes,
    take_rows,
    without_query_column,
)
from skdistill.encoding import encode, make_transformer
from skdistill.inputs import Rows
from skdistill.losses import get_loss
from skdistill.metrics.agreement import teacher_recall
from skdistill.metrics.retrieval import share_of_top
from skdistill.pair_table import PairColumns, PairTable
from skdistill.protocols import Loss, Parameters
from skdistill.queries import check_qid
from skdistill.ranking_estimator import (
    Epochs,
    check_finite,
    check_sample_weight,
    in_query_order,
)
from skdistill.scaling import ColumnScaler
from skdistill.teacher_check import check_teacher_fitness
from skdistill.teachers import check_pair_scores, score_rows, teacher_scores_of
from skdistill.tower_lesson import (
    TowerLesson,
    TowerTraining,
    over_catalogue,
    over_table,
    score_grid,
)
from skdistill.towers import Towers
from skdistill.training import (
    SETTINGS_CONSTRAINTS,
    Curriculum,
    Training,
    TrainingSettings,
    hold_out,
)
from skdistill.validation import Validate

# Queries whose scores of the whole catalogue are compared at once.
RECALL_QUERIES = 256


class TwoTowerRetriever(Towers):
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
        those the towers themselves rank highest (12 bytes each). None: the whole catalogue, 12
        bytes a pair at the start, then 4.
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
    items_ : table or None
        The catalogue, kept with the teacher: ``teacher_recall`` shows it to both.
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # "auto" imputes; another transformer says for itself what it wants.
        transformers = self.query_transformer, self.item_transformer
        tags.input_tags.allow_nan = all(isinstance(t, str) for t in transformers)
        return tags

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
                lesson, towers, self._teach_again, rng.spawn(1)[0]
            )
        params = towers.initialize(rng)
        taking_part, held_out = np.arange(lesson.pairs.n_queries), None
        if self.early_stopping:
            taking_part, held_out = hold_out(len(taking_part), self.validation_fraction, rng)
        curriculum, validate = self._curriculum(
            lesson, towers, taking_part, held_out, params, rng, items is not None
        )
        epochs = Epochs(
            self,
            self._attributes_after,
            {"X": X, "y": y, "metadata": None if qid is None else {"qid": np.asarray(qid)}},
        )
        training = towers.run(params, curriculum, rng, validate=validate, on_epoch=epochs.watch)
        for name, value in self._attributes_after(training).items():
            setattr(self, name, value)
        if not self.keep_teacher:
            self.teacher_ = None
        self.items_ = None
        if items is not None:
            self.index(lesson.pairs.catalogue)
            self.items_ = None if self.teacher_ is None else lesson.pairs.catalogue
        epochs.end(training)
        return self

    def teacher_recall(
        self, X: Any, *, qid: ArrayLike | None = None, k: int = 10, m: int = 50
    ) -> float:
        """Mean share of the teacher's top k among the towers' top m, over the queries of a log.

        Of the catalogue where the towers were fitted with one, else of each query's rows in X.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        qid : array-like of shape (n_rows,), optional
        k, m : int, default=10, 50

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if self.teacher_ is None:
            raise ValueError(
                "teacher_recall asks the teacher, and none was kept: fit with teacher= and "
                "keep_teacher=True."
            )
        X = as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        ids = self._resolve_qid(X, qid)
        if self.items_ is None:
            rows = without_query_column(X, self.query_column)
            if self.pair_features is not None:
                rows = self.pair_features(self._columns.queries(X), self._columns.items(X))
            return teacher_recall(score_rows(self.teacher_, rows), self.predict(X), ids, k=k, m=m)
        queries = take_rows(self._columns.queries(X), np.unique(ids, return_index=True)[1])
        features = self._features(has_catalogue=True)
        scores = teacher_scores_of(self.teacher_, features, queries, self.items_)
        left, right = self.transform_queries(queries), self.transform_items(self.items_)
        shares = []
        for start in range(0, len(left), RECALL_QUERIES):
            block = np.arange(start, min(start + RECALL_QUERIES, len(left)))
            by_teacher = score_grid(scores, block, np.arange(len(right)))
            shares.append(share_of_top(by_teacher, left[block] @ right.T, k, m))
        return float(np.concatenate(shares).mean())

    def _resolve_qid(self, X: Any, qid: ArrayLike | None) -> Any:
        """Queries of a table: as given, or a column, or else rows of equal query columns."""
        if self.query_column is not None or qid is not None:
            return super()._resolve_qid(X, qid)
        return row_codes(self._columns.queries(as_table(X)))[0]

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
        labels = None if y is None else self._check_labels(y, n_rows)
        weight = check_sample_weight(sample_weight, n_rows)
        self._columns = PairColumns.find(X, self.query_columns, self.item_columns)
        ids = check_qid(self._resolve_qid(X, qid), n_rows)
        table = without_query_column(X, self.query_column)
        queries, order, table, labels, weight = in_query_order(ids, table, labels, weight)
        X = take_rows(X, order)
        if items is not None:
            items = self._columns.check(as_table(items), "item")
        pairs = PairTable.split(
            self._columns.queries(X), self._columns.items(X), queries.segment, items
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
            labels,
            weight,
            row_scores,
            pair_scores,
        )

    def _curriculum(
        self,
        lesson: TowerLesson,
        towers: TowerTraining,
        taking_part: NDArray[np.int64],
        held_out: NDArray[np.int64] | None,
        params: Parameters,
        rng: np.random.Generator,
        has_catalogue: bool,
    ) -> tuple[Curriculum, Validate | None]:
        """What the towers are shown, and what early stopping goes by."""
        if has_catalogue:
            return over_catalogue(lesson, towers, taking_part, held_out, params, rng)
        return over_table(lesson, towers, taking_part, held_out)

    def _teach(self, lesson: TowerLesson, has_catalogue: bool) -> TowerLesson:
        self.teacher_ = None
        knows = lesson.row_scores is not None or lesson.pair_scores is not None
        if knows or self.teacher is None or self.alpha == 0:
            return lesson
        lesson, self.teacher_ = lesson.taught_by(
            self.teacher, self._features(has_catalogue), has_catalogue
        )
        return lesson

    def _teach_again(self, lesson: TowerLesson) -> TowerLesson:
        """The lesson by a teacher that is fitted on it alone."""
        return lesson.taught_by(self.teacher, self._features(True), True)[0]

    def _features(self, has_catalogue: bool) -> Callable[[Any, Any], Any] | None:
        """What makes the teacher's rows of a query and an item; None: the log's rows are taken."""
        if self.pair_features is None and has_catalogue:
            return self._columns.side_by_side
        return self.pair_features

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

    def _attributes_after(self, training: Training) -> dict[str, Any]:
        params = {name: array.copy() for name, array in training.params.items()}
        return {
            "params_": params,
            "loss_curve_": list(training.loss_curve),
            "validation_scores_": list(training.validation_scores),
            "n_iter_": len(training.loss_curve),
            "_scorers": self._fold(params),
        }
