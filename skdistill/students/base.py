"""The estimator face of a model: checked tables in, training, scores out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.callback import with_callbacks
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.columns import take_rows, without_query_column
from skdistill.inputs import Rows
from skdistill.losses import Logistic, Pointwise, get_loss
from skdistill.objective import Objective
from skdistill.optimizers import Optimizer
from skdistill.protocols import Loss, Model
from skdistill.queries import Queries
from skdistill.ranking_estimator import (
    Epochs,
    RankingEstimator,
    check_finite,
    check_sample_weight,
    in_query_order,
)
from skdistill.scaling import ColumnScaler
from skdistill.scoring import NotFiniteError, Scorer
from skdistill.training import (
    SETTINGS_CONSTRAINTS,
    AugmentedCurriculum,
    Curriculum,
    TableCurriculum,
    Training,
    TrainingSettings,
    hold_out,
    train,
)
from skdistill.validation import Validate, ndcg_on

COMMON_PARAMETERS = """loss : str or Loss, default="listwise"
        What is fitted: a name of ``skdistill.losses.LOSSES`` or an object of that protocol.
    hard_loss : str or Loss, optional
        Loss on labels; as ``loss`` by default.
    alpha : float, default=1.0
        Share of the teacher where ``fit`` gets ``teacher_scores``, the rest goes to the labels.
    temperature : float, default=1.0
        Of ``loss`` on the teacher's scores; labels have none.
    max_iter : int
        Epochs.
    batch_size : int, default=16
        Queries a step.
    max_batch_rows : int, default=8192
        Rows a step at the most; longer queries are cut into random lists, anew each epoch.
    optimizer : {"adam", "adagrad"}, default="adam"
    learning_rate_init : float
    learning_rate : {"constant", "cosine", "linear"}, default="cosine"
        Schedule over the whole training.
    weight_decay : float
        Decoupled weight decay.
    early_stopping : bool, default=False
        Hold queries out, keep the epoch of the best NDCG@10 on them, end when it stays away.
    validation_fraction : float, default=0.1
        Share of the queries held out.
    n_iter_no_change : int, default=5
        Epochs without improvement before training ends.
    tol : float, default=1e-4
        What counts as an improvement of NDCG.
    squash : bool, default=True
        Bend heavy-tailed columns, ``x / (half + |x|)``; see ``scaler_``.
    standardize : bool, default=True
        Bring columns to one scale: dense ones to mean 0 and deviation 1, CSR ones to a largest
        absolute value of 1.
    warm_start : bool, default=False
        Go on from the last fit's parameters.
    query_column : str or int, optional
        Column of X that holds the query ids; it is no feature.
    random_state : int, RandomState or None, default=None
        Same state, machine and number of threads: same bits."""

COMMON_ATTRIBUTES = """params_ : dict of ndarray
        Trained parameters, float32.
    scaler_ : ColumnScaler
    loss_curve_ : list of float
        Objective of each epoch.
    validation_scores_ : list of float
        NDCG@10 on the held-out queries after each epoch, with ``early_stopping``.
    n_iter_ : int
        Epochs run.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        For tables with column names."""


@dataclass(frozen=True)
class Lesson:
    """What a student is taught: a checked table, sorted by query.

    ``order`` leads back: row i of the lesson is row ``order[i]`` of the user's table.
    """

    X: Any
    queries: Queries
    order: NDArray[np.int64]
    labels: NDArray[np.float64] | None
    teacher_scores: NDArray[np.float64] | None
    sample_weight: NDArray[np.float64] | None

    def take(self, chosen: NDArray[np.int64]) -> Lesson:
        """The part of it that the chosen queries are."""
        rows, queries = self.queries.take(chosen)

        def pick(values: Any) -> Any:
            return None if values is None else values[rows]

        return Lesson(
            self.X[rows],
            queries,
            self.order[rows],
            pick(self.labels),
            pick(self.teacher_scores),
            pick(self.sample_weight),
        )


def has_log_odds(estimator: Any) -> bool:
    """Whether an estimator's loss makes its scores log-odds."""
    if any(
        isinstance(get_loss(loss), Logistic)
        for loss in (estimator.loss, estimator.hard_loss)
        if loss
    ):
        return True
    raise AttributeError(
        f"predict_proba needs scores that are log-odds: loss={estimator.loss!r} and "
        f"hard_loss={estimator.hard_loss!r} make none. Use 'logistic'."
    )


