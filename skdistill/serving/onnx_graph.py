"""Build an ONNX model from a decomposed model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skdistill.protocols import Array
from skdistill.serving.served import Served

# Old enough for every ONNX Runtime in use.
OPSET = 17
OUTPUTS = ["scores"]


@dataclass
class Graph:
    """Operators in the order of evaluation, independent of ONNX types.

    Parameters
    ----------
    prefix : str
        Prefix of all names.
    dtype : type
        Dtype of the input columns.
    constants : dict of str to ndarray
        Constants by name.
    nodes : list of tuple
        Operator, inputs, output and attributes of each node.
    """

    prefix: str = ""
    dtype: type = np.float32
    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = field(default_factory=list)

    def constant(self, values: Any) -> str:
        """Add a constant, int64 for integers and otherwise float32; return its name."""
        array = np.asarray(values)
        return self._named(array.astype(np.int64 if array.dtype.kind in "iu" else np.float32))

    def input_constant(self, values: Any) -> str:
        """Add a constant of the dtype of the input columns; return its name."""
        return self._named(np.asarray(values).astype(self.dtype))

    def _named(self, array: Array) -> str:
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants[name] = array
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; return the name of its output."""
        output = f"{self.prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append((operator, list(inputs), output, attributes))
        return output


def onnx_model(served: Served, dtype: type = np.float32) -> Any:
    """Make a ModelProto from ``X`` of this dtype to float32 ``scores``, for any number of rows.

    Float64 columns need a net with an origin, which casts them.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = Graph(dtype=dtype)
    scores = served.add_to_graph(graph, "X")
    nodes = [
        helper.make_node(operator, inputs, [output], **attributes)
        for operator, inputs, output, attributes in graph.nodes
    ]
    nodes.append(helper.make_node("Identity", [scores], OUTPUTS))
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    proto = helper.make_graph(
        nodes,
        "skdistill",
        [
            helper.make_tensor_value_info(
                "X",
                helper.np_dtype_to_tensor_dtype(np.dtype(dtype)),
                ["n_rows", served.nets[0].n_features],
            )
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n_rows", None])],
        constants,
    )
    return helper.make_model_gen_version(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="skdistill"
    )
