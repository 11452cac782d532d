"""to_onnx: export students, towers and whole Pipelines to ONNX."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skdistill.calibration import ProbabilityMap
from skdistill.extras import import_extra
from skdistill.public_names import set_module
from skdistill.ranker import DistilledRanker
from skdistill.serving.decomposition import decompose
from skdistill.serving.description import describe, versions
from skdistill.serving.onnx_columns import add_arrays, add_columns
from skdistill.serving.onnx_graph import OPSET, Graph, onnx_model
from skdistill.serving.onnx_outputs import add_outputs
from skdistill.serving.probabilities import probability_map_of
from skdistill.serving.served import Served
from skdistill.students import STUDENTS
from skdistill.towers import RETRIEVERS


@set_module("skdistill.serving")
def to_onnx(model: Any) -> Any:
    """Export the scores of a fitted model to ONNX.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in a student
        A fitted model. Of a :class:`DistilledRanker`, the student is exported. The steps of a
        Pipeline may be any that :func:`compile_scorer` or skl2onnx takes.

    Returns
    -------
    onnx.ModelProto
        A model with one input ``X`` of shape (n_rows, n_features), float32. If it reads
        categories, it has an input of shape (n_rows, 1) per column instead, with the column's name:
        floats for numbers, seconds since 1970 UTC, float64, for dates, strings or int64 for
        categories. The output ``scores`` has the shape
        (n_rows, 1), float32. A model with ``predict_proba`` also has ``probabilities`` of shape
        (n_rows, 2), and one of several objectives ``objective_`` and its name for each of them, as
        ``predict_objectives`` returns it. ``metadata_props`` describe the model, its features, its
        teacher and its training, and list the versions of the libraries.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If ONNX cannot express the model, such as one that combines objectives by a function.
    ValueError
        If a column has the name of an output.
    ImportError
        If the ONNX libraries are not installed (extra ``onnx``).

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.serving import to_onnx
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=20, random_state=0)
    >>> student = LinearRanker(random_state=0).fit(data.X, data.y, qid=data.qid)
    >>> [output.name for output in to_onnx(student).graph.output]
    ['scores']
    """
    skl2onnx = import_extra("skl2onnx", "onnx", "to_onnx")
    description = describe(model) | {"versions": versions()}
    of_scores = probability_map_of(model)
    if isinstance(model, DistilledRanker):
        model = model.export_student()
    try:
        served = decompose(model)
    except TypeError:
        if not isinstance(model, Pipeline):
            raise
        proto = _converted(skl2onnx, model)
    else:
        proto = _proto(model, served, of_scores)
    for name, value in description.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = name, value if isinstance(value, str) else json.dumps(value)
    return proto


def _converted(skl2onnx: Any, model: Pipeline) -> Any:
    """Convert a Pipeline with steps that cannot be folded by skl2onnx."""
    register_converters()
    types = skl2onnx.common.data_types
    return skl2onnx.convert_sklearn(
        model,
        "skdistill",
        [("X", types.FloatTensorType([None, model.n_features_in_]))],
        final_types=[("scores", types.FloatTensorType([None, 1]))],
        target_opset=OPSET,
    )


def _proto(model: Any, served: Served, of_scores: ProbabilityMap | None) -> Any:
    """Make the model of a student or of towers."""
    net = served.nets[0]
    encoder = served.encoder
    if net.n_codes or (encoder is not None and not encoder.reads_only_numbers):
        # Names of operators must not be those of columns.
        assert encoder is not None  # it makes the codes
        # Float32 would lose the minute of a time.
        needs_float64 = any(encoder.periods) or any(one.needs_float64 for one in served.nets)
        graph = Graph("skdistill.", dtype=np.float64 if needs_float64 else np.float32)
        X = add_columns(graph, encoder)
    else:
        graph = Graph()
        X = add_arrays(graph, served)
    outputs = add_outputs(graph, model, served, X, of_scores)
    taken = [name for name, *_ in graph.inputs if name in outputs]
    if taken:
        raise ValueError(
            f"The columns {taken} have the names of outputs of the ONNX model. Rename them before "
            "fit."
        )
    return onnx_model(graph, outputs)


@set_module("skdistill.serving")
def register_converters() -> None:
    """Register the package's estimators with skl2onnx.

    Call this before ``skl2onnx.convert_sklearn`` on a Pipeline that contains them; :func:`to_onnx`
    calls it itself.

    Raises
    ------
    ImportError
        If the ONNX libraries are not installed (extra ``onnx``).
    """
    skl2onnx = import_extra("skl2onnx", "onnx", "to_onnx")
    for estimator in (*STUDENTS.values(), *RETRIEVERS.values(), DistilledRanker):
        skl2onnx.update_registered_converter(
            estimator,
            f"Skdistill{estimator.__name__}",
            _calculate_shape,
            _convert,
            parser=_parse,
        )


def _parse(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    from skl2onnx.common.data_types import FloatTensorType

    operator = scope.declare_local_operator(f"Skdistill{type(model).__name__}", model)
    operator.inputs.append(inputs[0])
    scores = scope.declare_local_variable("scores", FloatTensorType())
    operator.outputs.append(scores)
    return operator.outputs


def _calculate_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), 1])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto, helper

    model = operator.raw_operator
    if isinstance(model, DistilledRanker):
        # Inside a Pipeline, a ranker gets all columns, not only the student's.
        model = Pipeline([("ranker", model)])
    graph = Graph(scope.get_unique_operator_name("skdistill") + "_")
    X = graph.add("Cast", operator.inputs[0].full_name, to=TensorProto.FLOAT)
    scores = decompose(model).add_to_graph(graph, X)
    for name, array in graph.constants.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        container.add_initializer(name, kind, array.shape, array.ravel())
    for operator_name, inputs, output, attributes in graph.nodes:
        container.add_node(
            operator_name,
            inputs,
            [output],
            name=output,
            op_version=container.target_opset,
            **attributes,
        )
    container.add_node(
        "Identity", [scores], [operator.outputs[0].full_name], name=f"{graph.prefix}scores"
    )
