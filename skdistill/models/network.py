"""Fully connected networks with ReLU between their layers; without hidden layers, linear maps.

The parameters are ``weights_0``, ``bias_0``, ``weights_1``, ... For scoring they are folded. The
scaler goes into the first layer. Because ``relu(x + b) = max(x, -b) + b``, each bias moves on into
the next layer, so that a layer costs one product and one ``maximum``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from skdistill.inputs.code_rows import CodeRows, FoldsCodes
from skdistill.inputs.rows import BLOCK_ROWS, RowGradient, Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols import Array, Gradients, GraphBuilder, Parameters, StudentModel

# A CSR row has only a few non-zero columns, so the initial weights must not shrink with the width
# of the table.
WIDEST_FAN_IN = 256
# Up to this number of multiplications, OpenBLAS does not pack its operands, which is a fifth
# faster. For weights larger than LARGEST, the strips would have so few rows that they cost more.
UNPACKED = 1_000_000
LARGEST = UNPACKED // 64


@dataclass(frozen=True)
class Network(StudentModel, FoldsCodes):
    """A fully connected network from rows to ``n_outputs`` numbers each.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=()
        Number of units of each hidden layer; ``()`` makes the network linear.
    n_outputs : int, default=1
        Number of outputs per row.
    """

    hidden_layer_sizes: tuple[int, ...] = ()
    n_outputs: int = 1

    @property
    def n_layers(self) -> int:
        """Number of layers, including the output layer."""
        return len(self.hidden_layer_sizes) + 1

    @property
    def n_hidden_units(self) -> int:
        """Number of units of all hidden layers."""
        return sum(self.hidden_layer_sizes)

    @property
    def undecayed_parameters(self) -> tuple[str, ...]:
        """The output layer behind hidden ones: it only sets how far apart the scores are."""
        return (f"weights_{self.n_layers - 1}",) if self.hidden_layer_sizes else ()

    def row_parameters(self, inputs: Rows) -> tuple[str, ...]:
        # In wide CSR tables a batch touches few columns.
        return ("weights_0",) if inputs.is_wide else ()

    def initialize(self, n_features: int, rng: Any) -> Parameters:
        # Normal weights that keep the variance of the activations from layer to layer; zero biases.
        params = {}
        sizes = (n_features, *self.hidden_layer_sizes, self.n_outputs)
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            gain = 2.0 if layer < self.n_layers - 1 else 1.0
            spread = np.sqrt(gain / min(fan_in, WIDEST_FAN_IN))
            weights = rng.standard_normal((fan_in, fan_out)) * spread
            params[f"weights_{layer}"] = weights.astype(np.float32)
            params[f"bias_{layer}"] = np.zeros(fan_out, dtype=np.float32)
        return params

    def forward(self, params: Parameters, inputs: Rows) -> tuple[Array, Any]:
        output = inputs.dot(params["weights_0"])
        output += params["bias_0"]
        activations = []
        for layer in range(1, self.n_layers):
            hidden = np.maximum(output, 0, out=output)
            activations.append(hidden)
            output = hidden @ params[f"weights_{layer}"]
            output += params[f"bias_{layer}"]
        return output, (inputs, activations)

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        inputs, activations = cache
        grads: dict[str, Array | RowGradient] = {}
        for layer in range(self.n_layers - 1, 0, -1):
            hidden = activations[layer - 1]
            grads[f"weights_{layer}"] = hidden.T @ grad_output
            grads[f"bias_{layer}"] = grad_output.sum(axis=0)
            grad_output = grad_output @ params[f"weights_{layer}"].T
            grad_output *= hidden > 0
        grads["weights_0"] = inputs.gradient(grad_output)
        grads["bias_0"] = grad_output.sum(axis=0)
        return grads

    def input_gradient(self, params: Parameters, cache: Any, grad_output: Array) -> Array:
        _, activations = cache
        for layer in range(self.n_layers - 1, 0, -1):
            grad_output = grad_output @ params[f"weights_{layer}"].T
            grad_output *= activations[layer - 1] > 0
        return grad_output @ params["weights_0"].T

    def fold_codes(self, params: Parameters, kept: Array, codes: CodeRows) -> Parameters:
        weights = params["weights_0"]
        rows = np.concatenate([weights[kept], codes.dot(weights)]).astype(np.float32)
        return params | {"weights_0": rows}

    def fold(self, params: Parameters, scaler: ColumnScaler) -> Parameters:
        # Floors are repeated for each row of a block: NumPy takes the maximum of two arrays of the
        # same shape in half the time of a broadcast.
        weights, constant = scaler.fold_layer(params["weights_0"], params["bias_0"])
        folded = {"weights_0": weights}
        for layer in range(1, self.n_layers):
            folded[f"floor_{layer - 1}"] = np.tile(-constant, (BLOCK_ROWS, 1))
            weights = params[f"weights_{layer}"]
            folded[f"weights_{layer}"] = weights
            constant = params[f"bias_{layer}"] + constant @ weights
        folded["constant"] = constant
        return folded

    @property
    def buffer_widths(self) -> tuple[int, ...]:
        """One buffer per layer, with a column per unit."""
        return (*self.hidden_layer_sizes, self.n_outputs)

    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        # The number of rows is at most BLOCK_ROWS, or a multiple of it: see the floors of fold.
        output = X
        for layer in range(self.n_layers):
            weights = folded[f"weights_{layer}"]
            if isinstance(output, np.ndarray):
                output = _product(output, weights, workspace[layer][: len(output)])
            else:
                output = output @ weights
            if layer < self.n_layers - 1:
                blocks = output.reshape(-1, min(len(output), BLOCK_ROWS), output.shape[1])
                np.maximum(blocks, folded[f"floor_{layer}"][: blocks.shape[1]], out=blocks)
        output += folded["constant"]
        return output

    def add_to_graph(
        self, graph: GraphBuilder, params: Parameters, scaler: ColumnScaler, X: str
    ) -> str:
        # One Gemm per layer, with a Relu in between.
        X = graph.dot(X, *scaler.fold_layer(params["weights_0"], params["bias_0"]))
        for layer in range(1, self.n_layers):
            weights, bias = params[f"weights_{layer}"], params[f"bias_{layer}"]
            X = graph.dot(graph.add("Relu", X), weights, bias)
        return X

    def combine_outputs(self, params: Parameters, weights: Array) -> tuple[MLP, Parameters]:
        """Make a network with one output, a weighted sum of the outputs of this network.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters of this network.
        weights : ndarray of shape (n_outputs,), float32
            Weight of each output in the sum.

        Returns
        -------
        model : MLP
            Network with one output.
        params : dict of str to ndarray
            Its parameters.
        """
        last = self.n_layers - 1
        combined = dict(params)
        combined[f"weights_{last}"] = (params[f"weights_{last}"] @ weights)[:, None]
        combined[f"bias_{last}"] = np.atleast_1d(params[f"bias_{last}"] @ weights)
        return MLP(self.hidden_layer_sizes), combined


def _product(X: Array, weights: Array, out: Array) -> Array:
    """Compute ``X @ weights``, in strips of rows if that is faster; one call does all strips."""
    n_strips = -(-BLOCK_ROWS // (UNPACKED // weights.size)) if weights.size <= LARGEST else 1
    # A power of two divides a block, so that a row's place in its strip, and with it the last bits
    # of its result, do not depend on the number of rows.
    rows = BLOCK_ROWS >> (n_strips - 1).bit_length()
    if len(X) <= rows:
        return np.matmul(X, weights, out=out)
    whole = len(X) // rows * rows
    strips = X[:whole].reshape(-1, rows, X.shape[1])
    np.matmul(strips, weights, out=out[:whole].reshape(-1, rows, out.shape[1]))
    if whole < len(X):
        np.matmul(X[whole:], weights, out=out[whole:])
    return out


@dataclass(frozen=True)
class MLP(Network):
    """A network with one output, whose scores have the shape (n_rows,).

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=()
        Number of units of each hidden layer; ``()`` makes the network linear.
    n_outputs : int, default=1
        Always 1.
    """

    def forward(self, params: Parameters, inputs: Rows) -> tuple[Array, Any]:
        output, cache = super().forward(params, inputs)
        return output[:, 0], cache

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        return super().backward(params, cache, grad_output[:, None])

    def input_gradient(self, params: Parameters, cache: Any, grad_output: Array) -> Array:
        return super().input_gradient(params, cache, grad_output[:, None])

    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        return super().score(folded, X, workspace)[:, 0]


@dataclass(frozen=True)
class Linear(MLP):
    """A weighted sum of the columns, whose weights start at 0.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=()
        Always empty.
    n_outputs : int, default=1
        Always 1.
    """

    def initialize(self, n_features: int, rng: Any) -> Parameters:
        return {
            "weights_0": np.zeros((n_features, 1), dtype=np.float32),
            "bias_0": np.zeros(1, dtype=np.float32),
        }
