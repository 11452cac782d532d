"""What the towers are taught: the log taken apart, the teacher's scores, and steps made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.catalogue import CatalogueCurriculum, Log, SampledCatalogue, WholeCatalogue
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
    """

    table: Any
    pairs: PairTable
    queries: Queries
    labels: NDArray[np.float64] | None
    weight: NDArray[np.float64] | None
    row_scores: NDArray[np.float64] | None = None
    pair_scores: PairScores | None = None
    is_teacher_fitted_here: bool = False

    @property
    def log(self) -> Log | None:
        """The labelled rows; None without any."""
        if self.labels is None:
            return None
        known = ~np.isnan(self.labels)
        if not known.any():
            return None
        weight = None if self.weight is None else self.weight[known].astype(np.float32)
        return Log(
            self.queries.subset(known),
            np.unique(self.pairs.query[known]),
            self.pairs.item[known],
            self.labels[known],
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
    log = lesson.log
    alpha = training.alpha if lesson.pair_scores is not None else 0.0
    if alpha < 1 and log is None:
        raise ValueError(
            f"alpha={training.alpha} gives labels a share, but no row has one."
            if alpha > 0
            else "No row has a label, and there is no teacher: nothing teaches the towers."
        )
    n_catalogue = lesson.pairs.n_catalogue
    catalogue = training.item_rows
    if n_catalogue < catalogue.n_rows:
        catalogue = catalogue.take(np.arange(n_catalogue))
    taught: WholeCatalogue | SampledCatalogue | None = None
    if alpha > 0:
        assert lesson.pair_scores is not None
        taught, known_scores = _taught(lesson, training, catalogue, rng)
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
    curriculum = CatalogueCurriculum(
        training.query_rows,
        training.item_rows,
        n_catalogue,
        training.settings.batch_size,
        taking_part,
        training.soft,
        training.hard,
        alpha,
        taught,
        log if alpha < 1 else None,
        query_weight,
    )
    if held_out is None:
        return curriculum, None
    seen = np.arange(n_catalogue)
    if n_catalogue > VALIDATION_ITEMS:
        seen = np.sort(rng.choice(n_catalogue, VALIDATION_ITEMS, replace=False))
    inputs = Pairs(training.query_rows.take(held_out), training.item_rows.take(seen), (PairGrid(),))
    if lesson.pair_scores is not None and taught is not None:
        scores = score_grid(lesson.pair_scores, held_out, seen)
        return curriculum, teacher_recall_on(training.model, inputs, scores)
    assert log is not None  # alpha is 0
    labels = np.zeros((lesson.pairs.n_queries, training.item_rows.n_rows))
    labels[np.repeat(log.query, log.queries.sizes), log.item] = log.label
    lists = Queries.even(len(held_out), len(seen))
    return curriculum, ndcg_on(
        training.model, inputs, lists, labels[held_out][:, seen].ravel(), None
    )


def _taught(
    lesson: TowerLesson, training: TowerTraining, catalogue: Rows, rng: np.random.Generator
) -> tuple[WholeCatalogue | SampledCatalogue, Any]:
    """The lists of the soft part, and the scores that are known at the start."""
    assert lesson.pair_scores is not None
    n_items, n_queries = catalogue.n_rows, lesson.pairs.n_queries
    if training.n_candidates is None or training.n_candidates >= n_items:
        scores = score_grid(lesson.pair_scores, np.arange(n_queries), np.arange(n_items))
        return WholeCatalogue(scores, training.soft), scores
    in_catalogue = lesson.pairs.item < n_items
    sampled = SampledCatalogue(
        training.model,
        training.query_rows,
        catalogue,
        lesson.pair_scores,
        training.soft,
        training.n_candidates,
        training.draw_correction,
        training.settings.max_iter,
        (lesson.pairs.query[in_catalogue], lesson.pairs.item[in_catalogue]),
        rng,
    )
    return sampled, sampled.sample()


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
