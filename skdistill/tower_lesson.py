"""What the towers are taught: the log taken apart, the teacher's scores, and steps made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.catalogue import (
    CatalogueCurriculum,
    Log,
    LoggedLists,
    SampledCatalogue,
    TaughtLists,
    WholeCatalogue,
)
from skdistill.columns import take_rows
from skdistill.inputs import Rows
from skdistill.models.two_tower import TwoTower
from skdistill.objective import Objective
from skdistill.pair_table import PairTable
from skdistill.pairs import PairGrid, PairList, Pairs
from skdistill.protocols import Loss, Parameters
from skdistill.queries import Queries
from skdistill.spectral import start_from_spectrum
from skdistill.teachers import (
    PairScores,
    fit_on_labelled,
    is_fitted_for_good,
    score_rows,
    teacher_scores_of,
)
from skdistill.training import (
    Curriculum,
    TableCurriculum,
    Training,
    TrainingSettings,
    train,
)
from skdistill.validation import Validate, ndcg_on, teacher_recall_on

# Early stopping looks at so many items of a larger catalogue.
VALIDATION_ITEMS = 20_000
# Pairs whose teacher scores are asked for at once.
LABEL_PAIRS = 1 << 20

PairFeatures = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class TowerLesson:
    """A log sorted by query, and what is known of its pairs and of those of the catalogue.

    Parameters
    ----------
    table : table of shape (n_rows, ...)
        The log's rows without the query column.
    pairs : PairTable
    queries : Queries
        Segments of the log; query q of ``pairs`` is segment q.
    labels, weight : ndarray of shape (n_rows,) or None
        NaN: no label.
    row_scores : ndarray of shape (n_rows,) or None
        The teacher's scores of the log's rows.
    pair_scores : PairScores or None
        The teacher's scores of any pair.
    is_teacher_fitted_here : bool
        Whether a teacher was fitted on these labels.
    objective_labels : ndarray of shape (n_rows, n_label_objectives) or None
        Where there are several objectives; ``labels`` are then those for the teacher.
    """

    table: Any
    pairs: PairTable
    queries: Queries
    labels: NDArray[np.float64] | None
    weight: NDArray[np.float64] | None
    row_scores: NDArray[np.float64] | None = None
    pair_scores: PairScores | None = None
    is_teacher_fitted_here: bool = False
    objective_labels: NDArray[np.float64] | None = None

    def log(self, labels: NDArray[np.float64] | None) -> Log | None:
        """The labelled rows; None without any."""
        if labels is None:
            return None
        known = ~np.isnan(labels)
        if not known.any():
            return None
        weight = None if self.weight is None else self.weight[known].astype(np.float32)
        return Log(
            self.queries.subset(known),
            np.unique(self.pairs.query[known]),
            self.pairs.item[known],
            labels[known],
            weight,
        )

    def taught_by(
        self, teacher: Any, features: PairFeatures | None, has_catalogue: bool
    ) -> tuple[TowerLesson, Any]:
        """The lesson with the teacher's scores, and the fitted teacher.

        The teacher is fitted on and asked about what ``features`` make of a query and an item;
        without any, which a catalogue can't do, on the log's table as it is.
        """
        rows = self.table if features is None else self._features_of_rows(features)
        fitted = fit_on_labelled(teacher, rows, self.labels, self.queries, self.weight)
        if not has_catalogue:
            return replace(self, row_scores=score_rows(fitted, rows)), fitted
        assert features is not None  # a catalogue has them
        scores = teacher_scores_of(fitted, features, self.pairs.queries, self.pairs.items)
        return (
            replace(
                self, pair_scores=scores, is_teacher_fitted_here=not is_fitted_for_good(teacher)
            ),
            fitted,
        )

    def without(self, queries: NDArray[np.int64]) -> TowerLesson:
        """The lesson with the labels of some queries forgotten."""
        assert self.labels is not None
        labels = np.where(np.isin(self.pairs.query, queries), np.nan, self.labels)
        return replace(self, labels=labels)

    def _features_of_rows(self, features: PairFeatures) -> Any:
        pairs = self.pairs
        return features(take_rows(pairs.queries, pairs.query), take_rows(pairs.items, pairs.item))


@dataclass(frozen=True)
class TowerTraining:
    """What the loop needs to know besides the lesson."""

    model: TwoTower
    query_rows: Rows
    item_rows: Rows
    soft: Loss
    hard: Loss
    alpha: float
    settings: TrainingSettings
    n_candidates: int | None
    draw_correction: float
    spectral_start: bool

    def catalogue(self, n_items: int) -> Rows:
        """The item rows without those that only the log has."""
        rows = self.item_rows
        return rows if n_items == rows.n_rows else rows.take(np.arange(n_items))

    def initialize(self, rng: np.random.Generator) -> Parameters:
        """Fresh parameters of both towers."""
        return self.model.initialize((self.query_rows.n_features, self.item_rows.n_features), rng)

    def run(
        self, params: Parameters, curriculum: Curriculum, rng: np.random.Generator, **watchers: Any
    ) -> Training:
        """Train from these parameters; ``watchers`` are those of :func:`train`."""
        everything = Pairs(self.query_rows, self.item_rows, ())
        optimizer = self.settings.make_optimizer(self.model, params, everything)
        return train(self.model, optimizer, curriculum, self.settings, rng, **watchers)


def over_table(
    lesson: TowerLesson,
    training: TowerTraining,
    taking_part: NDArray[np.int64],
    held_out: NDArray[np.int64] | None,
) -> tuple[Curriculum, Validate | None]:
    """Steps over the log's own lists."""

    def part(queries: NDArray[np.int64]) -> tuple[Pairs, Queries, Any, Any, Any]:
        rows, segments = lesson.queries.take(queries)
        pairs = PairList(lesson.pairs.query[rows], lesson.pairs.item[rows])
        labels, scores, weight = (
            None if column is None else column[rows]
            for column in (lesson.labels, lesson.row_scores, lesson.weight)
        )
        inputs = Pairs(training.query_rows, training.item_rows, (pairs,))
        return inputs, segments, labels, scores, weight

    inputs, queries, labels, scores, weight = part(taking_part)
    objective = Objective.mix(
        queries,
        soft=training.soft,
        hard=training.hard,
        alpha=training.alpha,
        labels=None if labels is None or np.isnan(labels).all() else labels,
        teacher_scores=scores,
        sample_weight=weight,
    )
    if not objective.terms:
        raise ValueError(f"alpha={training.alpha} leaves the teacher out, and no row has a label.")
    curriculum = TableCurriculum(inputs, queries, objective, training.settings)
    if held_out is None:
        return curriculum, None
    inputs, queries, labels, scores, _ = part(held_out)
    return curriculum, ndcg_on(training.model, inputs, queries, labels, scores)


