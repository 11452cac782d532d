"""What comes through each stage of a cascade, for some queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.cascade.blocks import query_blocks, stack_padded
from skdistill.cascade.cuts import Cut
from skdistill.cascade.funnel import Funnel

# Queries that pass through the stages at once.
QUERY_BLOCK = 64


@dataclass(frozen=True)
class StageLists:
    """What a stage scored and what it passed on.

    Parameters
    ----------
    item : ndarray of shape (n_queries, width), int64
        All items that the stage scored, in its order; -1 pads short lists.
    score : ndarray of shape (n_queries, width), float64
        Their scores; -inf for padding.
    size : int
        Places from this on were not passed on.
    """

    item: NDArray[np.int64]
    score: NDArray[np.float64]
    size: int

    @property
    def passed(self) -> NDArray[np.int64]:
        """Items that were passed on."""
        return self.item[:, : self.size]


def run_stages(
    funnel: Funnel, queries: Any, cuts: Sequence[Cut], exclude: Any = None
) -> list[StageLists]:
    """Let queries pass through all stages, and keep what each of them made of its items.

    Parameters
    ----------
    funnel : Funnel
        The fitted stages.
    queries : table of shape (n_queries, n_query_columns)
        The query table.
    cuts : sequence of Cut
        What each stage passes on.
    exclude : sparse matrix of shape (n_queries, n_items), optional
        Items that may not be returned.

    Returns
    -------
    list of StageLists
        One per stage.
    """
    blocks = [
        funnel.run(table, cuts, hidden).lists
        for _, table, hidden in query_blocks(queries, QUERY_BLOCK, exclude)
    ]
    return [
        StageLists(
            stack_padded([lists[number].item for lists in blocks], -1),
            stack_padded([lists[number].score for lists in blocks], -np.inf),
            cut.size,
        )
        for number, cut in enumerate(cuts)
    ]


def contains(lists: NDArray[np.int64], items: NDArray[np.int64], n_items: int) -> NDArray[np.bool_]:
    """Tell which items are in the list of their query.

    Parameters
    ----------
    lists : ndarray of shape (n_queries, width), int64
        -1 is padding.
    items : ndarray of shape (n_queries, n), int64
        -1 is in no list.
    n_items : int
        Number of items in the catalogue.

    Returns
    -------
    ndarray of shape (n_queries, n), bool
    """
    present = np.zeros((len(lists), n_items + 1), dtype=bool)
    np.put_along_axis(present, np.where(lists >= 0, lists, n_items), True, axis=1)
    present[:, n_items] = False
    return np.take_along_axis(present, np.where(items >= 0, items, n_items), axis=1)


def first_loss(
    stages: list[StageLists], wanted: NDArray[np.int64], n_items: int
) -> NDArray[np.int64]:
    """Number of the stage that did not pass each wanted item on; the number of stages if all did.

    Parameters
    ----------
    stages : list of StageLists
        What came through.
    wanted : ndarray of shape (n_queries, n_wanted), int64
        -1 pads short lists.
    n_items : int
        Number of items in the catalogue.

    Returns
    -------
    ndarray of shape (n_queries, n_wanted), int64
        -1 for padding.
    """
    lost_at = np.full(wanted.shape, len(stages))
    for number in range(len(stages) - 1, -1, -1):
        lost_at[~contains(stages[number].passed, wanted, n_items)] = number
    return np.where(wanted >= 0, lost_at, -1)
