"""What a Pipeline's steps do to columns of numbers, as plain arrays: scale, pick, impute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from skdistill.protocols import GraphBuilder

Floats = NDArray[np.float32]
# ONNX's number for float32.
ONNX_FLOAT = 1


class Step(Protocol):
    """One step on columns."""

    @property
    def fills_missing(self) -> bool:
        """Whether NaN may come in."""

    def n_outputs(self, n_inputs: int) -> int:
        """Columns that come out, given how many come in."""

    def apply(self, X: Floats, out: Floats) -> Floats:
        """The columns of a block, written to ``out``."""

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        """The same as ONNX operators; returns the name of the output."""


@dataclass(frozen=True)
class Affine:
    """``x * scale + offset``, column by column.

    Parameters
    ----------
    scale, offset : ndarray of shape (n_columns,), float32
    """

    scale: Floats
    offset: Floats
    fills_missing: bool = False

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs

    def apply(self, X: Floats, out: Floats) -> Floats:
        np.multiply(X, self.scale, out=out)
        return np.add(out, self.offset, out=out)

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        scaled = graph.add("Mul", X, graph.constant(self.scale))
        return graph.add("Add", scaled, graph.constant(self.offset))


@dataclass(frozen=True)
class Pick:
    """Some of the columns.

    Parameters
    ----------
    columns : ndarray of shape (n_picked,), int64
    """

    columns: NDArray[np.int64]
    fills_missing: bool = False

    def n_outputs(self, n_inputs: int) -> int:
        return len(self.columns)

    def apply(self, X: Floats, out: Floats) -> Floats:
        return np.take(X, self.columns, axis=1, out=out, mode="clip")

    def add_to_graph(self, graph: GraphBuilder, X: str) -> str:
        return graph.add("Gather", X, graph.constant(self.columns), axis=1)


@dataclass(frozen=True)
class Impute:
    """NaN filled in; then, for some columns, one more column that tells where NaN was.

    Parameters
    ----------
    fill : ndarray of shape (n_columns,), float32
    indicated : ndarray of shape (n_indicated,), int64
    """

    fill: Floats
    indicated: NDArray[np.int64]
    fills_missing: bool = True

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs + len(self.indicated)

    def apply(self, X: Floats, out: Floats) -> Floats:
        missing = np.isnan(X)
        n_columns = len(self.fill)
        out[:, :n_columns] = X
        np.copyto(out[:, :n_columns], self.fill, where=missing)
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
    """What a fitted transformer does to columns of numbers.

    Parameters
    ----------
    transformer : transformer, Pipeline, "passthrough" or None
    where : str
        Where it stands, for the message.

    Returns
    -------
    list of Step

    Raises
    ------
    TypeError
        For transformers whose arithmetic is not known here.
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
        scale, offset = transformer.scale_, transformer.min_
        return [Affine(scale.astype(np.float32), offset.astype(np.float32))]
    if isinstance(transformer, SimpleImputer):
        return _imputation(transformer, where)
    if isinstance(transformer, SelectorMixin):
        return [Pick(np.flatnonzero(transformer.get_support()))]
    raise TypeError(
        f"{where} is a {type(transformer).__name__}, whose arithmetic can't be folded into a "
        "scorer. Known are StandardScaler, RobustScaler, MinMaxScaler and MaxAbsScaler (without "
        "clip), SimpleImputer and feature selection. Transform the rows first and serve the last "
        "step by itself."
    )


def is_nothing(transformer: Any) -> bool:
    """Whether a Pipeline's step does nothing."""
    return transformer is None or (isinstance(transformer, str) and transformer == "passthrough")


def _affine(n_columns: int, scale: Any, centre: Any) -> Affine:
    factor = np.ones(n_columns) if scale is None else 1 / np.asarray(scale, np.float64)
    offset = np.zeros(n_columns) if centre is None else -np.asarray(centre, np.float64) * factor
    return Affine(factor.astype(np.float32), offset.astype(np.float32))


def _imputation(imputer: SimpleImputer, where: str) -> list[Step]:
    if not (isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)):
        raise TypeError(f"{where} imputes {imputer.missing_values!r}; a scorer knows NaN only.")
    fill = np.asarray(imputer.statistics_, np.float64)
    indicated = np.empty(0, np.int64)
    if imputer.add_indicator:
        indicated = np.asarray(imputer.indicator_.features_, np.int64)
    dropped = np.isnan(fill)
    if not dropped.any():
        return [Impute(fill.astype(np.float32), indicated)]
    # Columns that were empty in fit are left out, but may be indicated.
    everything = Impute(np.nan_to_num(fill).astype(np.float32), indicated)
    kept = np.concatenate([np.flatnonzero(~dropped), len(fill) + np.arange(len(indicated))])
    return [everything, Pick(kept.astype(np.int64))]
