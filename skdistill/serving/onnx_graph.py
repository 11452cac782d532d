"""A decomposed model as ONNX operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skdistill.protocols import Array
from skdistill.serving.served import Served

# Supported by every ONNX Runtime of the last years, and sufficient here.
OPSET = 17


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


def onnx_model(served: Served) -> Any:
    """A ModelProto from ``X`` to ``scores``, of dynamic batch size."""
    from onnx import TensorProto, helper, numpy_helper

    graph = Graph()
    scores = served.add_to_graph(graph, "X")
    nodes = [
        helper.make_node(operator, inputs, [output], **attributes)
        for operator, inputs, output, attributes in graph.nodes
    ]
    nodes.append(helper.make_node("Identity", [scores], ["scores"]))
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    proto = helper.make_graph(
        nodes,
        "skdistill",
        [
            helper.make_tensor_value_info(
                "X", TensorProto.FLOAT, ["n_rows", served.nets[0].n_features]
            )
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n_rows", None])],
        constants,
    )
    return helper.make_model_gen_version(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="skdistill"
    )
