"""Adam and AdaGrad over one flat vector; in tables of id columns only touched rows change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from skdistill.inputs.rows import RowGradient
from skdistill.protocols import Array, Gradients, Parameters
from skdistill.training.category_rows import CategoryRows


@dataclass
class Optimizer:
    """Base of optimizers, which hold the parameters being trained and change them in place.

    All parameters except ``tables`` are views of one flat vector. A step therefore takes a handful
    of array operations, whatever the number of layers.

    Parameters
    ----------
    initial : dict of str to ndarray
        Parameters to start from. They are copied.
    tables : tuple of str, default=()
        Names of the parameters whose gradients are ``RowGradient`` objects.
    weight_decay : float, default=0.0
        Decoupled weight decay: per step, each weight loses this fraction of its value times the
        learning rate. Biases do not decay.
    undecayed : tuple of str, default=()
        Names of further parameters that do not decay.
    fixed : tuple of str, default=()
        Names of the parameters that do not change; their gradients are ignored.
    categories : CategoryRows, optional
        Rows of parameters that belong to categories. None if all rows learn alike.

    Attributes
    ----------
    params : dict of str to ndarray
        The parameters being trained.
    n_steps : int
        Number of steps so far.

    References
    ----------
    Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """

    initial: Parameters
    tables: tuple[str, ...] = ()
    weight_decay: float = 0.0
    undecayed: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    categories: CategoryRows | None = None
    params: Parameters = field(init=False)
    n_steps: int = field(init=False, default=0)

    n_moments = 0

    def __post_init__(self) -> None:
        apart = {*self.tables, *self.fixed}
        self._flat_names = [name for name in self.initial if name not in apart]
        flat = [self.initial[name] for name in self._flat_names]
        none = np.empty(0, dtype=np.result_type(*self.initial.values()))
        self._flat = np.concatenate([none, *(array.ravel() for array in flat)])
        self._gradient = np.empty_like(self._flat)
        self._decays = np.concatenate([none, *map(self._decay_of, self._flat_names)])
        self._rates = None
        if self.categories and {*self.categories.names} & {*self._flat_names}:
            self._rates = np.concatenate([none, *map(self._rate_of, self._flat_names)])
        self.params = {name: self.initial[name].copy() for name in (*self.tables, *self.fixed)}
        start = 0
        for name, array in zip(self._flat_names, flat, strict=True):
            self.params[name] = self._flat[start : start + array.size].reshape(array.shape)
            start += array.size
        self._moments = [np.zeros_like(self._flat) for _ in range(self.n_moments)]
        self._table_moments = {
            name: [np.zeros_like(self.params[name]) for _ in range(self.n_moments)]
            for name in self.tables
        }
        self._row_steps = {
            name: np.zeros(len(self.params[name]), dtype=np.int64)
            for name in (self.tables if self.categories else ())
        }

    def _decay_of(self, name: str) -> Array:
        """Decay of each weight of a parameter, relative to ``weight_decay``; flat."""
        is_decayed = "bias" not in name and name not in self.undecayed
        decays = np.full_like(self.initial[name], is_decayed)
        categories = self.categories
        if self.weight_decay and categories and name in categories.names:
            decays[-len(categories.rates) :] *= categories.weight_decay / self.weight_decay
        return decays.ravel()

    def _rate_of(self, name: str) -> Array:
        """Factor of the learning rate of each weight of a parameter; flat."""
        rates, categories = np.ones_like(self.initial[name]), self.categories
        if categories and name in categories.names:
            rates.T[..., -len(categories.rates) :] = categories.rates
        return rates.ravel()

    def __getstate__(self) -> dict[str, Any]:
        settings = {
            setting.name: getattr(self, setting.name) for setting in fields(self) if setting.init
        }
        moments = self._moments, self._table_moments
        state = settings | {"initial": self.params, "n_steps": self.n_steps, "moments": moments}
        return state | ({"row_steps": self._row_steps} if self._row_steps else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Stored arrays are no longer views, so the flat vector and its views are built again.
        moments, row_steps = state.pop("moments"), state.pop("row_steps", {})
        vars(self).update(state, tables=tuple(state["tables"]))
        self.fixed = tuple(self.fixed)
        self.undecayed = tuple(self.undecayed)
        self.__post_init__()
        self._moments, self._table_moments = moments
        self._row_steps = row_steps

    def average(self, others: Sequence[Optimizer], weights: Array) -> None:
        """Replace parameters and state by the weighted mean with other optimizers.

        Parameters
        ----------
        others : sequence of Optimizer
            Optimizers of the same kind and model.
        weights : ndarray of shape (1 + n_others,), float64
            Weight of this optimizer, then of the others; they sum to 1.
        """
        for mean, *theirs in zip(self._arrays(), *(one._arrays() for one in others), strict=True):
            mean *= weights[0]
            for weight, array in zip(weights[1:], theirs, strict=True):
                mean += array * mean.dtype.type(weight)
        self.n_steps = max(one.n_steps for one in (self, *others))

    @property
    def is_finite(self) -> bool:
        """Whether all parameters and moments are finite; infinite moments would freeze weights."""
        return all(np.isfinite(array).all() for array in self._arrays())

    def _arrays(self) -> list[Array]:
        """Return every array that a step changes."""
        tables = [self.params[name] for name in self.tables]
        moments = [moment for name in self.tables for moment in self._table_moments[name]]
        return [self._flat, *self._moments, *tables, *moments]

    def step(self, grads: Gradients, learning_rate: float) -> None:
        """Move every parameter against its gradient.

        Parameters
        ----------
        grads : mapping of str to ndarray or RowGradient
            One gradient per parameter.
        learning_rate : float
            Learning rate of this step.
        """
        self.n_steps += 1
        for name in self.tables:
            self._step_rows(name, grads[name], learning_rate)
        if not self._flat_names:
            return
        np.concatenate(
            [self._dense(name, grads[name]) for name in self._flat_names], out=self._gradient
        )
        change = self._direction(self._gradient, self._moments, self.n_steps)
        change *= learning_rate
        if self._rates is not None:
            change *= self._rates
        if self.weight_decay:
            change += (
                self._flat * self._decays * self._flat.dtype.type(learning_rate * self.weight_decay)
            )
        self._flat -= change

    def _dense(self, name: str, gradient: Array | RowGradient) -> Array:
        """Flatten a gradient; the rows that a ``RowGradient`` leaves out are 0."""
        if not isinstance(gradient, RowGradient):
            return np.ravel(gradient)
        full = np.zeros_like(self.params[name])
        full[gradient.rows] = gradient.values
        return full.ravel()

    def _step_rows(self, name: str, gradient: Array | RowGradient, learning_rate: float) -> None:
        """Move the touched rows of a table against their gradient."""
        assert isinstance(gradient, RowGradient)
        table, rows = self.params[name], gradient.rows
        if not len(rows):
            return
        moments = [_gather(moment, rows) for moment in self._table_moments[name]]
        rate, decay, n_steps = self._settings_of_rows(name, rows, table)
        change = self._direction(gradient.values, moments, n_steps)
        for moment, changed in zip(self._table_moments[name], moments, strict=True):
            _scatter(moment, rows, changed)
        change *= _as_type_of(change, rate * -learning_rate)
        before = _gather(table, rows)
        if self.weight_decay:
            change -= before * _as_type_of(change, decay * learning_rate)
        _scatter(table, rows, np.add(before, change, out=change))

    def _settings_of_rows(self, name: str, rows: Array, table: Array) -> tuple[Any, Any, Any]:
        """Rate, decay and number of steps of rows: of each, or the same ones of all.

        Beside categories, each row has its own number of steps. By that of all steps, the first
        step of a row would be three times as long as those of Adam are meant to be.
        """
        categories = self.categories
        if categories is None:
            return 1.0, self.weight_decay, self.n_steps
        self._row_steps[name][rows] += 1
        is_category = categories.contains(rows, len(table))
        of_rows = (
            categories.rates_of(rows, len(table)),
            np.where(is_category, categories.weight_decay, self.weight_decay),
            self._row_steps[name][rows],
        )
        shape = (-1, *[1] * (table.ndim - 1))
        rate, decay, n_steps = (numbers.reshape(shape) for numbers in of_rows)
        return rate, decay, n_steps

    def _direction(self, gradient: Array, moments: list[Array], n_steps: Any) -> Array:
        """Return the step at learning rate 1 as a new array, and update the moments in place.

        ``n_steps`` is the number of steps so far, this one included: one for all rows, or an array
        with that of each.
        """
        raise NotImplementedError("Optimizer is a base class without a step: use Adam or AdaGrad.")


@dataclass
class Adam(Optimizer):
    """Adam; in tables its lazy form, which leaves the moments of untouched rows unchanged.

    Parameters
    ----------
    initial : dict of str to ndarray
        Parameters to start from. They are copied.
    tables : tuple of str, default=()
        Names of the parameters whose gradients are ``RowGradient`` objects.
    weight_decay : float, default=0.0
        Decoupled weight decay, as in :class:`Optimizer`.
    undecayed : tuple of str, default=()
        Names of parameters that do not decay, beside biases.
    fixed : tuple of str, default=()
        Names of the parameters that do not change.
    categories : CategoryRows, optional
        Rows of parameters that belong to categories.
    beta_1 : float, default=0.9
        Decay rate of the moving average of the gradient.
    beta_2 : float, default=0.999
        Decay rate of the moving average of the squared gradient.
    epsilon : float, default=1e-8
        Added to the denominator of a step.

    References
    ----------
    Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    n_moments = 2

    def _direction(self, gradient: Array, moments: list[Array], n_steps: Any) -> Array:
        mean, square = moments
        mean *= self.beta_1
        mean += gradient * (1 - self.beta_1)
        square *= self.beta_2
        square += gradient * gradient * (1 - self.beta_2)
        change = np.sqrt(square)
        change *= _as_type_of(change, 1 / np.sqrt(1 - self.beta_2**n_steps))
        change += self.epsilon
        np.divide(mean, change, out=change)
        change *= _as_type_of(change, 1 / (1 - self.beta_1**n_steps))
        return change


