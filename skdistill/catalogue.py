"""The retriever's curriculum: each query's list is the catalogue, or candidates drawn from it.

The soft part of a step are the teacher's scores of the batch's lists; the hard part are the logged
labels of its queries, with the items of the batch's other queries as negatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy import sparse

from skdistill.inputs import Rows, distinct
from skdistill.models.two_tower import TwoTower
from skdistill.objective import GradientBalance
from skdistill.pairs import PairGrid, PairList, Pairs
from skdistill.protocols import Array, Loss, Parameters
from skdistill.queries import Queries
from skdistill.sampling import (
    CandidateLists,
    draw_pool,
    first_of_each,
    known_in_pool,
    pick_highest,
    pick_uniformly,
)
from skdistill.training import Evaluate

# Targets of so many pairs are made at once, in float64.
CHUNK_PAIRS = 1 << 22
# A loss is evaluated on so many pairs at once: they stay in cache.
CACHED_PAIRS = 1 << 17
# Queries whose candidates are drawn at once.
QUERY_CHUNK = 256
# A growing list takes in the student's own highest items so many times, in the first half.
GROWTHS = 5


@dataclass(frozen=True)
class Log:
    """Logged pairs with labels, sorted by query: the hard part.

    Parameters
    ----------
    queries : Queries
        Segments of the queries that have labels.
    query : ndarray of shape (n_labelled_queries,), int64
        Row of the query table of each segment.
    item : ndarray of shape (n_pairs,), int64
    label : ndarray of shape (n_pairs,), float64
    weight : ndarray of shape (n_pairs,), float32, or None
    """

    queries: Queries
    query: Array
    item: Array
    label: Array
    weight: Array | None = None


class WholeCatalogue:
    """Every item is in every list: the teacher's scores of all pairs, 4 bytes each, stay in memory.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_items), float32
    loss : Loss
    """

    def __init__(self, scores: Array, loss: Loss) -> None:
        self.n_items = scores.shape[1]
        self.target = _targets(loss, scores.ravel(), Queries.even(*scores.shape))

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Nothing changes from one epoch to the next."""

    def lists(self, chosen: Array) -> tuple[Array | None, Queries, Array, None, None]:
        """Items (None: all), segments, targets, shifts and weights of the queries' lists."""
        queries = Queries.even(len(chosen), self.n_items)
        target = self.target.reshape(-1, self.n_items, *self.target.shape[1:])[chosen]
        return None, queries, target.reshape(-1, *self.target.shape[1:]), None, None


