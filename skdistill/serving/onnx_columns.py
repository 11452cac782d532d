"""ONNX inputs with one name and type per column, and the codes of their categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.category_codes import MISSING, N_SPECIAL, OTHER, CategoryCodes
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.serving.onnx_graph import (
    ML_DOMAIN,
    ONNX_DOUBLE,
    ONNX_FLOAT,
    Graph,
    MixedColumns,
    tensor_type,
)
from skdistill.serving.served import Served

TENSOR_CODES: dict[type, int] = {np.float32: ONNX_FLOAT, np.float64: ONNX_DOUBLE}


def add_columns(graph: Graph, encoder: TableEncoder) -> str:
    """Add an input per column of a data frame, and join them as a model takes them.

    Numbers, and times in seconds since 1970, have the dtype of the graph, and the cyclic numbers of
    dates are computed from float64. Categories are strings or
    int64. An empty string is a missing one, unless it was a category in ``fit``; integers have no
    missing value. Categories that are floats, or are read as numbers too, have the dtype of the
    graph.

    Parameters
    ----------
    graph : Graph
        The graph to which inputs and operators are added.
    encoder : TableEncoder
        The encoder of the model. Columns without names are called x0, x1, ...

    Returns
    -------
    str
        Name of the columns of numbers, with the codes of the categories.

    Raises
    ------
    TypeError
        If ONNX has no type for the categories of a column. The message names it.
    """
    names = [str(name) for name in encoder.names or ()]
    if not names:
        names = [f"x{position}" for position in range(len(encoder.kinds))]
    columns = {name: _Column(name, [], False) for name in names}
    known = iter(encoder.categories)
    for name, kind in zip(names, encoder.kinds, strict=True):
        if kind == "category":
            columns[name].categories.append(next(known))
        else:
            columns[name].is_number = True
    inputs = {name: column.add_input(graph) for name, column in columns.items()}
    numbers, codes = [], []
    known, start = iter(encoder.categories), 0
    for name, kind, periods in zip(names, encoder.kinds, encoder.periods_of_columns, strict=True):
        if kind == "category":
            of_column = next(known)
            codes.append(columns[name].add_codes(graph, inputs[name], of_column, start))
            start += of_column.n_codes
        else:
            numbers += [inputs[name], *_cycles(graph, inputs[name], periods)]
    if not codes:
        return graph.add("Concat", *numbers, axis=1)
    X = graph.add("Concat", *numbers, axis=1) if numbers else _no_numbers(graph, codes[0])
    return MixedColumns(X, tuple(codes), encoder.n_codes)


def _cycles(graph: Graph, seconds: str, periods: tuple[int, ...]) -> list[str]:
    """Add the cyclic numbers of times, as ``with_cycles`` computes them."""
    columns = []
    for period in periods:
        phase = graph.add("Mod", seconds, graph.input_constant(period), fmod=1)
        angle = graph.add("Mul", phase, graph.input_constant(2 * np.pi / period))
        # Not every version of ONNX Runtime has a cosine in float64.
        shifted = graph.add("Add", angle, graph.input_constant(np.pi / 2))
        columns += [graph.add("Sin", angle), graph.add("Sin", shifted)]
    return columns


def _no_numbers(graph: Graph, codes: str) -> str:
    """Add a table without columns."""
    first, end = graph.constant(np.array([0])), graph.constant(np.array([1]))
    column = graph.add("Cast", graph.add("Unsqueeze", codes, end), to=TENSOR_CODES[graph.dtype])
    return graph.add("Slice", column, first, first, end)


def add_arrays(graph: Graph, served: Served) -> str:
    """Add the input ``X`` for columns of numbers and, if there are codes, the input ``codes``."""
    net, encoder = served.nets[0], served.encoder
    n_categorical = 0 if encoder is None else len(encoder.categories)
    X = graph.add_input("X", tensor_type(graph.dtype), net.n_features)
    if not net.n_codes:
        return X
    codes = graph.add_input("codes", "INT32", n_categorical)
    columns = [
        graph.add("Gather", codes, graph.constant(np.array(place)), axis=1)
        for place in range(n_categorical)
    ]
    return MixedColumns(X, tuple(columns), net.n_codes)


@dataclass
class _Column:
    """A column of a data frame, which may be read as numbers and as categories."""

    name: str
    categories: list[CategoryCodes]
    is_number: bool

    @property
    def type_(self) -> str | None:
        """ONNX type of the input, if it holds categories; None if it holds numbers."""
        kinds = {known.kind for known in self.categories} - {"missing"}
        if self.is_number or "float" in kinds:
            return None
        if kinds <= {"text"}:
            return "STRING"
        if kinds <= {"integer", "boolean"}:
            return "INT64"
        raise TypeError(
            f"ONNX has no type for column {self.name!r}, whose categories are of the kind "
            f"{' and '.join(sorted(kinds))!r}. Convert them to strings before fit, or serve by "
            "compile_scorer."
        )

    def add_input(self, graph: Graph) -> str:
        """Add the input of the column."""
        return graph.add_input(self.name, self.type_ or tensor_type(graph.dtype), 1)

    def add_codes(self, graph: Graph, column: str, known: CategoryCodes, start: int) -> str:
        """Look up the codes of categories, which begin at ``start``."""
        codes = np.arange(start + N_SPECIAL, start + known.n_codes)
        values = known.values.tolist()
        keys: dict[str, Any]
        if self.type_ == "STRING":
            texts = [str(value) for value in values]
            if not any("" in one.values.tolist() for one in self.categories):
                texts, codes = [*texts, ""], np.append(codes, start + MISSING)
            keys = {"keys_strings": texts}
        elif self.type_ == "INT64":
            keys = {"keys_int64s": [int(value) for value in values]}
        else:
            rounded = np.array(values, dtype=np.float32)
            if len(np.unique(rounded)) < len(rounded):
                raise TypeError(
                    f"The categories of column {self.name!r} differ in digits that float32 does "
                    "not hold. Convert them to strings before fit, or serve by compile_scorer."
                )
            keys = {"keys_floats": rounded.tolist()}
            column = graph.add("Cast", column, to=ONNX_FLOAT)
        found = _look_up(graph, column, keys, codes.tolist(), start + OTHER)
        if self.type_ is None:
            missing = graph.constant(np.array(start + MISSING))
            found = graph.add("Where", graph.add("IsNaN", column), missing, found)
        return graph.add("Squeeze", found, graph.constant(np.array([1])))


def _look_up(
    graph: Graph, column: str, keys: dict[str, list[Any]], codes: list[int], default: int
) -> str:
    """Add the operator that finds the code of each key."""
    ((key_type, values),) = keys.items()
    if not values:  # the operator needs a key
        keys, codes = {key_type: [0]}, [default]
    return graph.add(
        "LabelEncoder", column,
        domain=ML_DOMAIN, values_int64s=codes, default_int64=default, **keys,
    )  # fmt: skip
