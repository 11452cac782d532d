"""A fitted model in parts: steps on columns, softsign and scaling, then a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.scaling import ColumnScaler
from skdistill.models.two_tower import TwoTower
from skdistill.protocols import GraphBuilder, Parameters, ScoringModel
from skdistill.serving.column_steps import Affine, Floats, Pick, Step


@dataclass(frozen=True)
class Net:
    """A chain from columns to outputs of a model.

    Parameters
    ----------
    n_features : int
        Number of input columns.
    steps : tuple of Step
        Applied to the columns first.
    scaler : ColumnScaler
        Applied to the result of the steps.
    model : ScoringModel
        Maps scaled columns to outputs.
    params : dict of ndarray
        Parameters of the model.
    """

    n_features: int
    steps: tuple[Step, ...]
    scaler: ColumnScaler
    model: ScoringModel
    params: Parameters

    @property
    def step_widths(self) -> tuple[int, ...]:
        """Number of columns after each step."""
        widths, width = [], self.n_features
        for step in self.steps:
            width = step.n_outputs(width)
            widths.append(width)
        return tuple(widths)

    @property
    def allows_missing(self) -> bool:
        """Whether a step fills in NaN."""
        return any(step.fills_missing for step in self.steps)

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        """Add ONNX operators from columns to outputs; return the name of the outputs."""
        for step in self.steps:
            X = step.add_to_graph(graph, X)
        scaler = self.scaler.for_scoring()
        if scaler.applies_softsign:
            size = graph.add("Add", graph.add("Abs", X), graph.constant(scaler.half))
            X = graph.add("Div", X, size)
        return self.model.add_to_graph(graph, self.params, scaler, X)


class Served(Protocol):
    """A decomposed model, as engines and exporters use it."""

    @property
    def nets(self) -> tuple[Net, ...]:
        """Nets that read the columns of a row."""

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the columns, if the model was fitted with names."""

    def scores(self, outputs: list[Any], X: Floats) -> Floats:
        """Scores of a block of rows, given the outputs of each net."""

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        """Add ONNX operators from rows to scores of shape (n_rows, n_outputs); return their name.

        Raises
        ------
        TypeError
            If ONNX cannot express the model.
        """


@dataclass(frozen=True)
class ServedStudent:
    """A student, alone or as the last step of a Pipeline.

    Parameters
    ----------
    net : Net
        Reads the columns of a row.
    feature_names : tuple of str or None
        Names of the columns.
    formula : callable or None
        The user's function that combines all outputs and the rows to scores, if there is one.
    """

    net: Net
    feature_names: tuple[str, ...] | None = None
    formula: Callable[[NDArray[Any], Any], NDArray[Any]] | None = None

    @property
    def nets(self) -> tuple[Net, ...]:
        return (self.net,)

    def scores(self, outputs: list[Any], X: Floats) -> Floats:
        return outputs[0] if self.formula is None else self.formula(outputs[0], X)

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        if self.formula is not None:
            raise TypeError(
                "combine is a Python function, which ONNX cannot express. Use engine='numpy', or "
                "combine by a dict of weights."
            )
        return self.net.add_to_graph(graph, X)


@dataclass(frozen=True)
class ServedTowers:
    """Two towers that read numeric columns of pairs.

    Parameters
    ----------
    query, item : Net
        The towers; each reads all columns of a pair.
    model : TwoTower
        Turns the outputs of the towers into embeddings.
    combination : ndarray of shape (n_objectives,), float32, or None
        Weight of each query embedding in the score, if there are several.
    feature_names : tuple of str or None
        Names of the columns.
    """

    query: Net
    item: Net
    model: TwoTower
    combination: Floats | None = None
    feature_names: tuple[str, ...] | None = None

    @property
    def nets(self) -> tuple[Net, ...]:
        return self.query, self.item

    def scores(self, outputs: list[Any], X: Floats) -> Floats:
        left, right = outputs
        left = self.model.finish_queries(left)[0]
        if self.combination is not None:
            left = left.reshape(len(right), len(self.combination), -1)
            left = np.einsum("nhd,h->nd", left, self.combination)
        return np.einsum("ij,ij->i", left, self.model.finish_items(right)[0])

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        left = self.query.add_to_graph(graph, X)
        right = self.item.add_to_graph(graph, X)
        return self.model.add_products_to_graph(graph, left, right, self.combination)


def merge(n_features: int, steps: tuple[Step, ...], net: Net) -> Net:
    """Put steps in front of a net, and drop those that do nothing or that the scaler can absorb."""
    merged: list[Step] = []
    width = n_features
    for step in steps:
        nothing = isinstance(step, Pick) and np.array_equal(step.columns, np.arange(width))
        width = step.n_outputs(width)
        if nothing:
            continue
        before = merged[-1] if merged else None
        if isinstance(step, Affine) and isinstance(before, Affine):
            offset = before.offset * step.scale + step.offset
            merged[-1] = Affine(before.scale * step.scale, offset)
        else:
            merged.append(step)
    scaler = net.scaler
    if merged and isinstance(merged[-1], Affine) and not scaler.applies_softsign:
        last = merged[-1]
        if (last.scale != 0).all():
            merged.pop()
            # ((x a + b) - shift) scale = (x - (shift - b) / a) (a scale)
            scaler = ColumnScaler(
                scaler.half,
                scaler.has_softsign,
                ((scaler.shift - last.offset) / last.scale).astype(np.float32),
                (scaler.scale * last.scale).astype(np.float32),
            )
    return Net(n_features, tuple(merged), scaler, net.model, net.params)
