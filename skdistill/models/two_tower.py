"""Two towers: the score of a pair is the dot product of its query's and its item's embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.pairs import Pairs
from skdistill.inputs.rows import Rows
from skdistill.models.network import Network
from skdistill.protocols import Array, Gradients, GraphBuilder, Parameters, TrainableModel

# The scale starts at exp(3). Cosines differ by at most 2, which is too little for a softmax.
FIRST_LOG_SCALE = 3.0
SHORTEST = 1e-12


@dataclass(frozen=True)
class TwoTower(TrainableModel):
    r"""A network f for queries and a network g for items.

    The score of query q and item i is :math:`\langle f(q), g(i) \rangle`.

    Parameters
    ----------
    embedding_dim : int
        Length of the embeddings, the item bias included.
    query_hidden : tuple of int, default=()
        Number of units of each hidden layer of the query tower.
    item_hidden : tuple of int, default=()
        Number of units of each hidden layer of the item tower.
    item_bias : bool, default=True
        Use the last coordinate of an item's embedding as its bias; that of a query's embedding is
        then 1. A plain dot product therefore includes the bias.
    cosine : bool, default=False
        Scale embeddings to length 1. Scores are then cosines times a learnt scale, which is the
        inverse of a temperature. Cannot be combined with ``item_bias``.
    n_objectives : int, default=1
        Number of embeddings per query, one for each objective, in consecutive rows. Pairs then
        refer to these rows instead of queries.
    """

    embedding_dim: int
    query_hidden: tuple[int, ...] = ()
    item_hidden: tuple[int, ...] = ()
    item_bias: bool = True
    cosine: bool = False
    n_objectives: int = 1

    @property
    def query_tower(self) -> Network:
        """The network f, without the constant coordinate for the item bias."""
        width = self.n_objectives * (self.embedding_dim - self.item_bias)
        return Network(self.query_hidden, width)

    @property
    def item_tower(self) -> Network:
        """The network g."""
        return Network(self.item_hidden, self.embedding_dim)

    @property
    def is_linear(self) -> bool:
        """Whether neither tower has hidden layers."""
        return not (len(self.query_hidden) or len(self.item_hidden))

    def row_parameters(self, inputs: Pairs) -> tuple[str, ...]:
        query = self.query_tower.row_parameters(inputs.query_rows)
        item = self.item_tower.row_parameters(inputs.item_rows)
        return (*(f"query_{name}" for name in query), *(f"item_{name}" for name in item))

    def fixed_parameters(self, inputs: Pairs) -> tuple[str, ...]:
        # The bias of a query's only embedding adds to a score what the item bias can add. It would
        # move in every step, and an id's own weights once per epoch, so that training would spend
        # its first epochs on turning all items towards it.
        is_redundant = self.item_bias and self.n_objectives == 1 and self.query_tower.n_layers == 1
        if is_redundant and self.query_tower.row_parameters(inputs.query_rows):
            return ("query_bias_0",)
        return ()

    def initialize(self, n_features: tuple[int, int], rng: Any) -> Parameters:
        query = self.query_tower.initialize(n_features[0], rng)
        item = self.item_tower.initialize(n_features[1], rng)
        params = _named("query_", query) | _named("item_", item)
        if self.cosine:
            params["log_scale_bias"] = np.full(1, FIRST_LOG_SCALE, dtype=np.float32)
        else:
            # Dot products of independent embeddings then start with standard deviation 1.
            shrink = np.float32(self.embedding_dim**-0.25)
            for side, tower in (("query", self.query_tower), ("item", self.item_tower)):
                params[f"{side}_weights_{tower.n_layers - 1}"] *= shrink
        return params

    def forward(self, params: Parameters, inputs: Pairs) -> tuple[Array, Any]:
        left, query_cache = self.query_tower.forward(side("query_", params), inputs.query_rows)
        right, item_cache = self.item_tower.forward(side("item_", params), inputs.item_rows)
        left, query_length = self.finish_queries(left)
        right, item_length = self.finish_items(right)
        scores = inputs.dot(left, right)
        cosines = None
        if self.cosine:
            # The cache needs its own array, because the caller may overwrite the scores.
            cosines, scores = scores, scores * np.exp(params["log_scale_bias"][0])
        lengths = query_length, item_length
        return scores, (inputs, query_cache, item_cache, left, right, lengths, cosines)

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        inputs, query_cache, item_cache, left, right, lengths, cosines = cache
        grads: dict[str, Any] = {}
        if self.cosine:
            grad_output = grad_output * np.exp(params["log_scale_bias"][0])
            grads["log_scale_bias"] = np.array([grad_output @ cosines], dtype=cosines.dtype)
        grad_left, grad_right = inputs.gradient(grad_output, left, right)
        if self.cosine:
            grad_left = _through_length(grad_left, left, lengths[0])
            grad_right = _through_length(grad_right, right, lengths[1])
        elif self.item_bias:
            grad_left = grad_left[:, :-1]
        grad_left = grad_left.reshape(inputs.query_rows.n_rows, -1)
        query = self.query_tower.backward(side("query_", params), query_cache, grad_left)
        item = self.item_tower.backward(side("item_", params), item_cache, grad_right)
        return grads | _named("query_", query) | _named("item_", item)

    def embed_queries(self, params: Parameters, rows: Rows) -> Array:
        """Embed queries.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters of both towers.
        rows : Rows
            Scaled columns of the queries.

        Returns
        -------
        ndarray of shape (n_rows * n_objectives, embedding_dim), float32
            The embeddings of a query are in consecutive rows.
        """
        return self.finish_queries(self.query_tower.forward(side("query_", params), rows)[0])[0]

    def embed_items(self, params: Parameters, rows: Rows) -> Array:
        """Embed items.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters of both towers.
        rows : Rows
            Scaled columns of the items.

        Returns
        -------
        ndarray of shape (n_rows, embedding_dim), float32
        """
        return self.finish_items(self.item_tower.forward(side("item_", params), rows)[0])[0]

    def finish_queries(self, outputs: Array) -> tuple[Array, Array | None]:
        """Turn outputs of the query tower into embeddings.

        Parameters
        ----------
        outputs : ndarray of shape (n_rows, n_outputs)
            What the query tower returned.

        Returns
        -------
        embeddings : ndarray of shape (n_rows * n_objectives, embedding_dim)
            Scaled to length 1 for cosines, with a last coordinate of 1 for an item bias.
        lengths : ndarray of shape (n_rows * n_objectives, 1) or None
            Lengths before scaling; None without cosines.
        """
        outputs = outputs.reshape(len(outputs) * self.n_objectives, -1)
        if self.cosine:
            return _unit(outputs)
        if self.item_bias:
            ones = np.ones((len(outputs), 1), dtype=outputs.dtype)
            outputs = np.concatenate([outputs, ones], axis=1)
        return outputs, None

    def finish_items(self, outputs: Array) -> tuple[Array, Array | None]:
        """Turn outputs of the item tower into embeddings.

        Parameters
        ----------
        outputs : ndarray of shape (n_rows, embedding_dim)
            What the item tower returned.

        Returns
        -------
        embeddings : ndarray of shape (n_rows, embedding_dim)
            Scaled to length 1 for cosines, else ``outputs``.
        lengths : ndarray of shape (n_rows, 1) or None
            Lengths before scaling; None without cosines.
        """
        return _unit(outputs) if self.cosine else (outputs, None)

    def add_products_to_graph(
        self, graph: GraphBuilder, left: str, right: str, weights: Array | None
    ) -> str:
        """Write the dot products as ONNX operators.

        Parameters
        ----------
        graph : GraphBuilder
            The graph to which the operators are added.
        left, right : str
            Names of the outputs of the query and the item tower.
        weights : ndarray of shape (n_objectives,) or None
            Weight of each embedding of a query in the score. None if a query has one embedding.

        Returns
        -------
        str
            Name of the scores, of shape (n_rows, 1).
        """
        width = self.embedding_dim - self.item_bias
        left = graph.add("Reshape", left, graph.constant(np.array([0, self.n_objectives, width])))
        last = graph.constant(np.array([-1]))
        if self.cosine:
            left, right = _unit_in_graph(graph, left, last), _unit_in_graph(graph, right, last)
        if weights is None:
            weights = np.ones(1, np.float32)
        weighted = graph.add("Mul", left, graph.constant(weights.reshape(1, -1, 1)))
        left = graph.add("ReduceSum", weighted, graph.constant(np.array([1])), keepdims=0)
        if self.item_bias:
            # The last coordinate of each of a query's embeddings is 1.
            row = graph.constant(np.eye(1, width + 1, width, dtype=np.float32) * weights.sum())
            pad = graph.constant(np.eye(width, width + 1, dtype=np.float32))
            left = graph.add("Add", graph.add("MatMul", left, pad), row)
        return graph.add("ReduceSum", graph.add("Mul", left, right), last, keepdims=1)


def side(prefix: str, params: Any) -> Any:
    """Select the parameters of one tower, and strip the prefix from their names."""
    return {
        name.removeprefix(prefix): array
        for name, array in params.items()
        if name.startswith(prefix)
    }


def _named(prefix: str, params: Any) -> dict[str, Any]:
    """Put a prefix in front of the names of a tower's parameters."""
    return {prefix + name: array for name, array in params.items()}


def _unit(outputs: Array) -> tuple[Array, Array]:
    """Scale rows to length 1, and return their former lengths."""
    length = np.sqrt(np.einsum("ij,ij->i", outputs, outputs))[:, None]
    length = np.maximum(length, outputs.dtype.type(SHORTEST))
    return outputs / length, length


def _through_length(grad: Array, unit: Array, length: Array) -> Array:
    """Compute the gradient of the outputs from that of the outputs scaled to length 1."""
    along = np.einsum("ij,ij->i", grad, unit)[:, None]
    return (grad - along * unit) / length


def _unit_in_graph(graph: GraphBuilder, X: str, axis: str) -> str:
    """Write the scaling to length 1 as ONNX operators."""
    length = graph.add("Sqrt", graph.add("ReduceSum", graph.add("Mul", X, X), axis, keepdims=1))
    return graph.add("Div", X, graph.add("Max", length, graph.constant(np.float32(SHORTEST))))
