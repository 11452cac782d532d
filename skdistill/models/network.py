"""Fully connected networks with ReLU between their layers; without hidden layers, linear maps.

The parameters are ``weights_0``, ``bias_0``, ``weights_1``, ... For scoring they are folded. The
scaler goes into the first layer. Because ``relu(x + b) = max(x, -b) + b``, each bias moves on into
the next layer, so that a layer costs one product and one ``maximum``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from skdistill.inputs.code_rows import CodeRows, FoldsCodes
from skdistill.inputs.products import BLOCK_ROWS, product, row_blocks
from skdistill.inputs.rows import Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols import Array, Gradients, GraphBuilder, Parameters, StudentModel

# A CSR row has only a few non-zero columns, so the initial weights must not shrink with the width
# of the table.
WIDEST_FAN_IN = 256


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
        output, activations = self.forward_hidden(params, inputs.dot(params["weights_0"]))
        return output, (inputs, activations)

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        inputs, activations = cache
        grads: dict[str, Any] = {}
        grad_first = self.backward_hidden(params, activations, grad_output, grads)
        grads["weights_0"] = inputs.gradient(grad_first)
        grads["bias_0"] = column_sums(grad_first)
        return grads

    def input_gradient(self, params: Parameters, cache: Any, grad_output: Array) -> Array:
        _, activations = cache
        return self.backward_hidden(params, activations, grad_output) @ params["weights_0"].T

    def forward_hidden(self, params: Parameters, output: Array) -> tuple[Array, list[Array]]:
        """Compute the outputs from the first layer's product of rows and weights.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters by name.
        output : ndarray of shape (n_rows, n_units)
            The product, without the bias. It is overwritten.

        Returns
        -------
        outputs : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        activations : list of ndarray
            What ``backward_hidden`` needs.
        """
        n_rows, activations, floors = len(output), [], []
        for layer in range(1, self.n_layers):
            activations.append(output)
            floors.append(_floor(params[f"bias_{layer - 1}"], n_rows))
            output = np.empty((n_rows, params[f"bias_{layer}"].size), dtype=output.dtype)
        # A block of rows passes all layers while it is in cache.
        layers = [*activations, output]
        for block in row_blocks(n_rows):
            for layer, floor in enumerate(floors, start=1):
                hidden = _add_bias_and_rectify(layers[layer - 1][block], floor)
                product(hidden, params[f"weights_{layer}"], out=layers[layer][block])
        output += params[f"bias_{self.n_layers - 1}"]
        return output, activations

    def backward_hidden(
        self,
        params: Parameters,
        activations: list[Array],
        grad_output: Array,
        grads: dict[str, Any] | None = None,
    ) -> Array:
        """Compute the gradient of the first layer's product.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters by name.
        activations : list of ndarray
            What ``forward_hidden`` returned.
        grad_output : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Gradient of the outputs.
        grads : dict of str to ndarray, optional
            The gradients of the parameters of later layers are entered here.

        Returns
        -------
        ndarray of shape (n_rows, n_units)
        """
        if not activations:
            return grad_output
        weights = [
            np.ascontiguousarray(params[f"weights_{layer}"].T) for layer in range(1, self.n_layers)
        ]
        grad_first = np.empty_like(activations[0])
        for block in row_blocks(len(grad_output)):
            grad = grad_output[block]
            for layer in range(self.n_layers - 1, 0, -1):
                hidden = activations[layer - 1][block]
                if grads is not None:
                    _add(grads, f"weights_{layer}", hidden.T @ grad)
                    _add(grads, f"bias_{layer}", column_sums(grad))
                # np.dot multiplies a column by a row, for a single output, five times as fast as
                # matmul.
                out = grad_first[block] if layer == 1 else None
                grad = np.dot(grad, weights[layer - 1], out=out)
                grad *= hidden > 0
        return grad_first

    def fold_codes(self, params: Parameters, kept: Array, codes: CodeRows) -> Parameters:
        weights = params["weights_0"]
        rows = np.concatenate([weights[kept], codes.dot(weights)]).astype(np.float32)
        return params | {"weights_0": rows}

    def fold(self, params: Parameters, scaler: ColumnScaler) -> Parameters:
        # Floors and constants are repeated for each row of a block: NumPy takes the maximum or the
        # sum of two arrays of the same shape in half the time of a broadcast.
        weights, constant = scaler.fold_layer(params["weights_0"], params["bias_0"])
        folded = {"weights_0": weights}
        for layer in range(1, self.n_layers):
            folded[f"floor_{layer - 1}"] = np.tile(-constant, (BLOCK_ROWS, 1))
            weights = params[f"weights_{layer}"]
            folded[f"weights_{layer}"] = weights
            constant = params[f"bias_{layer}"] + constant @ weights
        folded["constant"] = np.tile(constant, (BLOCK_ROWS, 1))
        return folded

    @property
    def buffer_widths(self) -> tuple[int, ...]:
        """One buffer per layer, with a column per unit."""
        return (*self.hidden_layer_sizes, self.n_outputs)

    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        if not isinstance(X, np.ndarray):
            return self.score_hidden(folded, X @ folded["weights_0"], workspace)
        first = product(X, folded["weights_0"], rows_of(workspace[0], len(X)))
        return self.score_hidden(folded, first, workspace)

    def score_hidden(self, folded: Parameters, output: Array, workspace: list[Array]) -> Array:
        """Score a block of rows by the first layer's product of rows and weights.

        Parameters
        ----------
        folded : dict of str to ndarray
            What ``fold`` returned.
        output : ndarray of shape (n_rows, n_units)
            The product, without its constant. It is overwritten.
        workspace : list of ndarray
            The buffers of ``score``, of which the first may hold the product.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
        """
        # The number of rows is at most BLOCK_ROWS, or a multiple of it: see the floors of fold. For
        # a request of one row, the calls of Python cost more than the arithmetic.
        n_rows = len(output)
        for floor, weights, layer in _folded_keys(self.n_layers):
            of_block = folded[floor][:n_rows]
            rows = output if n_rows <= BLOCK_ROWS else output.reshape(-1, *of_block.shape)
            np.maximum(rows, of_block, out=rows)
            output = product(output, folded[weights], rows_of(workspace[layer], n_rows))
        of_block = folded["constant"][:n_rows]
        rows = output if n_rows <= BLOCK_ROWS else output.reshape(-1, *of_block.shape)
        # Adding in place takes three times as long for one row.
        return (rows + of_block).reshape(output.shape)

    def add_to_graph(
        self, graph: GraphBuilder, params: Parameters, scaler: ColumnScaler, X: str
    ) -> str:
        first = graph.dot(X, *scaler.fold_layer(params["weights_0"], params["bias_0"]))
        return self.add_hidden_to_graph(graph, params, first)

    def add_hidden_to_graph(self, graph: GraphBuilder, params: Parameters, X: str) -> str:
        """Write what follows the first layer as ONNX operators.

        Parameters
        ----------
        graph : GraphBuilder
            The graph to which the operators are added.
        params : dict of str to ndarray
            Trained parameters, not folded.
        X : str
            Name of the first layer's outputs, with their bias.

        Returns
        -------
        str
            Name of the outputs.
        """
        # One Gemm per layer, with a Relu in between.
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


@cache
def _folded_keys(n_layers: int) -> tuple[tuple[str, str, int], ...]:
    """For each layer after the first, the name of its inputs' floors and of its weights."""
    return tuple((f"floor_{layer - 1}", f"weights_{layer}", layer) for layer in range(1, n_layers))


