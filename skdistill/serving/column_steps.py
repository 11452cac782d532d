"""Steps of a Pipeline on columns of numbers, as plain arrays: scale, pick, impute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from skdistill.protocols import GraphBuilder

Floats = NDArray[np.float32]
# Code of float32 in ONNX.
ONNX_FLOAT = 1


class Step(Protocol):
    """A transformation of columns."""

    @property
    def fills_missing(self) -> bool:
        """Whether the step accepts NaN and fills it in."""

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Follow columns through the step: what each output holds of them, -1 if nothing."""

    def on_centred(self, origin: NDArray[np.float64]) -> Step:
        """Make the step that does the same to columns from which an origin was subtracted.

        Only an :class:`Affine` undoes the centring; the outputs of the others are centred too.
        """

    def n_outputs(self, n_inputs: int) -> int:
        """Number of output columns for a number of input columns."""

    def apply(self, X: Floats, out: Floats) -> Floats:
        """Transform a block of rows into ``out``, and return it."""

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        """Add the same transformation as ONNX operators; return the name of their output."""


@dataclass(frozen=True)
class Affine:
    """Map each column to ``(x - origin) * scale``, computed as ``x * scale + offset``.

    For columns that lie far from 0, ``merge`` moves the origin to the front of the net, because
    that sum would lose their differences.

    Parameters
    ----------
    origin, scale : ndarray of shape (n_columns,), float64
        Subtracted from each column, which is then multiplied.
    """

    origin: NDArray[np.float64]
    scale: NDArray[np.float64]
    fills_missing: ClassVar[bool] = False

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        return columns

    def on_centred(self, origin: NDArray[np.float64]) -> Affine:
        return Affine(self.origin - origin, self.scale)

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        offset = -self.origin * self.scale
        return self.scale.astype(np.float32), offset.astype(np.float32)

    def apply(self, X: Floats, out: Floats) -> Floats:
        scale, offset = self._arrays
        np.multiply(X, scale, out=out)
        return np.add(out, offset, out=out)

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        scale, offset = (graph.constant(array) for array in self._arrays)
        return graph.add("Add", graph.add("Mul", X, scale), offset)


@dataclass(frozen=True)
class Pick:
    """Select columns.

    Parameters
    ----------
    columns : ndarray of shape (n_picked,), int64
        Positions of the columns.
    """

    columns: NDArray[np.int64]
    fills_missing: ClassVar[bool] = False

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        return columns[self.columns]

    def on_centred(self, origin: NDArray[np.float64]) -> Pick:
        return self

    def n_outputs(self, n_inputs: int) -> int:
        return len(self.columns)

    def apply(self, X: Floats, out: Floats) -> Floats:
        return np.take(X, self.columns, axis=1, out=out, mode="clip")

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        return graph.add("Gather", X, graph.constant(self.columns), axis=1)


@dataclass(frozen=True)
class Impute:
    """Fill in NaN, and append missing-value indicators of some columns.

    Parameters
    ----------
    fill : ndarray of shape (n_columns,), float64
        Value that replaces NaN in each column.
    indicated : ndarray of shape (n_indicated,), int64
        Positions of the columns with an indicator.
    """

    fill: NDArray[np.float64]
    indicated: NDArray[np.int64]
    fills_missing: ClassVar[bool] = True

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.append(columns, np.full(len(self.indicated), -1))

    def on_centred(self, origin: NDArray[np.float64]) -> Impute:
        return Impute(self.fill - origin, self.indicated)

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs + len(self.indicated)

    def apply(self, X: Floats, out: Floats) -> Floats:
        missing = np.isnan(X)
        n_columns = len(self.fill)
        out[:, :n_columns] = X
        np.copyto(out[:, :n_columns], self.fill, where=missing, casting="same_kind")
        out[:, n_columns:] = missing[:, self.indicated]
        return out

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        missing = graph.add("IsNaN", X)
        filled = graph.add("Where", missing, graph.constant(self.fill), X)
        if not len(self.indicated):
            return filled
        indicated = graph.add("Gather", missing, graph.constant(self.indicated), axis=1)
        return graph.add("Concat", filled, graph.add("Cast", indicated, to=ONNX_FLOAT), axis=1)


def steps_of(transformer: Any, where: str) -> list[Step]:
    """Translate a fitted transformer into steps on columns of numbers.

    Parameters
    ----------
    transformer : transformer, Pipeline, "passthrough" or None
    where : str
        Name of the transformer in error messages.

    Returns
    -------
    list of Step

    Raises
    ------
    TypeError
        If the transformer is not supported.
    """
    if is_nothing(transformer):
        return []
    if isinstance(transformer, Pipeline):
        return [step for _, part in transformer.steps for step in steps_of(part, where)]
    if isinstance(transformer, StandardScaler):
        mean = transformer.mean_ if transformer.with_mean else None
        return [_affine(transformer.n_features_in_, transformer.scale_, mean)]
    if isinstance(transformer, RobustScaler):
        return [_affine(transformer.n_features_in_, transformer.scale_, transformer.center_)]
    if isinstance(transformer, MaxAbsScaler) and not getattr(transformer, "clip", False):
        return [_affine(transformer.n_features_in_, transformer.scale_, None)]
    if isinstance(transformer, MinMaxScaler) and not transformer.clip:
        # Fitted on float32 rows, its arrays are float32.
        scale = np.asarray(transformer.scale_, np.float64)
        return [Affine(-transformer.min_ / scale, scale)]
    if isinstance(transformer, SimpleImputer):
        return _imputation(transformer, where)
    if isinstance(transformer, SelectorMixin):
        return [Pick(np.flatnonzero(transformer.get_support()))]
    raise TypeError(
        f"{where} is a {type(transformer).__name__}, which cannot be folded into a scorer. "
        "Supported are StandardScaler, RobustScaler, MinMaxScaler and MaxAbsScaler (without clip), "
        "SimpleImputer and feature selection. Transform the rows first, and serve the last step "
        "by itself."
    )


def is_nothing(transformer: Any) -> bool:
    """Whether a Pipeline's step does nothing."""
    return transformer is None or (isinstance(transformer, str) and transformer == "passthrough")


def _affine(n_columns: int, scale: Any, centre: Any) -> Affine:
    factor = np.ones(n_columns) if scale is None else 1 / np.asarray(scale, np.float64)
    origin = np.zeros(n_columns) if centre is None else np.asarray(centre, np.float64)
    return Affine(origin, factor)


def _imputation(imputer: SimpleImputer, where: str) -> list[Step]:
    if not (isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)):
        raise TypeError(
            f"{where} imputes {imputer.missing_values!r}, but a scorer imputes NaN only. Use "
            "SimpleImputer(missing_values=np.nan)."
        )
    fill = np.asarray(imputer.statistics_, np.float64)
    indicated = np.empty(0, np.int64)
    if imputer.add_indicator:
        indicated = np.asarray(imputer.indicator_.features_, np.int64)
    dropped = np.isnan(fill)
    if not dropped.any():
        return [Impute(fill, indicated)]
    # SimpleImputer drops columns that were empty in fit, but may add indicators for them.
    everything = Impute(np.nan_to_num(fill), indicated)
    kept = np.concatenate([np.flatnonzero(~dropped), len(fill) + np.arange(len(indicated))])
    return [everything, Pick(kept.astype(np.int64))]
