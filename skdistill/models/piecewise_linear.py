"""A sum of piecewise linear functions, one of each column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.products import BLOCK_ROWS
from skdistill.inputs.rows import Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.models.network import Linear
from skdistill.models.scoring import Scratch
from skdistill.protocols import Array, Gradients, GraphBuilder, Parameters, StudentModel

LINEAR = Linear()


@dataclass(frozen=True)
class PiecewiseLinear(StudentModel):
    r"""A linear model whose slope in each column of numbers changes at a few knots.

    The score is :math:`b + \sum_i w_i x_i + \sum_{ik} a_{ik} h_k(x_i)`. The hinge :math:`h_k(x)` is
    :math:`\max(x - t_{ik}, 0)` for the upper half of the knots and :math:`\max(t_{ik} - x, 0)` for
    the lower half, so that hinges overlap little. The knots :math:`t_{ik}` start at quantiles of
    the normal distribution, because columns are scaled, and are trained like weights.

    Parameters
    ----------
    n_knots : int
        Number of knots per column.
    n_codes : int, default=0
        Number of codes of categories, which are the last inputs and have no hinges.
    """

    n_knots: int
    n_codes: int = 0

    @property
    def _signs(self) -> Array:
        """1 for hinges that open upwards, -1 for the others, shape (n_knots, 1)."""
        is_lower = np.arange(self.n_knots) < self.n_knots // 2
        return np.where(is_lower, np.float32(-1), np.float32(1))[:, None]

    def row_parameters(self, inputs: Rows) -> tuple[str, ...]:
        return LINEAR.row_parameters(inputs)

    def initialize(self, n_features: int, rng: Any) -> Parameters:
        shape = (self.n_knots, n_features - self.n_codes)
        quantiles = ndtri(np.arange(1, self.n_knots + 1) / (self.n_knots + 1))
        return LINEAR.initialize(n_features, rng) | {
            "hinges": np.zeros(shape, dtype=np.float32),
            # Weight decay skips biases. It would draw the knots to the mean.
            "bias_knots": np.broadcast_to(quantiles[:, None], shape).astype(np.float32),
        }

    def forward(self, params: Parameters, inputs: Rows) -> tuple[Array, Any]:
        output, _ = LINEAR.forward(params, inputs)
        X = _numbers(inputs.X)
        hinges = X[:, None] - params["bias_knots"]
        hinges *= self._signs
        np.maximum(hinges, 0, out=hinges)
        output += hinges.reshape(len(X), -1) @ params["hinges"].ravel()
        return output, (inputs, hinges)

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        inputs, hinges = cache
        flat = hinges.reshape(len(hinges), -1)
        shape = params["hinges"].shape
        n_open = (grad_output @ (flat > 0)).reshape(shape)
        return {
            **LINEAR.backward(params, (inputs, []), grad_output),
            "hinges": (grad_output @ flat).reshape(shape),
            "bias_knots": -n_open * params["hinges"] * self._signs,
        }

    def input_gradient(self, params: Parameters, cache: Any, grad_output: Array) -> Array:
        inputs, hinges = cache
        gradient = LINEAR.input_gradient(params, (inputs, []), grad_output)
        slopes = np.einsum("nki,ki->ni", hinges > 0, params["hinges"] * self._signs)
        gradient[:, : slopes.shape[1]] += slopes * grad_output[:, None]
        return gradient

    def fold(self, params: Parameters, scaler: ColumnScaler) -> Parameters:
        # A scaled column is z = (q - shift) * scale, and a hinge max(z - t, 0) is
        # scale * (max(q, s) - s) with s = shift + t / scale. A hinge that opens downwards is that
        # one less (z - t). So there is one maximum per knot, and all else goes into the linear map.
        weights, constant = scaler.fold_layer(params["weights_0"], params["bias_0"])
        slopes, knots = params["hinges"], params["bias_knots"]
        shift, scale = scaler.shift_and_scale(slopes.shape[1])
        is_flat = scale == 0
        places = np.where(is_flat, 0, shift + knots / np.where(is_flat, 1, scale))
        is_upper = self._signs > 0
        of_flat = np.maximum(-knots * self._signs, 0) * slopes * is_flat
        slopes = slopes * scale
        weights[: slopes.shape[1], 0] -= np.where(is_upper, 0, slopes).sum(axis=0)
        constant = constant + of_flat.sum() - (slopes * places * is_upper).sum()
        return {
            "weights": weights[:, 0],
            "constant": constant.astype(np.float32),
            "hinges": slopes.ravel(),
            # One copy per row of a block: NumPy takes the maximum of equal shapes much faster.
            "knots": np.tile(places.astype(np.float32), (BLOCK_ROWS, 1, 1)),
        }

    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        # The number of rows is at most BLOCK_ROWS, or a multiple of it.
        numbers, knots = _numbers(X), folded["knots"]
        output = X @ folded["weights"]
        rows = min(len(numbers), BLOCK_ROWS)
        blocks = numbers.reshape(-1, rows, 1, numbers.shape[1])
        (hinges,) = _memory.buffers(len(numbers), (knots[0].size,))
        np.maximum(blocks, knots[:rows], out=hinges.reshape(-1, rows, *knots.shape[1:]))
        output += hinges @ folded["hinges"]
        output += folded["constant"]
        return output

    def add_to_graph(
        self, graph: GraphBuilder, params: Parameters, scaler: ColumnScaler, X: str
    ) -> str:
        folded = self.fold(params, scaler)
        knots = folded["knots"][0]
        columns = graph.add("Unsqueeze", graph.numbers(X), graph.constant(np.array([1])))
        hinges = graph.add("Max", columns, graph.constant(knots))
        hinges = graph.add("Reshape", hinges, graph.constant(np.array([-1, knots.size])))
        output = graph.dot(X, folded["weights"][:, None], folded["constant"])
        return graph.add("Add", output, graph.dot(hinges, folded["hinges"][:, None]))


def _numbers(X: Any) -> Array:
    """Return the columns of numbers."""
    return X.numbers if isinstance(X, MixedTable) else X


_memory = Scratch()
