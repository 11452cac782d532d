"""Check a teacher on a catalogue against popularity and against towers trained on labels alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.pairs import PairGrid, Pairs
from skdistill.public_names import set_module
from skdistill.towers.catalogue_supervision import CatalogueSupervision
from skdistill.towers.objectives import MixedObjective
from skdistill.towers.setup import TowerSetup
from skdistill.user_warnings import warn_user

# Number of held-out queries: enough for a standard error of two or three hundredths.
CHECK_QUERIES = 200
# Number of items that are ranked; a larger catalogue is sampled.
CHECK_ITEMS = 20_000
# Limits that keep the towers trained on labels cheap.
LABEL_QUERIES = 5_000
LABEL_EPOCHS = 10
RECALL_AT = 50
# With fewer queries, the standard error is too large to conclude anything.
LEAST_QUERIES = 10


@set_module("skdistill")
class TeacherCheck(NamedTuple):
    """Mean recall of held-out positives in the first m items of the catalogue.

    Attributes
    ----------
    teacher : float
        Recall of the teacher.
    popularity : float
        Recall of ranking items by their number of positives that are not held out.
    label_towers : float
        Recall of the same towers, trained for a few epochs on labels that are not held out.
    m : int
        Length of the ranked lists: 50, or a tenth of a smaller catalogue.
    n_queries : int
        Number of queries; half of the positives of each are held out.
    is_fit : bool
        False if the teacher is behind popularity or the towers by more than the standard error.
    """

    teacher: float
    popularity: float
    label_towers: float
    m: int
    n_queries: int
    is_fit: bool


@set_module("skdistill")
class TeacherWarning(UserWarning):
    """The teacher ranks the catalogue worse than popularity or than towers trained on labels."""


@dataclass(frozen=True)
class HeldOut:
    """Positives of a log that are held out, and the items that are ranked.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), bool
        Rows of the log that are held-out positives.
    others : ndarray of shape (n_rows,), bool
        Rows of the log that are other positives.
    queries : ndarray of int64
        Queries with held-out positives, ascending.
    items : ndarray of int64
        Items to rank: the catalogue, or a sample of a large one that includes the held-out
        positives.
    """

    rows: NDArray[np.bool_]
    others: NDArray[np.bool_]
    queries: NDArray[np.int64]
    items: NDArray[np.int64]

    @classmethod
    def draw(cls, supervision: CatalogueSupervision, rng: np.random.Generator) -> HeldOut | None:
        """Hold out half of the positives of some queries; None if too few queries have two.

        A teacher that is fitted again needs labels too, so that at most half of the labelled
        queries are asked of it.
        """
        assert supervision.data.labels is not None  # checked by the caller
        pairs = supervision.pairs
        positive = (supervision.data.labels > 0) & (pairs.item < pairs.n_catalogue)
        counts = np.bincount(pairs.query[positive], minlength=pairs.n_queries)
        queries = np.flatnonzero(counts >= 2)
        n_asked = min(CHECK_QUERIES, len(queries))
        if supervision.is_teacher_fitted_here:
            labelled = np.unique(pairs.query[supervision.data.is_labelled])
            n_asked = min(n_asked, len(labelled) // 2)
        if n_asked < LEAST_QUERIES:
            return None
        queries = np.sort(rng.choice(queries, n_asked, replace=False))
        rows = positive & np.isin(pairs.query, queries) & (rng.random(len(positive)) < 0.5)
        return cls(rows, positive & ~rows, np.unique(pairs.query[rows]), np.empty(0, np.int64))

    def with_items(self, supervision: CatalogueSupervision, rng: np.random.Generator) -> HeldOut:
        """Add the items to rank."""
        pairs = supervision.pairs
        items = np.arange(pairs.n_catalogue)
        if pairs.n_catalogue > CHECK_ITEMS:
            sample = rng.choice(pairs.n_catalogue, CHECK_ITEMS, replace=False)
            items = np.union1d(sample, pairs.item[self.rows])
        return replace(self, items=items)


def check_teacher_fitness(
    supervision: CatalogueSupervision,
    setup: TowerSetup,
    teach_again: Callable[[CatalogueSupervision], CatalogueSupervision],
    rng: np.random.Generator,
) -> TeacherCheck | None:
    """Compare the teacher with popularity and with towers trained on labels; warn if it is worse.

    Parameters
    ----------
    supervision : CatalogueSupervision
        Without teacher scores or labels, there is nothing to check.
    setup : TowerSetup
    teach_again : callable
        ``teach_again(supervision)`` fits the teacher again. It is called without the labels of the
        held-out queries if the teacher was fitted on them. A prefit teacher may have seen these
        labels, which can only help it.
    rng : Generator

    Returns
    -------
    TeacherCheck or None
        None if there is nothing to check, or too few queries have positives.

    Warns
    -----
    TeacherWarning
        If the teacher is behind popularity or the towers by more than the standard error.
    """
    if not supervision.has_teacher_scores or supervision.data.labels is None:
        return None
    held_out = HeldOut.draw(supervision, rng)
    if held_out is None:
        return None
    teacher_scores = supervision.pair_scores
    if supervision.is_teacher_fitted_here:
        is_asked = np.isin(supervision.pairs.query, held_out.queries)
        without = supervision.with_labels(np.where(is_asked, np.nan, supervision.data.labels))
        teacher_scores = teach_again(without).pair_scores
    assert teacher_scores is not None  # a refitted teacher scores pairs
    held_out = held_out.with_items(supervision, rng)
    m = max(min(RECALL_AT, len(held_out.items) // 10), 1)
    by_teacher = teacher_scores.grid(held_out.queries, held_out.items)
    by_labels = _label_towers(supervision, setup, held_out, rng)
    n_items = supervision.pairs.items.shape[0]
    popularity = np.bincount(supervision.pairs.item[held_out.others], minlength=n_items)
    by_popularity = np.tile(
        popularity[held_out.items].astype(np.float32), (len(held_out.queries), 1)
    )
    teacher, popular, labels = _recalls(
        supervision, held_out, (by_teacher, by_popularity, by_labels), m
    )
    is_fit = not any(_is_behind(teacher, other) for other in (popular, labels))
    check = TeacherCheck(
        teacher=float(teacher.mean()),
        popularity=float(popular.mean()),
        label_towers=float(labels.mean()),
        m=m,
        n_queries=len(held_out.queries),
        is_fit=is_fit,
    )
    if not is_fit:
        warn_user(
            _message(check, setup.objective.way_to_mix_labels),
            TeacherWarning,
        )
    return check


def _label_towers(
    supervision: CatalogueSupervision,
    setup: TowerSetup,
    held_out: HeldOut,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Scores of towers trained for a few epochs on the labels that are not held out."""
    assert supervision.data.labels is not None  # checked by the caller
    labels = np.where(held_out.rows, np.nan, supervision.data.labels)
    rest = supervision.without_teacher().with_labels(labels)
    labelled = np.unique(rest.pairs.query[rest.data.is_labelled])
    if len(labelled) > LABEL_QUERIES:
        sample = rng.choice(labelled, LABEL_QUERIES, replace=False)
        labelled = np.union1d(sample, np.intersect1d(held_out.queries, labelled))
    settings = replace(setup.settings, max_iter=LABEL_EPOCHS)
    model = replace(setup.model, n_objectives=1)
    label_loss = setup.objective.label_loss
    objective = MixedObjective(label_loss, label_loss, alpha=0.0)
    towers = replace(setup, model=model, objective=objective, settings=settings)
    towers = towers.with_automatic(rest.automatic_settings(towers))
    params = towers.initialize(rng)
    batches, _ = rest.make_batches(towers, labelled, rng)
    trained = towers.run(params, batches, rng)
    queries, items = held_out.queries, held_out.items
    pairs = Pairs(towers.query_rows.take(queries), towers.item_rows.take(items), (PairGrid(),))
    return model.forward(trained.params, pairs)[0].reshape(len(queries), len(items))


