"""A network whose first layer reads each column of numbers in pieces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from math import prod
from typing import Any

import numpy as np

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.products import BLOCK_ROWS, product, transposed_product
from skdistill.inputs.rows import RowGradient, Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.models.network import Network, column_sums, rows_of
from skdistill.models.pieces import PIECES, Pieces, cut, uncut
from skdistill.models.scoring import Scratch
from skdistill.protocols import Array, Gradients, GraphBuilder, Parameters, StudentModel

# Up to so many rows, one product of all maxima is faster than one for each group of knots.
FEW = 16


@dataclass(frozen=True)
class PiecewiseNetwork(StudentModel):
    """A network in front of which each column of numbers is cut into pieces.

    The pieces are those of :mod:`skdistill.models.pieces`. Their weights come first in "weights_0",
    piece by piece, and then those of categories. Before ``adapt``, columns are whole.

    Parameters
    ----------
    network : Network
        The network.
    n_knots : int
        Largest number of knots per column.
    n_codes : int, default=0
        Number of codes of categories, which are the last inputs and are not cut.
    """

    network: Network
    n_knots: int
    n_codes: int = 0

    @property
    def n_hidden_units(self) -> int:
        """Number of units of all hidden layers."""
        return self.network.n_hidden_units

    @property
    def undecayed_parameters(self) -> tuple[str, ...]:
        """Those of the network."""
        return self.network.undecayed_parameters

    def row_parameters(self, inputs: Rows) -> tuple[str, ...]:
        codes = _codes(inputs)
        return () if codes is None else self.network.row_parameters(codes)

    def fixed_parameters(self, inputs: Rows) -> tuple[str, ...]:
        return PIECES

    def initialize(self, n_features: int, rng: Any) -> Parameters:
        n_columns = n_features - self.n_codes
        n_inputs = n_features + self.n_knots * n_columns
        return self.network.initialize(n_inputs, rng) | uncut(n_columns, self.n_knots)

    def adapt(self, params: Parameters, sample: Rows) -> Parameters:
        return params | cut(_numbers(sample.X), self.n_knots)

    def forward(self, params: Parameters, inputs: Rows) -> tuple[Array, Any]:
        pieces, codes = Pieces.of(params), _codes(inputs)
        of_numbers, of_codes = self._first_layer(params)
        weights, constant = pieces.weights(of_numbers)
        maxima = pieces.inputs(_numbers(inputs.X))
        first = product(maxima, weights)
        if codes is not None:
            first += codes.dot(of_codes)
        moved = params | {"bias_0": params["bias_0"] + constant}
        output, activations = self.network.forward_hidden(moved, first)
        return output, (pieces, weights, maxima, codes, activations)

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        pieces, _, maxima, codes, activations = cache
        grads: dict[str, Any] = {}
        grad_first = self.network.backward_hidden(params, activations, grad_output, grads)
        grads["bias_0"] = column_sums(grad_first)
        of_numbers = pieces.gradient(transposed_product(maxima, grad_first), grads["bias_0"])
        of_codes = None if codes is None else codes.gradient(grad_first)
        grads["weights_0"] = _joined(of_numbers, of_codes)
        return grads

    def input_gradient(self, params: Parameters, cache: Any, grad_output: Array) -> Array:
        pieces, weights, maxima, _, activations = cache
        grad_first = self.network.backward_hidden(params, activations, grad_output)
        gradient: Array = pieces.column_gradient(maxima, grad_first @ weights.T)
        return gradient

    def fold(self, params: Parameters, scaler: ColumnScaler) -> Parameters:
        pieces = Pieces.of(params)
        of_maxima = _scaler_of_maxima(pieces, scaler)
        folded = self.network.fold(self.on_maxima(params), of_maxima)
        maxima, weights = slice(pieces.n_columns, pieces.n_inputs), folded["weights_0"]
        knots = _unscaled(pieces, of_maxima)
        # One copy per row of a block: NumPy takes the maximum of equal shapes much faster.
        tiles = {
            f"tile_{number}": np.tile(knots[group].reshape(shape), (BLOCK_ROWS, 1, 1))
            for number, (group, shape) in enumerate(pieces.groups)
        }
        return {
            **folded,
            **tiles,
            **({} if pieces.all_are_cut else {"order": pieces.order}),
            "weights_0": np.delete(weights, maxima, axis=0),
            "weights_maxima": weights[maxima],
            "knots": knots,
            "columns": pieces.columns,
        }

    @property
    def buffer_widths(self) -> tuple[int, ...]:
        """Those of the network, and one for the products of maxima."""
        return (*self.network.buffer_widths, self.network.buffer_widths[0])

    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        numbers, n_rows = _numbers(X), X.shape[0]
        if isinstance(X, MixedTable):
            first = X @ folded["weights_0"]
        else:
            first = product(X, folded["weights_0"], rows_of(workspace[0], n_rows))
        if n_rows <= FEW:
            maxima = np.maximum(numbers.take(folded["columns"], axis=1), folded["knots"])
            first += maxima @ folded["weights_maxima"]
        else:
            _add_products(first, numbers, folded, rows_of(workspace[-1], n_rows))
        return self.network.score_hidden(folded, first, workspace)

    def add_to_graph(
        self, graph: GraphBuilder, params: Parameters, scaler: ColumnScaler, X: str
    ) -> str:
        pieces = Pieces.of(params)
        of_maxima, moved = _scaler_of_maxima(pieces, scaler), self.on_maxima(params)
        weights, bias = of_maxima.fold_layer(moved["weights_0"], moved["bias_0"])
        of_columns, of_codes = weights[: pieces.n_columns], weights[pieces.n_inputs :]
        knots = _unscaled(pieces, of_maxima)
        first = graph.dot(X, np.concatenate([of_columns, of_codes]), bias)
        columns = graph.numbers(X)
        if not pieces.all_are_cut:
            # A product picks columns in a tenth of the time of Gather.
            columns = graph.dot(columns, np.eye(pieces.n_columns)[:, pieces.order])
        for group, (n_knots, width) in pieces.groups:
            ends = (graph.constant(np.array([place])) for place in (0, width, 1))
            picked = graph.add("Slice", columns, *ends) if width < len(pieces.order) else columns
            copies = graph.add("Concat", *[picked] * n_knots, axis=1)
            maxima = graph.add("Max", copies, graph.constant(knots[group]))
            of_group = weights[pieces.n_columns : pieces.n_inputs][group]
            first = graph.add("Add", first, graph.dot(maxima, of_group))
        return self.network.add_hidden_to_graph(graph, params, first)

    def on_maxima(self, params: Parameters) -> Parameters:
        """Make the parameters of the network on the columns, their maxima, and categories.

        Parameters
        ----------
        params : dict of str to ndarray
            Trained parameters.

        Returns
        -------
        dict of str to ndarray
            Parameters of ``network``.
        """
        of_numbers, of_codes = self._first_layer(params)
        weights, constant = Pieces.of(params).weights(of_numbers)
        moved = {name: array for name, array in params.items() if name not in PIECES}
        moved["weights_0"] = np.concatenate([weights, of_codes])
        moved["bias_0"] = params["bias_0"] + constant
        return moved

    def combine_outputs(
        self, params: Parameters, weights: Array
    ) -> tuple[PiecewiseNetwork, Parameters]:
        """Make a model with one output, a weighted sum of the outputs of this model.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters of this model.
        weights : ndarray of shape (n_outputs,), float32
            Weight of each output in the sum.

        Returns
        -------
        model : PiecewiseNetwork
            Model with one output.
        params : dict of str to ndarray
            Its parameters.
        """
        network, combined = self.network.combine_outputs(params, weights)
        return replace(self, network=network), combined

    def _first_layer(self, params: Parameters) -> tuple[Array, Array]:
        """Return the weights of pieces, and those of categories."""
        weights = params["weights_0"]
        n_pieces = len(weights) - self.n_codes
        return weights[:n_pieces], weights[n_pieces:]


def _scaler_of_maxima(pieces: Pieces, scaler: ColumnScaler) -> ColumnScaler:
    """Make the scaler of columns and maxima, which have the shift and scale of their columns."""
    shift, scale = scaler.shift_and_scale(pieces.n_columns)
    ones = np.ones(pieces.n_inputs, dtype=np.float32)
    return ColumnScaler(ones, np.zeros_like(ones), shift[pieces.sources], scale[pieces.sources])


def _unscaled(pieces: Pieces, of_maxima: ColumnScaler) -> Array:
    """Undo shift and scale of the knots."""
    maxima = slice(pieces.n_columns, None)
    return of_maxima.shift[maxima] + pieces.knots / of_maxima.scale[maxima]


def _add_products(first: Array, numbers: Array, folded: Parameters, buffer: Array) -> None:
    """Add the products of maxima and their weights, a group of knots at a time."""
    order, start = folded.get("order"), 0
    picked = numbers if order is None else numbers.take(order, axis=1)
    blocks = (-1, min(len(numbers), BLOCK_ROWS))
    for number in count():
        tile = folded.get(f"tile_{number}")
        if tile is None:
            return
        _, *shape = tile.shape
        stop = start + prod(shape)
        (maxima,) = _memory.buffers(len(numbers), (stop - start,))
        columns = picked[:, : shape[1]].reshape(*blocks, 1, shape[1])
        np.maximum(columns, tile[: blocks[1]], out=maxima.reshape(*blocks, *shape))
        first += product(maxima, folded["weights_maxima"][start:stop], buffer)
        start = stop


def _numbers(X: Any) -> Array:
    """Return the columns of numbers."""
    return X.numbers if isinstance(X, MixedTable) else X


def _codes(rows: Rows) -> Rows | None:
    """Return the categories of rows alone, if they have any."""
    X = rows.X
    return Rows(X.with_numbers(X.numbers[:, :0])) if isinstance(X, MixedTable) else None


def _joined(of_numbers: Array, of_codes: Array | RowGradient | None) -> Array | RowGradient:
    """Put the gradient of the weights of categories behind those of pieces."""
    if of_codes is None:
        return of_numbers
    if not isinstance(of_codes, RowGradient):
        return np.concatenate([of_numbers, of_codes])
    rows = np.append(np.arange(len(of_numbers)), len(of_numbers) + of_codes.rows)
    return RowGradient(rows, np.concatenate([of_numbers, of_codes.values]))


_memory = Scratch()
