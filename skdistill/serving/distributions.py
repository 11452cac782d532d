"""Functions that bring the distribution of a column close to a normal or uniform one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from skdistill.serving.column_functions import (
    LOSSY,
    Affine,
    ColumnFunction,
    Doubles,
    Floats,
    far,
)
from skdistill.serving.onnx_graph import ONNX_DOUBLE, Graph

# As in scikit-learn: values so near to the ends of the training data are put onto them.
NEAR_END = 1e-7
# Numbers that steps before have computed differ from a knot by roundings of this size.
CLOSE, CLOSE_IN_FLOAT32 = 1e-13, 3e-7
# An exponent of less is taken for 0, where the power is a logarithm.
TINY_EXPONENT = 1e-8


@dataclass(frozen=True)
class Power(ColumnFunction):
    """The power transforms of Yeo and Johnson, and of Box and Cox, then standardised.

    Parameters
    ----------
    exponent, mean, scale : ndarray of shape (n_columns,), float64
        Exponent of each column. The mean is subtracted from the power, which is then multiplied.
    origin : ndarray of shape (n_columns,), float64
        Added to each column first.
    is_symmetric : bool
        Whether negative numbers are accepted (Yeo and Johnson).
    """

    exponent: Doubles
    mean: Doubles
    scale: Doubles
    origin: Doubles
    is_symmetric: bool

    @property
    def far_origin(self) -> Doubles:
        # The mean, and the numbers one deviation above and below.
        with np.errstate(all="ignore"):
            below, middle, above = (
                self._inverse(self.mean + sign / self.scale) for sign in (-1, 0, 1)
            )
            return np.nan_to_num(far(middle - self.origin, 2 / (above - below)))

    def _inverse(self, powers: Doubles) -> Doubles:
        """Return the numbers whose powers these are."""
        if not self.is_symmetric:
            return 1 + _root(powers, self.exponent)
        exponent = np.where(powers < 0, 2 - self.exponent, self.exponent)
        return np.copysign(_root(np.abs(powers), exponent), powers)

    def on_centred(self, shift: Doubles) -> Power:
        return Power(self.exponent, self.mean, self.scale, self.origin + shift, self.is_symmetric)

    def exact(self, X: Doubles) -> Doubles:
        X = X + self.origin
        with np.errstate(all="ignore"):
            if self.is_symmetric:
                powers = _power(
                    np.log1p(np.abs(X)), np.where(X < 0, 2 - self.exponent, self.exponent)
                )
                powers = np.copysign(powers, X)
            else:
                powers = _power(np.log(X), self.exponent)
            return (powers - self.mean) * self.scale

    def add_to_graph(self, graph: Graph, X: str) -> str:
        def constant(values: Any) -> str:
            return graph.constant(values, np.float64)

        X = graph.add("Add", graph.add("Cast", X, to=ONNX_DOUBLE), constant(self.origin))
        if not self.is_symmetric:
            powers = _power_in_graph(graph, graph.add("Log", X), self.exponent)
        else:
            logarithm = graph.add("Log", graph.add("Add", graph.add("Abs", X), constant(1.0)))
            above = _power_in_graph(graph, logarithm, self.exponent)
            below = graph.add("Neg", _power_in_graph(graph, logarithm, 2 - self.exponent))
            powers = graph.add("Where", graph.add("Less", X, constant(0.0)), below, above)
        centred = graph.add("Sub", powers, constant(self.mean))
        return graph.rounded(graph.add("Mul", centred, constant(self.scale)))


def _power(logarithm: Doubles, exponent: Doubles) -> Doubles:
    """Return ``(x ** exponent - 1) / exponent``, and the logarithm of x if the exponent is 0."""
    is_log = np.abs(exponent) < TINY_EXPONENT
    divisor = np.where(is_log, 1, exponent)
    return np.where(is_log, logarithm, np.expm1(exponent * logarithm) / divisor)


def _root(powers: Doubles, exponent: Doubles) -> Doubles:
    """Return x - 1, given what ``_power`` returns for the logarithm of x."""
    is_log = np.abs(exponent) < TINY_EXPONENT
    divisor = np.where(is_log, 1, exponent)
    logarithm = np.where(is_log, powers, np.log1p(powers * divisor) / divisor)
    return np.expm1(logarithm)


def _power_in_graph(graph: Graph, logarithm: str, exponent: Doubles) -> str:
    is_log = np.abs(exponent) < TINY_EXPONENT
    divisor = graph.constant(np.where(is_log, 1, exponent), np.float64)
    power = graph.add("Exp", graph.add("Mul", logarithm, divisor))
    power = graph.add("Div", graph.add("Sub", power, graph.constant(1.0, np.float64)), divisor)
    if not is_log.any():
        return power
    return graph.add("Where", graph.constant(is_log, np.bool_), logarithm, power)


@dataclass(frozen=True)
class Quantile(ColumnFunction):
    """Interpolate the empirical distribution function of each column.

    Parameters
    ----------
    knots : ndarray of shape (n_knots, n_columns), float64
        Distinct values in ascending order; infinity after the last of a column.
    first, last : ndarray of shape (n_knots, n_columns), float64
        The function just below each knot, and just above. On the knot, it is their mean.
    end : ndarray of shape (n_columns,), float64
        The last knot of each column that is finite.
    margin : ndarray of shape (n_columns,), float64
        Numbers that lie so near to the first or the last knot are taken for it.
    is_normal : bool
        Whether the result is mapped to the quantiles of a normal distribution.
    is_computed : bool
        Whether steps before have computed the numbers, so that rounding moves them off a knot.
    close : float
        Numbers that differ from a knot by this fraction of it are taken for it.
    """

    knots: Doubles
    first: Doubles
    last: Doubles
    end: Doubles
    margin: Doubles
    is_normal: bool
    is_computed: bool = False
    close: float = CLOSE

    @classmethod
    def of(cls, quantiles: Doubles, references: Doubles, is_normal: bool) -> Quantile:
        """Make the function of a QuantileTransformer's arrays."""
        n_columns = quantiles.shape[1]
        distinct = [
            np.unique(column, return_index=True, return_counts=True) for column in quantiles.T
        ]
        n_knots = max(len(knots) for knots, _, _ in distinct)
        knots = np.full((n_knots, n_columns), np.inf)
        first, last = np.ones((n_knots, n_columns)), np.ones((n_knots, n_columns))
        for column, (values, start, count) in enumerate(distinct):
            knots[: len(values), column] = values
            first[: len(values), column] = references[start]
            last[: len(values), column] = references[start + count - 1]
        margin = np.full(n_columns, NEAR_END if is_normal else 0.0)
        return cls(knots, first, last, np.nanmax(quantiles, axis=0), margin, is_normal)

    @property
    def far_origin(self) -> Doubles:
        finite = np.where(np.isfinite(self.knots), self.knots, np.nan)
        quarter, middle, end = np.nanquantile(finite, [0.25, 0.5, 0.75], axis=0)
        spread = end - quarter
        return far(middle, np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0))

    def on_centred(self, shift: Doubles) -> Quantile:
        return replace(self, knots=self.knots - shift, end=self.end - shift)

    @property
    def loses_digits(self) -> bool:
        # What a rounding of the number changes in the result.
        size = np.where(np.isfinite(self.knots), np.abs(self.knots), 0)
        jumps = self.is_computed and (self.first != self.last).any()
        return bool(jumps or (size * self._slope > LOSSY).any())

    def after(self, affine: Affine) -> Quantile | None:
        """Make the function of the columns before a scaling; None if it turns a column over.

        On those, repeated values are found exactly.
        """
        if not (affine.scale > 0).all():
            return None
        return replace(
            self,
            knots=self.knots / affine.scale + affine.origin,
            end=self.end / affine.scale + affine.origin,
            margin=self.margin / affine.scale,
        )

    @cached_property
    def _rounded(self) -> Quantile:
        """The function of numbers that were rounded to float32: equal numbers stay equal."""
        knots, end = (array.astype(np.float32).astype(float) for array in (self.knots, self.end))
        return replace(self, knots=knots, end=end, close=CLOSE_IN_FLOAT32)

    @cached_property
    def _slope(self) -> Doubles:
        """Slope between each knot and the next."""
        with np.errstate(invalid="ignore", divide="ignore"):
            width = np.diff(self.knots, axis=0, append=np.inf)
            rise = np.append(self.first[1:], self.last[-1:], axis=0) - self.last
            return np.where(np.isfinite(width) & (width > 0), rise / width, 0)

    def exact(self, X: Doubles) -> Doubles:
        n_knots, n_columns = self.knots.shape
        place = np.empty(X.shape, dtype=np.int64)
        for column in range(n_columns):
            place[:, column] = np.searchsorted(self._starts[column], X[:, column], "right")
        np.clip(place - 1, 0, n_knots - 1, out=place)
        cell = place * n_columns + np.arange(n_columns)
        with np.errstate(invalid="ignore"):
            knot = self.knots.ravel()[cell]
            on_knot = np.abs(X - knot) <= self._reach.ravel()[cell]
            X = np.where(on_knot, knot, X)
            first, last = self.first.ravel()[cell], self.last.ravel()[cell]
            between = last + self._slope.ravel()[cell] * (X - knot)
            result = np.where(on_knot, (first + last) / 2, between)
            result = np.where(self.end - self.margin <= X, 1, result)
            result = np.where(self.knots[0] + self.margin >= X, 0, result)
        if not self.is_normal:
            return result
        # From scikit-learn: the ends are not mapped to infinity.
        least = NEAR_END - np.spacing(1)
        return np.clip(ndtri(result), ndtri(least), ndtri(1 - least))

    @cached_property
    def _reach(self) -> Doubles:
        """Distance from each knot at which a number is taken for it."""
        size = np.where(np.isfinite(self.knots), np.abs(self.knots), 0)
        return self.close * size + CLOSE * (self.end - self.knots[0])

    @cached_property
    def _starts(self) -> Doubles:
        """Least number that is taken for each knot, or lies above it, by columns."""
        return np.ascontiguousarray((self.knots - self._reach).T)

    def apply(self, X: Floats, out: Floats) -> Floats:
        out[...] = self._rounded.exact(X.astype(np.float64))
        return out

    def add_to_graph(self, graph: Graph, X: str) -> str:
        function = self if graph.precision is np.float64 else self._rounded
        return _quantile_in_graph(graph, function, X)


