"""The outputs of an exported model: scores, probabilities, and each objective."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from skdistill.inputs.pipelines import last_step, with_last_step
from skdistill.losses import get_loss
from skdistill.serving.decomposition import decompose
from skdistill.serving.onnx_graph import Graph
from skdistill.serving.served import Served
from skdistill.students import MultiObjectiveRanker

SCORES, PROBABILITIES, OBJECTIVE = "scores", "probabilities", "objective_"


def add_outputs(graph: Graph, model: Any, served: Served, X: str) -> dict[str, str]:
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

    Returns
    -------
    dict of str to str
        Names in the graph by the name of the output.
    """
    student = last_step(model)
    if isinstance(student, MultiObjectiveRanker) and not callable(student.combine):
        return _add_objectives(graph, model, student, X)
    scores = served.add_to_graph(graph, X)
    outputs = {SCORES: scores}
    if getattr(student, "has_probabilities", False):
        positive = graph.add("Sigmoid", scores)
        negative = graph.add("Sub", graph.constant(np.float32(1)), positive)
        outputs[PROBABILITIES] = graph.add("Concat", negative, positive, axis=1)
    return outputs


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
