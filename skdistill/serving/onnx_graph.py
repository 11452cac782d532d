"""Build an ONNX model from a decomposed model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from skdistill.protocols import Array

# Old enough for every ONNX Runtime in use.
OPSET = 17
OUTPUTS = ["scores"]
# Version of the operators on strings.
ML_OPSET = 3
ML_DOMAIN = "ai.onnx.ml"
# Codes of types.
ONNX_FLOAT = 1
ONNX_INT64 = 7
ONNX_DOUBLE = 11


class MixedColumns(str):
    """Name of columns of numbers, with codes of categories beside them.

    Only ``dot`` and ``square`` of a graph take it: other operators would lose the categories.

    Parameters
    ----------
    numbers : str
        Name of the columns of numbers.
    codes : tuple of str
        Names of the codes of each column of categories, of shape (n_rows,).
    n_codes : int
        Number of codes.
    """

    codes: tuple[str, ...]
    n_codes: int

    def __new__(cls, numbers: str, codes: tuple[str, ...], n_codes: int) -> MixedColumns:
        columns = super().__new__(cls, numbers)
        columns.codes, columns.n_codes = codes, n_codes
        return columns


def without_codes(X: str) -> str:
    """Return the name of the columns of numbers alone."""
    return str.__str__(X) if isinstance(X, MixedColumns) else X


def with_codes(X: str, columns: str) -> str:
    """Put the codes of some columns beside other columns of numbers, if they have any."""
    if isinstance(columns, MixedColumns):
        return MixedColumns(X, columns.codes, columns.n_codes)
    return X


def tensor_type(dtype: Any) -> str:
    """Return the name of a dtype in ONNX."""
    return {"float32": "FLOAT", "float64": "DOUBLE"}[np.dtype(dtype).name]


@dataclass
class Graph:
    """Operators in the order of evaluation, independent of ONNX types.

    Parameters
    ----------
    prefix : str
        Prefix of all names.
    dtype : type
        Dtype of the input columns.
    precision : type
        Dtype of constants and results for now.
    constants : dict of str to ndarray
        Constants by name.
    nodes : list of tuple
        Operator, inputs, output and attributes of each node.
    inputs : list of tuple
        Name, type and number of columns of each input.
    """

    prefix: str = ""
    dtype: type = np.float32
    precision: type = np.float32
    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = field(default_factory=list)
    inputs: list[tuple[str, str, int | None]] = field(default_factory=list)

    def add_input(self, name: str, type_: str, n_columns: int | None) -> str:
        """Add an input of shape (n_rows, n_columns) and of an ONNX type; return its name."""
        self.inputs.append((name, type_, n_columns))
        return name

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Add a constant, by default int64 for integers, else of ``precision``; return its name."""
        array = np.asarray(values)
        if dtype is None:
            dtype = np.int64 if array.dtype.kind in "iu" else self.precision
        return self._named(array.astype(dtype))

    def rounded(self, X: str) -> str:
        """Convert numbers to the dtype ``precision``; return the name of the result."""
        return self.add("Cast", X, to=ONNX_FLOAT if self.precision is np.float32 else ONNX_DOUBLE)

    def input_constant(self, values: Any) -> str:
        """Add a constant of the dtype of the input columns; return its name."""
        return self._named(np.asarray(values).astype(self.dtype))

    def _named(self, array: Array) -> str:
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants[name] = array
        return name

    def dot(self, X: str, weights: Array, bias: Array | None = None) -> str:
        """Multiply columns by constant weights, and add a bias; return the name of the result."""
        if not isinstance(X, MixedColumns):
            if bias is None:
                return self.add("MatMul", X, self.constant(weights))
            return self.add("Gemm", X, self.constant(weights), self.constant(bias))
        start = len(weights) - X.n_codes
        table = self.constant(weights[start:])
        terms = [self.add("Gather", table, codes) for codes in X.codes]
        if start:
            terms.append(self.dot(without_codes(X), weights[:start], bias))
        elif bias is not None:
            terms.append(self.constant(bias))
        return reduce(lambda left, right: self.add("Add", left, right), terms)

    def numbers(self, X: str) -> str:
        """Return the name of the columns of numbers alone."""
        return without_codes(X)

    def square(self, X: str) -> str:
        """Square columns; codes of categories, which are zeros and ones, stay."""
        numbers = without_codes(X)
        return with_codes(self.add("Mul", numbers, numbers), X)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; return the name of its output."""
        if any(isinstance(one, MixedColumns) for one in inputs):
            raise TypeError(
                f"{operator} would lose the categories of the input columns. Multiply them by the "
                "weights of the first layer with graph.dot."
            )
        output = f"{self.prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append((operator, list(inputs), output, attributes))
        return output


def onnx_model(graph: Graph, outputs: dict[str, str]) -> Any:
    """Make a ModelProto of a graph, from its inputs to float32 outputs, for any number of rows.

    ``outputs`` maps the name of each output to a name in the graph.

    Float64 columns need a net with an origin, which casts them.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node(operator, inputs, [output], **attributes)
        for operator, inputs, output, attributes in graph.nodes
    ]
    nodes += [helper.make_node("Identity", [of], [name]) for name, of in outputs.items()]
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    proto = helper.make_graph(
        nodes,
        "skdistill",
        [
            helper.make_tensor_value_info(name, getattr(TensorProto, type_), ["n_rows", n_columns])
            for name, type_, n_columns in graph.inputs
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n_rows", None])
            for name in outputs
        ],
        constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
    return helper.make_model_gen_version(proto, opset_imports=opsets, producer_name="skdistill")
