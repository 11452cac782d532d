"""What should come through a cascade, and how its stages would rank what they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.cascade.blocks import query_blocks, stack_padded
from skdistill.cascade.counting import StageOrders
from skdistill.cascade.fitted import FittedCascade
from skdistill.cascade.funnel import Stage
from skdistill.cascade.problem import PairTeacher
from skdistill.cascade.spec import read_stages
from skdistill.inputs.checks import check_pair_matrix

# Queries whose candidates are scored by all stages at once.
QUERY_BLOCK = 64


def teacher_of(cascade: FittedCascade, queries: Any) -> PairTeacher:
    """Return what scores pairs of some queries and the catalogue by the cascade's teacher.

    Parameters
    ----------
    cascade : RankingCascade
        Fitted, and with its teacher.
    queries : table of shape (n_queries, n_query_columns)
        The query table.

    Returns
    -------
    PairTeacher

    Raises
    ------
    ValueError
        If the teacher was not kept, as in a file.
    """
    items = cascade.funnel_.items
    if cascade.teacher_ is not None:
        table, floor = cascade.teacher_table_, cascade.teacher_log_floor_
        return PairTeacher(cascade.teacher_, (), None, table, queries, items, floor)
    stage = teachers_stage(cascade)
    if stage is None:
        raise ValueError(
            "The cascade has no teacher, whose best items are wanted: it was stored without. Use "
            "the cascade as it was fitted, or save it with keep_teacher=True. plan_cascade also "
            "takes wanted=."
        )
    return PairTeacher(stage.model, (), None, stage.table, queries, items, stage.log_floor)


def teachers_stage(cascade: FittedCascade) -> Stage | None:
    """Return the stage that is the teacher itself; None if there is none."""
    names = {spec.name for spec in read_stages(cascade.stages) if spec.is_teacher}
    return next((stage for stage in cascade.funnel_.stages if stage.name in names), None)


def teacher_grid(cascade: FittedCascade, queries: Any, exclude: Any = None) -> NDArray[np.float64]:
    """Score the whole catalogue for each query by the cascade's teacher, offset included.

    Parameters
    ----------
    cascade : RankingCascade
        Fitted, and with its teacher.
    queries : table of shape (n_queries, n_query_columns)
        The query table.
    exclude : sparse matrix of shape (n_queries, n_items), optional
        Pairs that get -inf.

    Returns
    -------
    ndarray of shape (n_queries, n_items), float64
    """
    teacher, n_items = teacher_of(cascade, queries), cascade.n_items
    grid = np.empty((queries.shape[0], n_items))
    for block, _, _ in query_blocks(queries, QUERY_BLOCK):
        pairs = np.repeat(block, n_items), np.tile(np.arange(n_items), len(block))
        grid[block] = teacher(*pairs).reshape(len(block), n_items)
    if cascade.funnel_.offset is not None:
        grid += cascade.funnel_.offset
    if exclude is not None:
        hidden = sparse.coo_array(exclude)
        is_hidden = hidden.data != 0
        grid[hidden.row[is_hidden], hidden.col[is_hidden]] = -np.inf
    return grid


def best_of(grid: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return the k items of each row with the highest scores, ties by position; -1 for -inf."""
    best = np.argsort(-grid, axis=1, kind="stable")[:, :k]
    return np.where(np.isneginf(np.take_along_axis(grid, best, axis=1)), -1, best)


def teachers_best(
    cascade: FittedCascade, queries: Any, k: int, exclude: Any = None
) -> NDArray[np.int64]:
    """Return the k items of the catalogue that the teacher ranks first for each query.

    Parameters
    ----------
    cascade : RankingCascade
        Fitted, and with its teacher.
    queries : table of shape (n_queries, n_query_columns)
        The query table.
    k : int
        Number of items.
    exclude : sparse matrix of shape (n_queries, n_items), optional
        Items that are not wanted.

    Returns
    -------
    ndarray of shape (n_queries, min(k, n_items)), int64
        Best first; -1 pads short lists.
    """
    return best_of(teacher_grid(cascade, queries, exclude), k)


def items_of(wanted: Any, n_queries: int, n_items: int) -> NDArray[np.int64]:
    """Return the marked items of each query as lists.

    Parameters
    ----------
    wanted : sparse matrix of shape (n_queries, n_items)
        What the user passed; non-zero entries mark items.
    n_queries, n_items : int
        Expected shape.

    Returns
    -------
    ndarray of shape (n_queries, largest number), int64
        -1 pads short lists.

    Raises
    ------
    ValueError
        If it is not sparse, or has another shape.
    """
    check_pair_matrix("wanted", wanted, (n_queries, n_items))
    marked = sparse.csr_array(wanted, copy=True)
    marked.sum_duplicates()
    marked.eliminate_zeros()
    counts = np.diff(marked.indptr)
    lists = np.full((n_queries, max(counts.max(initial=0), 1)), -1, dtype=np.int64)
    lists[np.arange(lists.shape[1]) < counts[:, None]] = marked.indices
    return lists


def stage_orders(
    cascade: FittedCascade, queries: Any, width: int, exclude: Any, wanted: NDArray[np.int64]
) -> StageOrders:
    """Let every stage score what the first stage returns.

    Parameters
    ----------
    cascade : RankingCascade
        Fitted.
    queries : table of shape (n_queries, n_query_columns)
        The query table.
    width : int
        Number of items that the first stage returns per query.
    exclude : sparse matrix of shape (n_queries, n_items), or None
        Items that may not be returned.
    wanted : ndarray of shape (n_queries, n_wanted), int64
        Items that should come through; -1 pads short lists.

    Returns
    -------
    StageOrders
    """
    funnel, first = cascade.funnel_, cascade.stage_cuts()[0]
    items, scores = [], []
    for _, table, hidden in query_blocks(queries, QUERY_BLOCK, exclude):
        found = funnel.retrieval.retrieve(table, width, hidden, None).limited(first)
        (query, item), columns = found.pairs(), found.flat_columns()
        of_stages = []
        for stage in funnel.stages:
            columns[stage.column] = own = stage.score(table, funnel.items, query, item, columns)
            of_stages.append(found.matrix(funnel.comparable(stage, own, item)))
        items.append(found.item)
        scores.append(of_stages)
    stacked = [stack_padded(parts, -np.inf) for parts in zip(*scores, strict=True)]
    return StageOrders(stack_padded(items, -1), stacked, wanted)
