"""Turn columns that were followed through a Pipeline into steps on tables of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skdistill.serving.column_functions import Affine, Clip, ColumnFunction, Fill, IsMissing
from skdistill.serving.column_steps import Impute, OnColumns, Pick, Project, Projection, Step
from skdistill.serving.front import Coded, CodeNumbering, Input, Linear, Number, Sum

# Functions that come first if columns wait for different ones.
FIRST = (IsMissing, Fill)


def steps_to(
    outputs: Sequence[Number], position: Mapping[Input, int], numbering: CodeNumbering
) -> list[Step]:
    """Make the steps that compute columns from the numbers and codes of a table.

    Parameters
    ----------
    outputs : list of Number
        The columns, in order.
    position : dict of Input to int
        Position of each number of the table among all that are read.
    numbering : CodeNumbering
        The codes of the categories.

    Returns
    -------
    list of Step
    """
    depth = max((column.depth for column in outputs), default=0)
    roots = list(dict.fromkeys(column.root for column in outputs))
    steps: list[Step] = []
    if depth:
        maps = list(
            dict.fromkeys(r.of for r in roots if isinstance(r, Sum) and r.of.depth == depth)
        )
        carried = [root for root in roots if not (isinstance(root, Sum) and root.of in maps)]
        inputs = [Number(root) for root in carried]
        projected = [[c for c in one.columns if isinstance(c, Number)] for one in maps]
        steps += steps_to([*inputs, *(c for some in projected for c in some)], position, numbering)
        start, projections = len(carried), []
        for one, some in zip(maps, projected, strict=True):
            stop = start + len(some)
            projections.append(_projection(one, np.arange(start, stop), numbering))
            start = stop
        steps.append(Project(np.arange(len(carried)), tuple(projections)))
        sums = [Sum(one, place) for one in maps for place in range(one.weights.shape[1])]
        place_of: dict[Any, int] = {root: place for place, root in enumerate([*carried, *sums])}
    else:
        place_of = {root: position[root] for root in roots if isinstance(root, Input)}
    picked = np.array([place_of[column.root] for column in outputs], dtype=np.int64)
    return [*steps, *_picked(picked, [column.functions for column in outputs])]


def _projection(linear: Linear, positions: Any, numbering: CodeNumbering) -> Projection:
    """Make the weights of a linear map for numbers and codes."""
    is_coded = np.array([isinstance(column, Coded) for column in linear.columns], dtype=bool)
    weights = linear.weights[~is_coded]
    if is_coded.any():
        places = np.flatnonzero(is_coded).tolist()
        coded: list[Any] = [linear.columns[place] for place in places]
        rows = numbering.rows(coded, places, len(linear.columns))
        weights = np.concatenate([weights, rows.dot(linear.weights)])
    return Projection(positions, weights, linear.loses_digits)


def _picked(columns: Any, chains: Sequence[Sequence[ColumnFunction]]) -> list[Step]:
    """Pick columns, and apply their functions; indicators of picked columns are made with them."""
    indicates = np.array([bool(c) and isinstance(c[0], IsMissing) for c in chains], dtype=bool)
    place_of = {column: place for place, column in enumerate(columns[~indicates].tolist())}
    if not indicates.any() or not all(c in place_of for c in columns[indicates].tolist()):
        return [Pick(columns), *_functions(chains)]
    fills = [c[0].fill[0] if c and isinstance(c[0], Fill) else np.nan for c in chains]
    indicated = np.array([place_of[column] for column in columns[indicates].tolist()])
    order = np.concatenate([np.flatnonzero(~indicates), np.flatnonzero(indicates)])
    return [
        Pick(columns[~indicates]),
        Impute(Fill(np.array(fills)[~indicates]), indicated),
        Pick(np.argsort(order)),
        *_functions([c[1:] if c and isinstance(c[0], (Fill, IsMissing)) else c for c in chains]),
    ]


def _functions(chains: Sequence[Sequence[ColumnFunction]]) -> list[Step]:
    """Make steps of the functions of each column, as few as there are kinds in a row."""
    steps: list[Step] = []
    width = len(chains)
    done = [0] * width
    while True:
        waiting = {
            column: chain[done[column]]
            for column, chain in enumerate(chains)
            if done[column] < len(chain)
        }
        if not waiting:
            return steps
        kind = min((function.kind for function in waiting.values()), key=_turn)
        chosen = [column for column, function in waiting.items() if function.kind == kind]
        joined = type(waiting[chosen[0]]).join([waiting[column] for column in chosen])
        steps.append(_on_columns(joined, np.array(chosen), width))
        for column in chosen:
            done[column] += 1


def _turn(kind: tuple[Any, ...]) -> int:
    """Scaling waits until all columns can be scaled at once."""
    if kind[0] is Affine:
        return len(FIRST) + 1
    return FIRST.index(kind[0]) if kind[0] in FIRST else len(FIRST)


def _on_columns(function: ColumnFunction, columns: Any, width: int) -> Step:
    """Apply a function to some columns; for some kinds, a function of all is faster."""
    if len(columns) == width:
        return function
    neutral: ColumnFunction
    if isinstance(function, Affine):
        neutral = Affine(np.zeros(width), np.ones(width))
    elif isinstance(function, Fill):
        neutral = Fill(np.full(width, np.nan))
    elif isinstance(function, Clip):
        neutral = Clip(np.full(width, -np.inf), np.full(width, np.inf))
    else:
        return OnColumns(function, columns, width)
    place = np.arange(width)
    place[columns] = width + np.arange(len(columns))
    return type(function).join([neutral, function]).take(place)