def _quantile_in_graph(graph: Graph, function: Quantile, X: str) -> str:
    """Add a binary search for the knots of all columns at once, and interpolate."""
    X = graph.add("Cast", X, to=ONNX_DOUBLE)
    n_knots, n_columns = function.knots.shape
    n_steps = (n_knots - 1).bit_length()
    above = np.full(((1 << n_steps) - n_knots, n_columns), np.inf)
    starts = np.concatenate([function._starts.T, above])
    knots = graph.constant(starts.ravel(), np.float64)
    cell = graph.constant(np.arange(n_columns)[None])
    for step in reversed(range(n_steps)):
        candidate = graph.add("Add", cell, graph.constant(n_columns << step))
        reached = graph.add("GreaterOrEqual", X, graph.add("Gather", knots, candidate))
        cell = graph.add("Where", reached, candidate, cell)

    def at_knot(values: Doubles) -> str:
        padded = np.concatenate([values, above])
        return graph.add("Gather", graph.constant(padded.ravel(), np.float64), cell)

    def constant(values: Any) -> str:
        return graph.constant(values, np.float64)

    knot = at_knot(function.knots)
    distance = graph.add("Abs", graph.add("Sub", X, knot))
    on_knot = graph.add("LessOrEqual", distance, at_knot(function._reach))
    X = graph.add("Where", on_knot, knot, X)
    rise = graph.add("Mul", at_knot(function._slope), graph.add("Sub", X, knot))
    between = graph.add("Add", at_knot(function.last), rise)
    middle = at_knot((function.first + function.last) / 2)
    result = graph.add("Where", on_knot, middle, between)
    end, start = function.end - function.margin, function.knots[0] + function.margin
    at_end = graph.add("GreaterOrEqual", X, constant(end))
    result = graph.add("Where", at_end, constant(1.0), result)
    at_start = graph.add("LessOrEqual", X, constant(start))
    result = graph.add("Where", at_start, constant(0.0), result)
    if function.is_normal:
        result = _normal_in_graph(graph, result)
    return graph.rounded(result)


