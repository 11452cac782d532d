"""Adam and AdaGrad over one flat vector; tables of id columns row by row, touched rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from skdistill.inputs.rows import RowGradient
from skdistill.protocols import Array, Gradients, Parameters


@dataclass
class Optimizer:
    """Owns the parameters while a model is trained, and changes them in place.

    All parameters but ``tables`` are views into one flat vector, so that a step is a handful of
    array operations however many layers there are.

    Parameters
    ----------
    initial : dict of ndarray
        Copied; the arrays being trained are ``params``.
    tables : tuple of str, default=()
        Parameters whose gradients come as ``RowGradient``.
    weight_decay : float, default=0.0
        Share of a weight's value that is taken off it per unit of learning rate, biases excepted
        (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019).
    """

    initial: Parameters
    tables: tuple[str, ...] = ()
    weight_decay: float = 0.0
    params: Parameters = field(init=False)
    n_steps: int = field(init=False, default=0)

    n_moments = 0

    def __post_init__(self) -> None:
        self._flat_names = [name for name in self.initial if name not in self.tables]
        flat = [self.initial[name] for name in self._flat_names]
        dtype = flat[0].dtype
        self._flat = np.concatenate([array.ravel() for array in flat])
        self._gradient = np.empty_like(self._flat)
        self._decays = np.concatenate(
            [
                np.full(array.size, "bias" not in name, dtype=dtype)
                for name, array in zip(self._flat_names, flat, strict=True)
            ]
        )
        self.params = {name: self.initial[name].copy() for name in self.tables}
        start = 0
        for name, array in zip(self._flat_names, flat, strict=True):
            self.params[name] = self._flat[start : start + array.size].reshape(array.shape)
            start += array.size
        self._moments = [np.zeros_like(self._flat) for _ in range(self.n_moments)]
        self._table_moments = {
            name: [np.zeros_like(self.params[name]) for _ in range(self.n_moments)]
            for name in self.tables
        }

    def __getstate__(self) -> dict[str, Any]:
        settings = {own.name: getattr(self, own.name) for own in fields(self) if own.init}
        moments = self._moments, self._table_moments
        return settings | {"initial": self.params, "n_steps": self.n_steps, "moments": moments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Stored arrays are no views any more: the flat vector and its views are made anew.
        moments = state.pop("moments")
        vars(self).update(state, tables=tuple(state["tables"]))
        self.__post_init__()
        self._moments, self._table_moments = moments

    def average(self, others: Sequence[Optimizer], weights: Array) -> None:
        """Become the weighted mean of this optimizer and others of the same model.

        Parameters
        ----------
        others : sequence of Optimizer
        weights : ndarray of shape (1 + n_others,)
            Own weight first; they sum to 1.
        """
        for own, *theirs in zip(self._arrays(), *(one._arrays() for one in others), strict=True):
            own *= weights[0]
            for weight, array in zip(weights[1:], theirs, strict=True):
                own += array * own.dtype.type(weight)
        self.n_steps = max(one.n_steps for one in (self, *others))

    def _arrays(self) -> list[Array]:
        """Everything that a step changes."""
        tables = [self.params[name] for name in self.tables]
        moments = [moment for name in self.tables for moment in self._table_moments[name]]
        return [self._flat, *self._moments, *tables, *moments]

    def step(self, grads: Gradients, learning_rate: float) -> None:
        """Move every parameter against its gradient."""
        self.n_steps += 1
        np.concatenate(
            [self._dense(name, grads[name]) for name in self._flat_names], out=self._gradient
        )
        change = self._direction(self._gradient, self._moments)
        change *= learning_rate
        if self.weight_decay:
            change += (
                self._flat * self._decays * self._flat.dtype.type(learning_rate * self.weight_decay)
            )
        self._flat -= change
        for name in self.tables:
            self._step_rows(name, grads[name], learning_rate)

    def _dense(self, name: str, gradient: Array | RowGradient) -> Array:
        """A gradient as one flat array; a model may leave it to us to spread touched rows."""
        if not isinstance(gradient, RowGradient):
            return np.ravel(gradient)
        full = np.zeros_like(self.params[name])
        full[gradient.rows] = gradient.values
        return full.ravel()

    def _step_rows(self, name: str, gradient: Array | RowGradient, learning_rate: float) -> None:
        assert isinstance(gradient, RowGradient)
        table, rows = self.params[name], gradient.rows
        moments = [_gather(moment, rows) for moment in self._table_moments[name]]
        change = self._direction(gradient.values, moments)
        for moment, changed in zip(self._table_moments[name], moments, strict=True):
            _scatter(moment, rows, changed)
        change *= -learning_rate
        before = _gather(table, rows)
        if self.weight_decay:
            change -= before * table.dtype.type(learning_rate * self.weight_decay)
        _scatter(table, rows, np.add(before, change, out=change))

    def _direction(self, gradient: Array, moments: list[Array]) -> Array:
        """Step at learning rate 1, a new array; the moments are updated in place."""
        raise NotImplementedError("Use Adam or AdaGrad: Optimizer itself has no direction.")


@dataclass
class Adam(Optimizer):
    """Adam; for tables its lazy form: moments of untouched rows stand still.

    References
    ----------
    Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    n_moments = 2

    def _direction(self, gradient: Array, moments: list[Array]) -> Array:
        mean, square = moments
        mean *= self.beta_1
        mean += gradient * (1 - self.beta_1)
        square *= self.beta_2
        square += gradient * gradient * (1 - self.beta_2)
        change = np.sqrt(square)
        change *= 1 / float(np.sqrt(1 - self.beta_2**self.n_steps))
        change += self.epsilon
        np.divide(mean, change, out=change)
        change *= 1 / (1 - self.beta_1**self.n_steps)
        return change


@dataclass
class AdaGrad(Optimizer):
    """AdaGrad: a rate of its own for every weight, which suits columns of very different frequency.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", JMLR 2011.
    """

    initial_accumulator: float = 1e-8

    n_moments = 1

    def _direction(self, gradient: Array, moments: list[Array]) -> Array:
        (accumulated,) = moments
        accumulated += gradient * gradient
        change = accumulated + self.initial_accumulator
        np.sqrt(change, out=change)
        return np.divide(gradient, change, out=change)


def _as_cells(table: Array) -> Array:
    """Each row as one opaque cell: it is copied at once, not number by number."""
    return table.view(f"V{table.itemsize * table[0].size}").reshape(len(table))


def _gather(table: Array, rows: Array) -> Array:
    """table[rows], a new array."""
    if table.ndim != 2:
        return table[rows]
    return np.take(_as_cells(table), rows).view(table.dtype).reshape(len(rows), -1)


def _scatter(table: Array, rows: Array, values: Array) -> None:
    """table[rows] = values."""
    if table.ndim == 2:
        _as_cells(table)[rows] = _as_cells(values)
    else:
        table[rows] = values


OPTIMIZERS = {"adam": Adam, "adagrad": AdaGrad}
