"""Two towers: the score of a pair is the dot product of what each side is mapped to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.pairs import Pairs
from skdistill.inputs.rows import Rows
from skdistill.models.network import Network
from skdistill.protocols import Array, Gradients, GraphBuilder, Parameters, TrainableModel

# exp(3): embeddings of length 1 differ by at most 2, softmax targets by far more.
FIRST_LOG_SCALE = 3.0
SHORTEST = 1e-12


@dataclass(frozen=True)
class TwoTower(TrainableModel):
    r"""Scores :math:`\langle f(q), g(i) \rangle` of pairs, with networks f and g.

    With ``item_bias`` the last coordinate of an item's embedding is its bias, and that of every
    query's is 1: one of the ``embedding_dim`` dimensions, so that a plain dot product serves it.
    With ``cosine`` embeddings have length 1 and scores are cosines times a learnt scale, whose
    inverse is the temperature. With several objectives a query has an embedding for each, one after
    the other, and pairs name embeddings rather than queries.

    Parameters
    ----------
    embedding_dim : int
    query_hidden, item_hidden : tuple of int
    item_bias, cosine : bool
        Not both: a bias would turn the cosine into something else.
    n_objectives : int
        Embeddings of a query.
    """

    embedding_dim: int
    query_hidden: tuple[int, ...] = ()
    item_hidden: tuple[int, ...] = ()
    item_bias: bool = True
    cosine: bool = False
    n_objectives: int = 1

    @property
    def query_tower(self) -> Network:
        width = self.n_objectives * (self.embedding_dim - self.item_bias)
        return Network(self.query_hidden, width)

    @property
    def item_tower(self) -> Network:
        return Network(self.item_hidden, self.embedding_dim)

    def row_parameters(self, inputs: Pairs) -> tuple[str, ...]:
        """The first weights of the towers that read wide CSR."""
        query = self.query_tower.row_parameters(inputs.query_rows)
        item = self.item_tower.row_parameters(inputs.item_rows)
        return (*(f"query_{name}" for name in query), *(f"item_{name}" for name in item))

    def initialize(self, n_features: tuple[int, int], rng: Any) -> Parameters:
        """Parameters of both towers, for so many query and item columns."""
        query = self.query_tower.initialize(n_features[0], rng)
        item = self.item_tower.initialize(n_features[1], rng)
        params = _named("query_", query) | _named("item_", item)
        if self.cosine:
            params["log_scale_bias"] = np.full(1, FIRST_LOG_SCALE, dtype=np.float32)
        else:
            # Dot products of independent embeddings start with deviation 1, whatever their length.
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
            # What is done with the scores afterwards must not reach what is remembered.
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
        """Embeddings of queries, shape (n_rows * n_objectives, embedding_dim)."""
        return self.finish_queries(self.query_tower.forward(side("query_", params), rows)[0])[0]

    def embed_items(self, params: Parameters, rows: Rows) -> Array:
        """Embeddings of items, shape (n_rows, embedding_dim)."""
        return self.finish_items(self.item_tower.forward(side("item_", params), rows)[0])[0]

    def finish_queries(self, outputs: Array) -> tuple[Array, Array | None]:
        """Embeddings of what the query tower gave, and its lengths where they are divided out."""
        outputs = outputs.reshape(len(outputs) * self.n_objectives, -1)
        if self.cosine:
            return _unit(outputs)
        if self.item_bias:
            ones = np.ones((len(outputs), 1), dtype=outputs.dtype)
            outputs = np.concatenate([outputs, ones], axis=1)
        return outputs, None

    def finish_items(self, outputs: Array) -> tuple[Array, Array | None]:
        """As ``finish_queries``, for items."""
        return _unit(outputs) if self.cosine else (outputs, None)

    def add_products_to_graph(
        self, graph: GraphBuilder, left: str, right: str, weights: Array | None
    ) -> str:
        """ONNX operators from the outputs of both towers to scores, shape (n_rows, 1).

        Parameters
        ----------
        graph : GraphBuilder
        left, right : str
            Names of the towers' outputs.
        weights : ndarray of shape (n_objectives,) or None
            Of a query's embeddings; None: there is one.

        Returns
        -------
        str
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
    """The parameters of one tower, under the names the tower knows."""
    return {
        name.removeprefix(prefix): array
        for name, array in params.items()
        if name.startswith(prefix)
    }


def _named(prefix: str, params: Any) -> dict[str, Any]:
    return {prefix + name: array for name, array in params.items()}


def _unit(outputs: Array) -> tuple[Array, Array]:
    length = np.sqrt(np.einsum("ij,ij->i", outputs, outputs))[:, None]
    length = np.maximum(length, outputs.dtype.type(SHORTEST))
    return outputs / length, length


def _through_length(grad: Array, unit: Array, length: Array) -> Array:
    """Gradient of the outputs, given that of the outputs divided by their length."""
    along = np.einsum("ij,ij->i", grad, unit)[:, None]
    return (grad - along * unit) / length


def _unit_in_graph(graph: GraphBuilder, X: str, axis: str) -> str:
    length = graph.add("Sqrt", graph.add("ReduceSum", graph.add("Mul", X, X), axis, keepdims=1))
    return graph.add("Div", X, graph.add("Max", length, graph.constant(np.float32(SHORTEST))))