@dataclass
class AdaGrad(Optimizer):
    """AdaGrad, whose learning rate per weight suits columns of very different frequency.

    Parameters
    ----------
    initial : dict of str to ndarray
        Parameters to start from. They are copied.
    tables : tuple of str, default=()
        Names of the parameters whose gradients are ``RowGradient`` objects.
    weight_decay : float, default=0.0
        Decoupled weight decay, as in :class:`Optimizer`.
    undecayed : tuple of str, default=()
        Names of parameters that do not decay, beside biases.
    fixed : tuple of str, default=()
        Names of the parameters that do not change.
    categories : CategoryRows, optional
        Rows of parameters that belong to categories.
    initial_accumulator : float, default=1e-8
        Added to the sum of squared gradients in the denominator of a step.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", JMLR 2011.
    """

    initial_accumulator: float = 1e-8

    n_moments = 1

    def _direction(self, gradient: Array, moments: list[Array], n_steps: Any) -> Array:
        (accumulated,) = moments
        accumulated += gradient * gradient
        change = accumulated + self.initial_accumulator
        np.sqrt(change, out=change)
        return np.divide(gradient, change, out=change)


def _as_type_of(array: Array, factor: Any) -> Any:
    """Cast a factor, or one per row, so that a product keeps the type of the array."""
    return np.asarray(factor, dtype=array.dtype)


def _as_cells(table: Array) -> Array:
    """View each row as one opaque cell, which is copied at once and not number by number."""
    return table.view(f"V{table.itemsize * table[0].size}").reshape(len(table))


def _gather(table: Array, rows: Array) -> Array:
    """Return ``table[rows]`` as a new array."""
    if table.ndim != 2:
        return table[rows]
    return np.take(_as_cells(table), rows).view(table.dtype).reshape(len(rows), -1)


def _scatter(table: Array, rows: Array, values: Array) -> None:
    """Set ``table[rows] = values``."""
    if table.ndim == 2:
        _as_cells(table)[rows] = _as_cells(values)
    else:
        table[rows] = values


OPTIMIZERS = {"adam": Adam, "adagrad": AdaGrad}
