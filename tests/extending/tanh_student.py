"""A student of one's own: one hidden layer with tanh."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from skdistill.inputs import ColumnScaler
from skdistill.protocols import Array, Gradients, GraphBuilder, Parameters, StudentModel
from skdistill.students import BaseStudent


@dataclass(frozen=True)
class TanhNet(StudentModel):
    """Scores of rows by one hidden layer.

    Parameters
    ----------
    n_units : int
        Units of the hidden layer.
    """

    n_units: int

    def row_parameters(self, inputs: Any) -> tuple[str, ...]:
        return ("weights_0",) if inputs.is_wide else ()

    def initialize(self, n_features: int, rng: Any) -> Parameters:
        first = rng.standard_normal((n_features, self.n_units)) / np.sqrt(min(n_features, 256))
        second = rng.standard_normal(self.n_units) / np.sqrt(self.n_units)
        return {
            "weights_0": first.astype(np.float32),
            "bias_0": np.zeros(self.n_units, dtype=np.float32),
            "weights_1": second.astype(np.float32),
            "bias_1": np.zeros(1, dtype=np.float32),
        }

    def forward(self, params: Parameters, inputs: Any) -> tuple[Array, Any]:
        hidden = np.tanh(inputs.dot(params["weights_0"]) + params["bias_0"])
        return hidden @ params["weights_1"] + params["bias_1"], (inputs, hidden)

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        inputs, hidden = cache
        grad_hidden = grad_output[:, None] * params["weights_1"] * (1 - hidden**2)
        return {
            "weights_0": inputs.gradient(grad_hidden),
            "bias_0": grad_hidden.sum(axis=0),
            "weights_1": hidden.T @ grad_output,
            "bias_1": grad_output.sum(keepdims=True),
        }

    def fold(self, params: Parameters, scaler: ColumnScaler) -> Parameters:
        weights, bias = scaler.fold_layer(params["weights_0"], params["bias_0"])
        return {**params, "weights_0": weights, "bias_0": bias}

    @property
    def buffer_widths(self) -> tuple[int, ...]:
        return (self.n_units,)

    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        if isinstance(X, np.ndarray):
            hidden = np.matmul(X, folded["weights_0"], out=workspace[0][: len(X)])
        else:
            hidden = X @ folded["weights_0"]
        hidden += folded["bias_0"]
        np.tanh(hidden, out=hidden)
        return hidden @ folded["weights_1"] + folded["bias_1"]

    def add_to_graph(
        self, graph: GraphBuilder, params: Parameters, scaler: ColumnScaler, X: str
    ) -> str:
        folded = self.fold(params, scaler)
        hidden = graph.add("Tanh", graph.dot(X, folded["weights_0"], folded["bias_0"]))
        return graph.dot(hidden, folded["weights_1"][:, None], folded["bias_1"])


@dataclass(kw_only=True, eq=False, repr=False)
class TanhRanker(BaseStudent):
    """One hidden layer with tanh.

    Parameters
    ----------
    n_units : int, default=16
        Units of the hidden layer. All other parameters are those of
        :class:`skdistill.students.LinearRanker`.
    """

    n_units: int = field(default=16, kw_only=False)

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseStudent._parameter_constraints,
        "n_units": [Integral],
    }

    def make_model(self) -> StudentModel:
        return TanhNet(self.n_units)
