"""A model as plain dense layers, for engines that know nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.models import Network
from skdistill.serving.column_steps import Pick
from skdistill.serving.decomposition import decompose
from skdistill.serving.served import Net, ServedStudent


@dataclass(frozen=True)
class DenseLayers:
    """Layers of a network from raw columns to a score, with a ReLU between them.

    Parameters
    ----------
    names : list of str
        Name of each column.
    weights : list of ndarray of shape (n_inputs, n_outputs), float64
        Weights of each layer.
    biases : list of ndarray of shape (n_outputs,), float64
        Biases of each layer.
    """

    names: list[str]
    weights: list[NDArray[np.float64]]
    biases: list[NDArray[np.float64]]


def dense_layers(model: Any, feature_names: Sequence[str] | None, target: str) -> DenseLayers:
    """Turn a fitted model into plain layers.

    The scaler, and steps of a Pipeline that only shift and scale, are folded into the first layer.

    Parameters
    ----------
    model : student, DistilledRanker, or Pipeline that ends in either
        Fitted.
    feature_names : sequence of str or None
        Names of the columns; those of ``fit`` by default.
    target : str
        What cannot take more than such layers, for messages.

    Returns
    -------
    DenseLayers

    Raises
    ------
    TypeError
        If the model is no linear student or MLP, or reads its columns by more than shift and scale.
    ValueError
        If the columns have no names.
    """
    served = decompose(model)
    if not isinstance(served, ServedStudent):
        raise TypeError(f"{target} takes rankers, got {type(model).__name__}.")
    net = served.net
    _check_plain(net, served, target)
    names = _names(served, feature_names)
    params = {name: value.astype(np.float64) for name, value in net.params.items()}
    scaler = net.scaler
    scale = scaler.scale.astype(np.float64)
    centre = scaler.shift.astype(np.float64)
    if scaler.origin is not None:
        centre = centre + scaler.origin
    assert isinstance(net.model, Network)  # checked
    n_layers = net.model.n_layers
    weights = [params[f"weights_{layer}"] for layer in range(n_layers)]
    biases = [params[f"bias_{layer}"] for layer in range(n_layers)]
    biases[0] = biases[0] - (centre * scale) @ weights[0]
    weights[0] = scale[:, None] * weights[0]
    return DenseLayers(names, weights, biases)


def _names(served: ServedStudent, given: Sequence[str] | None) -> list[str]:
    """Names of the columns."""
    n_features = served.net.n_features
    if given is None and served.feature_names is None:
        raise ValueError(
            f"The model was fitted without column names. Pass feature_names=, one for each of its "
            f"{n_features} columns."
        )
    names = [str(name) for name in (given if given is not None else served.feature_names or ())]
    if len(names) != n_features or len(set(names)) < len(names):
        raise ValueError(
            f"feature_names must be {n_features} different names, one per column, got {names}."
        )
    return names


def _check_plain(net: Net, served: ServedStudent, target: str) -> None:
    """Refuse what dense layers do not express, and name the columns."""
    scaler = net.scaler
    way_out = "Serve the model by ONNX (to_onnx), or by its compiled scorer."
    if net.n_codes:
        raise TypeError(
            f"{target} takes columns of numbers only, but the model reads categories. {way_out}"
        )
    if not isinstance(net.model, Network) or net.model.n_outputs != 1 or served.formula is not None:
        raise TypeError(
            f"{target} takes linear students and MLPs of one score, got a model of "
            f"{type(net.model).__name__}. {way_out}"
        )
    steps = [step for step in net.steps if not (scaler.applies_softsign and isinstance(step, Pick))]
    if steps:
        kinds = sorted({type(step).__name__ for step in steps})
        raise TypeError(
            f"{target} cannot express the steps before the student ({', '.join(kinds)}), except "
            f"for those that shift and scale columns. {way_out}"
        )
    check_float32(net, served.feature_names, target)
    if scaler.applies_softsign:
        columns = np.arange(net.n_features)
        for step in net.steps:  # which pick columns, and some of them twice
            columns = step.sources(columns)
        is_heavy = np.isin(np.arange(net.n_features), columns[scaler.has_softsign > 0])
        heavy = _named(served.feature_names, is_heavy)
        raise TypeError(
            f"{target} cannot express the softsign of the columns {heavy}, which have a heavy "
            "tail. Fit the student with squash=False, for example on logarithms of these columns."
        )
    if scaler.flagged is not None:
        is_flagged = np.isin(np.arange(net.n_features), scaler.flagged)
        flagged = _named(served.feature_names, is_flagged)
        raise TypeError(
            f"{target} takes no missing values, but the columns {flagged} have a weight for them. "
            "Fit the student on columns without gaps."
        )


def check_float32(net: Net, names: Sequence[str] | None, target: str) -> None:
    """Refuse columns whose differences are lost where engines round them to float32.

    Raises
    ------
    TypeError
        If there are any.
    """
    if not net.needs_float64:
        return
    origin = np.zeros(net.n_features) if net.origin is None else net.origin
    raise TypeError(
        f"{target} makes float32 of all columns, but the columns {_named(names, origin)} lie so "
        "far from 0 that float32 loses their differences, as it does with times. Subtract a "
        "constant from them before fit and in the engine."
    )


def _named(names: Sequence[str] | None, chosen: Any) -> list[str]:
    """Name the columns that are chosen by a mask."""
    places = np.flatnonzero(chosen).tolist()
    return [f"column {place}" if names is None else str(names[place]) for place in places]
