"""A fitted model in parts: steps on columns, softsign and scaling, then a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.scaling import ColumnScaler
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.models.two_tower import TwoTower
from skdistill.protocols import Parameters, ScoringModel
from skdistill.serving.column_functions import LOSSY, Affine, Floats, far
from skdistill.serving.column_steps import InFloat64, Pick, Step
from skdistill.serving.onnx_graph import ONNX_FLOAT, Graph, with_codes, without_codes


@dataclass(frozen=True)
class Net:
    """A chain from columns to outputs of a model.

    Parameters
    ----------
    n_features : int
        Number of input columns of numbers.
    steps : tuple of Step
        Applied to the columns first.
    scaler : ColumnScaler
        Applied to the result of the steps. ``merge`` turns its ``sources`` into a step.
    model : ScoringModel
        Maps scaled columns to outputs.
    params : dict of ndarray
        Parameters of the model.
    origin : ndarray of shape (n_features,), float64, or None
        Subtracted from the columns before anything else, in their precision.
    n_codes : int
        Number of codes of categories; 0 if there are none.
    model_reads_codes : bool
        Whether the codes go to the model. Otherwise, only steps read them.
    """

    n_features: int
    steps: tuple[Step, ...]
    scaler: ColumnScaler
    model: ScoringModel
    params: Parameters
    origin: NDArray[np.float64] | None = None
    n_codes: int = 0
    model_reads_codes: bool = True

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
        """Whether a step or the scaler fills in NaN."""
        return self.scaler.flagged is not None or any(step.fills_missing for step in self.steps)

    @property
    def takes_float64(self) -> bool:
        """Whether the first step takes the columns in their own precision."""
        return bool(self.steps) and isinstance(self.steps[0], InFloat64)

    @property
    def needs_float64(self) -> bool:
        """Whether float32 columns may lose differences."""
        return self.origin is not None or self.takes_float64

    def add_to_graph(self, graph: Graph, X: str) -> str:
        """Add ONNX operators from columns to outputs; return the name of the outputs."""
        columns = X
        if self.origin is not None:
            X = graph.add("Sub", without_codes(X), graph.input_constant(self.origin))
        if not self.takes_float64:
            # The columns may be float64.
            X = graph.add("Cast", without_codes(X), to=ONNX_FLOAT)
        for step in self.steps:
            X = step.add_to_graph(graph, with_codes(X, columns) if step.reads_codes else X)
        scaler = self.scaler.for_scoring()
        if scaler.origin is not None:
            X = graph.add("Sub", X, graph.constant(scaler.origin))
        missing = "" if scaler.flagged is None else graph.add("IsNaN", X)
        if scaler.applies_softsign:
            size = graph.add("Add", graph.add("Abs", X), graph.constant(scaler.half))
            X = graph.add("Div", X, size)
        if scaler.flagged is not None:
            X = graph.add("Where", missing, graph.constant(scaler.shift), X)
            flags = graph.add("Gather", missing, graph.constant(scaler.flagged), axis=1)
            X = graph.add("Concat", X, graph.add("Cast", flags, to=ONNX_FLOAT), axis=1)
        X = with_codes(X, columns) if self.model_reads_codes else X
        return self.model.add_to_graph(graph, self.params, scaler, X)


class Served(Protocol):
    """A decomposed model, as engines and exporters use it."""

    @property
    def nets(self) -> tuple[Net, ...]:
        """Nets that read the columns of a row."""

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the columns, if the model was fitted with names."""

    @property
    def encoder(self) -> TableEncoder | None:
        """Reads data frames, if the model was fitted on one."""

    def scores(self, outputs: list[Any], X: NDArray[Any]) -> Floats:
        """Scores of a block of rows, given the outputs of each net."""

    def add_to_graph(self, graph: Graph, X: str) -> str:
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
    encoder : TableEncoder or None
        Reads data frames. None if the model was fitted on an array of numbers.
    """

    net: Net
    feature_names: tuple[str, ...] | None = None
    formula: Callable[[NDArray[Any], Any], NDArray[Any]] | None = None
    encoder: TableEncoder | None = None

    @property
    def nets(self) -> tuple[Net, ...]:
        return (self.net,)

    def scores(self, outputs: list[Any], X: NDArray[Any]) -> Floats:
        return outputs[0] if self.formula is None else self.formula(outputs[0], X)

    def add_to_graph(self, graph: Graph, X: str) -> str:
        if self.formula is not None:
            raise TypeError(
                "combine is a Python function, which ONNX cannot express. Use engine='numpy', or "
                "combine by a dict of weights."
            )
        return self.net.add_to_graph(graph, X)


@dataclass(frozen=True)
class ServedTowers:
    """Two towers that read columns of pairs.

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
    encoder : TableEncoder or None
        Reads data frames. None if the towers were fitted on an array.
    """

    query: Net
    item: Net
    model: TwoTower
    combination: Floats | None = None
    feature_names: tuple[str, ...] | None = None
    encoder: TableEncoder | None = None

    @property
    def nets(self) -> tuple[Net, ...]:
        return self.query, self.item

    def scores(self, outputs: list[Any], X: NDArray[Any]) -> Floats:
        left, right = outputs
        left = self.model.finish_queries(left)[0]
        if self.combination is not None:
            left = left.reshape(len(right), len(self.combination), -1)
            left = np.einsum("nhd,h->nd", left, self.combination)
        return np.einsum("ij,ij->i", left, self.model.finish_items(right)[0])

    def add_to_graph(self, graph: Graph, X: str) -> str:
        left = self.query.add_to_graph(graph, X)
        right = self.item.add_to_graph(graph, X)
        return self.model.add_products_to_graph(graph, left, right, self.combination)


def encoder_of_numbers(names: tuple[str, ...] | None) -> TableEncoder | None:
    """Make an encoder that reads columns of numbers by name; None without names."""
    return None if names is None else TableEncoder(("float",) * len(names), names)


def merge(n_features: int, steps: tuple[Step, ...], net: Net) -> Net:
    """Put steps in front of a net, and drop those that do nothing or that the scaler can absorb."""
    merged: list[Step] = []
    width = n_features
    centring = () if net.origin is None else (Affine(net.origin, np.ones_like(net.origin)),)
    for step in _with_views((*steps, *centring, *net.steps), net.scaler.sources):
        nothing = isinstance(step, Pick) and np.array_equal(step.columns, np.arange(width))
        width = step.n_outputs(width)
        if nothing:
            continue
        before = merged[-1] if merged else None
        if isinstance(step, Pick) and isinstance(before, Pick):
            merged[-1] = Pick(before.columns[step.columns])
        elif isinstance(step, Affine) and isinstance(before, Affine) and before.scale.all():
            merged[-1] = _composed(before, step.origin, step.scale)
        else:
            merged.append(step)
    scaler = net.scaler.of_views
    last = merged[-1] if merged else None
    if isinstance(last, Affine) and last.scale.all():
        inner = np.zeros(width) if scaler.origin is None else scaler.origin
        if scaler.applies_softsign:
            merged[-1] = _composed(last, inner, np.ones(width))
            scaler = replace(scaler, origin=None)
        else:
            merged.pop()
            both = _composed(last, inner, scaler.scale)
            # The origin of the step itself, so that rows are centred as by its transformer.
            origin = far(both.origin, both.scale)
            scaler = replace(
                scaler,
                origin=origin if origin.any() else None,
                shift=(both.origin - origin + scaler.shift / last.scale).astype(np.float32),
                scale=both.scale.astype(np.float32),
            )
    return _in_float64_if_needed(
        _centred_first(
            replace(net, n_features=n_features, steps=tuple(merged), scaler=scaler, origin=None)
        )
    )


def _with_views(steps: tuple[Step, ...], sources: NDArray[np.int64] | None) -> tuple[Step, ...]:
    """Pick the column of each view, before steps that the scaler may absorb.

    So engines need not know that the scaler reads some columns twice.
    """
    if sources is None:
        return steps
    if steps and isinstance(steps[-1], Affine):
        return (*_with_views(steps[:-1], sources), steps[-1].take(sources))
    return (*steps, Pick(sources))


def _in_float64_if_needed(net: Net) -> Net:
    """Compute the steps in float64 if their results, or what the scaler centres, need it."""
    scaler = net.scaler
    is_lossy = any(step.loses_digits for step in net.steps)
    # Close to its origin, a softsign magnifies the differences of a column.
    steepness = scaler.scale / scaler.half
    if net.steps and scaler.origin is not None:
        is_lossy |= bool((np.abs(scaler.origin * steepness) > LOSSY).any())
    elif net.steps and isinstance(net.steps[-1], Affine):
        last = net.steps[-1]
        is_lossy |= bool((np.abs(last.origin * last.scale * steepness) > LOSSY).any())
    if not is_lossy:
        return net
    origin = np.zeros(net.n_features) if net.origin is None else net.origin
    steps = net.steps
    if scaler.origin is not None:
        steps = (*steps, Affine(scaler.origin, np.ones(len(scaler.origin))))
        scaler = replace(scaler, origin=None)
    return replace(net, steps=(InFloat64(origin, steps),), scaler=scaler, origin=None)


def _composed(first: Affine, origin: NDArray[Any], scale: NDArray[Any]) -> Affine:
    """Follow a map by another: ((x - o) s - p) t = (x - (o + p / s)) (s t)."""
    return Affine(first.origin + origin / first.scale, first.scale * scale)


def _centred_first(net: Net) -> Net:
    """Move the centring of columns that lie far from 0 to the front of a net.

    There it happens in the precision of the columns, before a step rounds them to float32.
    """
    origin = _far_origin(net)
    if not origin.any():
        return net
    steps: list[Step] = []
    shift = origin
    for step in net.steps:
        step, shift = step.after_centring(shift)
        if not (isinstance(step, Affine) and (step.scale == 1).all() and not step.origin.any()):
            steps.append(step)
    scaler = net.scaler
    if shift.any():
        rest = (0 if scaler.origin is None else scaler.origin) - shift
        scaler = replace(scaler, origin=rest if rest.any() else None)
    return replace(net, steps=tuple(steps), scaler=scaler, origin=origin)


def _far_origin(net: Net) -> NDArray[np.float64]:
    """Find where the steps or the scaler centre input columns that lie far from 0."""
    columns = np.arange(net.n_features)
    origin = np.zeros(net.n_features)
    for step in net.steps:
        centre = step.far_origin
        if centre is not None:
            if step is net.steps[-1]:
                centre = np.where(net.scaler.scale != 0, centre, 0)  # constant: without effect
            _set_missing(origin, columns, centre)
        columns = step.sources(columns)
    if net.scaler.origin is not None:
        _set_missing(origin, columns, net.scaler.origin)
    return origin


def _set_missing(
    origin: NDArray[np.float64], columns: NDArray[np.int64], centre: NDArray[np.float64]
) -> None:
    """Enter the centres of input columns that have none yet."""
    movable = (columns >= 0) & (centre != 0) & (origin[columns] == 0)
    origin[columns[movable]] = centre[movable]
