"""The fitted stages of a cascade, and what passes through them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.cascade.blocks import stack_padded
from skdistill.cascade.candidates import Candidates, compact
from skdistill.cascade.cuts import Cut
from skdistill.cascade.pair_tables import StageTable
from skdistill.cascade.retrieval import Retrieval, score_column
from skdistill.cascade.stage_errors import naming_stage
from skdistill.inputs.offsets import log_above
from skdistill.teachers.asking import check_scores, name_of, unchecked_scores

Scores = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Stage:
    """A fitted stage that scores pairs.

    Parameters
    ----------
    name : str
        Its name in the cascade.
    model : estimator, Booster or callable
        Scores rows.
    table : StageTable
        Builds the rows.
    log_floor : float or None
        If its scores are probabilities, to whose logarithms the offset is added: what those count
        as that are smaller. None for scores to which it is added as they are.
    """

    name: str
    model: Any
    table: StageTable
    log_floor: float | None = None

    @property
    def column(self) -> str:
        """Name of the column that holds its scores."""
        return score_column(self.name)

    def score(
        self,
        queries: Any,
        items: Any,
        query: NDArray[np.int64],
        item: NDArray[np.int64],
        scores: Scores,
    ) -> NDArray[np.float64]:
        """Score pairs, as in :meth:`StageTable.rows`.

        Returns
        -------
        ndarray of shape (n_pairs,), float64

        Raises
        ------
        ValueError
            If the model cannot take the features, or does not give one finite score per pair.
        """
        if not len(query):
            return np.empty(0)
        rows = self.table.rows(queries, items, query, item, scores)
        with naming_stage(self.name, "cannot score its rows:", rows):
            answer = unchecked_scores(self.model, rows)
        name = f"{name_of(self.model)} of the stage {self.name!r}"
        check_scores(answer, len(query), name, lambda k: f"query {query[k]} and item {item[k]}")
        return answer


@dataclass(frozen=True)
class Passage:
    """What passed through the stages of a funnel for some queries.

    Parameters
    ----------
    lists : list of Candidates
        For each stage that was run, all items that it scored, in its order.
    seconds : list of float
        Time of each stage that was run.
    """

    lists: list[Candidates]
    seconds: list[float]


@dataclass(frozen=True)
class Funnel:
    """The fitted stages.

    Parameters
    ----------
    name : str
        Name of the first stage.
    retrieval : Retrieval
        The first stage.
    stages : tuple of Stage
        The later ones.
    items : table of shape (n_items, n_item_columns)
        The catalogue.
    """

    name: str
    retrieval: Retrieval
    stages: tuple[Stage, ...]
    items: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of scores of all stages."""
        return (*self.retrieval.columns, *(stage.column for stage in self.stages))

    @property
    def offset(self) -> NDArray[np.float64] | None:
        """What is added to the scores of each item before a stage orders them."""
        return self.retrieval.offset

    def with_offset(self, offset: NDArray[np.float64]) -> Funnel:
        """Return the stages with other offsets, such as the bids of one request.

        Parameters
        ----------
        offset : ndarray of shape (n_items,), float64
            What is added to the scores of each item.

        Returns
        -------
        Funnel

        Raises
        ------
        TypeError
            If a retriever cannot search with other offsets.
        """
        return replace(self, retrieval=self.retrieval.with_offset(offset))

    def comparable(
        self, stage: Stage, scores: NDArray[np.float64], item: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the numbers by which a later stage orders pairs.

        Parameters
        ----------
        stage : Stage
            One of the stages.
        scores : ndarray of shape (n_pairs,), float64
            Its scores.
        item : ndarray of shape (n_pairs,), int64
            Positions in the catalogue.

        Returns
        -------
        ndarray of shape (n_pairs,), float64
            The scores; with an offset, the scores in its unit plus the offset of the item.
        """
        if self.offset is None:
            return scores
        return log_above(scores, stage.log_floor) + self.offset[item]

    def run(
        self,
        queries: Any,
        cuts: Sequence[Cut],
        exclude: Any = None,
        mask: Any = None,
        is_late: Callable[[], bool] = lambda: False,
    ) -> Passage:
        """Let candidates pass through the stages.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query table.
        cuts : sequence of Cut
            What each stage passes on; one per stage, the first for the retrieval.
        exclude, mask : sparse matrix, array or None
            Items that may not, or that alone may, be returned.
        is_late : callable
            Asked before each stage but the first; the stages that are left are not run if it
            returns True.

        Returns
        -------
        Passage
        """
        clock = time.perf_counter
        start = clock()
        found = self.retrieval.retrieve(queries, cuts[0].size, exclude, mask).limited(cuts[0])
        passage = Passage([found], [clock() - start])
        for stage, before, after in zip(self.stages, cuts, cuts[1:], strict=False):
            if is_late():
                break
            start = clock()
            found = found.head(before)
            query, item = found.pairs()
            scores = stage.score(queries, self.items, query, item, found.flat_columns())
            found = found.with_column(stage.column, scores)
            found = found.sorted_by(self.comparable(stage, scores, item)).limited(after)
            passage.lists.append(found)
            passage.seconds.append(clock() - start)
        return passage

    def score_pairs(
        self, queries: Any, items: Any, query: NDArray[np.int64], item: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Score pairs by all stages, whether or not they would pass.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query table.
        items : table of shape (n_items or more, n_item_columns)
            The catalogue, perhaps with further items.
        query, item : ndarray of shape (n_pairs,), int64
            Rows of the two tables.

        Returns
        -------
        dict of str to ndarray of shape (n_pairs,), float64
            By name of the column.
        """
        scores = self.retrieval.score_pairs(queries, query, item)
        for stage in self.stages:
            scores[stage.column] = stage.score(queries, items, query, item, scores)
        return scores


@dataclass(frozen=True)
class RankedItems:
    """The best items of each query.

    Parameters
    ----------
    item : ndarray of shape (n_queries, k), int64
        Positions in the catalogue, best first; -1 pads short lists.
    score : ndarray of shape (n_queries, k), float32
        Score by the stage that placed the item, plus offset; -inf for padding.
    stage : ndarray of shape (n_queries, k), int64
        Number of the stage that placed the item; -1 for padding.
    source : ndarray of shape (n_queries, k), int64, or None
        Number of the retriever that found the item first.
    """

    item: NDArray[np.int64]
    score: NDArray[np.float32]
    stage: NDArray[np.int64]
    source: NDArray[np.int64] | None


def best_items(passage: Passage, cuts: Sequence[Cut], k: int) -> RankedItems:
    """Return the order of the last stage, behind it what only the stage before has scored, etc.

    Parameters
    ----------
    passage : Passage
        What passed through the stages.
    cuts : sequence of Cut
        What each stage passed on.
    k : int
        Number of items per query.

    Returns
    -------
    RankedItems
    """
    *earlier, last = passage.lists
    parts = [last]
    if last.width < k or (last.item[:, k - 1] < 0).any():
        parts += [
            found.take(slice(cut.size, None))
            for found, cut in reversed(list(zip(earlier, cuts, strict=False)))
        ]
    stage = np.repeat(
        np.arange(len(passage.lists) - 1, len(passage.lists) - 1 - len(parts), -1),
        [part.width for part in parts],
    )
    item = np.concatenate([part.item for part in parts], axis=1)
    places = compact(item)[:, :k]
    item = np.take_along_axis(item, places, axis=1)
    score = np.concatenate([part.score for part in parts], axis=1)
    source = None
    if last.source is not None:
        sources = [part.source for part in parts if part.source is not None]
        source = np.take_along_axis(np.concatenate(sources, axis=1), places, axis=1)
    return RankedItems(
        item,
        np.take_along_axis(score, places, axis=1).astype(np.float32),
        np.where(item >= 0, stage[places], -1),
        source,
    )


def stack_ranked(blocks: list[RankedItems], k: int) -> RankedItems:
    """Stack the ranked items of blocks of queries, which may be narrower than k."""
    if not blocks:
        empty = np.empty((0, k), dtype=np.int64)
        return RankedItems(empty, empty.astype(np.float32), empty, None)

    sources = [block.source for block in blocks if block.source is not None]
    return RankedItems(
        stack_padded([block.item for block in blocks], -1, k),
        stack_padded([block.score for block in blocks], -np.inf, k),
        stack_padded([block.stage for block in blocks], -1, k),
        stack_padded(sources, -1, k) if sources else None,
    )