def _recalls(
    supervision: CatalogueSupervision,
    held_out: HeldOut,
    grids: tuple[NDArray[np.float32], ...],
    m: int,
) -> list[NDArray[np.float64]]:
    """Recall of the held-out positives for each grid of scores, one value per query."""
    pairs = supervision.pairs
    place = np.full(pairs.items.shape[0], -1)
    place[held_out.items] = np.arange(len(held_out.items))
    row = np.searchsorted(held_out.queries, pairs.query)
    row[row == len(held_out.queries)] = 0
    in_grid = (held_out.queries[row] == pairs.query) & (place[pairs.item] >= 0)
    wanted = np.zeros((len(held_out.queries), len(held_out.items)), dtype=bool)
    answers, others = in_grid & held_out.rows, in_grid & held_out.others
    wanted[row[answers], place[pairs.item[answers]]] = True
    recalls = []
    for scores in grids:
        # Other positives must not take places in the lists.
        scores[row[others], place[pairs.item[others]]] = -np.inf
        recalls.append(_recall(scores, wanted, m))
    return recalls


def _recall(scores: NDArray[np.float32], wanted: NDArray[np.bool_], m: int) -> NDArray[np.float64]:
    """Fraction of each row's wanted columns among its m best; ties count by expectation."""
    bar = np.partition(scores, scores.shape[1] - m, axis=1)[:, [scores.shape[1] - m]]
    above, at_bar = scores > bar, scores == bar
    chance = (m - above.sum(axis=1)) / at_bar.sum(axis=1)
    found = (above & wanted).sum(axis=1) + chance * (at_bar & wanted).sum(axis=1)
    return found / wanted.sum(axis=1)


def _is_behind(teacher: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    gap = other - teacher
    return bool(gap.mean() > gap.std() / np.sqrt(len(gap)))


def _message(check: TeacherCheck, way_to_mix_labels: str) -> str:
    return (
        f"In its first {check.m} items of the catalogue, the teacher finds {check.teacher:.3f} of "
        f"the held-out positives of {check.n_queries} queries; popularity finds "
        f"{check.popularity:.3f}, towers trained on labels alone {check.label_towers:.3f}. The "
        "towers will learn the teacher's order nevertheless. This happens if the teacher was "
        "trained on other negatives than the whole catalogue, such as impressions. Add items "
        "sampled uniformly from the catalogue to its training data, or mix in labels, for example "
        f"by {way_to_mix_labels}. These figures are in teacher_check_."
    )