def over_catalogue(
    lesson: TowerLesson,
    training: TowerTraining,
    taking_part: NDArray[np.int64],
    held_out: NDArray[np.int64] | None,
    params: Parameters,
    rng: np.random.Generator,
) -> tuple[Curriculum, Validate | None]:
    """Steps over lists of the catalogue; changes ``params`` to where they start from."""
    log = lesson.log(lesson.labels)
    alpha = training.alpha if lesson.pair_scores is not None else 0.0
    if alpha < 1 and log is None:
        raise ValueError(
            f"alpha={training.alpha} gives labels a share, but no row has one."
            if alpha > 0
            else "No row has a label, and there is no teacher: nothing teaches the towers."
        )
    sources: list[TaughtLists | LoggedLists] = []
    if alpha > 0:
        sources.append(taught_lists(lesson, training, training.soft, alpha, params, rng))
    if alpha < 1:
        assert log is not None  # looked at above
        sources.append(logged_lists(log, training, training.hard, 1 - alpha, taking_part))
    curriculum = CatalogueCurriculum(
        training.query_rows,
        training.item_rows,
        lesson.pairs.n_catalogue,
        training.settings.batch_size,
        taking_part,
        tuple(sources),
    )
    if held_out is None:
        return curriculum, None
    if alpha > 0:
        return curriculum, teacher_validator(lesson, training, held_out, rng)
    assert log is not None  # looked at above
    return curriculum, label_validator(log, lesson, training, held_out, rng)


