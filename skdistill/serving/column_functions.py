"""Functions of single columns, as scikit-learn's transformers apply them: scale, clip, impute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.column_statistics import FAR_FROM_ZERO
from skdistill.serving.onnx_graph import ONNX_DOUBLE, Graph

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
# If numbers are so many times as large as their differences, which are on the scale of 1, float32
# rounds the latter to 2e-6.
LOSSY = 32.0
# Operators of ONNX for NumPy's functions.
OPERATORS = {
    np.abs: "Abs", np.exp: "Exp", np.log: "Log", np.negative: "Neg", np.reciprocal: "Reciprocal",
    np.sign: "Sign", np.sqrt: "Sqrt", np.tanh: "Tanh",
}  # fmt: skip


@dataclass(frozen=True)
class ColumnFunction:
    """A function of each column by itself.

    The fields that are arrays have one entry, or one column, for each column of the table.
    """

    # Whether it fills in NaN.
    fills_missing: ClassVar[bool] = False
    reads_codes: ClassVar[bool] = False
    # Whether outputs move with the inputs, so that those of centred columns are centred too.
    keeps_centre: ClassVar[bool] = False

    @property
    def kind(self) -> tuple[Any, ...]:
        """What functions have in common that can be joined."""
        held = [getattr(self, field.name) for field in fields(self)]
        return type(self), *(one.shape[:-1] if _is_array(one) else one for one in held)

    def take(self, columns: NDArray[np.integer]) -> Self:
        """Make the function of some of the columns, which may be repeated."""
        return self._changed(lambda array, _: array[..., columns])

    @classmethod
    def join(cls, functions: Sequence[ColumnFunction]) -> ColumnFunction:
        """Make one function of the columns of several functions of one kind."""
        return functions[0]._changed(
            lambda _, name: np.concatenate([getattr(one, name) for one in functions], axis=-1)
        )

    def _changed(self, change: Any) -> Self:
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {name: change(one, name) if _is_array(one) else one for name, one in held.items()}
        return type(self)(**changed)

    @property
    def loses_digits(self) -> bool:
        """Whether the outputs in float32 are too coarse."""
        return False

    @property
    def far_origin(self) -> Doubles | None:
        """Origins of columns that lie far from 0 on their scale, 0 for the others."""
        return None

    def on_centred(self, shift: Doubles) -> ColumnFunction:
        """Make the function that takes columns from which ``shift`` was subtracted.

        Unless it ``keeps_centre``, its outputs are the same.
        """
        raise NotImplementedError

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Follow columns through the function, as a step: -1 if their centre is lost."""
        return columns if self.keeps_centre else np.full(len(columns), -1)

    def after_centring(self, shift: Doubles) -> tuple[ColumnFunction, Doubles]:
        """Return the function of centred columns, and what is missing from its outputs."""
        return self.on_centred(shift), shift if self.keeps_centre else np.zeros(len(shift))

    def n_outputs(self, n_inputs: int) -> int:
        """Number of output columns for a number of input columns."""
        return n_inputs

    def exact(self, X: Doubles) -> Doubles:
        """Compute the function in float64, as the transformer does."""
        raise NotImplementedError

    def apply(self, X: Floats, out: Floats) -> Floats:
        """Compute the function of a block of rows into ``out``, which may be X; return it."""
        out[...] = self.exact(X.astype(np.float64))
        return out

    def add_to_graph(self, graph: Graph, X: str) -> str:
        """Add the function as ONNX operators; return the name of their output, float32."""
        raise NotImplementedError


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


@dataclass(frozen=True)
class Affine(ColumnFunction):
    """Map each column to ``(x - origin) * scale``, computed as ``x * scale + offset``.

    For columns that lie far from 0, ``merge`` moves the origin to the front of the net, because
    that sum would lose their differences.

    Parameters
    ----------
    origin, scale : ndarray of shape (n_columns,), float64
        Subtracted from each column, which is then multiplied.
    """

    origin: Doubles
    scale: Doubles

    @property
    def loses_digits(self) -> bool:
        return bool((np.abs(self.origin * self.scale) > LOSSY).any())

    @property
    def far_origin(self) -> Doubles:
        return far(self.origin, self.scale)

    def on_centred(self, shift: Doubles) -> Affine:
        return Affine(self.origin - shift, self.scale)

    def exact(self, X: Doubles) -> Doubles:
        return (X - self.origin) * self.scale

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        offset = -self.origin * self.scale
        return self.scale.astype(np.float32), offset.astype(np.float32)

    def apply(self, X: Floats, out: Floats) -> Floats:
        scale, offset = self._arrays
        np.multiply(X, scale, out=out)
        return np.add(out, offset, out=out)

    def add_to_graph(self, graph: Graph, X: str) -> str:
        scaled = graph.add("Mul", X, graph.constant(self.scale))
        return graph.add("Add", scaled, graph.constant(-self.origin * self.scale))


