r"""Columns of numbers in pieces, each of which has weights of its own.

The knots :math:`t_1 < \dots < t_K` cut a column :math:`x` into the pieces :math:`\min(x, t_1)`,
:math:`\min(\max(x, t_k), t_{k+1})` and :math:`\max(x, t_K)`, of which each is standardised. A first
layer that reads them is piecewise linear in :math:`x` (Gorishniy, Rubachev, Babenko, "On Embeddings
for Numerical Features in Tabular Deep Learning", NeurIPS 2022).

No piece is ever computed. Because :math:`\min(\max(x, t_k), t_{k+1}) = \max(x, t_k) -
\max(x, t_{k+1}) + t_{k+1}`, a product of the pieces with weights is one of the columns and their
maxima with the knots, by differences of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from math import prod

import numpy as np
from numpy.typing import NDArray

from skdistill.protocols import Array, Parameters

# Parts of a column's standard deviation: the least distance of two knots, and the least deviation
# by which a piece is divided. Differences of maxima have no more digits in float32.
LEAST_WIDTH, LEAST_DEVIATION = 0.02, 0.05
# Names of the parameters that say what the pieces are.
PIECES = ("knots", "piece_means", "piece_scales")


def uncut(n_columns: int, n_knots: int) -> Parameters:
    """Make the parameters of columns without knots.

    Parameters
    ----------
    n_columns : int
    n_knots : int
        Largest number of knots per column.

    Returns
    -------
    dict of str to ndarray, float32
        "knots" of shape (n_knots, n_columns), and "piece_means" and "piece_scales" of shape
        (n_knots + 1, n_columns). A piece is there if its scale is above 0; knot k opens piece
        k + 1.
    """
    scales = np.zeros((n_knots + 1, n_columns), dtype=np.float32)
    scales[0] = 1
    return {
        "knots": np.zeros((n_knots, n_columns), dtype=np.float32),
        "piece_means": np.zeros_like(scales),
        "piece_scales": scales,
    }


def cut(columns: Array, n_knots: int) -> Parameters:
    """Cut columns at quantiles of their values, and determine what standardises the pieces.

    A column with few different values gets a knot at each of them but the smallest and the largest,
    so that its effect may take any form. Columns with two values stay whole.

    Parameters
    ----------
    columns : ndarray of shape (n_rows, n_columns), float32
        A sample of scaled rows.
    n_knots : int
        Largest number of knots per column.

    Returns
    -------
    dict of str to ndarray, float32
        The parameters of ``uncut``.
    """
    params = uncut(columns.shape[1], n_knots)
    for column, values in enumerate(columns.T.astype(np.float64)):
        spread = values.std()
        knots = _knots(values, n_knots, LEAST_WIDTH * spread)
        if not len(knots):
            continue
        edges = np.concatenate([[-np.inf], knots, [np.inf]])
        pieces = np.clip(values, edges[:-1, None], edges[1:, None])
        params["knots"][: len(knots), column] = knots
        params["piece_means"][: len(pieces), column] = pieces.mean(axis=1)
        deviations = np.maximum(pieces.std(axis=1), LEAST_DEVIATION * spread)
        params["piece_scales"][: len(pieces), column] = 1 / deviations
    return params


def _knots(values: NDArray[np.float64], n_knots: int, width: float) -> NDArray[np.float64]:
    """Choose knots between the smallest and the largest value, in ascending order."""
    if not width:
        return values[:0]
    places, counts = np.unique(np.rint(values / width), return_counts=True)
    inner = places[1:-1] * width
    if len(inner) <= n_knots:
        return inner
    shares = np.cumsum(np.minimum(counts, _largest_share(counts, n_knots + 1)))
    wanted = np.arange(1, n_knots + 1) / (n_knots + 1) * shares[-1]
    chosen = np.searchsorted(shares, wanted) - 1
    return inner[np.unique(np.clip(chosen, 0, len(inner) - 1))]


def _largest_share(counts: NDArray[np.int64], n_shares: int) -> float:
    """Find the part of each share if a value with more rows than that fills one by itself."""
    share = counts.sum() / n_shares
    while True:
        is_large = counts > share
        rest = counts[~is_large].sum() / (n_shares - np.count_nonzero(is_large))
        if rest >= share:
            return float(share)
        share = rest


@dataclass(frozen=True, eq=False)
class Pieces:
    """The map between weights of pieces and weights of columns and their maxima with the knots.

    The inputs are the columns, then the maxima with the first knot of each cut column, then those
    with the second, and so on. Columns with more knots come first, so that the columns of each
    knot are the first of those of the knot before.

    Parameters
    ----------
    n_columns : int
        Number of columns.
    order : ndarray of shape (n_cut,), int64
        The columns that are cut.
    widths : tuple of int
        Number of columns that have a first knot, a second, and so on.
    columns : ndarray of shape (n_maxima,), int64
        Column of each maximum.
    knots : ndarray of shape (n_maxima,)
        Knot of each maximum.
    opened, closed : ndarray of shape (n_maxima,), int64
        The piece that starts at the knot of each maximum, and the one that ends there, as rows of
        the weights: piece k of column i is row ``k * n_columns + i``.
    scales, means : ndarray of shape (n_pieces * n_columns,)
        What standardises each piece; the scale is 0 for pieces that are not there.
    """

    n_columns: int
    order: NDArray[np.int64]
    widths: tuple[int, ...]
    columns: NDArray[np.int64]
    knots: Array
    opened: NDArray[np.int64]
    closed: NDArray[np.int64]
    scales: Array
    means: Array

    @classmethod
    def of(cls, params: Parameters) -> Pieces:
        """Read the parameters that ``uncut`` and ``cut`` return."""
        knots, scales = params["knots"], params["piece_scales"]
        n_columns = knots.shape[1]
        has_knot = scales[1:] > 0
        n_knots = has_knot.sum(axis=0)
        order = np.argsort(-n_knots, kind="stable")[: np.count_nonzero(n_knots)]
        widths = tuple(width for width in has_knot.sum(axis=1).tolist() if width)
        columns = np.concatenate([order[:0], *(order[:width] for width in widths)])
        level = np.repeat(np.arange(len(widths)), widths)
        closed = level * n_columns + columns
        return cls(
            *(n_columns, order, widths, columns, knots[level, columns]),
            *(closed + n_columns, closed, scales.ravel(), params["piece_means"].ravel()),
        )

    @property
    def n_inputs(self) -> int:
        """Number of columns and maxima."""
        return self.n_columns + len(self.columns)

    @property
    def sources(self) -> NDArray[np.int64]:
        """Column of each input, shape (n_inputs,)."""
        return np.concatenate([np.arange(self.n_columns), self.columns])

    @property
    def all_are_cut(self) -> bool:
        """Whether ``order`` has all columns, one after the other."""
        return np.array_equal(self.order, np.arange(self.n_columns))

    @property
    def levels(self) -> Iterator[tuple[slice, slice]]:
        """For each knot, which maxima are those with it, and which columns of ``order`` have it."""
        start = 0
        for width in self.widths:
            yield slice(start, start + width), slice(0, width)
            start += width

    @property
    def groups(self) -> Iterator[tuple[slice, tuple[int, int]]]:
        """Maxima with knots that equally many columns have: their range, and both numbers."""
        start = 0
        for width, levels in groupby(self.widths):
            shape = len(list(levels)), width
            yield slice(start, start + prod(shape)), shape
            start += prod(shape)

    def inputs(self, columns: Array) -> Array:
        """Compute the maxima.

        Parameters
        ----------
        columns : ndarray of shape (n_rows, n_columns)
            Scaled columns.

        Returns
        -------
        ndarray of shape (n_rows, n_inputs)
            The columns and their maxima.
        """
        out = np.empty((len(columns), self.n_inputs), dtype=columns.dtype)
        out[:, : self.n_columns] = columns
        maxima = out[:, self.n_columns :]
        picked = columns.take(self.order, axis=1)
        for level, first in self.levels:
            np.maximum(picked[:, first], self.knots[level], out=maxima[:, level])
        return out

    def weights(self, of_pieces: Array) -> tuple[Array, Array]:
        """Turn weights of pieces into weights of the inputs.

        Parameters
        ----------
        of_pieces : ndarray of shape (n_pieces * n_columns, n_outputs)
            Weights of the standardised pieces.

        Returns
        -------
        weights : ndarray of shape (n_inputs, n_outputs)
        constant : ndarray of shape (n_outputs,)
            What is added to the product of inputs and weights.
        """
        scaled = of_pieces * self.scales[:, None]
        opened = scaled[self.opened] - scaled[self.closed]
        constant = self.knots @ scaled[self.closed] - self.means @ scaled
        return np.concatenate([scaled[: self.n_columns], opened]), constant

    def gradient(self, of_inputs: Array, of_constant: Array) -> Array:
        """Turn gradients of what ``weights`` returns into those of the weights of pieces.

        Parameters
        ----------
        of_inputs : ndarray of shape (n_inputs, n_outputs)
            Gradient of the weights of inputs.
        of_constant : ndarray of shape (n_outputs,)
            Gradient of the constant.

        Returns
        -------
        ndarray of shape (n_pieces * n_columns, n_outputs)
        """
        of_columns, of_maxima = np.split(of_inputs, [self.n_columns])
        gradient = -self.means[:, None] * of_constant
        gradient[: self.n_columns] += of_columns
        gradient[self.opened] += of_maxima
        gradient[self.closed] += self.knots[:, None] * of_constant - of_maxima
        gradient *= self.scales[:, None]
        return gradient

    def column_gradient(self, inputs: Array, of_inputs: Array) -> Array:
        """Turn gradients of the inputs into those of the columns.

        Parameters
        ----------
        inputs : ndarray of shape (n_rows, n_inputs)
            What ``inputs`` returned.
        of_inputs : ndarray of shape (n_rows, n_inputs)
            Their gradients.

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
        """
        gradient = of_inputs[:, : self.n_columns].copy()
        maxima = slice(self.n_columns, None)
        of_maxima = of_inputs[:, maxima] * (inputs[:, maxima] > self.knots)
        for level, first in self.levels:
            gradient[:, self.order[first]] += of_maxima[:, level]
        return gradient
