"""The training loop of all models: steps, a learning-rate schedule, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill._sklearn_compat import Interval, StrOptions
from skdistill.protocols import Array, Parameters, TrainableModel
from skdistill.training.category_rows import CategoryRows
from skdistill.training.early_stopping import EarlyStopping
from skdistill.training.optimizers import OPTIMIZERS, Optimizer
from skdistill.training.schedules import SCHEDULES
from skdistill.training.weight_decay import SMALL_DECAY, automatic_decay, category_rate

# Valid values of the estimators' parameters of the same names.
SETTINGS_CONSTRAINTS: dict[str, list[Any]] = {
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "max_batch_rows": [Interval(Integral, 2, None, closed="left")],
    "optimizer": [StrOptions(set(OPTIMIZERS))],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "random_state": ["random_state"],
}


@dataclass(frozen=True)
class TrainingSettings:
    """Hyper-parameters of the loop.

    Parameters
    ----------
    max_iter : int or "auto"
        Number of epochs.
    batch_size : int
        Number of queries per step.
    max_batch_rows : int
        Largest number of rows per step. A longer query is cut into random lists of at most this
        many rows, anew in each epoch.
    optimizer : {"adam", "adagrad"}
        Name of an optimizer in ``OPTIMIZERS``.
    learning_rate_init : float or "auto"
        Learning rate before the schedule.
    learning_rate : {"constant", "cosine", "linear"}
        Schedule over all steps.
    weight_decay : float or "auto"
        Decoupled weight decay. Any "auto" has to be replaced before training.
    n_iter_no_change : int
        Number of epochs without improvement after which early stopping stops.
    tol : float
        Least gain in the validation score that counts as an improvement.
    """

    max_iter: int | str
    batch_size: int
    max_batch_rows: int
    optimizer: str
    learning_rate_init: float | str
    learning_rate: str
    weight_decay: float | str
    n_iter_no_change: int
    tol: float

    @classmethod
    def of(cls, estimator: Any, **changes: Any) -> TrainingSettings:
        """Read the settings from an estimator's parameters of the same names.

        ``changes`` replace some of them.
        """
        settings = {setting.name: getattr(estimator, setting.name) for setting in fields(cls)}
        return cls(**(settings | changes))

    def for_stream(self) -> TrainingSettings:
        """Change to one epoch of a stream, whose learning rate is constant."""
        decay = SMALL_DECAY if self.weight_decay == "auto" else self.weight_decay
        return replace(self, max_iter=1, learning_rate="constant", weight_decay=decay)

    def with_weight_decay(
        self, model: TrainableModel, inputs: Any, n_steps: int, categories: CategoryRows | None
    ) -> TrainingSettings:
        """Replace "auto" by the weight decay for a model, its inputs and their steps per epoch.

        In wide tables of ids all weights are those of ids, unless their rows are told apart.
        """
        if self.weight_decay != "auto":
            return self
        decay = SMALL_DECAY
        if categories is not None or not model.row_parameters(inputs):
            decay = automatic_decay(model.n_hidden_units, n_steps, float(self.learning_rate_init))
        return replace(self, weight_decay=decay)

    def category_rows(
        self, names: tuple[str, ...], credibility: NDArray[np.float64], n_units: int
    ) -> CategoryRows:
        """Choose how the weights of categories learn if a step only moves those of its batch.

        Parameters
        ----------
        names : tuple of str
            Names of the parameters with a row per input.
        credibility : ndarray of shape (n_codes,), float64
            Factor of each category: how far to trust what its queries have in common.
        n_units : int
            Number of hidden units that learn categories by heart; 0 if none do.

        Returns
        -------
        CategoryRows
        """
        decay = SMALL_DECAY if self.weight_decay == "auto" else float(self.weight_decay)
        return CategoryRows(names, credibility * category_rate(n_units, self.n_epochs), decay)

    @property
    def n_epochs(self) -> int:
        """Number of epochs, which is no longer "auto"."""
        return int(self.max_iter)

    def with_automatic(self, **values: float) -> TrainingSettings:
        """Replace those of the named settings that are "auto"."""
        chosen: dict[str, Any] = {
            name: value for name, value in values.items() if getattr(self, name) == "auto"
        }
        return replace(self, **chosen)

    def make_optimizer(
        self,
        model: TrainableModel,
        params: Parameters,
        inputs: Any,
        categories: CategoryRows | None = None,
    ) -> Optimizer:
        """Make an optimizer of these parameters, for batches of these inputs."""
        return OPTIMIZERS[self.optimizer](
            params,
            model.row_parameters(inputs),
            float(self.weight_decay),
            model.undecayed_parameters,
            model.fixed_parameters(inputs),
            categories,
        )

    def rate(self, progress: float) -> float:
        """Return the learning rate after a fraction of all steps."""
        return float(self.learning_rate_init) * SCHEDULES[self.learning_rate](min(progress, 1.0))


# Computes the objective at the scores of a step's inputs, and its gradient with respect to them. It
# may overwrite the scores.
Evaluate = Callable[[Array], tuple[float, Array]]


class BatchSource(Protocol):
    """The batches of a training set, step by step."""

    @property
    def n_steps(self) -> int:
        """Number of steps per epoch; it may differ a little from one epoch to the next."""

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        """Yield the inputs and the objective of each step of an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        params : dict of str to ndarray
            Current parameters, for a source that looks for hard examples. It must not change them.
        rng : numpy.random.Generator
            Source of the random order and of random draws.

        Yields
        ------
        inputs : Rows or Pairs
            What the model scores.
        evaluate : callable
            ``evaluate(scores)`` returns the objective's value and its gradient. It may overwrite
            the scores.
        """


@dataclass
class Training:
    """State of a training run, and finally its result.

    Attributes
    ----------
    params : dict of str to ndarray
        The arrays that the optimizer changes. Finally they are those of the best epoch with early
        stopping, and of the last epoch without.
    loss_curve : list of float
        Mean objective over the steps of each epoch.
    validation_scores : list of float
        Validation score after each epoch; empty without early stopping.
    """

    params: Parameters
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)


def train(
    model: TrainableModel,
    optimizer: Optimizer,
    batches: BatchSource,
    settings: TrainingSettings,
    rng: np.random.Generator,
    *,
    early_stopping: EarlyStopping | None = None,
    on_epoch: Callable[[int, Training], bool] | None = None,
) -> Training:
    """Train a model.

    Parameters
    ----------
    model : TrainableModel
        Computes scores and gradients.
    optimizer : Optimizer
        Its ``params`` are changed in place.
    batches : BatchSource
        Yields the inputs and the objective of each step.
    settings : TrainingSettings
        Number of epochs and learning rate.
    rng : numpy.random.Generator
        Passed on to ``batches``.
    early_stopping : EarlyStopping, optional
        Decides when to stop, and restores the best epoch. By default all epochs are run.
    on_epoch : callable, optional
        ``on_epoch(epoch, training)`` is called after each epoch with its number, from 0, and the
        state so far. If it returns True, training stops.

    Returns
    -------
    Training
        The trained parameters and the curves.

    Raises
    ------
    ValueError
        If the objective, a parameter or a moment of the optimizer becomes NaN or infinite.
    """
    state = Training(optimizer.params)
    n_steps = settings.n_epochs * batches.n_steps
    step = 0
    for epoch in range(settings.n_epochs):
        values = []
        for inputs, evaluate in batches.epoch(epoch, optimizer.params, rng):
            rate = settings.rate((step + 0.5) / n_steps)
            values.append(_step(model, optimizer, inputs, evaluate, rate))
            step += 1
            # The next step gets the same memory, which is still in cache.
            del inputs, evaluate
        state.loss_curve.append(float(np.mean(values)))
        _check_finite(state.loss_curve, optimizer, settings)
        should_stop = False
        if early_stopping is not None:
            score, should_stop = early_stopping.update(optimizer.params)
            state.validation_scores.append(score)
        if (on_epoch is not None and on_epoch(epoch, state)) or should_stop:
            break
    if early_stopping is not None:
        early_stopping.restore_best(optimizer.params)
    return state


def _step(
    model: TrainableModel, optimizer: Optimizer, inputs: Any, evaluate: Evaluate, rate: float
) -> float:
    """Move the parameters by one step, and return the objective before it."""
    scores, cache = model.forward(optimizer.params, inputs)
    value, gradient = evaluate(scores)
    optimizer.step(model.backward(optimizer.params, cache, gradient), rate)
    return value


def _check_finite(
    loss_curve: list[float], optimizer: Optimizer, settings: TrainingSettings
) -> None:
    """Raise if the last epoch left something that is not finite."""
    if np.isfinite(loss_curve[-1]) and optimizer.is_finite:
        return
    what = "the gradients overflow"
    if not np.isfinite(loss_curve[-1]):
        what = f"the objective is {loss_curve[-1]}"
    raise ValueError(
        f"Training diverged: {what} in epoch {len(loss_curve)}. Lower "
        f"learning_rate_init={settings.learning_rate_init}, or check X for columns with extreme "
        "values."
    )
