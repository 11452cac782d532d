"""Fit two towers, whatever the objective and the supervision."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
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
from skdistill.inputs.validation import VALIDATION_REQUESTS, ValidationTable
from skdistill.teachers.routing import teacher_router
from skdistill.towers.fitted import FittedTowers
from skdistill.towers.initialization import start_from_spectrum
from skdistill.towers.log_reading import read_log, read_validation
from skdistill.towers.objectives import PairObjective
from skdistill.towers.pair_table import PairTable
from skdistill.towers.reading import TowerInput, read_rows
from skdistill.towers.setup import TowerSetup
from skdistill.towers.supervision import (
    CatalogueSupervision,
    LogSupervision,
    PairFeatures,
    PairSupervision,
)
from skdistill.towers.teacher_check import TeacherCheck, check_teacher_fitness
from skdistill.training.early_stopping import EarlyStopping, hold_out
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
    known_items: str = "keep"
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
    early_stopping: bool | str = "auto"
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    tol: float = 1e-4
    verbose: bool = False
    query_column: str | int | None = None
    random_state: Any = None
    draw_correction: float | str = DEPRECATED

    __metadata_request__fit = {"items": True, **VALIDATION_REQUESTS, "teacher_scores_val": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SETTINGS_CONSTRAINTS,
        "embedding_dim": [Interval(Integral, 2, None, closed="left")],
        "query_hidden": ["array-like"],
        "item_hidden": ["array-like"],
        "pair_features": [callable, None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "n_candidates": [Interval(Integral, 8, None, closed="left"), None],
        "logq_correction": [Interval(Real, 0, 1, closed="both")],
        "known_items": [StrOptions({"keep", "mask"})],
        "draw_correction": [Interval(Real, 0, 1, closed="both"), StrOptions({DEPRECATED})],
        "similarity": [StrOptions({"dot", "cosine"})],
        "item_bias": ["boolean"],
        "spectral_start": ["boolean"],
        "teacher_check": ["boolean"],
        "keep_teacher": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "verbose": ["verbose"],
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

    def split_labels(self, labels: Any, asks_teacher: bool) -> tuple[Any, Any]:
        """Labels for the teacher, and the labels of all objectives if there are several."""
        return labels, None

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
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        qid_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        teacher_scores_val: Any = None,
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
        X_val : table of shape (n_val, n_features), optional
            Rows, such as those of a later week, that are never trained on. By their queries the
            towers stop early, and by the rows a teacher that is fitted and stops early by itself.
        y_val, qid_val, sample_weight_val, teacher_scores_val : optional
            What ``y``, ``qid``, ``sample_weight`` and ``teacher_scores`` are for ``X``. A fitted
            teacher scores these queries if there are no scores of them.
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
        given = {"y": y_val, "qid": qid_val, "sample_weight": sample_weight_val}
        table = ValidationTable.of(X_val, **given, teacher_scores=teacher_scores_val)
        supervision = read_log(self, X, y, qid, items, sample_weight, teacher_scores, metadata)
        validation = None if table is None else read_validation(self, table, supervision)
        rng = self.generator()
        setup = self._prepare(supervision.pairs)
        watched = setup if validation is None else self._encode(validation, supervision, setup)
        supervision, validation = self._teach(supervision, validation)
        self.teacher_check_ = self._check_teacher(supervision, validation, setup, rng)
        shown = data_for_callbacks(X, y, qid)
        make_early_stopping = None
        if validation is not None and self.early_stopping:
            shown = data_for_callbacks(X_val, y_val, qid_val)
            queries = np.arange(validation.pairs.n_queries)
            make_early_stopping = partial(validation.make_early_stopping, watched, queries)
        callbacks = EpochCallbacks(self, self.fitted_attributes, shown)
        result = self._train(supervision, setup, rng, callbacks, make_early_stopping)
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

    def asks_teacher(self, supervision: PairSupervision) -> bool:
        """Whether the teacher is needed: there are no scores, and the objective uses them."""
        return (
            self.wants_teacher and self.teacher is not None and not supervision.has_teacher_scores
        )

    def _teach(
        self, supervision: PairSupervision, validation: PairSupervision | None
    ) -> tuple[PairSupervision, PairSupervision | None]:
        """Add the teacher's scores, if it is needed, to what is learnt and what is watched."""
        self.teacher_ = None
        if not self.asks_teacher(supervision):
            return supervision, validation
        make_rows = self._teacher_rows(supervision)
        supervision, self.teacher_ = supervision.taught_by(self.teacher, make_rows, validation)
        if validation is not None and not validation.has_teacher_scores:
            validation = validation.scored_by(self.teacher_, make_rows)
        return supervision, validation

    def _check_teacher(
        self,
        supervision: PairSupervision,
        validation: PairSupervision | None,
        setup: TowerSetup,
        rng: np.random.Generator,
    ) -> TeacherCheck | None:
        if not self.teacher_check or not isinstance(supervision, CatalogueSupervision):
            return None

        def teach_again(rest: CatalogueSupervision) -> CatalogueSupervision:
            return rest.taught_by(self.teacher, self._teacher_rows(rest), validation)[0]

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
            masks_known_items=self.known_items == "mask",
        )

    def _encode(
        self, validation: PairSupervision, supervision: PairSupervision, setup: TowerSetup
    ) -> TowerSetup:
        """Replace the tables of a setup by those of the validation table, read in the same way."""
        queries, items = validation.pairs.queries, validation.pairs.items
        setup = replace(setup, query_rows=read_rows(self, queries, "query"))
        if items is supervision.pairs.items:  # the catalogue
            return setup
        return replace(setup, item_rows=read_rows(self, items, "item"))

    def _train(
        self,
        supervision: PairSupervision,
        setup: TowerSetup,
        rng: np.random.Generator,
        callbacks: EpochCallbacks,
        make_early_stopping: Callable[[np.random.Generator], EarlyStopping] | None,
    ) -> Training:
        """Initialise the towers, hold queries out, train."""
        if isinstance(supervision, LogSupervision):
            compares_rows = setup.objective.label_loss.compares_rows
            supervision.data.warn_if_constant(type(self).__name__, compares_rows)
        params = setup.initialize(rng)
        train_queries = np.arange(supervision.pairs.n_queries)
        if self.early_stopping is True and make_early_stopping is None:
            train_queries, eval_queries = hold_out(
                len(train_queries), self.validation_fraction, rng
            )
            make_early_stopping = partial(supervision.make_early_stopping, setup, eval_queries)
        batches, sample = supervision.make_batches(setup, train_queries, rng)
        if self.spectral_start and sample is not None:
            catalogue = setup.catalogue(supervision.pairs.n_catalogue)
            seed = int(rng.integers(2**31 - 1))
            start_from_spectrum(setup.model, params, setup.query_rows, catalogue, sample, seed)
        del sample  # as large as queries times items
        early_stopping = None if make_early_stopping is None else make_early_stopping(rng)
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
