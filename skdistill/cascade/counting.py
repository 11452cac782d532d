"""Exact end-to-end recall of a cascade for every combination of sizes, by counting.

A wanted item survives a stage if fewer than its size of the items that the stage gets outrank it.
What a stage gets depends on the sizes before it, so that the recall of a cascade is not the product
of the recalls of its stages: stages that were taught by one teacher err alike.

For the last two stages, one pass suffices. With the list in the order of the stage before the last,
``c(m)`` of the first m items outrank a wanted item at the last stage; the item at place p survives
the sizes m and n if ``p < m`` and ``c(m) < n``. More stages are counted by recursion over the sizes
of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Cells of a block of the comparison of wanted items with all items.
BLOCK_CELLS = 1 << 24


@dataclass(frozen=True)
class StageOrders:
    """How the stages of a cascade would rank the candidates of some queries.

    Parameters
    ----------
    item : ndarray of shape (n_queries, width), int64
        Items in the order of the first stage; -1 pads short lists, at the end.
    scores : list of ndarray of shape (n_queries, width), float64
        Scores by which each later stage orders, in the places of ``item``; -inf for padding.
    wanted : ndarray of shape (n_queries, n_wanted), int64
        Items that should come through, each once; -1 pads short lists.
    """

    item: NDArray[np.int64]
    scores: list[NDArray[np.float64]]
    wanted: NDArray[np.int64]

    def places(self) -> NDArray[np.int64]:
        """Place of each wanted item in the order of the first stage; the width if it has none."""
        width = self.item.shape[1]
        places = np.full(self.wanted.shape, width, dtype=np.int64)
        for number in range(self.wanted.shape[1]):
            wanted = self.wanted[:, number : number + 1]
            is_there = (self.item == wanted) & (wanted >= 0)
            found = is_there.any(axis=1)
            places[found, number] = is_there[found].argmax(axis=1)
        return places

    def take(self, queries: NDArray[np.int64]) -> StageOrders:
        """Select queries."""
        scores = [score[queries] for score in self.scores]
        return StageOrders(self.item[queries], scores, self.wanted[queries])


def recall_slabs(
    orders: StageOrders, sizes: Sequence[NDArray[np.int64]]
) -> Iterator[tuple[tuple[int, ...], NDArray[np.float32]]]:
    """Count the recall of all combinations of sizes.

    Parameters
    ----------
    orders : StageOrders
        Orders and wanted items. Every query has at least one wanted item.
    sizes : sequence of ndarray of int64
        Sizes to combine, for every stage, ascending.

    Yields
    ------
    first : tuple of int
        Sizes of all stages but the last two.
    recall : ndarray of shape (n_queries, n_sizes of the stage before the last, n_sizes of the \
last), float32
        Fraction of each query's wanted items that come through.
    """
    n_wanted = (orders.wanted >= 0).sum(axis=1)
    yield from _recursion(orders.places(), orders.scores, n_wanted, sizes, ())


def _recursion(
    places: NDArray[np.int64],
    scores: list[NDArray[np.float64]],
    n_wanted: NDArray[np.int64],
    sizes: Sequence[NDArray[np.int64]],
    first: tuple[int, ...],
) -> Iterator[tuple[tuple[int, ...], NDArray[np.float32]]]:
    """Count with the list in the order of the stage whose sizes come first."""
    if len(sizes) == 2:
        yield first, _last_two(places, scores[0], n_wanted, *sizes)
        return
    width = scores[0].shape[1]
    for size in sizes[0]:
        passed = min(int(size), width)
        order = np.argsort(-scores[0][:, :passed], axis=1, kind="stable")
        place_after = np.empty_like(order)
        np.put_along_axis(place_after, order, np.arange(passed)[None, :], axis=1)
        survives = places < passed
        at = np.minimum(places, passed - 1)
        after = np.where(survives, np.take_along_axis(place_after, at, axis=1), width)
        ordered = [np.take_along_axis(score[:, :passed], order, axis=1) for score in scores[1:]]
        yield from _recursion(after, ordered, n_wanted, sizes[1:], (*first, int(size)))


def _last_two(
    places: NDArray[np.int64],
    scores: NDArray[np.float64],
    n_wanted: NDArray[np.int64],
    before: NDArray[np.int64],
    last: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Count the recall for all sizes of the last two stages."""
    n_queries, width = scores.shape
    recall = np.zeros((n_queries, len(before), len(last)), dtype=np.float32)
    # c(m) for the sizes m alone; longer lists than there are items change nothing.
    ends = np.minimum(before, width) - 1
    step = max(BLOCK_CELLS // max(places.shape[1] * width, 1), 1)
    for start in range(0, n_queries, step):
        rows = slice(start, start + step)
        place, score = places[rows], scores[rows]
        is_there = place < width
        own = np.take_along_axis(score, np.where(is_there, place, 0), axis=1)
        # Ties are broken by the order of the stage before.
        outranks = score[:, None, :] > own[:, :, None]
        equal = score[:, None, :] == own[:, :, None]
        outranks |= equal & (np.arange(width) < place[:, :, None])
        counts = np.cumsum(outranks, axis=2, dtype=np.int32)[:, :, ends]
        passes = (place[:, :, None] < before) & is_there[:, :, None]
        for number, size in enumerate(last):
            recall[rows, :, number] = (passes & (counts < size)).sum(axis=1)
    recall /= n_wanted[:, None, None]
    return recall


def recall_alone(orders: StageOrders, sizes: Sequence[NDArray[np.int64]]) -> list[NDArray[Any]]:
    """Recall of each stage alone, if it ranked all candidates of the first stage.

    Parameters
    ----------
    orders : StageOrders
        Orders and wanted items.
    sizes : sequence of ndarray of int64
        Sizes of every stage.

    Returns
    -------
    list of ndarray of shape (n_sizes,), float64
        Mean over queries, by size, one array per stage.
    """
    n_wanted = (orders.wanted >= 0).sum(axis=1)
    places, width = orders.places(), orders.item.shape[1]
    recalls = []
    for number, of_stage in enumerate(sizes):
        place = places
        if number:
            score = orders.scores[number - 1]
            order = np.argsort(-score, axis=1, kind="stable")
            rank = np.empty_like(order)
            np.put_along_axis(rank, order, np.arange(width)[None, :], axis=1)
            at = np.minimum(places, width - 1)
            place = np.where(places < width, np.take_along_axis(rank, at, axis=1), width)
        is_in = (place[:, :, None] < np.minimum(of_stage, width)).sum(axis=1)
        recalls.append((is_in / n_wanted[:, None]).mean(axis=0))
    return recalls
