"""Lists that the teacher has scored: the whole catalogue, or candidates drawn from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from skdistill.inputs.columns import take_values
from skdistill.inputs.queries import Queries, positions_within
from skdistill.inputs.rows import Rows
from skdistill.models.two_tower import TwoTower
from skdistill.protocols import Array, Loss, Parameters
from skdistill.towers.block_loss import BlockLoss, logq_correction, soft_targets
from skdistill.towers.candidates import (
    CandidateLists,
    draw_pool,
    first_of_each,
    pick_highest,
    pick_uniformly,
    scored_in_pool,
)

# Number of queries whose candidates are drawn at once.
QUERY_CHUNK = 256
# Number of times that lists grow by the student's highest items, all in the first half of training.
GROWTHS = 5


class ScoredLists(Protocol):
    """Lists of items that the teacher has scored."""

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Update the lists if this epoch is due for it."""

    def lists(
        self, chosen: Array
    ) -> tuple[Array | None, Queries, Array, Array | None, Array | None]:
        """Items (None for all), lists, targets, shifts and row weights of these queries."""


class WholeCatalogue:
    """Lists of the whole catalogue; the targets of all pairs, 4 bytes each, stay in memory.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_items), float32
        The teacher's scores.
    loss : Loss
        Turns the scores into targets.
    """

    def __init__(self, scores: Array, loss: Loss) -> None:
        self.n_items = scores.shape[1]
        self.target = soft_targets(loss, scores.ravel(), Queries.even(*scores.shape))

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Nothing changes from one epoch to the next."""

    def lists(self, chosen: Array) -> tuple[Array | None, Queries, Array, None, None]:
        """Items (None for all), lists, targets, shifts and row weights of these queries."""
        queries = Queries.even(len(chosen), self.n_items)
        target = self.target.reshape(-1, self.n_items, *self.target.shape[1:])[chosen]
        return None, queries, target.reshape(-1, *self.target.shape[1:]), None, None


class SampledCatalogue:
    """Lists of at most ``n_candidates`` items per query that the teacher has scored.

    At most a quarter are logged items, and a quarter are drawn uniformly. In the first half of
    training, the lists grow by the unscored items that the student ranks highest. Scored items stay
    in their lists, so that no pair is scored twice and each query costs ``n_candidates`` teacher
    scores in all, at 12 bytes each.

    Parameters
    ----------
    model : TwoTower
        The student, which ranks unscored items.
    query_rows, item_rows : Rows
        Queries, and items of the catalogue.
    scores : PairScores
        The teacher's scores.
    loss : Loss
        Turns the scores into targets.
    n_candidates : int
        Number of teacher scores per query.
    logq_correction : float
        Strength of the correction for sampling. With 1, the loss over a list is an unbiased
        estimate of that over the catalogue; less correction is less noisy.
    max_iter : int
        Number of epochs, which sets when the lists grow.
    logged : tuple of (queries, items)
        Query and item rows of the logged pairs.
    rng : Generator
    embeddings : slice
        Query embeddings that learn from the teacher.
    """

    def __init__(
        self,
        model: TwoTower,
        query_rows: Rows,
        item_rows: Rows,
        scores: Any,
        loss: Loss,
        n_candidates: int,
        logq_correction: float,
        max_iter: int,
        logged: tuple[Array, Array],
        rng: np.random.Generator,
        embeddings: slice,
    ) -> None:
        self.embeddings = embeddings
        self.model = model
        self.query_rows = query_rows
        self.item_rows = item_rows
        self.scores = scores
        self.loss = loss
        self.logq_correction = logq_correction
        self.every = max(max_iter // (2 * GROWTHS), 1)
        self.n_growths = min(GROWTHS, (max_iter - 1) // self.every)
        self.candidates = CandidateLists.empty(query_rows.n_rows, n_candidates)
        quarter = max(n_candidates // 4, 1)
        self._take_logged(*logged, quarter, rng)
        n_uniform = max(n_candidates - quarter * 3, quarter)
        self._grow(np.full(query_rows.n_rows, n_uniform), rng, params=None)

    def uniform_sample(self) -> Any:
        """Teacher scores of the uniformly drawn pairs, CSR of shape (n_queries, n_items)."""
        drawn = self.candidates.importance > 1
        row, place = np.nonzero(drawn)
        return sparse.csr_array(
            (self.candidates.score[row, place], (row, self.candidates.item[row, place])),
            shape=(self.query_rows.n_rows, self.item_rows.n_rows),
        )

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Grow the lists if this epoch is due for it, and compute their targets."""
        growth, rest = divmod(epoch, self.every)
        grows = rest == 0 and 1 <= growth <= self.n_growths
        if grows:
            # A query with few logged items has more room, and fills it by larger steps.
            room = self.candidates.item.shape[1] - self.candidates.count
            self._grow(-(-room // (self.n_growths - growth + 1)), rng, params)
        if grows or epoch == 0:
            self.queries, self.item, score, importance = self.candidates.flat()
            self.shift, self.row_weight = logq_correction(
                self.loss, self.logq_correction * np.log(importance), self.queries
            )
            self.target = soft_targets(self.loss, score, self.queries, self.shift)

    def lists(self, chosen: Array) -> tuple[Array, Queries, Array, Array | None, Array | None]:
        """Items, lists, targets, shifts and row weights of these queries."""
        rows, queries = self.queries.take(chosen)
        return (
            self.item[rows],
            queries,
            self.target[rows],
            take_values(self.shift, rows),
            take_values(self.row_weight, rows),
        )

    def _take_logged(self, query: Array, item: Array, n: int, rng: np.random.Generator) -> None:
        if not len(query):
            return
        # Take each pair once, however often it was logged, and a random n per query.
        pair = np.unique(query * np.int64(self.item_rows.n_rows) + item)
        query, item = np.divmod(pair, self.item_rows.n_rows)
        sizes = np.unique(query, return_counts=True)[1]
        kept = first_of_each(Queries.from_sizes(sizes), rng.random(len(query)), n)
        query, item = query[kept], item[kept]
        self.candidates.append(query, item, self.scores(query, item), 1.0)

    def _grow(self, n: Array, rng: np.random.Generator, params: Parameters | None) -> None:
        """Score n[q] more items of query q: the student's highest, or uniform without params."""
        n_items = self.item_rows.n_rows
        pool = draw_pool(n_items, rng)
        right = None
        for start in range(0, self.query_rows.n_rows, QUERY_CHUNK):
            rows = slice(start, start + QUERY_CHUNK)
            most = int(n[rows].max())
            if not most:
                continue
            if len(pool) < n_items:
                pool, right = draw_pool(n_items, rng), None
            scored = scored_in_pool(self.candidates, rows, pool)
            if params is None:
                row, column = pick_uniformly(scored, most, rng)
            else:
                if right is None:
                    items = self.item_rows if len(pool) == n_items else self.item_rows.take(pool)
                    right = self.model.embed_items(params, items)
                left = self.model.embed_queries(params, Rows(self.query_rows.X[rows]))
                left = left[self.embeddings]
                row, column = pick_highest(left, right, scored, most)
            sizes = np.bincount(row, minlength=len(n[rows]))
            wanted = positions_within(sizes) < np.repeat(n[rows], sizes)
            row, column = row[wanted], column[wanted]
            query, item = row + start, pool[column]
            importance: Array | float = n_items / len(pool)
            if params is None:
                left_over = n_items - self.candidates.count[rows]
                drawn = np.bincount(row, minlength=len(left_over))
                importance = np.maximum(left_over / np.maximum(drawn, 1), 1)[row]
            self.candidates.append(query, item, self.scores(query, item), importance)


@dataclass
class TeacherLists:
    """The soft loss: follow the teacher's scores on the lists of a step's queries.

    Parameters
    ----------
    scored : ScoredLists
    loss : Loss
    weight : float
        Factor of the loss.
    query_weight : ndarray of shape (n_queries,), float32, or None
        Weight of each query.
    embedding : int
        Which of a query's embeddings learns from the teacher.
    """

    scored: ScoredLists
    loss: Loss
    weight: float
    query_weight: Array | None = None
    embedding: int = 0

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Update the lists if this epoch is due for it."""
        self.scored.begin_epoch(epoch, params, rng)

    def block_loss(self, chosen: Array) -> BlockLoss:
        """Loss over the lists of these queries."""
        item, queries, target, shift, row_weight = self.scored.lists(chosen)
        if self.query_weight is not None:
            of_query = queries.spread(self.query_weight[chosen])
            row_weight = of_query if row_weight is None else row_weight * of_query
        return BlockLoss(
            is_grid=item is None,
            query=None if item is None else queries.segment,
            item=item,
            queries=queries,
            loss=self.loss,
            weight=self.weight,
            target=target,
            shift=shift,
            row_weight=row_weight,
            embedding=self.embedding,
        )
