"""Batches of whole queries from a table, and batches with synthetic rows added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from skdistill.inputs.columns import stack_rows
from skdistill.inputs.queries import Queries, positions_within
from skdistill.inputs.rows import Rows
from skdistill.protocols import Array, Parameters, TrainableModel
from skdistill.threads import blas_threads_for
from skdistill.training.loop import Evaluate, Training, TrainingSettings, train
from skdistill.training.objective import HeadsObjective, Objective
from skdistill.training.optimizers import Optimizer

# Number of queries of a step with batch_size="auto": of lists, and of single rows. A list of some
# dozens of rows teaches about as much as they do.
LISTS_PER_STEP = 16
ROWS_PER_STEP = 256


@dataclass(frozen=True)
class QueryBatches:
    """Every row of a table once per epoch, in batches of whole queries.

    Parameters
    ----------
    inputs : Rows or Pairs
        All rows, sorted by query.
    queries : Queries
        Segments of the rows.
    objective : Objective or HeadsObjective
        Objective over the rows of ``inputs``.
    settings : TrainingSettings
        Its ``batch_size`` and ``max_batch_rows`` determine the batches.
    """

    inputs: Any
    queries: Queries
    objective: Objective | HeadsObjective
    settings: TrainingSettings

    @property
    def n_steps(self) -> int:
        return len(batch_bounds(cut(self.queries, self.settings.max_batch_rows), self.settings))

    @property
    def rows_per_step(self) -> float:
        """Mean number of rows of a step."""
        return self.queries.n_rows / self.n_steps

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        for rows, batch in query_batches(self.queries, self.settings, rng):
            yield (
                self.inputs.take(rows),
                partial(self.objective.value_and_gradient, rows=rows, queries=batch),
            )


@dataclass(frozen=True)
class AugmentedBatches:
    """The steps of another source, each with synthetic rows added.

    The scores of synthetic rows are compared with their targets by squared error.

    Parameters
    ----------
    batches : BatchSource
        The other source, whose inputs are ``Rows`` of a dense or mixed table.
    synthetic : Rows
        All synthetic rows; each step draws some of them.
    target : ndarray of shape (n_synthetic,), float32
        Target score of each synthetic row.
    fraction : float
        Fraction of a step's rows that is synthetic, and their weight in the objective.
    """

    batches: QueryBatches
    synthetic: Rows
    target: Array
    fraction: float

    @property
    def n_steps(self) -> int:
        return self.batches.n_steps

    @property
    def rows_per_step(self) -> float:
        """Mean number of rows of a step."""
        return self.batches.rows_per_step / (1 - self.fraction)

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        for inputs, evaluate in self.batches.epoch(epoch, params, rng):
            n_real = inputs.n_rows
            n_drawn = max(round(self.fraction / (1 - self.fraction) * n_real), 1)
            drawn = rng.integers(self.synthetic.n_rows, size=n_drawn)
            both = Rows(stack_rows(inputs.X, self.synthetic.X[drawn]))
            yield both, partial(self._evaluate, evaluate, n_real, self.target[drawn])

    def _evaluate(
        self, evaluate: Evaluate, n_real: int, target: Array, scores: Array
    ) -> tuple[float, Array]:
        """Add the squared error of the synthetic rows to the objective of the real ones."""
        value, gradient = evaluate(scores[:n_real])
        residual = scores[n_real:] - target
        fraction = scores.dtype.type(self.fraction)
        slope = residual * (2 * fraction / len(residual))
        squared_error = float(residual @ residual) / len(residual)
        total = (1 - self.fraction) * value + self.fraction * squared_error
        return total, np.concatenate([(1 - fraction) * gradient, slope])


def settings_for(estimator: Any, queries: Queries) -> TrainingSettings:
    """Read the settings of an estimator; ``batch_size="auto"`` depends on what a query is.

    Parameters
    ----------
    estimator : object
        It has the parameters of :class:`TrainingSettings`.
    queries : Queries
        Segments of the training rows.

    Returns
    -------
    TrainingSettings
    """
    batch_size = estimator.batch_size
    if batch_size == "auto":
        batch_size = LISTS_PER_STEP if queries.has_lists else ROWS_PER_STEP
    return TrainingSettings.of(estimator, batch_size=batch_size)


def train_on_queries(
    model: TrainableModel,
    optimizer: Optimizer,
    batches: QueryBatches | AugmentedBatches,
    settings: TrainingSettings,
    rng: np.random.Generator,
    **options: Any,
) -> Training:
    """Train a model as :func:`train`, on no more threads than its steps can use."""
    dense = [array.size for name, array in optimizer.params.items() if name not in optimizer.tables]
    with blas_threads_for(batches.rows_per_step * sum(dense)):
        return train(model, optimizer, batches, settings, rng, **options)


def query_batches(
    queries: Queries, settings: TrainingSettings, rng: np.random.Generator
) -> Iterator[tuple[Array, Queries]]:
    """Yield the rows and segments of each step of an epoch: every row once, in random order."""
    shuffled = None
    if queries.sizes.max() > settings.max_batch_rows:
        # Shuffle the rows within each query, then cut the long ones; short queries stay whole.
        shuffled = queries.sort_descending(-rng.random(queries.n_rows))
        queries = cut(queries, settings.max_batch_rows)
    order = rng.permutation(queries.n_queries)
    for start, stop in batch_bounds(queries, settings, order):
        rows, batch = queries.take(order[start:stop])
        yield (rows if shuffled is None else shuffled[rows]), batch


def cut(queries: Queries, max_rows: int) -> Queries:
    """Cut queries longer than ``max_rows`` rows into pieces of nearly equal size."""
    pieces = -(-queries.sizes // max_rows)
    whole, extra = queries.sizes // pieces, queries.sizes % pieces
    piece = positions_within(pieces)
    return Queries.from_sizes(np.repeat(whole, pieces) + (piece < np.repeat(extra, pieces)))


def batch_bounds(
    queries: Queries, settings: TrainingSettings, order: Array | None = None
) -> list[tuple[int, int]]:
    """Find the first and the last query of each step, as (start, stop) in the order of queries.

    By default the order is that of the table.
    """
    ends = np.cumsum(queries.sizes if order is None else queries.sizes[order])
    bounds, start, rows_before = [], 0, 0
    while start < len(ends):
        by_rows = int(np.searchsorted(ends, rows_before + settings.max_batch_rows, side="right"))
        stop = max(min(start + settings.batch_size, by_rows), start + 1)
        bounds.append((start, stop))
        rows_before, start = int(ends[stop - 1]), stop
    return bounds
