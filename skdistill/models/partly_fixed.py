"""A model of which training changes a few rows of some parameters, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.rows import RowGradient
from skdistill.protocols import Array, Gradients, Parameters, TrainableModel


@dataclass(frozen=True, eq=False)
class PartlyFixed(TrainableModel):
    """Another model with most of its parameters fixed.

    Parameters
    ----------
    model : TrainableModel
        The whole model.
    names : tuple of str
        Names of its parameters.
    trained : dict of str to ndarray of shape (n_rows_of_parameter,), bool
        The rows that training may change, of each parameter that has any.
    """

    model: TrainableModel
    names: tuple[str, ...]
    trained: Mapping[str, NDArray[np.bool_]]

    def row_parameters(self, inputs: Any) -> tuple[str, ...]:
        return tuple(self.trained)

    def fixed_parameters(self, inputs: Any) -> tuple[str, ...]:
        return tuple(name for name in self.names if name not in self.trained)

    @property
    def undecayed_parameters(self) -> tuple[str, ...]:
        return self.model.undecayed_parameters

    def initialize(self, n_features: Any, rng: Any) -> Parameters:
        return self.model.initialize(n_features, rng)

    def forward(self, params: Parameters, inputs: Any) -> tuple[Array, Any]:
        return self.model.forward(params, inputs)

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        grads = self.model.backward(params, cache, grad_output)
        return {name: _of_rows(grads[name], rows) for name, rows in self.trained.items()}


def _of_rows(gradient: Array | RowGradient, is_trained: NDArray[np.bool_]) -> RowGradient:
    """Take the rows of a gradient that are trained."""
    if isinstance(gradient, RowGradient):
        kept = is_trained[gradient.rows]
        return RowGradient(gradient.rows[kept], gradient.values[kept])
    rows = np.flatnonzero(is_trained)
    return RowGradient(rows, gradient[rows])