def taught_lists(
    lesson: TowerLesson,
    training: TowerTraining,
    loss: Loss,
    share: float,
    params: Parameters,
    rng: np.random.Generator,
    embedding: slice = slice(None),
) -> TaughtLists:
    """The teacher's lists; changes ``params`` to where they start from.

    ``embedding`` tells which of the query embeddings learn from the teacher.
    """
    assert lesson.pair_scores is not None
    n_items, n_queries = lesson.pairs.n_catalogue, lesson.pairs.n_queries
    catalogue = training.catalogue(n_items)
    taught: WholeCatalogue | SampledCatalogue
    if training.n_candidates is None or training.n_candidates >= n_items:
        known_scores: Any = score_grid(lesson.pair_scores, np.arange(n_queries), np.arange(n_items))
        taught = WholeCatalogue(known_scores, loss)
    else:
        in_catalogue = lesson.pairs.item < n_items
        taught = SampledCatalogue(
            training.model,
            training.query_rows,
            catalogue,
            lesson.pair_scores,
            loss,
            training.n_candidates,
            training.draw_correction,
            training.settings.max_iter,
            (lesson.pairs.query[in_catalogue], lesson.pairs.item[in_catalogue]),
            rng,
            embedding,
        )
        known_scores = taught.sample()
    if training.spectral_start:
        start_from_spectrum(
            training.model,
            params,
            training.query_rows,
            catalogue,
            known_scores,
            int(rng.integers(2**31 - 1)),
        )
    query_weight = None
    if lesson.weight is not None:
        weight = lesson.weight / lesson.weight.mean()
        query_weight = lesson.queries.mean(weight).astype(np.float32)
    return TaughtLists(taught, loss, share, query_weight)


def logged_lists(
    log: Log, training: TowerTraining, loss: Loss, share: float, taking_part: NDArray[np.int64]
) -> LoggedLists:
    """The labels of the queries that take part."""
    n_queries, n_items = training.query_rows.n_rows, training.item_rows.n_rows
    return LoggedLists(log, loss, share, n_items, taking_part, n_queries)


def teacher_validator(
    lesson: TowerLesson,
    training: TowerTraining,
    held_out: NDArray[np.int64],
    rng: np.random.Generator,
    embedding: int = 0,
) -> Validate:
    """Share of the teacher's top among the towers', of held-out queries."""
    assert lesson.pair_scores is not None
    inputs, seen = _validation_grid(lesson, training, held_out, rng, embedding)
    return teacher_recall_on(training.model, inputs, score_grid(lesson.pair_scores, held_out, seen))


def label_validator(
    log: Log,
    lesson: TowerLesson,
    training: TowerTraining,
    held_out: NDArray[np.int64],
    rng: np.random.Generator,
    embedding: int = 0,
) -> Validate:
    """NDCG@10 of the catalogue by the labels of held-out queries."""
    inputs, seen = _validation_grid(lesson, training, held_out, rng, embedding)
    labels = np.zeros((lesson.pairs.n_queries, training.item_rows.n_rows))
    labels[np.repeat(log.query, log.queries.sizes), log.item] = log.label
    lists = Queries.even(len(held_out), len(seen))
    return ndcg_on(training.model, inputs, lists, labels[held_out][:, seen].ravel(), None)


def _validation_grid(
    lesson: TowerLesson,
    training: TowerTraining,
    held_out: NDArray[np.int64],
    rng: np.random.Generator,
    embedding: int,
) -> tuple[Pairs, NDArray[np.int64]]:
    """One embedding of each held-out query with the catalogue, or some of it, and with which."""
    n_catalogue, n_objectives = lesson.pairs.n_catalogue, training.model.n_objectives
    seen = np.arange(n_catalogue)
    if n_catalogue > VALIDATION_ITEMS:
        seen = np.sort(rng.choice(n_catalogue, VALIDATION_ITEMS, replace=False))
    embeddings = None if n_objectives == 1 else np.arange(len(held_out)) * n_objectives + embedding
    rows = training.query_rows.take(held_out), training.item_rows.take(seen)
    return Pairs(*rows, (PairGrid(embeddings),)), seen


def score_grid(
    scores: PairScores, query: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores of every query with every item, asked for in blocks of bounded memory."""
    grid = np.empty((len(query), len(item)), dtype=np.float32)
    per_block = max(LABEL_PAIRS // len(item), 1)
    for start in range(0, len(query), per_block):
        block = query[start : start + per_block]
        asked = scores(np.repeat(block, len(item)), np.tile(item, len(block)))
        grid[start : start + per_block] = asked.reshape(len(block), len(item))
    return grid