class BaseStudent(RankingEstimator):
    """Fit, predict and everything around them; a subclass says which model it is the face of."""

    _parameter_constraints: dict[str, list[Any]] = {
        **SETTINGS_CONSTRAINTS,
        "loss": [str, Loss],
        "hard_loss": [str, Loss, None],
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "max_batch_rows": [Interval(Integral, 2, None, closed="left")],
        "squash": ["boolean"],
        "standardize": ["boolean"],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        *,
        loss: str | Loss,
        hard_loss: str | Loss | None,
        alpha: float,
        temperature: float,
        max_iter: int,
        batch_size: int,
        max_batch_rows: int,
        optimizer: str,
        learning_rate_init: float,
        learning_rate: str,
        weight_decay: float,
        early_stopping: bool,
        validation_fraction: float,
        n_iter_no_change: int,
        tol: float,
        squash: bool,
        standardize: bool,
        warm_start: bool,
        query_column: str | int | None,
        random_state: Any,
    ) -> None:
        self.loss = loss
        self.hard_loss = hard_loss
        self.alpha = alpha
        self.temperature = temperature
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
        self.squash = squash
        self.standardize = standardize
        self.warm_start = warm_start
        self.query_column = query_column
        self.random_state = random_state

    def _model(self) -> Model:
        """The model that the hyper-parameters describe."""
        raise TypeError("BaseStudent has no model: use LinearRanker, MLPRanker or another student.")

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        teacher_scores: ArrayLike | None = None,
        synthetic: tuple[Any, ArrayLike, float] | None = None,
    ) -> BaseStudent:
        """Train on labels, on a teacher's scores, or on both.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            Finite numbers; rows in any order.
        y : array-like of shape (n_rows,), optional
            Relevance, NaN where unknown. Needed unless there are ``teacher_scores``.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Without it and without ``query_column`` all rows are one query.
        sample_weight : array-like of shape (n_rows,), optional
            Multiplies each row's term of the loss.
        teacher_scores : array-like of shape (n_rows,), optional
            What a teacher says of the rows; mixed with the labels by ``alpha``.
        synthetic : tuple of (table, array-like, float), optional
            Further rows of no query, the teacher's scores of them, and the share of each step's
            rows that they are to be. Dense tables only; see ``DistilledRanker(augment=)``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For tables that don't match, labels that are all NaN without a teacher, and training
            that diverges.
        """
        lesson = self._read_lesson(X, y, qid, sample_weight, teacher_scores, reset=True)
        rng = self._generator()
        if not (self.warm_start and self._fits_parameters(lesson)):
            self._initialize(lesson, rng)
        held_out = None
        if self.early_stopping:
            kept, held = hold_out(lesson.queries.n_queries, self.validation_fraction, rng)
            lesson, held_out = lesson.take(kept), lesson.take(held)
        inputs = Rows(self.scaler_.transform(lesson.X))
        watched = lesson if held_out is None else held_out
        shown = np.sort(watched.order)
        epochs = Epochs(
            self,
            self._attributes_after,
            {
                "X": lambda: take_rows(X, shown),
                "y": lambda: None if y is None else np.asarray(y)[shown],
                "metadata": lambda: None if qid is None else {"qid": np.asarray(qid)[shown]},
            },
        )
        settings = TrainingSettings.of(self)
        model = self._model()
        training = train(
            model,
            settings.make_optimizer(model, self.params_, inputs),
            self._curriculum(lesson, inputs, synthetic, settings),
            settings,
            rng,
            validate=None if held_out is None else self._validator(held_out),
            on_epoch=epochs.watch,
        )
        self._optimizer: Optimizer | None = None
        for name, value in self._attributes_after(training).items():
            setattr(self, name, value)
        epochs.end(training)
        return self

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        teacher_scores: ArrayLike | None = None,
    ) -> BaseStudent:
        """One epoch over new queries, such as the next shard of a log.

        The first call reads squash and scale of the columns from its table. The learning rate is
        ``learning_rate_init`` throughout, and no queries are held out.

        Parameters
        ----------
        X, y, qid, sample_weight, teacher_scores
            As in ``fit``; every query whole.

        Returns
        -------
        self
        """
        first = not hasattr(self, "params_")
        lesson = self._read_lesson(X, y, qid, sample_weight, teacher_scores, reset=first)
        model = self._model()
        settings = TrainingSettings.of(self, max_iter=1, learning_rate="constant")
        if first or not hasattr(self, "_partial_rng"):
            self._partial_rng = self._generator()
        if first:
            self._initialize(lesson, self._partial_rng)
            self.loss_curve_: list[float] = []
            self.validation_scores_: list[float] = []
            self._optimizer = None
        inputs = Rows(self.scaler_.transform(lesson.X))
        if self._optimizer is None:
            self._optimizer = settings.make_optimizer(model, self.params_, inputs)
        training = train(
            model,
            self._optimizer,
            TableCurriculum(inputs, lesson.queries, self._objective(lesson), settings),
            settings,
            self._partial_rng,
        )
        training.loss_curve = self.loss_curve_ + training.loss_curve
        for name, value in self._attributes_after(training).items():
            setattr(self, name, value)
        return self

    def predict(self, X: Any) -> NDArray[np.float32]:
        """Scores of rows, higher is better; in the order of the rows.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,), float32
        """
        check_is_fitted(self)
        if self._is_ready(X):
            # What is wrong with the table, if anything, the slower checks tell.
            with suppress(NotFiniteError):
                return self._scorer(X, ensure_finite=True)
        return self._scorer(self._read_table(X, reset=False))

    @available_if(has_log_odds)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of labels 0 and 1; only where ``loss`` or ``hard_loss`` is logistic.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, 2), float64
        """
        positive = expit(self.predict(X).astype(np.float64))
        return np.column_stack([1 - positive, positive])

    def __getstate__(self) -> dict[str, Any]:
        # A scorer is the parameters once more, folded: made anew rather than kept in files.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_scorer"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "params_"):
            self._scorer = Scorer.fold(self._model(), self.params_, self.scaler_)

    def _read_table(self, X: Any, reset: bool) -> Any:
        """The columns that are features, as finite float32: C-contiguous or CSR."""
        as_numbers = {"accept_sparse": "csr", "dtype": np.float32, "order": "C"}
        if self.query_column is None:
            return validate_data(self, X, reset=reset, **as_numbers)
        validate_data(self, X, reset=reset, skip_check_array=True)
        X = without_query_column(X, self.query_column)
        return check_array(X, **as_numbers, estimator=self)

    def _initialize(self, lesson: Lesson, rng: np.random.Generator) -> None:
        """Read squash and scale off the columns, draw fresh parameters."""
        self.scaler_ = ColumnScaler.fit(lesson.X, self.squash, self.standardize)
        self.params_ = self._model().initialize(lesson.X.shape[1], rng)

    def _is_ready(self, X: Any) -> bool:
        """Whether X needs no conversion, by checks that cost a tenth of scikit-learn's.

        That it is finite is left to the scorer, which has the rows in cache.
        """
        return (
            type(X) is np.ndarray
            and X.dtype == np.float32
            and X.ndim == 2
            and X.shape[0] > 0
            and X.shape[1] == self.n_features_in_
            and X.flags.c_contiguous
            and self.query_column is None
            and not hasattr(self, "feature_names_in_")
        )

    def _read_lesson(
        self,
        X: Any,
        y: ArrayLike | None,
        qid: ArrayLike | None,
        sample_weight: ArrayLike | None,
        teacher_scores: ArrayLike | None,
        reset: bool,
    ) -> Lesson:
        self._validate_params()
        if y is None and teacher_scores is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None, "
                "and there are no teacher_scores either."
            )
        table = self._read_table(X, reset=reset)
        n_rows = table.shape[0]
        ids = self._ids_for_fit(X, qid, n_rows)
        if reset:
            self.fitted_with_qid_ = ids is not None
        labels = None if y is None else self._check_labels(y, n_rows)
        if teacher_scores is not None:
            teacher_scores = check_finite("teacher_scores", teacher_scores, n_rows)
        elif labels is not None and np.isnan(labels).all():
            raise ValueError(
                f"y is NaN in all {n_rows} rows and there are no teacher_scores: nothing teaches "
                "the student."
            )
        weight = check_sample_weight(sample_weight, n_rows)
        if labels is not None and np.isnan(labels).all():
            labels = None
        queries, order, table, *columns = in_query_order(ids, table, labels, teacher_scores, weight)
        return Lesson(table, queries, order, *columns)

    def _fits_parameters(self, lesson: Lesson) -> bool:
        """Whether the parameters of the last fit are of this table's and model's shape."""
        if not hasattr(self, "params_"):
            return False
        fresh = self._model().initialize(lesson.X.shape[1], np.random.default_rng(0))
        if {name: array.shape for name, array in fresh.items()} != {
            name: array.shape for name, array in self.params_.items()
        }:
            raise ValueError(
                "warm_start=True needs the shape of the last fit: the hyper-parameters or the "
                f"{lesson.X.shape[1]} columns of X ask for other parameters."
            )
        return True

    def _objective(self, lesson: Lesson) -> Objective:
        soft = get_loss(self.loss, self.temperature)
        # A Loss of the user's own keeps its settings; a name's hard side has no temperature.
        hard = get_loss(self.loss if self.hard_loss is None else self.hard_loss)
        objective = Objective.mix(
            lesson.queries,
            soft=soft,
            hard=hard,
            alpha=self.alpha,
            labels=lesson.labels,
            teacher_scores=lesson.teacher_scores,
            sample_weight=lesson.sample_weight,
        )
        if not objective.terms:
            raise ValueError(f"alpha={self.alpha} leaves the teacher out, and no row has a label.")
        return objective

    def _curriculum(
        self,
        lesson: Lesson,
        inputs: Rows,
        synthetic: tuple[Any, ArrayLike, float] | None,
        settings: TrainingSettings,
    ) -> Curriculum:
        curriculum = TableCurriculum(inputs, lesson.queries, self._objective(lesson), settings)
        if synthetic is None:
            return curriculum
        if lesson.teacher_scores is None or sparse.issparse(lesson.X):
            raise ValueError("synthetic rows need teacher_scores and a dense table.")
        X, scores, share = synthetic
        table = check_array(X, dtype=np.float32, order="C", input_name="synthetic rows")
        target = check_finite("synthetic scores", scores, len(table)) - lesson.teacher_scores.mean()
        if isinstance(get_loss(self.loss), Pointwise):
            # That loss fits standardised scores, the others the teacher's own scale.
            target /= max(float(lesson.teacher_scores.std()), np.finfo(np.float64).tiny)
        rows = Rows(self.scaler_.transform(table))
        return AugmentedCurriculum(curriculum, rows, target.astype(np.float32), share)

    def _validator(self, held_out: Lesson) -> Validate:
        """NDCG@10 on held-out queries: against labels, or where there are none the teacher."""
        return ndcg_on(
            self._model(),
            Rows(self.scaler_.transform(held_out.X)),
            held_out.queries,
            held_out.labels,
            held_out.teacher_scores,
        )

    def _attributes_after(self, training: Training) -> dict[str, Any]:
        params = {name: array.copy() for name, array in training.params.items()}
        return {
            "params_": params,
            "loss_curve_": list(training.loss_curve),
            "validation_scores_": list(training.validation_scores),
            "n_iter_": len(training.loss_curve),
            "_scorer": Scorer.fold(self._model(), params, self.scaler_),
        }