# Coefficients of Wichura, "Algorithm AS 241: The percentage points of the normal distribution",
# Applied Statistics 37, 1988, for an accuracy of seven digits.
MIDDLE = (
    (3.3871327179e00, 5.0434271938e01, 1.5929113202e02, 5.9109374720e01),
    (1.0, 1.7895169469e01, 7.8757757664e01, 6.7187563600e01),
)
TAIL = (
    (1.4234372777e00, 2.7568153900e00, 1.3067284816e00, 1.7023821103e-1),
    (1.0, 7.3700164250e-1, 1.2021132975e-1),
)
MIDDLE_HALF_WIDTH = 0.425
TAIL_START = 1.6


def _normal_in_graph(graph: Graph, probability: str) -> str:
    """Add the quantile function of the normal distribution, whose ends are 1e-7 and 1 - 1e-7."""

    def constant(values: Any) -> str:
        return graph.constant(values, np.float64)

    def ratio(coefficients: tuple[tuple[float, ...], ...], x: str) -> str:
        polynomials = []
        for of_one in coefficients:
            value = constant(of_one[-1])
            for coefficient in of_one[-2::-1]:
                value = graph.add("Add", graph.add("Mul", value, x), constant(coefficient))
            polynomials.append(value)
        return graph.add("Div", *polynomials)

    least = constant(NEAR_END)
    most = constant(1 - NEAR_END)
    probability = graph.add("Where", graph.add("Less", probability, least), least, probability)
    probability = graph.add("Where", graph.add("Greater", probability, most), most, probability)
    centred = graph.add("Sub", probability, constant(0.5))
    square = graph.add("Mul", centred, centred)
    r = graph.add("Sub", constant(MIDDLE_HALF_WIDTH**2), square)
    middle = graph.add("Mul", centred, ratio(MIDDLE, r))
    size = graph.add("Abs", centred)
    rest = graph.add("Sub", constant(0.5), size)
    r = graph.add("Sqrt", graph.add("Neg", graph.add("Log", rest)))
    tail = ratio(TAIL, graph.add("Sub", r, constant(TAIL_START)))
    tail = graph.add("Mul", tail, graph.add("Sign", centred))
    in_middle = graph.add("LessOrEqual", size, constant(MIDDLE_HALF_WIDTH))
    return graph.add("Where", in_middle, middle, tail)
