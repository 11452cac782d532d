"""Fit two towers, whatever the objective and the supervision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.callback import with_callbacks
from sklearn.utils import Tags

from skdistill._sklearn_compat import Interval, StrOptions, check_further_metadata
from skdistill.base import all_or_nothing
from skdistill.callbacks import EpochCallbacks, data_for_callbacks
from skdistill.inputs.validation import VALIDATION_REQUESTS, ValidationTable
from skdistill.teachers.fitting import check_fits_teacher
from skdistill.towers.going_on import setup_for_further, setup_to_go_on
from skdistill.towers.initialization import start_from_spectrum
from skdistill.towers.log_reading import read_log, read_validation
from skdistill.towers.objectives import PairObjective
from skdistill.towers.setup import TowerSetup
from skdistill.towers.supervision import LogSupervision, PairSupervision
from skdistill.towers.teaching import TaughtTowers
from skdistill.training.early_stopping import EarlyStopping, hold_out
from skdistill.training.loop import SETTINGS_CONSTRAINTS, Training, TrainingSettings
from skdistill.user_warnings import warn_user

DEPRECATED = "deprecated"


@dataclass(kw_only=True, eq=False, repr=False)
class TowerEstimator(TaughtTowers):
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
    max_iter: int | str = "auto"
    batch_size: int = 64
    max_batch_rows: int = 1 << 16
    optimizer: str = "adam"
    learning_rate_init: float | str = "auto"
    learning_rate: str = "cosine"
    weight_decay: float | str = "auto"
    early_stopping: bool | str = "auto"
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    tol: float = 1e-4
    warm_start: bool = False
    verbose: bool = False
    query_column: str | int | None = None
    random_state: Any = None
    draw_correction: float | str = DEPRECATED

    __metadata_request__partial_fit = {"items": True}
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
        "max_iter": [*SETTINGS_CONSTRAINTS["max_iter"], StrOptions({"auto"})],
        "learning_rate_init": [*SETTINGS_CONSTRAINTS["learning_rate_init"], StrOptions({"auto"})],
        "weight_decay": [*SETTINGS_CONSTRAINTS["weight_decay"], StrOptions({"auto"})],
        "known_items": [StrOptions({"keep", "mask"})],
        "draw_correction": [Interval(Real, 0, 1, closed="both"), StrOptions({DEPRECATED})],
        "similarity": [StrOptions({"dot", "cosine"})],
        "item_bias": ["boolean"],
        "spectral_start": ["boolean"],
        "teacher_check": ["boolean"],
        "keep_teacher": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "warm_start": ["boolean"],
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
        goes_on = self.warm_start and hasattr(self, "params_")
        arguments = X, y, qid, items, sample_weight, teacher_scores, metadata
        supervision = read_log(self, *arguments, reset=not goes_on)
        if self.asks_teacher(supervision):
            check_fits_teacher(self.teacher, weighted=sample_weight is not None)
        validation = None if table is None else read_validation(self, table, supervision)
        rng = self.generator()
        make_setup = setup_to_go_on if goes_on else TowerSetup.of
        setup = make_setup(self, supervision.pairs, TrainingSettings.of(self))
        watched = setup
        if validation is not None:
            watched = setup.of_further(self, validation.pairs, supervision.catalogue)
        supervision, validation = self._teach(supervision, validation)
        self._check_taught(supervision)
        self.teacher_check_ = self._check_teacher(supervision, validation, setup, rng)
        shown = data_for_callbacks(X, y, qid)
        make_early_stopping = None
        if validation is not None and self.early_stopping:
            shown = data_for_callbacks(X_val, y_val, qid_val)
            queries = np.arange(validation.pairs.n_queries)
            make_early_stopping = partial(validation.make_early_stopping, watched, queries)
        setup = setup.with_automatic(supervision.automatic_settings(setup))
        n_epochs = setup.settings.n_epochs
        callbacks = EpochCallbacks(self, self.fitted_attributes, shown, n_epochs)
        result = self._train(supervision, setup, rng, callbacks, make_early_stopping)
        self._publish(result, supervision)
        callbacks.end(result)
        return self

    @all_or_nothing
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        items: Any = None,
        sample_weight: ArrayLike | None = None,
        teacher_scores: Any = None,
    ) -> TowerEstimator:
        """Learn the queries of a further log, such as that of a day, and new items.

        Ids and other categories that are new get weights of their own. Only these are trained, and
        the weights that name the queries of the log: those of the query column with the most
        categories. All other queries and items keep their embeddings, so that the towers forget
        nothing, and stored embeddings stay valid. ``fit`` with ``warm_start=True`` trains all
        weights instead. The first call is the same as ``fit``.

        Parameters
        ----------
        X : data frame, array or CSR matrix of shape (n_rows, n_features)
            The columns as in ``fit``; all rows of each query, earlier ones too. From a user's last
            day alone, the towers would forget what the user liked before.
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives), optional
            Relevance, as in ``fit``.
        qid : array-like of shape (n_rows,), optional
            Query of each row, as in ``fit``.
        items : table of shape (n_items, n_item_columns), optional
            The catalogue, new items included. It is indexed as in ``fit``, without ids or offsets:
            call ``index`` again if you use them. Without it, the towers learn from the rows of the
            log, and there is no index afterwards.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights, as in ``fit``.
        teacher_scores : array-like of shape (n_rows,), matrix, CSR matrix or callable, optional
            Scores of the log's queries, as in ``fit``. Without them, a fitted ``teacher`` is asked,
            such as one in a FrozenEstimator, or that of ``fit``. No teacher is fitted.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the arguments do not match, there is no fitted teacher, or training diverges.

        Warns
        -----
        UserWarning
            If there is nothing to train, because no column holds categories.
        """
        if not hasattr(self, "params_"):
            return self.fit(
                X,
                y,
                qid=qid,
                items=items,
                sample_weight=sample_weight,
                teacher_scores=teacher_scores,
            )
        self.check_parameters()
        arguments = X, y, qid, items, sample_weight, teacher_scores
        supervision = read_log(self, *arguments, {}, reset=False)
        setup = setup_for_further(self, supervision.pairs, TrainingSettings.of(self))
        supervision = self._score_further(supervision)
        self._check_taught(supervision)
        start = setup.start
        assert start is not None  # it goes on
        training = Training(start)
        if setup.trained:
            rng = self.generator()
            queries = np.arange(supervision.pairs.n_queries)
            batches, _ = supervision.make_batches(setup, queries, rng)
            setup = setup.with_automatic(supervision.automatic_settings(setup))
            training = setup.run(start, batches, rng)
        training.loss_curve = self.loss_curve_ + training.loss_curve
        training.validation_scores = self.validation_scores_
        had_ids = getattr(getattr(self, "index_", None), "ids", None) is not None
        self._publish(training, supervision)
        if had_ids and supervision.catalogue is not None:
            warn_user(
                "partial_fit has indexed the catalogue anew, without the ids of the former index: "
                "retrieve returns positions. Call index(items, ids) again."
            )
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
            warn_user(
                "draw_correction was renamed to logq_correction; the former name will be removed "
                "in 0.3.",
                FutureWarning,
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

    @property
    def strength_of_correction(self) -> float:
        """The parameter ``logq_correction``, or its former name if that is set."""
        if self.draw_correction != DEPRECATED:
            return float(self.draw_correction)
        return self.logq_correction

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
        params = setup.initialize(rng) if setup.start is None else setup.start
        train_queries = np.arange(supervision.pairs.n_queries)
        if self.early_stopping is True and make_early_stopping is None:
            train_queries, eval_queries = hold_out(
                len(train_queries), self.validation_fraction, rng
            )
            make_early_stopping = partial(supervision.make_early_stopping, setup, eval_queries)
        batches, matrix = supervision.make_batches(setup, train_queries, rng)
        if self.spectral_start and setup.start is None and matrix is not None:
            catalogue = setup.catalogue(supervision.pairs.n_catalogue)
            seed = int(rng.integers(2**31 - 1))
            start_from_spectrum(setup.model, params, setup.query_rows, catalogue, matrix, seed)
        del matrix  # as large as queries times items
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
        self.__dict__.pop("index_", None)  # it holds embeddings of former towers
        if supervision.catalogue is not None:
            self.index(supervision.catalogue)
            self.items_ = None if self.teacher_ is None else supervision.catalogue
