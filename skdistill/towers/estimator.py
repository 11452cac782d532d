"""Fit two towers, whatever the objective and the supervision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.callback import with_callbacks
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import MetadataRouter

from skdistill._sklearn_compat import Interval, StrOptions, check_further_metadata
from skdistill.base import all_or_nothing
from skdistill.callbacks import EpochCallbacks, data_for_callbacks
from skdistill.inputs.checks import check_finite, check_sample_weight
from skdistill.inputs.columns import (
    as_table,
    row_codes,
    take_rows,
    take_values,
    without_query_column,
)
from skdistill.inputs.query_ids import check_qid
from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.fitting import check_teacher, warn_of_refit
from skdistill.teachers.pair_scores import check_pair_scores
from skdistill.teachers.routing import check_metadata_reaches, teacher_router
from skdistill.towers.fitted import FittedTowers
from skdistill.towers.initialization import start_from_spectrum
from skdistill.towers.objectives import PairObjective
from skdistill.towers.pair_table import PairColumns, PairTable
from skdistill.towers.reading import TowerInput
from skdistill.towers.setup import TowerSetup
from skdistill.towers.supervision import (
    CatalogueSupervision,
    LogSupervision,
    PairFeatures,
    PairSupervision,
)
from skdistill.towers.teacher_check import TeacherCheck, check_teacher_fitness
from skdistill.training.early_stopping import hold_out
from skdistill.training.loop import SETTINGS_CONSTRAINTS, Training, TrainingSettings

DEPRECATED = "deprecated"


@dataclass(kw_only=True, eq=False, repr=False)
class TowerEstimator(FittedTowers):
    """Base of the retrievers: ``fit`` and the parameters they share.

    A subclass defines the objective.
    """

    teacher: Any = field(default=None, kw_only=False)
    query_columns: Any
    item_columns: Any
    embedding_dim: int = 32
    query_hidden: tuple[int, ...] = ()
    item_hidden: tuple[int, ...] = ()
    query_transformer: Any = "auto"
    item_transformer: Any = "auto"
    pair_features: Callable[[Any, Any], Any] | None = None
    temperature: float = 1.0
    n_candidates: int | None = None
    logq_correction: float = 0.5
    similarity: str = "dot"
    item_bias: bool = True
    spectral_start: bool = True
    teacher_check: bool = True
    keep_teacher: bool = True
    max_iter: int = 20
    batch_size: int = 64
    max_batch_rows: int = 1 << 16
    optimizer: str = "adam"
    learning_rate_init: float = 0.02
    learning_rate: str = "cosine"
    weight_decay: float = 0.0
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    tol: float = 1e-4
    query_column: str | int | None = None
    random_state: Any = None
    draw_correction: float | str = DEPRECATED

    __metadata_request__fit = {"items": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SETTINGS_CONSTRAINTS,
        "embedding_dim": [Interval(Integral, 2, None, closed="left")],
        "query_hidden": ["array-like"],
        "item_hidden": ["array-like"],
        "pair_features": [callable, None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "n_candidates": [Interval(Integral, 8, None, closed="left"), None],
        "logq_correction": [Interval(Real, 0, 1, closed="both")],
        "draw_correction": [Interval(Real, 0, 1, closed="both"), StrOptions({DEPRECATED})],
        "similarity": [StrOptions({"dot", "cosine"})],
        "item_bias": ["boolean"],
        "spectral_start": ["boolean"],
        "teacher_check": ["boolean"],
        "keep_teacher": ["boolean"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # "auto" imputes; other transformers check their input themselves.
        transformers = self.query_transformer, self.item_transformer
        tags.input_tags.allow_nan = all(isinstance(t, str) for t in transformers)
        return tags

    def make_pair_objective(self) -> PairObjective:
        """Make the objective that the towers learn on pairs."""
        raise NotImplementedError(f"{type(self).__name__} has no objective.")

    def read_log_labels(self, y: Any, n_rows: int, asks_teacher: bool) -> tuple[Any, Any]:
        """Labels for the teacher, and the labels of all objectives if there are several."""
        return (None if y is None else self.read_labels(y, n_rows)), None

    @property
    def wants_teacher(self) -> bool:
        """Whether the objective uses the teacher's scores."""
        return True

    def sub_teachers(self) -> dict[str, Any]:
        """Return the teacher."""
        return {"teacher": self.teacher}

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that the retriever consumes, and that it routes to its teacher.

        Returns
        -------
        MetadataRouter
            A teacher that requests nothing gets queries and row weights.
        """
        return teacher_router(self)

    @all_or_nothing
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
        **metadata: Any,
    ) -> TowerEstimator:
        """Fit the teacher, score lists with it, train the towers and index the catalogue.

        Parameters
        ----------
        X : data frame, array or CSR matrix of shape (n_rows, n_features)
            The log, one row per pair, with query, item and pair columns. The rows may be in any
            order.
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives), optional
            Relevance, 0 or more, or NaN for unlabelled rows. If several objectives learn from
            labels, one column per objective.
        qid : array-like of shape (n_rows,), optional
            Query of each row. The query columns must not differ between the rows of a query.
        items : table of shape (n_items, n_item_columns), optional
            The catalogue, with the columns of ``item_columns``.
        sample_weight : array-like of shape (n_rows,), optional
            Weight of each row, for the towers' loss and for the teacher, unless that declines it by
            ``set_fit_request(sample_weight=False)``. With a catalogue, a query's weight in the loss
            on the teacher's scores is the mean weight of its rows.
        teacher_scores : array-like of shape (n_rows,), matrix, CSR matrix or callable, optional
            Scores of the rows, used instead of asking a teacher. With a catalogue, one of: a matrix
            of shape (n_queries, n_items), its rows in the order of the sorted query ids; a CSR
            matrix of that shape with each query's best items, where all other items count as its
            lowest stored score; a callable ``teacher_scores(queries, items)`` that takes two
            aligned tables, with the same new index if they are pandas data frames, and returns one
            score per row.
        **metadata : dict
            Further arguments, such as ``eval_set`` or ``init_score``, of a teacher that requests
            them by ``set_fit_request``. Arrays with an entry per row are sorted with the rows. Only
            available if metadata routing is enabled.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or a table is invalid, if the query columns differ within a query, if
            queries or row weights would not reach the teacher, if there is nothing to learn from,
            or if training diverges.
        TypeError
            If the teacher cannot score, or does not request a further argument.

        Warns
        -----
        TeacherWarning
            If ``teacher_check`` finds the teacher worse than popularity or than towers trained on
            labels.
        """
        self.check_parameters()
        check_further_metadata(self, metadata)
        supervision = self._read(X, y, qid, items, sample_weight, teacher_scores, metadata)
        rng = self.generator()
        setup = self._prepare(supervision.pairs)
        supervision = self._teach(supervision)
        self.teacher_check_ = self._check_teacher(supervision, setup, rng)
        callbacks = EpochCallbacks(self, self.fitted_attributes, data_for_callbacks(X, y, qid))
        result = self._train(supervision, setup, rng, callbacks)
        self._publish(result, supervision)
        callbacks.end(result)
        return self

    def check_parameters(self) -> None:
        """Check all parameters before anything expensive runs.

        Raises
        ------
        ValueError
            If a parameter is invalid.
        """
        self._validate_params()
        if self.draw_correction != DEPRECATED:
            warnings.warn(
                "draw_correction was renamed to logq_correction; the former name will be removed "
                "in 0.3.",
                FutureWarning,
                stacklevel=4,
            )
        self.make_pair_objective()

    def resolve_qid(self, X: Any, qid: ArrayLike | None) -> Any:
        """Queries of a table: ``qid``, or ``query_column``, or rows with equal query columns."""
        if self.query_column is not None or qid is not None:
            return super().resolve_qid(X, qid)
        return row_codes(self.pair_columns_.queries(as_table(X)))[0]

    def fitted_attributes(self, training: Training) -> dict[str, Any]:
        """Fitted attributes during or after training."""
        params = {name: array.copy() for name, array in training.params.items()}
        return {
            "params_": params,
            "loss_curve_": list(training.loss_curve),
            "validation_scores_": list(training.validation_scores),
            "n_iter_": len(training.loss_curve),
            "_scorers": self._fold(params),
        }

    def _read(
        self,
        X: Any,
        y: Any,
        qid: Any,
        items: Any,
        sample_weight: Any,
        teacher_scores: Any,
        metadata: Mapping[str, Any],
    ) -> PairSupervision:
        """Check the input, sort the log by query, and split it into queries and items."""
        X = as_table(X)
        self.check_columns(X, reset=True)
        n_rows = X.shape[0]
        if y is None and teacher_scores is None and self.teacher is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None, and "
                "there is neither a teacher nor teacher_scores to learn from."
            )
        asks_teacher = self.wants_teacher and self.teacher is not None and teacher_scores is None
        labels, objective_labels = self.read_log_labels(y, n_rows, asks_teacher)
        weight = check_sample_weight(sample_weight, n_rows)
        if asks_teacher:
            check_teacher(self.teacher)
            check_metadata_reaches(self.teacher, weighted=weight is not None)
            warn_of_refit(self.teacher, stacklevel=5)
        columns = PairColumns.find(X, self.query_columns, self.item_columns)
        self.pair_columns_ = columns
        ids = check_qid(self.resolve_qid(X, qid), n_rows)
        table = without_query_column(X, self.query_column)
        data = RankingData.sort(ids, table, labels, sample_weight=weight, metadata=metadata)
        in_order = take_rows(X, data.order)
        if items is not None:
            items = self.check_table(as_table(items), "item")
        pairs = PairTable.split(
            *(columns.queries(in_order), columns.items(in_order)), data.queries.segment, items
        )
        objective_labels = take_values(objective_labels, data.order)
        scores = teacher_scores if self.wants_teacher else None
        if items is None:
            if scores is not None:
                scores = take_values(check_finite("teacher_scores", scores, n_rows), data.order)
            return LogSupervision(replace(data, teacher_scores=scores), pairs, objective_labels)
        if scores is not None:
            scores = check_pair_scores(
                scores, pairs.n_queries, pairs.n_catalogue, pairs.queries, pairs.items
            )
        return CatalogueSupervision(data, pairs, objective_labels, pair_scores=scores)

    def _teach(self, supervision: PairSupervision) -> PairSupervision:
        """Add the teacher's scores to the supervision, unless it has scores or needs none."""
        self.teacher_ = None
        if supervision.has_teacher_scores or self.teacher is None or not self.wants_teacher:
            return supervision
        make_rows = self._teacher_rows(supervision)
        supervision, self.teacher_ = supervision.taught_by(self.teacher, make_rows)
        return supervision

    def _check_teacher(
        self,
        supervision: PairSupervision,
        setup: TowerSetup,
        rng: np.random.Generator,
    ) -> TeacherCheck | None:
        if not self.teacher_check or not isinstance(supervision, CatalogueSupervision):
            return None

        def teach_again(rest: CatalogueSupervision) -> CatalogueSupervision:
            return rest.taught_by(self.teacher, self._teacher_rows(rest))[0]

        return check_teacher_fitness(supervision, setup, teach_again, rng.spawn(1)[0])

    def _teacher_rows(self, supervision: PairSupervision) -> PairFeatures | None:
        """Function that builds the teacher's rows; None if the teacher reads the log as it is."""
        if self.pair_features is None and supervision.catalogue is not None:
            return self.pair_columns_.side_by_side
        return self.pair_features

    def _prepare(self, pairs: PairTable) -> TowerSetup:
        """Encode both tables, and gather what training needs besides the supervision."""
        rows = []
        for name, table in (("query", pairs.queries), ("item", pairs.items)):
            table = self.check_table(table, name)
            read = TowerInput.fit(self, table, name)
            setattr(self, f"{name}_transformer_", read.transformer)
            setattr(self, f"{name}_scaler_", read.scaler)
            rows.append(read.rows)
        correction = self.logq_correction
        if self.draw_correction != DEPRECATED:
            correction = float(self.draw_correction)
        return TowerSetup(
            model=self.make_model(),
            query_rows=rows[0],
            item_rows=rows[1],
            objective=self.make_pair_objective(),
            settings=TrainingSettings.of(self),
            n_candidates=self.n_candidates,
            logq_correction=correction,
        )

    def _train(
        self,
        supervision: PairSupervision,
        setup: TowerSetup,
        rng: np.random.Generator,
        callbacks: EpochCallbacks,
    ) -> Training:
        """Initialise the towers, hold queries out, train."""
        if isinstance(supervision, LogSupervision):
            compares_rows = setup.objective.label_loss.compares_rows
            supervision.data.warn_if_constant(type(self).__name__, compares_rows)
        params = setup.initialize(rng)
        train_queries, early_stopping = np.arange(supervision.pairs.n_queries), None
        if self.early_stopping:
            train_queries, eval_queries = hold_out(
                len(train_queries), self.validation_fraction, rng
            )
        batches, sample = supervision.make_batches(setup, train_queries, rng)
        if self.spectral_start and sample is not None:
            catalogue = setup.catalogue(supervision.pairs.n_catalogue)
            seed = int(rng.integers(2**31 - 1))
            start_from_spectrum(setup.model, params, setup.query_rows, catalogue, sample, seed)
        del sample  # as large as queries times items
        if self.early_stopping:
            early_stopping = supervision.make_early_stopping(setup, eval_queries, rng)
        return setup.run(
            params, batches, rng, early_stopping=early_stopping, on_epoch=callbacks.on_epoch
        )

    def _publish(self, training: Training, supervision: PairSupervision) -> None:
        """Set the fitted attributes and index the catalogue."""
        for name, value in self.fitted_attributes(training).items():
            setattr(self, name, value)
        if not self.keep_teacher:
            self.teacher_ = None
        self.items_ = None
        if supervision.catalogue is not None:
            self.index(supervision.catalogue)
            self.items_ = None if self.teacher_ is None else supervision.catalogue
