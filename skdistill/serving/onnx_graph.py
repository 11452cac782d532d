"""A decomposed model as ONNX operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skdistill.models import FactorizationMachine
from skdistill.protocols import Array
from skdistill.scaling import ColumnScaler
from skdistill.serving.decomposition import (
    Affine,
    Impute,
    Net,
    Pick,
    ServedStudent,
    ServedTowers,
    Step,
)

# Every ONNX Runtime of the last years knows it, and it has all that is needed here.
OPSET = 17
FLOAT = 1
SHORTEST = np.float32(1e-12)


@dataclass
class Graph:
    """Operators in the order of their evaluation, before any ONNX type is made.

    Parameters
    ----------
    prefix : str
        Of all names.
    """

    prefix: str = ""
    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = field(default_factory=list)

    def constant(self, values: Any) -> str:
        """Name of a constant: float32 or int64."""
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants[name] = array
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Name of an operator's output."""
        output = f"{self.prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append((operator, list(inputs), output, attributes))
        return output


def add_served(graph: Graph, served: ServedStudent | ServedTowers, X: str) -> str:
    """Operators from rows, shape (n_rows, n_features), to scores, shape (n_rows, n_outputs)."""
    if isinstance(served, ServedStudent):
        if served.combine is not None:
            raise TypeError("combine is a function of your own: ONNX can't hold it.")
        return _add_net(graph, served.net, X)
    left = _add_net(graph, served.query, X)
    right = _add_net(graph, served.item, X)
    model = served.model
    width = model.embedding_dim - model.item_bias
    heads = graph.constant(np.array([0, model.n_objectives, width]))
    left = graph.add("Reshape", left, heads)
    last = graph.constant(np.array([-1]))
    if model.cosine:
        left, right = _unit(graph, left, last), _unit(graph, right, last)
    weights = served.combination
    if weights is None:
        weights = np.ones(1, np.float32)
    weighted = graph.add("Mul", left, graph.constant(weights.reshape(1, -1, 1)))
    left = graph.add("ReduceSum", weighted, graph.constant(np.array([1])), keepdims=0)
    if model.item_bias:
        # Of a query the last coordinate is 1 in each of its embeddings.
        row = graph.constant(np.eye(1, width + 1, width, dtype=np.float32) * weights.sum())
        pad = graph.constant(np.eye(width, width + 1, dtype=np.float32))
        left = graph.add("Add", graph.add("MatMul", left, pad), row)
    return graph.add("ReduceSum", graph.add("Mul", left, right), last, keepdims=1)


def _add_net(graph: Graph, net: Net, X: str) -> str:
    width = net.n_features
    for step in net.steps:
        X = _add_step(graph, step, X)
        width = step.n_outputs(width)
    scaler = net.scaler.for_scoring()
    X = _add_squash(graph, scaler, X)
    if isinstance(net.model, FactorizationMachine):
        return _add_machine(graph, net.model.fold(net.params, scaler), X)
    params = net.model.absorb(net.params, scaler)
    for layer in range(net.model.n_layers):
        if layer:
            X = graph.add("Relu", X)
        weights = graph.constant(params[f"weights_{layer}"])
        X = graph.add("Gemm", X, weights, graph.constant(params[f"bias_{layer}"]))
    return X


def _add_step(graph: Graph, step: Step, X: str) -> str:
    if isinstance(step, Affine):
        scaled = graph.add("Mul", X, graph.constant(step.scale))
        return graph.add("Add", scaled, graph.constant(step.offset))
    if isinstance(step, Pick):
        return graph.add("Gather", X, graph.constant(step.columns), axis=1)
    assert isinstance(step, Impute)
    missing = graph.add("IsNaN", X)
    filled = graph.add("Where", missing, graph.constant(step.fill), X)
    if not len(step.indicated):
        return filled
    indicated = graph.add("Gather", missing, graph.constant(step.indicated), axis=1)
    return graph.add("Concat", filled, graph.add("Cast", indicated, to=FLOAT), axis=1)


def _add_squash(graph: Graph, scaler: ColumnScaler, X: str) -> str:
    if not scaler.squashes:
        return X
    size = graph.add("Add", graph.add("Abs", X), graph.constant(scaler.half))
    return graph.add("Div", X, size)


def _add_machine(graph: Graph, folded: dict[str, Array], X: str) -> str:
    def column(name: str) -> str:
        return graph.constant(folded[name].reshape(-1, 1))

    sums = graph.add("Gemm", X, graph.constant(folded["factors"]), graph.constant(folded["sums"]))
    axis = graph.constant(np.array([1]))
    squares = graph.add("ReduceSum", graph.add("Mul", sums, sums), axis, keepdims=1)
    output = graph.add("Mul", squares, graph.constant(np.float32(0.5)))
    output = graph.add("Add", output, graph.add("MatMul", X, column("linear")))
    own = graph.add("MatMul", graph.add("Mul", X, X), column("squares"))
    output = graph.add("Sub", output, own)
    return graph.add("Add", output, graph.constant(folded["constant"]))


def _unit(graph: Graph, X: str, axis: str) -> str:
    length = graph.add("Sqrt", graph.add("ReduceSum", graph.add("Mul", X, X), axis, keepdims=1))
    return graph.add("Div", X, graph.add("Max", length, graph.constant(SHORTEST)))


def onnx_model(served: ServedStudent | ServedTowers) -> Any:
    """A ModelProto from ``X`` to ``scores``, of dynamic batch size."""
    from onnx import TensorProto, helper, numpy_helper

    graph = Graph()
    scores = add_served(graph, served, "X")
    net = served.net if isinstance(served, ServedStudent) else served.query
    nodes = [
        helper.make_node(operator, inputs, [output], **attributes)
        for operator, inputs, output, attributes in graph.nodes
    ]
    nodes.append(helper.make_node("Identity", [scores], ["scores"]))
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    proto = helper.make_graph(
        nodes,
        "skdistill",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n_rows", net.n_features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n_rows", None])],
        constants,
    )
    return helper.make_model_gen_version(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="skdistill"
    )
