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
    logged_together,
    pick_highest,
    pick_uniformly,
    scored_in_pool,
)

# Number of queries whose candidates are drawn at once.
QUERY_CHUNK = 256
# Number of times that lists grow by the student's highest items, all in the first half of training.
GROWTHS = 5


def flat_pairs(pairs: Any) -> Array:
    """Number the stored pairs of a CSR matrix row by row, ascending."""
    row = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    return row * np.int64(pairs.shape[1]) + pairs.indices


@dataclass(frozen=True)
class QueryLists:
    """Scored lists of some queries.

    Parameters
    ----------
    item : ndarray of int64, or None
        Item of each pair; None if each list is the whole catalogue.
    queries : Queries
        Lists that the pairs form.
    target : ndarray of shape (n_pairs, ...)
        Target of the loss.
    shift : ndarray of shape (n_pairs,) or None
        Added to the student's scores.
    row_weight : ndarray of shape (n_pairs,) or None
        Factor of each pair's term.
    left_out : ndarray of int64, or None
        Pairs that are no part of the lists, ascending.
    """

    item: Array | None
    queries: Queries
    target: Array
    shift: Array | None = None
    row_weight: Array | None = None
    left_out: Array | None = None


class ScoredLists(Protocol):
    """Lists of items that the teacher has scored."""

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Update the lists if this epoch is due for it."""

    def of_queries(self, chosen: Array) -> QueryLists:
        """Return the lists of these queries."""


class WholeCatalogue:
    """Lists of the whole catalogue; the targets of all pairs, 4 bytes each, stay in memory.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_items), float32
        The teacher's scores.
    loss : Loss
        Turns the scores into targets.
    left_out : CSR array of shape (n_queries, n_items), default=None
        Pairs that are no part of the lists.
    """

    def __init__(self, scores: Array, loss: Loss, left_out: Any = None) -> None:
        self.n_items = scores.shape[1]
        self.left_out = left_out
        lists = Queries.even(*scores.shape)
        pairs = None if left_out is None else flat_pairs(left_out)
        self.target = soft_targets(loss, scores.ravel(), lists, left_out=pairs)

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Nothing changes from one epoch to the next."""

    def of_queries(self, chosen: Array) -> QueryLists:
        """Return the lists of these queries."""
        target = self.target.reshape(-1, self.n_items, *self.target.shape[1:])[chosen]
        return QueryLists(
            None,
            Queries.even(len(chosen), self.n_items),
            target.reshape(-1, *self.target.shape[1:]),
            left_out=None if self.left_out is None else flat_pairs(self.left_out[chosen]),
        )


class SampledCatalogue:
    """Lists of at most ``n_candidates`` items per query that the teacher has scored.

    Half are the teacher's best items if the scores are a matrix. If they are not, at most a quarter
    are logged items, and at most a quarter are items that are logged together with those. A quarter
    are drawn uniformly. In the first half of training, the lists grow
    by the unscored items that the student ranks highest. Scored items stay in their lists, so that
    no pair is scored twice and each query costs ``n_candidates`` teacher scores in all, at 12 bytes
    each.

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
    positives : CSR array of shape (n_queries, n_items), bool
        Logged pairs, except those of label 0.
    left_out : CSR array of shape (n_queries, n_items), default=None
        Pairs that never enter the lists.
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
        positives: Any,
        left_out: Any = None,
    ) -> None:
        self.embeddings = embeddings
        self.model = model
        self.query_rows = query_rows
        self.item_rows = item_rows
        self.scores = scores
        self.left_out = left_out
        self.loss = loss
        self.logq_correction = logq_correction
        self.every = max(max_iter // (2 * GROWTHS), 1)
        self.n_growths = min(GROWTHS, (max_iter - 1) // self.every)
        self.candidates = CandidateLists.empty(query_rows.n_rows, n_candidates)
        quarter = max(n_candidates // 4, 1)
        first = scores.highest(quarter * 2, left_out)
        query, item = self._some_of(*logged, quarter, rng) if first is None else first
        self.candidates.append(query, item, scores(query, item), 1.0)
        if first is None:
            self._add_logged_together(positives, quarter, rng)
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
            log_importance = self.logq_correction * np.log(importance.astype(np.float64))
            self.shift, self.row_weight = logq_correction(self.loss, log_importance, self.queries)
            self.target = soft_targets(self.loss, score, self.queries, log_importance)

    def of_queries(self, chosen: Array) -> QueryLists:
        """Return the lists of these queries."""
        rows, queries = self.queries.take(chosen)
        return QueryLists(
            self.item[rows],
            queries,
            self.target[rows],
            take_values(self.shift, rows),
            take_values(self.row_weight, rows),
        )

    def _some_of(
        self, query: Array, item: Array, n: int, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        if not len(query):
            return query, item
        # Take each pair once, however often it was logged, and a random n per query.
        pair = np.unique(query * np.int64(self.item_rows.n_rows) + item)
        query, item = np.divmod(pair, self.item_rows.n_rows)
        sizes = np.unique(query, return_counts=True)[1]
        kept = first_of_each(Queries.from_sizes(sizes), rng.random(len(query)), n)
        return query[kept], item[kept]

    def _add_logged_together(self, positives: Any, n: int, rng: np.random.Generator) -> None:
        """Score up to n items that are logged together with those of each query."""
        n_queries, n_items = positives.shape
        of_items = positives.T.tocsr()
        for start in range(0, n_queries, QUERY_CHUNK):
            rows = slice(start, min(start + QUERY_CHUNK, n_queries))
            row, place = np.nonzero(self.candidates.item[rows] >= 0)
            present = [(row + start) * np.int64(n_items) + self.candidates.item[rows][row, place]]
            if self.left_out is not None:
                present.append(flat_pairs(self.left_out[rows]) + start * np.int64(n_items))
            query, item = logged_together(
                positives, of_items, rows, np.concatenate(present), n, rng
            )
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
            if self.left_out is not None:
                scored = scored + self.left_out[rows][:, pool]
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
                if self.left_out is not None:
                    left_over = left_over - np.diff(self.left_out[rows].indptr)
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
        lists = self.scored.of_queries(chosen)
        row_weight = lists.row_weight
        if self.query_weight is not None:
            of_query = lists.queries.spread(self.query_weight[chosen])
            row_weight = of_query if row_weight is None else row_weight * of_query
        return BlockLoss(
            is_grid=lists.item is None,
            query=None if lists.item is None else lists.queries.segment,
            item=lists.item,
            queries=lists.queries,
            loss=self.loss,
            weight=self.weight,
            target=lists.target,
            shift=lists.shift,
            row_weight=row_weight,
            left_out=lists.left_out,
            embedding=self.embedding,
        )