class SampledCatalogue:
    """Lists of at most ``n_candidates`` labelled items a query.

    A quarter at the most are logged items, a quarter is drawn uniformly; then, in the first half of
    the training, the lists grow by the items that the student itself ranks highest among those that
    are not labelled yet. What is labelled stays, the teacher's top above all, so that no pair is
    asked for twice and a query costs ``n_candidates`` teacher scores in all: 12 bytes each.

    Parameters
    ----------
    model : TwoTower
    query_rows, item_rows : Rows
        The catalogue's items.
    scores : PairScores
    loss : Loss
    n_candidates, max_iter : int
    draw_correction : float
        1: lists weigh as the whole catalogue does; less is less noisy.
    logged : tuple of (queries, items)
        Rows of the logged pairs.
    rng : Generator
    embedding : slice, optional
        Which of the query embeddings the teacher's scores are for.
    """

    def __init__(
        self,
        model: TwoTower,
        query_rows: Rows,
        item_rows: Rows,
        scores: Any,
        loss: Loss,
        n_candidates: int,
        draw_correction: float,
        max_iter: int,
        logged: tuple[Array, Array],
        rng: np.random.Generator,
        embedding: slice = slice(None),
    ) -> None:
        self.embedding = embedding
        self.model = model
        self.query_rows = query_rows
        self.item_rows = item_rows
        self.scores = scores
        self.loss = loss
        self.draw_correction = draw_correction
        self.every = max(max_iter // (2 * GROWTHS), 1)
        self.candidates = CandidateLists.empty(query_rows.n_rows, n_candidates)
        quarter = max(n_candidates // 4, 1)
        self._take_logged(*logged, quarter, rng)
        self._grow(max(n_candidates - quarter * 3, quarter), rng, params=None)
        self.growth = -(-(n_candidates - 2 * quarter) // GROWTHS)

    def sample(self) -> Any:
        """The uniformly drawn scores, CSR of shape (n_queries, n_items)."""
        drawn = self.candidates.stands_for > 1
        row, place = np.nonzero(drawn)
        return sparse.csr_array(
            (self.candidates.score[row, place], (row, self.candidates.item[row, place])),
            shape=(self.query_rows.n_rows, self.item_rows.n_rows),
        )

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Let the lists grow where it is time, and make their targets."""
        grows = epoch > 0 and epoch % self.every == 0 and epoch // self.every <= GROWTHS
        if grows:
            self._grow(self.growth, rng, params)
        if grows or epoch == 0:
            self.queries, self.item, score, stands_for = self.candidates.flat()
            self.shift, self.weight = correction(
                self.loss, self.draw_correction * np.log(stands_for), self.queries
            )
            self.target = _targets(self.loss, score, self.queries, self.shift)

    def lists(self, chosen: Array) -> tuple[Array, Queries, Array, Array | None, Array | None]:
        """Items, segments, targets, shifts and weights of the queries' lists."""
        rows, queries = self.queries.take(chosen)
        return (
            self.item[rows],
            queries,
            self.target[rows],
            None if self.shift is None else self.shift[rows],
            None if self.weight is None else self.weight[rows],
        )

    def _take_logged(self, query: Array, item: Array, n: int, rng: np.random.Generator) -> None:
        if not len(query):
            return
        # Each pair once, however often it was logged, then a random n of each query.
        pair = np.unique(query * np.int64(self.item_rows.n_rows) + item)
        query, item = np.divmod(pair, self.item_rows.n_rows)
        sizes = np.unique(query, return_counts=True)[1]
        kept = first_of_each(Queries.from_sizes(sizes), rng.random(len(query)), n)
        query, item = query[kept], item[kept]
        self.candidates.append(query, item, self.scores(query, item), 1.0)

    def _grow(self, n: int, rng: np.random.Generator, params: Parameters | None) -> None:
        """Label n more items a query: the student's highest, or without one uniform ones."""
        n_items = self.item_rows.n_rows
        pool = draw_pool(n_items, rng)
        right = None
        for start in range(0, self.query_rows.n_rows, QUERY_CHUNK):
            rows = slice(start, start + QUERY_CHUNK)
            if len(pool) < n_items:
                pool, right = draw_pool(n_items, rng), None
            known = known_in_pool(self.candidates, rows, pool)
            if params is None:
                row, column = pick_uniformly(known, n, rng)
            else:
                if right is None:
                    items = self.item_rows if len(pool) == n_items else self.item_rows.take(pool)
                    right = self.model.embed_items(params, items)
                left = self.model.embed_queries(params, Rows(self.query_rows.X[rows]))
                left = left[self.embedding]
                row, column = pick_highest(left, right, known, n)
            query, item = row + start, pool[column]
            stands_for: Array | float = n_items / len(pool)
            if params is None:
                unknown = n_items - self.candidates.count[rows]
                drawn = np.bincount(row, minlength=len(unknown))
                stands_for = np.maximum(unknown / np.maximum(drawn, 1), 1)[row]
            self.candidates.append(query, item, self.scores(query, item), stands_for)


@dataclass(frozen=True)
class Part:
    """One loss of a step, on the scores of one block of pairs.

    Parameters
    ----------
    is_grid : bool
        Every query of ``query`` with every item of ``item``; else pair by pair.
    query : ndarray of int64, or None
        Rows of the batch; None: all of them.
    item : ndarray of int64, or None
        Rows of the item table; None: the whole catalogue.
    queries : Queries
        Lists that the pairs form.
    share : float
        Factor of the loss.
    target : ndarray, first axis the pairs
    shift : ndarray or None
        Added to the scores: of a grid one number an item, else one a pair.
    weight : ndarray of shape (n_pairs,) or None
    """

    is_grid: bool
    query: Array | None
    item: Array | None
    queries: Queries
    loss: Loss
    share: float
    target: Array
    shift: Array | None
    weight: Array | None

    def value_and_gradient(self, scores: Array) -> float:
        """Value at the scores, which its gradient overwrites: a grid of them is large.

        Some lists at a time, because a loss passes over its lists often.
        """
        total = 0.0
        for lists, rows in _chunks(self.queries, CACHED_PAIRS):
            own = scores[rows]
            if self.shift is not None and self.is_grid:
                own.reshape(lists.n_queries, -1)[...] += self.shift
            elif self.shift is not None:
                own += self.shift[rows]
            weight = None if self.weight is None else self.weight[rows]
            value, slope = self.loss.value_and_gradient(own, self.target[rows], lists, weight)
            share = self.share * lists.n_queries / self.queries.n_queries
            np.multiply(slope, scores.dtype.type(share), out=own)
            total += share * value
        return total

    def block(self, query: Array | None, place: Array | None) -> PairGrid | PairList:
        """Its pairs, given where its queries' embeddings and its items stand in the step."""
        return PairGrid(query, place) if self.is_grid else PairList(query, place)


@dataclass
class TaughtLists:
    """The soft part of a step: the teacher's scores of the lists of its queries.

    Parameters
    ----------
    taught : WholeCatalogue or SampledCatalogue
    loss : Loss
    share : float
    query_weight : ndarray of shape (n_queries,), float32, or None
    """

    taught: WholeCatalogue | SampledCatalogue
    loss: Loss
    share: float
    query_weight: Array | None = None

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        self.taught.begin_epoch(epoch, params, rng)

    def part(self, chosen: Array) -> Part:
        """The lists of these queries."""
        item, queries, target, shift, weight = self.taught.lists(chosen)
        if self.query_weight is not None:
            own = queries.spread(self.query_weight[chosen])
            weight = own if weight is None else weight * own
        query = None if item is None else queries.segment
        return Part(
            item is None, query, item, queries, self.loss, self.share, target, shift, weight
        )


@dataclass
class LoggedLists:
    """The hard part: labels of a step's queries, each against all items the step was logged with.

    Items come into a step as often as they are logged, which the logarithm of that share corrects
    (Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
    RecSys 2019).

    Parameters
    ----------
    log : Log
    loss : Loss
    share : float
    n_items : int
        Of the item table.
    taking_part : ndarray of int64
        Queries that are trained on.
    n_queries : int
        Of the query table.
    """

    log: Log
    loss: Loss
    share: float
    n_items: int
    taking_part: Array
    n_queries: int

    def begin_epoch(self, epoch: int, params: Parameters, rng: np.random.Generator) -> None:
        """Nothing changes from one epoch to the next."""

    def part(self, chosen: Array) -> Part | None:
        """The labels of these queries; None where they have none."""
        segments = self._segment[chosen]
        asking = np.flatnonzero(segments >= 0)
        if not len(asking):
            return None
        rows, logged = self.log.queries.take(segments[asking])
        items, column = distinct(self.log.item[rows], self.n_items)
        queries = Queries.even(len(asking), len(items))
        cell = logged.segment * len(items) + column
        of_logged, of_others = self._targets
        target = np.repeat(of_others[segments[asking]], len(items), axis=0)
        target[cell] = of_logged[rows]
        shift, weight = correction(self.loss, self._rarity[items], Queries.single(len(items)))
        if weight is not None:
            weight = np.tile(weight, len(asking))
            weight[cell] = 1.0
        if self.log.weight is not None:
            weight = np.ones(queries.n_rows, dtype=np.float32) if weight is None else weight
            weight[cell] *= self.log.weight[rows]
        # In expectation over batches a mean over all labelled queries, however many are in this.
        share = self.share * len(asking) / len(chosen) * self._queries_a_label
        own = None if len(asking) == len(chosen) else asking
        return Part(True, own, items, queries, self.loss, share, target, shift, weight)

    @cached_property
    def _segment(self) -> Array:
        """Segment of each query in the log, -1 where it has no labels."""
        segment = np.full(self.n_queries, -1, dtype=np.int64)
        segment[self.log.query] = np.arange(len(self.log.query))
        return segment

    @cached_property
    def _rarity(self) -> Array:
        """How many draws from the log it takes to meet each item, in logarithms."""
        counts = np.bincount(self.log.item, minlength=self.n_items)
        return np.log(counts.sum() / np.maximum(counts, 1)).astype(np.float32)

    @cached_property
    def _targets(self) -> tuple[Array, Array]:
        """Targets of the logged pairs, and for each query that of an item it was not logged with.

        One irrelevant row is added to each query to tell the latter: a loss's target of a row does
        not depend on how many irrelevant ones there are besides. Of a pair that was logged twice
        the better label counts, whatever the order of the log.
        """
        log = self.log
        pair = log.queries.segment * np.int64(self.n_items) + log.item
        first, inverse = np.unique(pair, return_index=True, return_inverse=True)[1:]
        best = np.full(len(first), -np.inf)
        np.maximum.at(best, inverse, log.label)
        ends = log.queries.offsets[1:]
        lists = Queries(log.queries.offsets + np.arange(len(log.query) + 1))
        target = self.loss.hard_target(np.insert(best[inverse], ends, 0.0), lists)
        added = ends + np.arange(len(ends))
        own = np.delete(target, added, axis=0)
        return own.astype(np.float32), target[added].astype(np.float32)

    @cached_property
    def _queries_a_label(self) -> float:
        return len(self.taking_part) / max((self._segment[self.taking_part] >= 0).sum(), 1)


@dataclass
class CatalogueCurriculum:
    """Every query once an epoch.

    Parameters
    ----------
    query_rows : Rows
        All queries.
    item_rows : Rows
        The catalogue, then items of the log that are not in it.
    n_catalogue : int
    batch_size : int
        Queries a step.
    taking_part : ndarray of int64
        Queries that are trained on; others are held out.
    sources : tuple of TaughtLists or LoggedLists
        Each gives a step one part.
    has_objectives : bool
        Whether a query has an embedding for each of the sources, one after the other, rather than
        one for all.
    balance : GradientBalance, optional
        Of the sources.
    """

    query_rows: Rows
    item_rows: Rows
    n_catalogue: int
    batch_size: int
    taking_part: Array
    sources: tuple[TaughtLists | LoggedLists, ...]
    has_objectives: bool = False
    balance: GradientBalance | None = None

    @property
    def n_steps(self) -> int:
        return -(-len(self.taking_part) // self.batch_size)

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        for source in self.sources:
            source.begin_epoch(epoch, params, rng)
        order = rng.permutation(self.taking_part)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            parts = {
                number: part
                for number, source in enumerate(self.sources)
                if (part := source.part(chosen)) is not None
            }
            if parts:
                yield self._inputs(chosen, parts), partial(self._evaluate, parts)

    def _inputs(self, chosen: Array, parts: dict[int, Part]) -> Pairs:
        queries = self.query_rows.take(chosen)
        items = [part.item for part in parts.values() if part.item is not None]
        places: list[Array | None]
        if len(items) < len(parts):
            catalogue = None
            if self.n_catalogue < self.item_rows.n_rows:
                catalogue = np.arange(self.n_catalogue)
            places = [catalogue if part.item is None else part.item for part in parts.values()]
            rows = self.item_rows
        else:
            needed, place = distinct(np.concatenate(items), self.item_rows.n_rows)
            places = list(np.split(place, np.cumsum([len(item) for item in items])[:-1]))
            rows = self.item_rows.take(needed)
        blocks = tuple(
            part.block(self._embedding(number, part.query, len(chosen)), place)
            for (number, part), place in zip(parts.items(), places, strict=True)
        )
        return Pairs(queries, rows, blocks)

    def _embedding(self, number: int, query: Array | None, n_queries: int) -> Array | None:
        """Which embeddings a source's scores are of, given its queries; None: all."""
        if not self.has_objectives:
            return query
        query = np.arange(n_queries) if query is None else query
        return query * len(self.sources) + number

    def _evaluate(self, parts: dict[int, Part], scores: Array) -> tuple[float, Array]:
        """Value of all parts, and their gradients in place of the scores."""
        ends = np.cumsum([part.queries.n_rows for part in parts.values()])
        pieces = np.split(scores, ends[:-1])
        values = [p.value_and_gradient(own) for p, own in zip(parts.values(), pieces, strict=True)]
        if self.balance is not None:
            factors = self.balance.factors(list(parts), pieces)
            for piece, factor in zip(pieces, factors, strict=True):
                piece *= scores.dtype.type(factor)
            values = [value * factor for value, factor in zip(values, factors, strict=True)]
        return float(sum(values)), scores


def correction(
    loss: Loss, log_stands_for: Array, queries: Queries
) -> tuple[Array | None, Array | None]:
    """How a loss takes rows that stand for many: what is added to scores, or rows' weights.

    In a softmax a row that stands for w rows has the logit of one more by log w; elsewhere its term
    counts w-fold, mean 1 over a list.
    """
    scale = getattr(loss, "logit_scale", None)
    if scale is not None:
        return (log_stands_for * scale).astype(np.float32), None
    weight = np.exp(log_stands_for - queries.spread(queries.max(log_stands_for)))
    return None, (weight / queries.spread(queries.mean(weight))).astype(np.float32)


def _targets(loss: Loss, scores: Array, queries: Queries, shift: Array | None = None) -> Array:
    """The loss's targets of many lists, float32, made a chunk of lists at a time in float64."""
    target: Array | None = None
    for lists, rows in _chunks(queries, CHUNK_PAIRS):
        values = scores[rows].astype(np.float64)
        if shift is not None:
            values += shift[rows]
        part = loss.soft_target(values, lists)
        if target is None:
            target = np.empty((queries.n_rows, *part.shape[1:]), dtype=np.float32)
        target[rows] = part
    assert target is not None  # there is at least one list
    return target


def _chunks(queries: Queries, n_rows: int) -> Iterator[tuple[Queries, slice]]:
    """Lists of about so many rows together, and where they stand."""
    per_chunk = max(n_rows * queries.n_queries // queries.n_rows, 1)
    for start in range(0, queries.n_queries, per_chunk):
        offsets = queries.offsets[start : start + per_chunk + 1]
        yield Queries(offsets - offsets[0]), slice(offsets[0], offsets[-1])
