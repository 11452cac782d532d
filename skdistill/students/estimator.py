"""The base of students that trains: it checks tables, trains the model and keeps the result."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.callback import with_callbacks

from skdistill._sklearn_compat import Interval, RealNotInt, StrOptions
from skdistill.base import all_or_nothing
from skdistill.callbacks import EpochCallbacks, rows_for_callbacks, sorted_rows_for_callbacks
from skdistill.inputs.alignment import warn_of_other_order
from skdistill.inputs.checks import check_finite, check_sample_weight, check_supervision
from skdistill.inputs.contradictions import warn_of_contradiction
from skdistill.inputs.leaks import warn_of_leaks
from skdistill.inputs.offsets import check_compares_offset, check_offset, in_unit_of_offset
from skdistill.inputs.ranking_data import RankingData, SyntheticRows
from skdistill.inputs.validation import ValidationTable
from skdistill.models.scoring import Scorer
from skdistill.protocols import Loss
from skdistill.students.batches import batches_of
from skdistill.students.category_weights import credibility_of_categories, scale_categories
from skdistill.students.id_warning import SuspectedIds, warn_of_columns_of_lists
from skdistill.students.importances import Interpretable
from skdistill.students.initialization import fits_parameters, initialize, scaled_rows
from skdistill.students.optimizing import optimizer_for_fit
from skdistill.students.reading import read_training_table
from skdistill.students.stopping import check_stopping_labels, read_validation, split_for_stopping
from skdistill.training.early_stopping import EarlyStopping, Validate
from skdistill.training.loop import SETTINGS_CONSTRAINTS, Training
from skdistill.training.objective import HeadsObjective, Objective
from skdistill.training.query_batches import (
    QueryBatches,
    settings_for,
    train_on_queries,
)


@dataclass(kw_only=True, eq=False, repr=False)
class StudentEstimator(Interpretable):
    """Fitting and scoring of students; subclasses define the model and the objective.

    The fields are the parameters of all students; ``docs/decisions`` explains why they are fields.
    """

    temperature: float = 1.0
    max_iter: int = 30
    batch_size: int | str = "auto"
    max_batch_rows: int = 8192
    optimizer: str = "adam"
    learning_rate_init: float = 3e-3
    learning_rate: str = "cosine"
    weight_decay: float | str = 1e-2
    early_stopping: bool | str = "auto"
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    tol: float = 1e-4
    squash: bool = True
    standardize: bool = True
    categorical_features: Any = "from_dtype"
    min_frequency: Any = "auto"
    max_categories: int | None = None
    warm_start: bool = False
    verbose: bool = False
    query_column: str | int | None = None
    random_state: Any = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SETTINGS_CONSTRAINTS,
        "batch_size": [*SETTINGS_CONSTRAINTS["batch_size"], StrOptions({"auto"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "squash": ["boolean"],
        "standardize": ["boolean"],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", callable, None],
        "min_frequency": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
            StrOptions({"auto"}),
            None,
        ],
        "max_categories": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "verbose": ["verbose"],
    }

    def make_objective(self, data: RankingData) -> Objective | HeadsObjective:
        """Build the objective that training minimises over some rows."""
        raise NotImplementedError(f"{type(self).__name__} does not define make_objective.")

    def make_validator(self, held_out: RankingData) -> Validate:
        """Build what early stopping measures on held-out queries."""
        raise NotImplementedError(f"{type(self).__name__} does not define make_validator.")

    def teachers_loss(self) -> Loss | None:
        """Return the loss on the teacher's scores; None if they have no weight."""
        raise NotImplementedError(f"{type(self).__name__} does not define teachers_loss.")

    def check_parameters(self) -> None:
        """Check all parameters before anything expensive runs.

        Raises
        ------
        ValueError
            If a parameter is invalid.
        """
        named = self.categorical_features
        if isinstance(named, str) and named != "from_dtype":
            raise ValueError(f"categorical_features takes a list: pass [{named!r}], not {named!r}.")
        self._validate_params()
        self.make_model()

    def check_labels(self, data: RankingData) -> None:
        """Check the range of the labels, before anything expensive runs.

        Raises
        ------
        ValueError
            If early stopping or the objective refuses them; the base has no objective.
        """
        if self.early_stopping is True:
            check_stopping_labels(data)

    @all_or_nothing
    @with_callbacks
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        teacher_scores: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        qid_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        teacher_scores_val: ArrayLike | None = None,
        offset_val: ArrayLike | None = None,
    ) -> StudentEstimator:
        """Train on labels, on a teacher's scores, or on both.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            Rows in any order. A data frame may have columns of numbers, booleans, categories,
            strings and dates, with missing values; an array may have NaN.
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives), optional
            Relevance, NaN for unlabelled rows. A student of several objectives takes a column per
            objective. Required unless there are ``teacher_scores``.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Without it and without ``query_column``, all rows are one query; if
            no loss compares rows ("logistic", "pointwise"), each row is taken by itself.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights; each multiplies its row's term of the loss.
        teacher_scores : array-like of shape (n_rows,), optional
            A teacher's score of each row. ``alpha`` or ``objective_weights`` mix them with labels.
        offset : array-like of shape (n_rows,), optional
            Such as the logarithm of a bid. It is added to the student's and the teacher's scores
            before the loss compares them, so that the student learns the order of bid x
            probability. The teacher's scores must be log-probabilities or log-odds; if all of them
            lie between 0 and 1, they are taken as probabilities, and their logarithms are used. The
            loss on labels takes no offset. ``predict`` does not contain it: rank by
            ``predict(X) + offset``.
        X_val : table of shape (n_val, n_features), optional
            Rows, such as those of a later week, by which training stops early. They are never
            trained on.
        y_val, qid_val, sample_weight_val, teacher_scores_val, offset_val : array-like, optional
            What ``y``, ``qid``, ``sample_weight``, ``teacher_scores`` and ``offset`` are for ``X``.
            Without labels, the teacher's scores are the measure.

        Returns
        -------
        self
            The fitted student.

        Raises
        ------
        ValueError
            If parameters are invalid, the arguments do not match, there is nothing to learn from,
            or training diverges.
        """
        data = self._read(X, y, qid, sample_weight, teacher_scores, offset, reset=True)
        self.check_labels(data)
        given = {"y": y_val, "qid": qid_val, "sample_weight": sample_weight_val}
        further = {"teacher_scores": teacher_scores_val, "offset": offset_val}
        table = ValidationTable.of(X_val, **given, **further)
        if table is None:
            return self._train(data, None, None, rows_for_callbacks(X, y, qid, offset))
        shown = rows_for_callbacks(X_val, y_val, qid_val, offset_val)
        return self._train(data, None, read_validation(self, table), shown)

    @all_or_nothing
    @with_callbacks
    def fit_ranking_data(
        self,
        data: RankingData,
        synthetic: SyntheticRows | None = None,
        validation: RankingData | None = None,
    ) -> StudentEstimator:
        """Train on data that is already checked and sorted, and on synthetic rows.

        Parameters
        ----------
        data : RankingData
            Its table is what ``read_table`` returned.
        synthetic : SyntheticRows, optional
            Rows that a teacher has scored, added to every step.
        validation : RankingData, optional
            Rows by which training stops early, unless ``early_stopping`` is False.

        Returns
        -------
        self
            The fitted student.
        """
        check_supervision(data.labels, data.teacher_scores, data.n_rows)
        data = data.with_table(data.X)  # which the caller, and callbacks, go on to need
        return self._train(data, synthetic, validation, sorted_rows_for_callbacks)

    @all_or_nothing
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        teacher_scores: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> StudentEstimator:
        """Train for one epoch on new queries, such as the next shard of a log.

        The first call determines how the columns are scaled, from its table. The learning rate is
        always ``learning_rate_init``, and no queries are held out.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            The columns as in ``fit``; all rows of each query. The first call also determines
            the categories and the columns that may have missing values.
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives), optional
            Relevance, as in ``fit``.
        qid : array-like of shape (n_rows,), optional
            Query of each row, as in ``fit``.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights, as in ``fit``.
        teacher_scores : array-like of shape (n_rows,), optional
            A teacher's score of each row, as in ``fit``.
        offset : array-like of shape (n_rows,), optional
            Such as the logarithm of a bid, as in ``fit``.

        Returns
        -------
        self
            The student after the epoch.

        Raises
        ------
        ValueError
            If parameters are invalid, the arguments do not match, there is nothing to learn from,
            or training diverges.
        """
        first = not hasattr(self, "params_")
        data = self._read(X, y, qid, sample_weight, teacher_scores, offset, reset=first)
        data, _ = in_unit_of_offset(data)
        settings = settings_for(self, data.queries).for_stream()
        # Training changes both in place, so it works on copies.
        self._partial_rng = copy.deepcopy(getattr(self, "_partial_rng", None)) or self.generator()
        self.optimizer_ = copy.deepcopy(getattr(self, "optimizer_", None))
        if first:
            self.scaler_, self.params_ = initialize(self, data.X, self._partial_rng)
            self.loss_curve_: list[float] = []
            self.validation_scores_: list[float] = []
        inputs = scaled_rows(self.scaler_, data)
        model = self.make_model()
        if self.optimizer_ is None:
            self.optimizer_ = settings.make_optimizer(model, self.params_, inputs)
        batches = QueryBatches(inputs, data.queries, self.make_objective(data), settings)
        training = train_on_queries(model, self.optimizer_, batches, settings, self._partial_rng)
        training.loss_curve = self.loss_curve_ + training.loss_curve
        self._importances = None  # of the former parameters
        return self.publish(training)

    def publish(self, training: Training) -> StudentEstimator:
        """Set the fitted attributes from the result of a training run."""
        for name, value in self.fitted_attributes(training).items():
            setattr(self, name, value)
        return self

    def fitted_attributes(self, training: Training) -> dict[str, Any]:
        """Return the fitted attributes after a training run, or in the middle of one."""
        params = {name: array.copy() for name, array in training.params.items()}
        return {
            "params_": params,
            "loss_curve_": list(training.loss_curve),
            "validation_scores_": list(training.validation_scores),
            "n_iter_": len(training.loss_curve),
            "_scorer": Scorer.fold(self.make_model(), params, self.scaler_),
        }

    def _read(
        self,
        X: Any,
        y: ArrayLike | None,
        qid: ArrayLike | None,
        sample_weight: ArrayLike | None,
        teacher_scores: ArrayLike | None,
        offset: ArrayLike | None,
        reset: bool,
    ) -> RankingData:
        """Check parameters and arguments, and sort the rows by query."""
        self.check_parameters()
        if y is None and teacher_scores is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None and "
                "there are no teacher_scores either. Pass y, teacher_scores, or both."
            )
        if reset:
            self.fitted_with_qid_ = qid is not None or self.query_column is not None
        table = read_training_table(self, X, reset)
        n_rows = table.shape[0]
        ids = self.check_ids(X, qid, n_rows)
        labels = None if y is None else self.read_labels(y, n_rows)
        if teacher_scores is not None:
            teacher_scores = check_finite("teacher_scores", teacher_scores, n_rows)
        if reset:
            warn_of_leaks(X, labels, teacher_scores)
        check_supervision(labels, teacher_scores, n_rows)
        weight = check_sample_weight(sample_weight, n_rows)
        added = check_offset(offset, n_rows)
        given = {"sample_weight": sample_weight, "teacher_scores": teacher_scores}
        warn_of_other_order(X, y=y, qid=qid, **given, offset=offset)
        self.fitted_with_offset_ = added is not None
        if added is not None:
            check_compares_offset(None if teacher_scores is None else self.teachers_loss())
        lists = self.queries_without_ids
        return RankingData.sort(ids, table, labels, teacher_scores, weight, None, added, lists)

    def _train(
        self,
        data: RankingData,
        synthetic: SyntheticRows | None,
        validation: RankingData | None,
        callback_data: Callable[[RankingData], dict[str, Any]],
    ) -> Any:
        """Initialise the parameters, hold out queries, train, and publish the result."""
        if not data.is_labelled.any():
            data = replace(data, labels=None)
        data.warn_if_constant(type(self).__name__, self.compares_rows)
        warn_of_contradiction(data, self.compares_rows, getattr(self, "alpha", 0) < 1)
        data, validation = in_unit_of_offset(data, validation)
        rng = self.generator()
        goes_on = self.warm_start and fits_parameters(self, data.X)
        if not goes_on:
            self.scaler_, self.params_ = initialize(self, data.X, rng)
        data, held_out = split_for_stopping(self, data, validation, rng)
        validate = None if held_out is None else self.make_validator(held_out)
        stopping = validate and EarlyStopping(validate, self.n_iter_no_change, self.tol)
        warn_of_columns_of_lists(self, data)
        suspects = SuspectedIds.of(self, data)
        inputs = scaled_rows(self.scaler_, data)
        told = callback_data(held_out or data)
        callbacks = EpochCallbacks(self, self.fitted_attributes, told, self.max_iter)
        settings = settings_for(self, data.queries)
        model = self.make_model()
        credibility = credibility_of_categories(self, inputs.X, data)
        if not goes_on:
            scale_categories(self.params_, model, inputs.X, credibility)
        batches = batches_of(self, data, inputs, synthetic, settings)
        training = train_on_queries(
            model,
            optimizer_for_fit(
                settings, model, self.params_, inputs, data.queries, credibility, batches.n_steps
            ),
            batches,
            settings,
            rng,
            early_stopping=stopping,
            on_epoch=callbacks.on_epoch,
        )
        self.optimizer_ = None
        self.publish(training)
        self._importances = self.measure_importances(inputs, data.queries)
        suspects.warn(model, self.params_, inputs)
        callbacks.end(training)
        return self

    def score_unit(self, teacher_scores: NDArray[np.float64]) -> float:
        """Return the difference in teacher score that equals one unit of the student's score."""
        return 1.0
