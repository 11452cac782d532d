"""Is the teacher fit to teach a catalogue? Held against popularity and against the labels alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skdistill.pairs import PairGrid, Pairs
from skdistill.teachers import PairScores
from skdistill.tower_lesson import TowerLesson, TowerTraining, over_catalogue, score_grid

# Enough for a standard error of two or three hundredths.
CHECK_QUERIES = 200
CHECK_ITEMS = 20_000
# Towers on labels learn from so many queries, for so many epochs.
LABEL_QUERIES = 5_000
LABEL_EPOCHS = 10
RECALL_AT = 50
# Fewer queries say nothing.
LEAST_QUERIES = 10


class TeacherCheck(NamedTuple):
    """Mean recall of held-out positives among the first m of the catalogue.

    Attributes
    ----------
    teacher, popularity, label_towers : float
        Of the teacher; of the items' counts among the other positives; of the same towers trained
        for a few epochs on the other labels.
    m : int
        50, or a tenth of a smaller catalogue.
    n_queries : int
        Held-out queries; of each, half of the positives.
    is_fit : bool
        False where the teacher is behind either by more than the standard error.
    """

    teacher: float
    popularity: float
    label_towers: float
    m: int
    n_queries: int
    is_fit: bool


class TeacherWarning(UserWarning):
    """The teacher orders the catalogue worse than something that costs nothing."""


def check_teacher_fitness(
    lesson: TowerLesson,
    towers: TowerTraining,
    teach_again: Callable[[TowerLesson], TowerLesson],
    rng: np.random.Generator,
) -> TeacherCheck | None:
    """Compare, and warn about a teacher that loses.

    Parameters
    ----------
    lesson : TowerLesson
        With the teacher's scores of pairs; else there is nothing to check.
    towers : TowerTraining
    teach_again : callable
        Fits the teacher to a lesson without the held-out queries, where it was fitted on this one;
        a frozen one may have seen them, and is the better for it.
    rng : Generator

    Returns
    -------
    TeacherCheck or None
        None without a teacher, and where too few queries have positives.
    """
    if lesson.pair_scores is None or lesson.labels is None:
        return None
    query, item = lesson.pairs.query, lesson.pairs.item
    n_catalogue = lesson.pairs.n_catalogue
    positive = (lesson.labels > 0) & (item < n_catalogue)
    counts = np.bincount(query[positive], minlength=lesson.pairs.n_queries)
    asked = np.flatnonzero(counts >= 2)
    if len(asked) < LEAST_QUERIES:
        return None
    asked = np.sort(rng.choice(asked, min(CHECK_QUERIES, len(asked)), replace=False))
    held_out = positive & np.isin(query, asked) & (rng.random(len(query)) < 0.5)
    asked = np.unique(query[held_out])
    rest = replace(lesson, labels=np.where(held_out, np.nan, lesson.labels))
    scores_of: PairScores | None = lesson.pair_scores
    if lesson.is_teacher_fitted_here:
        scores_of = teach_again(lesson.without(asked)).pair_scores

    items = np.arange(n_catalogue)
    if n_catalogue > CHECK_ITEMS:
        sample = rng.choice(n_catalogue, CHECK_ITEMS, replace=False)
        items = np.union1d(sample, item[held_out])
    m = max(min(RECALL_AT, len(items) // 10), 1)
    assert scores_of is not None  # a refitted teacher scores pairs
    by_teacher = score_grid(scores_of, asked, items)
    popularity = np.bincount(item[positive & ~held_out], minlength=lesson.pairs.items.shape[0])
    by_popularity = np.tile(popularity[items].astype(np.float32), (len(asked), 1))
    by_labels = _label_towers(rest, towers, asked, items, rng)
    place = np.full(lesson.pairs.items.shape[0], -1)
    place[items] = np.arange(len(items))
    row = np.searchsorted(asked, query)
    row[row == len(asked)] = 0
    of_asked = (asked[row] == query) & positive & (place[item] >= 0)
    wanted = np.zeros((len(asked), len(items)), dtype=bool)
    wanted[row[of_asked & held_out], place[item[of_asked & held_out]]] = True
    known = of_asked & ~held_out
    recalls = []
    for scores in (by_teacher, by_popularity, by_labels):
        # Positives that were not held out are no answers.
        scores[row[known], place[item[known]]] = -np.inf
        recalls.append(_recall(scores, wanted, m))
    teacher, popular, labels = recalls
    is_fit = not any(_is_behind(teacher, other) for other in (popular, labels))
    means = [float(recall.mean()) for recall in recalls]
    check = TeacherCheck(means[0], means[1], means[2], m, len(asked), is_fit)
    if not is_fit:
        warnings.warn(_message(check), TeacherWarning, stacklevel=4)
    return check


def _label_towers(
    lesson: TowerLesson,
    towers: TowerTraining,
    asked: NDArray[np.int64],
    items: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Scores of towers trained on the labels alone."""
    labelled = np.unique(lesson.pairs.query[~np.isnan(lesson.labels)])  # type: ignore[arg-type]
    if len(labelled) > LABEL_QUERIES:
        sample = rng.choice(labelled, LABEL_QUERIES, replace=False)
        labelled = np.union1d(sample, np.intersect1d(asked, labelled))
    settings = replace(towers.settings, max_iter=LABEL_EPOCHS)
    model = replace(towers.model, n_objectives=1)
    towers = replace(towers, model=model, alpha=0.0, settings=settings)
    params = towers.initialize(rng)
    curriculum, _ = over_catalogue(
        replace(lesson, pair_scores=None), towers, labelled, None, params, rng
    )
    trained = towers.run(params, curriculum, rng)
    pairs = Pairs(towers.query_rows.take(asked), towers.item_rows.take(items), (PairGrid(),))
    return towers.model.forward(trained.params, pairs)[0].reshape(len(asked), len(items))


def _recall(scores: NDArray[np.float32], wanted: NDArray[np.bool_], m: int) -> NDArray[np.float64]:
    """Share of each row's wanted columns among its m best; of equal scores, as by chance."""
    bar = np.partition(scores, scores.shape[1] - m, axis=1)[:, [scores.shape[1] - m]]
    above, at_bar = scores > bar, scores == bar
    chance = (m - above.sum(axis=1)) / at_bar.sum(axis=1)
    found = (above & wanted).sum(axis=1) + chance * (at_bar & wanted).sum(axis=1)
    return found / wanted.sum(axis=1)


def _is_behind(teacher: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    gap = other - teacher
    return bool(gap.mean() > gap.std() / np.sqrt(len(gap)))


def _message(check: TeacherCheck) -> str:
    return (
        f"The teacher finds {check.teacher:.3f} of {check.n_queries} queries' held-out positives "
        f"among its first {check.m} items of the catalogue; popularity finds "
        f"{check.popularity:.3f}, towers trained on the labels {check.label_towers:.3f}. The "
        "towers will copy its order all the same. This happens when a teacher was trained on "
        "another distribution of negatives than a whole catalogue, such as impressions. Train it "
        "on items sampled uniformly from the catalogue too, or mix the labels in by alpha < 1; "
        "the figures are in teacher_check_."
    )
