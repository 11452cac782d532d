"""The one training loop: steps of an epoch, a learning-rate schedule, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np

from skdistill._sklearn_compat import Interval, StrOptions
from skdistill.protocols import Array, Parameters, TrainableModel
from skdistill.training.early_stopping import EarlyStopping
from skdistill.training.optimizers import OPTIMIZERS, Optimizer

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    # A short warm-up: the first steps of Adam are large and their direction is noise.
    "cosine": lambda progress: min(progress / 0.02, 1.0) * (1 + np.cos(np.pi * progress)) / 2,
    "linear": lambda progress: 1 - progress,
}

# What the estimators' parameters of the same names may be.
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
    max_iter : int
        Epochs.
    batch_size : int
        Queries per step.
    max_batch_rows : int
        Rows per step at most. A longer query is cut into random lists of at most so many rows,
        anew in each epoch.
    optimizer : {"adam", "adagrad"}
    learning_rate_init : float
    learning_rate : {"constant", "cosine", "linear"}
        Schedule over all steps.
    weight_decay : float
    n_iter_no_change : int
        Epochs without a better validation score after which training stops.
    tol : float
        Least gain in the validation score that counts as better.
    """

    max_iter: int
    batch_size: int
    max_batch_rows: int
    optimizer: str
    learning_rate_init: float
    learning_rate: str
    weight_decay: float
    n_iter_no_change: int
    tol: float

    @classmethod
    def of(cls, estimator: Any, **changes: Any) -> TrainingSettings:
        """The estimator's parameters of the same names, some of them changed."""
        settings = {own.name: getattr(estimator, own.name) for own in fields(cls)}
        return cls(**(settings | changes))

    def make_optimizer(self, model: TrainableModel, params: Parameters, inputs: Any) -> Optimizer:
        """An optimizer of these parameters, for batches of these inputs."""
        tables = model.row_parameters(inputs)
        return OPTIMIZERS[self.optimizer](params, tables, self.weight_decay)

    def rate(self, progress: float) -> float:
        """Learning rate after a fraction of all steps."""
        return self.learning_rate_init * SCHEDULES[self.learning_rate](min(progress, 1.0))


# The objective at the scores of a step's inputs, and its gradient with respect to them, which may
# overwrite the scores.
Evaluate = Callable[[Array], tuple[float, Array]]


class BatchSource(Protocol):
    """What a model is shown, step by step."""

    @property
    def n_steps(self) -> int:
        """Steps per epoch; the number may drift a little from one epoch to the next."""

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        """Inputs of each step, and the objective at their scores.

        ``params`` are the parameters being trained, for a source that looks for hard examples. It
        does not change them.
        """


@dataclass
class Training:
    """State of a training, and in the end its result.

    Attributes
    ----------
    params : dict of ndarray
        The optimizer's own arrays. In the end they are those of the best epoch with early stopping,
        of the last epoch without.
    loss_curve : list of float
        Objective of each epoch, mean over its steps.
    validation_scores : list of float
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
    """Train a model's parameters, which the optimizer owns.

    Parameters
    ----------
    model : TrainableModel
    optimizer : Optimizer
        Its ``params`` are changed in place.
    batches : BatchSource
    settings : TrainingSettings
    rng : Generator
    early_stopping : EarlyStopping, optional
    on_epoch : callable, optional
        Called after each epoch with its number and the state so far; True stops the training.

    Returns
    -------
    Training

    Raises
    ------
    ValueError
        If the objective is no longer finite.
    """
    state = Training(optimizer.params)
    n_steps = settings.max_iter * batches.n_steps
    step = 0
    for epoch in range(settings.max_iter):
        values = []
        for inputs, evaluate in batches.epoch(epoch, optimizer.params, rng):
            scores, cache = model.forward(optimizer.params, inputs)
            value, gradient = evaluate(scores)
            grads = model.backward(optimizer.params, cache, gradient)
            optimizer.step(grads, settings.rate((step + 0.5) / n_steps))
            values.append(value)
            step += 1
        state.loss_curve.append(float(np.mean(values)))
        _check_finite(state.loss_curve, settings)
        should_stop = False
        if early_stopping is not None:
            score, should_stop = early_stopping.update(optimizer.params)
            state.validation_scores.append(score)
        if (on_epoch is not None and on_epoch(epoch, state)) or should_stop:
            break
    if early_stopping is not None:
        early_stopping.restore_best(optimizer.params)
    return state


def _check_finite(loss_curve: list[float], settings: TrainingSettings) -> None:
    if not np.isfinite(loss_curve[-1]):
        raise ValueError(
            f"Training diverged: the objective is {loss_curve[-1]} in epoch {len(loss_curve)}. "
            f"Lower learning_rate_init={settings.learning_rate_init}, or look for columns with "
            "extreme values."
        )
