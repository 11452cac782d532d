"""The outputs of an exported model: scores, probabilities, and each objective."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from skdistill.calibration import InterpolatedMap, ProbabilityMap
from skdistill.inputs.pipelines import last_step, with_last_step
from skdistill.losses import get_loss
from skdistill.serving.decomposition import decompose
from skdistill.serving.onnx_graph import ONNX_INT64, Graph
from skdistill.serving.served import Served
from skdistill.students import MultiObjectiveRanker

SCORES, PROBABILITIES, OBJECTIVE = "scores", "probabilities", "objective_"


def add_outputs(
    graph: Graph, model: Any, served: Served, X: str, of_scores: ProbabilityMap | None
) -> dict[str, str]:
    """Add a model to a graph.

    Parameters
    ----------
    graph : Graph
        The graph to which operators are added.
    model : student, retriever, or Pipeline that ends in a student
        A fitted model.
    served : Served
        The decomposed model.
    X : str
        Name of the columns.
    of_scores : callable or None
        Turns scores into probabilities, if the model has any.

    Returns
    -------
    dict of str to str
        Names in the graph by the name of the output.
    """
    student = last_step(model)
    if isinstance(student, MultiObjectiveRanker) and not callable(student.combine):
        outputs = _add_objectives(graph, model, student, X)
    else:
        outputs = {SCORES: served.add_to_graph(graph, X)}
    if of_scores is not None:
        positive = _add_probabilities(graph, outputs[SCORES], of_scores)
        negative = graph.add("Sub", graph.constant(np.float32(1)), positive)
        outputs[PROBABILITIES] = graph.add("Concat", negative, positive, axis=1)
    return outputs


def _add_probabilities(graph: Graph, scores: str, of_scores: ProbabilityMap) -> str:
    """Add the probabilities of scores of shape (n_rows, 1)."""
    if isinstance(of_scores, InterpolatedMap):
        return _add_interpolation(graph, scores, of_scores)
    line = graph.add("Mul", scores, graph.constant(of_scores.slope))
    return graph.add("Sigmoid", graph.add("Add", line, graph.constant(of_scores.intercept)))


def _add_interpolation(graph: Graph, scores: str, line: InterpolatedMap) -> str:
    """Add straight lines between points: the piece of each score, and the place on it."""
    x, first = np.unique(line.scores.astype(np.float32), return_index=True)
    y = line.probabilities[first]
    if len(x) == 1:
        x, y = np.append(x, x), np.append(y, y)
    width, rise = np.diff(x.astype(np.float64)), np.diff(y)
    slope = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
    scores = graph.add("Clip", scores, graph.constant(x[0]), graph.constant(x[-1]))
    is_beyond = graph.add("GreaterOrEqual", scores, graph.constant(x[1:-1]))
    axis = graph.constant(np.array([1]))
    piece = graph.add("ReduceSum", graph.add("Cast", is_beyond, to=ONNX_INT64), axis, keepdims=1)
    start, height, rate = (
        graph.add("Gather", graph.constant(values), piece) for values in (x[:-1], y[:-1], slope)
    )
    place = graph.add("Mul", graph.add("Sub", scores, start), rate)
    return graph.add("Add", height, place)


def _add_objectives(
    graph: Graph, model: Any, student: MultiObjectiveRanker, X: str
) -> dict[str, str]:
    """Add the heads of a student of several objectives, and their combination."""
    # Of a student that combines objectives by a function, all heads are served.
    heads_of = copy.copy(student)
    heads_of.combine = len
    served = decompose(with_last_step(model, heads_of))
    heads = served.nets[0].add_to_graph(graph, X)
    outputs = {SCORES: graph.dot(heads, student.combination[:, None])}
    for place, name in enumerate(student.objective_names_):
        head = graph.add("Gather", heads, graph.constant(np.array([place])), axis=1)
        if get_loss(student.objectives[name]).is_log_odds:
            head = graph.add("Sigmoid", head)
        outputs[f"{OBJECTIVE}{name}"] = head
    return outputs