def rows_of(buffer: Array, n_rows: int) -> Array:
    """Return the first rows of a buffer."""
    return buffer if len(buffer) == n_rows else buffer[:n_rows]


def _floor(bias: Array, n_rows: int) -> Array:
    """Repeat the negative bias for each row of a block."""
    return np.repeat(-bias[None], min(n_rows, BLOCK_ROWS), axis=0)


def _add_bias_and_rectify(output: Array, floor: Array) -> Array:
    """Replace the output of a layer by ``max(output + bias, 0)``."""
    # max(z + b, 0) = max(z, -b) + b. With arrays of the same shape, each of the two passes takes a
    # third of the time that NumPy needs to broadcast a bias or compare with a number.
    floor = floor[: len(output)]
    np.maximum(output, floor, out=output)
    output -= floor
    return output


def _add(grads: dict[str, Any], name: str, grad: Array) -> None:
    """Add the gradient of a block of rows to those of the blocks before."""
    if name in grads:
        grads[name] += grad
    else:
        grads[name] = grad


def column_sums(grad: Array) -> Array:
    """Sum the rows of an array of shape (n_rows, n_outputs)."""
    # A product with ones takes a fifth of the time of a sum over the first axis.
    return np.ones(len(grad), dtype=grad.dtype) @ grad


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

    def forward_hidden(self, params: Parameters, output: Array) -> tuple[Array, list[Array]]:
        outputs, activations = super().forward_hidden(params, output)
        return outputs[:, 0], activations

    def backward_hidden(
        self,
        params: Parameters,
        activations: list[Array],
        grad_output: Array,
        grads: dict[str, Any] | None = None,
    ) -> Array:
        return super().backward_hidden(params, activations, grad_output[:, None], grads)

    def score_hidden(self, folded: Parameters, output: Array, workspace: list[Array]) -> Array:
        return super().score_hidden(folded, output, workspace)[:, 0]


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