def far(origin: Doubles, scale: NDArray[Any]) -> Doubles:
    """Return the origins that lie far from 0 on the scale of their columns, 0 for the others."""
    return np.where(np.abs(origin * scale) > FAR_FROM_ZERO, origin, 0)


@dataclass(frozen=True)
class Fill(ColumnFunction):
    """Replace NaN.

    Parameters
    ----------
    fill : ndarray of shape (n_columns,), float64
        Value that replaces NaN in each column.
    """

    fill: Doubles
    fills_missing: ClassVar[bool] = True
    keeps_centre: ClassVar[bool] = True

    def on_centred(self, shift: Doubles) -> Fill:
        return Fill(self.fill - shift)

    def exact(self, X: Doubles) -> Doubles:
        return np.where(np.isnan(X), self.fill, X)

    def apply(self, X: Floats, out: Floats) -> Floats:
        missing = np.isnan(X)
        if out is not X:
            out[...] = X
        np.copyto(out, self.fill, where=missing, casting="same_kind")
        return out

    def add_to_graph(self, graph: Graph, X: str) -> str:
        return graph.add("Where", graph.add("IsNaN", X), graph.constant(self.fill), X)


@dataclass(frozen=True)
class IsMissing(ColumnFunction):
    """Return 1 for NaN and 0 for numbers."""

    fills_missing: ClassVar[bool] = True

    def on_centred(self, shift: Doubles) -> IsMissing:
        return self

    def exact(self, X: Doubles) -> Doubles:
        return np.isnan(X).astype(np.float64)

    def apply(self, X: Floats, out: Floats) -> Floats:
        out[...] = np.isnan(X)
        return out

    def add_to_graph(self, graph: Graph, X: str) -> str:
        return graph.rounded(graph.add("IsNaN", X))


@dataclass(frozen=True)
class Clip(ColumnFunction):
    """Limit values to a range.

    Parameters
    ----------
    low, high : ndarray of shape (n_columns,), float64
        Ends of the range.
    """

    low: Doubles
    high: Doubles
    keeps_centre: ClassVar[bool] = True

    def on_centred(self, shift: Doubles) -> Clip:
        return Clip(self.low - shift, self.high - shift)

    def exact(self, X: Doubles) -> Doubles:
        return np.clip(X, self.low, self.high)

    @cached_property
    def _ends(self) -> tuple[Floats, Floats]:
        return self.low.astype(np.float32), self.high.astype(np.float32)

    def apply(self, X: Floats, out: Floats) -> Floats:
        return np.clip(X, *self._ends, out=out)

    def add_to_graph(self, graph: Graph, X: str) -> str:
        # Where rather than Max and Min, of which runtimes disagree about NaN.
        low, high = graph.constant(self.low), graph.constant(self.high)
        X = graph.add("Where", graph.add("Less", X, low), low, X)
        return graph.add("Where", graph.add("Greater", X, high), high, X)


@dataclass(frozen=True)
class Universal(ColumnFunction):
    """A universal function of NumPy, such as ``np.log1p``.

    Parameters
    ----------
    function : numpy.ufunc
        A function of one argument.
    origin : ndarray of shape (n_columns,), float64
        Added to each column first.
    """

    function: np.ufunc
    origin: Doubles

    def on_centred(self, shift: Doubles) -> Universal:
        return Universal(self.function, self.origin + shift)

    def exact(self, X: Doubles) -> Doubles:
        with np.errstate(all="ignore"):
            return self.function(X + self.origin)

    def add_to_graph(self, graph: Graph, X: str) -> str:
        X = graph.add("Cast", X, to=ONNX_DOUBLE)
        X = graph.add("Add", X, graph.constant(self.origin, np.float64))
        return graph.rounded(self._in_graph(graph, X))

    def _in_graph(self, graph: Graph, X: str) -> str:
        one = graph.constant(1.0, np.float64)
        if self.function is np.log1p:
            return graph.add("Log", graph.add("Add", X, one))
        if self.function is np.expm1:
            return graph.add("Sub", graph.add("Exp", X), one)
        if self.function is np.square:
            return graph.add("Mul", X, X)
        for base, function in ((2, np.log2), (10, np.log10)):
            if self.function is function:
                scale = graph.constant(1 / np.log(base), np.float64)
                return graph.add("Mul", graph.add("Log", X), scale)
        if self.function not in OPERATORS:
            raise TypeError(
                f"ONNX has no operator for np.{self.function.__name__}. Use engine='numpy'."
            )
        return graph.add(OPERATORS[self.function], X)
