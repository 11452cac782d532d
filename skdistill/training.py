"""The one training loop: steps of a curriculum, a learning-rate schedule, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from skdistill.inputs import Rows
from skdistill.objective import HeadsObjective, Objective
from skdistill.optimizers import OPTIMIZERS, Optimizer
from skdistill.protocols import Array, Model, Parameters
from skdistill.queries import Queries

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
        Queries a step.
    max_batch_rows : int
        Rows a step at the most. A longer query is cut into random lists of at most so many rows,
        anew each epoch.
    optimizer : {"adam", "adagrad"}
    learning_rate_init : float
    learning_rate : {"constant", "cosine", "linear"}
        Schedule over all steps.
    weight_decay : float
    n_iter_no_change : int
        Epochs without a better validation score after which training ends.
    tol : float
        What counts as better.
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

    def make_optimizer(self, model: Model, params: Parameters, inputs: Any) -> Optimizer:
        tables = model.row_parameters(inputs)
        return OPTIMIZERS[self.optimizer](params, tables, self.weight_decay)


# The objective at the scores of a step's inputs, and its gradient with respect to them, which may
# take the place of the scores.
Evaluate = Callable[[Array], tuple[float, Array]]


class Curriculum(Protocol):
    """What a model is shown, step by step."""

    @property
    def n_steps(self) -> int:
        """Steps of an epoch; it may drift a little from one epoch to the next."""

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        """Inputs of each step, and what becomes of their scores.

        ``params`` are those being trained, for a curriculum that looks at what is hard for them.
        """


@dataclass(frozen=True)
class TableCurriculum:
    """Every row of a table once an epoch, in batches of whole queries.

    Parameters
    ----------
    inputs : Rows or Pairs
        Sorted by query.
    queries : Queries
    objective : Objective or HeadsObjective
        Over the rows of ``inputs``.
    settings : TrainingSettings
    """

    inputs: Any
    queries: Queries
    objective: Objective | HeadsObjective
    settings: TrainingSettings

    @property
    def n_steps(self) -> int:
        return len(batch_bounds(self.queries, self.settings))

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        for rows, batch in batches(self.queries, self.settings, rng):
            yield (
                self.inputs.take(rows),
                partial(self.objective.value_and_gradient, rows=rows, queries=batch),
            )


@dataclass
class Training:
    """What came of it.

    Attributes
    ----------
    params : dict of ndarray
        The optimizer's own: of the best epoch where there is a validation score, else of the last.
    loss_curve : list of float
        Objective of each epoch, mean over its steps.
    validation_scores : list of float
    """

    params: Parameters
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class AugmentedCurriculum:
    """Another curriculum's steps with rows of no query among theirs, compared one by one.

    Parameters
    ----------
    curriculum : Curriculum
        Its inputs are ``Rows``.
    synthetic : Rows
        Drawn from anew in each step.
    target : ndarray of shape (n_synthetic,)
        What the scores of these rows are to be.
    share : float
        Share of the rows of a step, and of the objective, that is theirs.
    """

    curriculum: Curriculum
    synthetic: Rows
    target: Array
    share: float

    @property
    def n_steps(self) -> int:
        return self.curriculum.n_steps

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        for inputs, evaluate in self.curriculum.epoch(epoch, params, rng):
            n_real = inputs.n_rows
            n_drawn = max(round(self.share / (1 - self.share) * n_real), 1)
            drawn = rng.integers(self.synthetic.n_rows, size=n_drawn)
            both = Rows(np.concatenate([inputs.X, self.synthetic.X[drawn]]))
            yield both, partial(self._evaluate, evaluate, n_real, self.target[drawn])

    def _evaluate(
        self, evaluate: Evaluate, n_real: int, target: Array, scores: Array
    ) -> tuple[float, Array]:
        value, gradient = evaluate(scores[:n_real])
        residual = scores[n_real:] - target
        share = scores.dtype.type(self.share)
        slope = residual * (2 * share / len(residual))
        total = (1 - self.share) * value + self.share * float(residual @ residual) / len(residual)
        return total, np.concatenate([(1 - share) * gradient, slope])


def train(
    model: Model,
    optimizer: Optimizer,
    curriculum: Curriculum,
    settings: TrainingSettings,
    rng: np.random.Generator,
    *,
    validate: Callable[[Parameters], float] | None = None,
    on_epoch: Callable[[int, Training], bool] | None = None,
) -> Training:
    """Train a model's parameters, which the optimizer owns.

    Parameters
    ----------
    model : Model
    optimizer : Optimizer
        Its ``params`` are changed in place.
    curriculum : Curriculum
    settings : TrainingSettings
    rng : Generator
    validate : callable, optional
        Score of parameters, higher is better; turns early stopping on.
    on_epoch : callable, optional
        Called after each epoch with its number and the state so far; True ends the training.

    Raises
    ------
    ValueError
        When the objective stops being finite.
    """
    state = Training(optimizer.params)
    best: tuple[float, Parameters] | None = None
    epochs_since_best = 0
    n_steps = settings.max_iter * curriculum.n_steps
    schedule = SCHEDULES[settings.learning_rate]
    step = 0
    for epoch in range(settings.max_iter):
        values = []
        for inputs, evaluate in curriculum.epoch(epoch, optimizer.params, rng):
            scores, cache = model.forward(optimizer.params, inputs)
            value, gradient = evaluate(scores)
            # Oversized lists are cut into pieces anew each epoch, so the count may drift a little.
            rate = settings.learning_rate_init * schedule(min((step + 0.5) / n_steps, 1.0))
            optimizer.step(model.backward(optimizer.params, cache, gradient), rate)
            values.append(value)
            step += 1
        state.loss_curve.append(float(np.mean(values)))
        if not np.isfinite(state.loss_curve[-1]):
            raise ValueError(
                f"Training diverged: the objective is {state.loss_curve[-1]} in epoch {epoch + 1}. "
                f"Lower learning_rate_init={settings.learning_rate_init}, or look for columns with "
                "extreme values."
            )
        if validate is not None:
            score = validate(optimizer.params)
            state.validation_scores.append(score)
            epochs_since_best += 1
            if best is None or score > best[0] + settings.tol:
                copy = {name: array.copy() for name, array in optimizer.params.items()}
                best, epochs_since_best = (score, copy), 0
        wants_to_stop = on_epoch is not None and on_epoch(epoch, state)
        if wants_to_stop or epochs_since_best >= settings.n_iter_no_change:
            break
    if best is not None:
        for name, array in best[1].items():
            optimizer.params[name][...] = array
    return state


def batches(
    queries: Queries, settings: TrainingSettings, rng: np.random.Generator
) -> Iterator[tuple[Array, Queries]]:
    """One epoch: rows and segments of each step, every row once, in random order of queries."""
    within = None
    if queries.sizes.max() > settings.max_batch_rows:
        # Shuffle the rows inside each query, then cut; short queries are left whole.
        within = np.lexsort((rng.random(queries.n_rows), queries.segment))
        queries = cut(queries, settings.max_batch_rows)
    order = rng.permutation(queries.n_queries)
    for start, stop in batch_bounds(queries, settings, order):
        rows, batch = queries.take(order[start:stop])
        yield (rows if within is None else within[rows]), batch


def cut(queries: Queries, max_rows: int) -> Queries:
    """Segments of at most max_rows rows, the pieces of a longer query as even as can be."""
    pieces = -(-queries.sizes // max_rows)
    whole, extra = queries.sizes // pieces, queries.sizes % pieces
    piece = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return Queries.from_sizes(np.repeat(whole, pieces) + (piece < np.repeat(extra, pieces)))


def batch_bounds(
    queries: Queries, settings: TrainingSettings, order: Array | None = None
) -> list[tuple[int, int]]:
    """Where each step begins and ends in an order of queries."""
    if order is None:
        queries = cut(queries, settings.max_batch_rows)
        order = np.arange(queries.n_queries)
    ends = np.cumsum(queries.sizes[order])
    bounds, start, rows_before = [], 0, 0
    while start < len(order):
        by_rows = int(np.searchsorted(ends, rows_before + settings.max_batch_rows, side="right"))
        stop = max(min(start + settings.batch_size, by_rows), start + 1)
        bounds.append((start, stop))
        rows_before, start = int(ends[stop - 1]), stop
    return bounds


def hold_out(
    n_queries: int,
    fraction: float,
    rng: np.random.Generator,
    parameter: str = "early_stopping=True",
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Queries to train on and queries held out, both ascending.

    ``parameter`` is what asked for it, for the message.

    Raises
    ------
    ValueError
        When there are fewer than two.
    """
    if n_queries < 2:
        raise ValueError(
            f"{parameter} holds out whole queries and needs at least 2, got {n_queries}. Pass "
            "qid=, or do without it."
        )
    n_held_out = min(max(round(fraction * n_queries), 1), n_queries - 1)
    shuffled = rng.permutation(n_queries)
    return np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])
