r"""What each column contributes to scores, by kind of model.

A contribution is relative to the mean over the query, because only differences within a query rank
rows: contributions of a row sum to its score less the mean score of its query.

In a linear model a column contributes its term. In a factorization machine, a column contributes
its own terms and half of its interactions with other columns. In a network, contributions are
integrated gradients (Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML
2017) along the line from the mean row of the query:
:math:`\int_0^1 \partial s(\bar a + t (a - \bar a)) \, dt \cdot (a_c - \bar a_c)`, where
:math:`a_c` is what column c adds to the first layer. So a category is one column, however many
weights it has. The integral is a sum over steps. Within a step, the slope of each ReLU is that of
the line between its ends (Shrikumar, Greenside, Kundaje, "Learning Important Features Through
Propagating Activation Differences", ICML 2017), so that contributions add up for any number of
steps, which a sum of gradients does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import Queries
from skdistill.inspection.explanation.scaled_rows import ScaledRows
from skdistill.models import FactorizationMachine, Network, PiecewiseNetwork
from skdistill.models.pieces import Pieces
from skdistill.protocols import Parameters

# Steps of the integral.
STEPS = 32
# Differences below this part of the values have no slope that could be computed.
TINY = 1e-9
# Numbers of the largest table that is computed at once, and of the largest one of pairs.
BLOCK_NUMBERS, MOST_PAIRS = 1 << 23, 1 << 25

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Contributions:
    """Contributions of columns to the scores of rows.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns), float64
        Relative to the mean over the query.
    pairs : ndarray of shape (n_rows, n_columns, n_columns), float64, or None
        Of a factorization machine: what pairs of columns contribute, half of it on either side of
        the diagonal. The rows sum to ``values``. None for other models and for large tables.
    """

    values: Array
    pairs: Array | None = None


@singledispatch
def contributions(model: Any, params: Parameters, rows: ScaledRows) -> Contributions:
    """Compute the contributions of columns to the scores of a model.

    Raises
    ------
    TypeError
        If it is no linear model, factorization machine or network.
    """
    raise TypeError(
        "explain takes linear students, factorization machines and MLPs, got a student whose model "
        f"is {type(model).__name__}. Use ranking_importance, or explain the columns by a linear "
        "student of it."
    )


@contributions.register
def _of_network(model: Network, params: Parameters, rows: ScaledRows) -> Contributions:
    if model.n_outputs != 1:
        raise TypeError(
            f"explain takes students of one score, got a network of {model.n_outputs} outputs."
        )
    if not model.hidden_layer_sizes:
        terms = rows.sums(params["weights_0"])[:, :, 0]
        return Contributions(rows.centred(terms))
    width = model.hidden_layer_sizes[0]
    parts = [
        block.centred(_integrated(model, params, block)) for block in _query_blocks(rows, width)
    ]
    return Contributions(np.concatenate(parts))


@contributions.register
def _of_factorization_machine(
    model: FactorizationMachine, params: Parameters, rows: ScaledRows
) -> Contributions:
    factors = params["factors"].astype(np.float64)
    sums = rows.sums(factors)
    # Of the inputs of one column, such as a number and its flag, the pairs are the column's own.
    own = rows.sums(params["linear"][:, None])[:, :, 0]
    own -= rows.squares(np.einsum("if,if->i", factors, factors)) / 2
    values = own + np.einsum("ncf,nf->nc", sums, sums.sum(axis=1)) / 2
    if len(sums) * rows.n_columns**2 > MOST_PAIRS:
        return Contributions(rows.centred(values))
    pairs = np.einsum("ncf,ndf->ncd", sums, sums) / 2
    diagonal = np.arange(rows.n_columns)
    pairs[:, diagonal, diagonal] += own
    return Contributions(rows.centred(values), rows.centred(pairs))


@contributions.register
def _of_piecewise_network(
    model: PiecewiseNetwork, params: Parameters, rows: ScaledRows
) -> Contributions:
    # A column contributes what it and its maxima with the knots add to the first layer.
    pieces = Pieces.of(params)
    inputs = pieces.inputs(rows.numbers)
    columns = rows.columns[pieces.sources]
    maxima = replace(rows, numbers=inputs, columns=columns)
    return contributions(model.network, model.on_maxima(params), maxima)


def _integrated(model: Network, params: Parameters, rows: ScaledRows) -> Array:
    """Integrate the slope of scores along the line from the mean row of each query."""
    wide = {name: value.astype(np.float64) for name, value in params.items()}
    sums = rows.sums(params["weights_0"])
    moved = rows.centred(sums)
    end = sums.sum(axis=1) + wide["bias_0"]
    start = rows.mean(end)
    slope = np.zeros_like(end)
    before = _hidden_sums(model, wide, start)
    for step in np.arange(1, STEPS + 1) / STEPS:
        after = _hidden_sums(model, wide, start + step * (end - start))
        slope += _slope(wide, before, after)
        before = after
    return np.einsum("nch,nh->nc", moved, slope / STEPS)


def _hidden_sums(model: Network, params: Parameters, first: Array) -> list[Array]:
    """What the units of each hidden layer add up, before the ReLU."""
    layers = [first]
    for layer in range(1, model.n_layers - 1):
        hidden = np.maximum(layers[-1], 0)
        layers.append(hidden @ params[f"weights_{layer}"] + params[f"bias_{layer}"])
    return layers


def _slope(params: Parameters, before: list[Array], after: list[Array]) -> Array:
    """Slope of the score between two points, with respect to the sums of the first layer."""
    n_layers = len(before)
    slope = np.broadcast_to(params[f"weights_{n_layers}"][:, 0], before[-1].shape)
    for layer in range(n_layers - 1, -1, -1):
        slope = slope * _slope_of_relu(before[layer], after[layer])
        if layer:
            slope = slope @ params[f"weights_{layer}"].T
    return slope


def _slope_of_relu(before: Array, after: Array) -> Array:
    """Slope of the line between two points of the ReLU, and its derivative where they are one."""
    change = after - before
    is_tiny = np.abs(change) <= TINY * (np.abs(before) + np.abs(after))
    rise = np.maximum(after, 0) - np.maximum(before, 0)
    is_open = (before + after > 0).astype(np.float64)
    return np.where(is_tiny, is_open, rise / np.where(is_tiny, 1.0, change))


def _query_blocks(rows: ScaledRows, width: int) -> list[ScaledRows]:
    """Cut rows into blocks of whole queries, whose tables are of bounded size."""
    most = max(BLOCK_NUMBERS // (rows.n_columns * width), 1)
    ends, start = [], 0
    offsets = rows.queries.offsets
    while start < rows.queries.n_queries:
        stop = int(np.searchsorted(offsets, offsets[start] + most, side="right")) - 1
        start = max(stop, start + 1)
        ends.append(start)
    blocks, first = [], 0
    for last in ends:
        part = slice(offsets[first], offsets[last])
        blocks.append(
            ScaledRows(
                rows.numbers[part],
                rows.codes[part],
                rows.columns,
                rows.code_columns,
                rows.n_columns,
                Queries(offsets[first : last + 1] - offsets[first]),
            )
        )
        first = last
    return blocks
