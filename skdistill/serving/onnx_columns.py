"""ONNX inputs with one name and type per column, and the codes of their categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdistill.inputs.category_codes import MISSING, N_SPECIAL, OTHER, CategoryCodes
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.serving.onnx_graph import ML_DOMAIN, Graph, MixedColumns, tensor_type
from skdistill.serving.served import Served


def add_columns(graph: Graph, encoder: TableEncoder) -> str:
    """Add an input per column of a data frame, and join them as a model takes them.

    Numbers, and times in seconds since 1970, have the dtype of the graph. Categories are strings or
    int64. An empty string is a missing one, unless it was a category in ``fit``; integers have no
    missing value.

    Parameters
    ----------
    graph : Graph
        The graph to which inputs and operators are added.
    encoder : TableEncoder
        The encoder of the model, with names.

    Returns
    -------
    str
        Name of the columns of numbers, with the codes of the categories.

    Raises
    ------
    TypeError
        If ONNX has no type for the categories of a column. The message names it.
    """
    assert encoder.names is not None  # it read a data frame
    categories = iter(encoder.categories)
    numbers, codes = [], []
    start = 0
    for name, kind in zip(encoder.names, encoder.kinds, strict=True):
        if kind != "category":
            numbers.append(graph.add_input(str(name), tensor_type(graph.dtype), 1))
            continue
        known = next(categories)
        codes.append(_add_codes(graph, str(name), known, start))
        start += known.n_codes
    X = graph.add("Concat", *numbers, axis=1)
    if not codes:
        return X
    return MixedColumns(X, tuple(codes), encoder.n_codes)


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


def _add_codes(graph: Graph, name: str, known: CategoryCodes, start: int) -> str:
    """Add the input of a column of categories, and look up its codes."""
    codes = np.arange(start + N_SPECIAL, start + known.n_codes)
    if known.kind in ("text", "missing"):
        keys = [str(value) for value in known.values.tolist()]
        column = graph.add_input(name, "STRING", 1)
        if "" not in keys:
            keys, codes = [*keys, ""], np.append(codes, start + MISSING)
        attributes: dict[str, Any] = {"keys_strings": keys}
    elif known.kind in ("integer", "boolean"):
        column = graph.add_input(name, "INT64", 1)
        attributes = {"keys_int64s": [int(value) for value in known.values.tolist()]}
    else:
        raise TypeError(
            f"ONNX has no type for column {name!r}, whose categories are of the kind "
            f"{known.kind!r}. Convert them to strings before fit, or serve by compile_scorer."
        )
    codes_of_column = graph.add(
        "LabelEncoder",
        column,
        domain=ML_DOMAIN,
        values_int64s=codes.tolist(),
        default_int64=start + OTHER,
        **attributes,
    )
    return graph.add("Squeeze", codes_of_column, graph.constant(np.array([1])))
