"""The weight of the teacher's scores beside labels, chosen on held-out queries."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.ranking_data import RankingData, SyntheticRows
from skdistill.students.estimator import StudentEstimator

AUTO = "auto"
# What "auto" stays at unless another weight is better in all parts.
DEFAULT_ALPHA = 0.5
ALPHAS = (0.1, DEFAULT_ALPHA, 0.9)
# Parts that held-out queries are divided into, and fewest queries of a part whose labels differ.
N_PARTS = 3
LEAST_QUERIES = 2


class ChosenAlpha(NamedTuple):
    """A weight of the teacher, and what held-out labels say of each.

    Attributes
    ----------
    alpha : float
    scores : dict of float to float, or None
        Mean over the parts by weight; None if there was nothing to choose.
    """

    alpha: float
    scores: dict[float, float] | None


def nominal_alpha(alpha: float | str) -> float:
    """Return the weight of the teacher, which "auto" has not chosen yet."""
    return DEFAULT_ALPHA if isinstance(alpha, str) else alpha


def check_can_choose(data: RankingData, validation: RankingData | None) -> None:
    """Check that there are enough labels to compare weights by.

    Raises
    ------
    ValueError
        If too few queries have labels that differ. Without any labels there is nothing to choose.
    """
    if data.is_labelled.any() and not _is_enough(validation) and not _is_enough(data):
        n_queries = len(_telling_queries(data))
        raise ValueError(
            f'alpha="auto" compares weights on held-out queries, and needs at least '
            f"{N_PARTS * LEAST_QUERIES} queries whose labels differ, got {n_queries}. Pass more "
            "labels, or set alpha to a number from 0 to 1."
        )


def choose_alpha(
    student: StudentEstimator,
    data: RankingData,
    synthetic: SyntheticRows | None,
    validation: RankingData | None,
    seed: int,
) -> ChosenAlpha:
    """Train the student with each weight, and compare them by the labels of held-out queries.

    Parameters
    ----------
    student : StudentEstimator
        With its objective set, but not fitted. It is not changed.
    data : RankingData
        Rows of the student, with the teacher's scores.
    synthetic : SyntheticRows or None
    validation : RankingData or None
        Rows by which training stops early. If they are labelled, they are the held-out queries;
        otherwise each third of the labelled queries is held out once.
    seed : int
        Seed of the parts.

    Returns
    -------
    ChosenAlpha
    """
    if not data.is_labelled.any():
        return ChosenAlpha(DEFAULT_ALPHA, None)
    columns = []
    for train, parts in _splits(data, validation, np.random.default_rng(seed)):
        trained = [
            copy.deepcopy(student).set_params(alpha=alpha, verbose=False).set_callbacks()
            for alpha in ALPHAS
        ]
        for one in trained:
            one.fit_ranking_data(train, synthetic, validation)
        columns += [[one.make_validator(part)(one.params_) for one in trained] for part in parts]
    found = np.array(columns).T
    scores = dict(zip(ALPHAS, found.mean(axis=1).tolist(), strict=True))
    return ChosenAlpha(ALPHAS[best_weight(found)], scores)


def best_weight(found: NDArray[np.float64]) -> int:
    """Return the best weight among the usual one and those that are better in every part.

    Parameters
    ----------
    found : ndarray of shape (n_weights, n_parts)
        What held-out labels say, higher is better.

    Returns
    -------
    int
        Position in ``ALPHAS``.
    """
    usual = ALPHAS.index(DEFAULT_ALPHA)
    is_candidate = (found > found[usual]).all(axis=1)
    is_candidate[usual] = True
    return int(np.argmax(np.where(is_candidate, found.mean(axis=1), -np.inf)))


def _splits(
    data: RankingData, validation: RankingData | None, rng: np.random.Generator
) -> Iterator[tuple[RankingData, list[RankingData]]]:
    """Yield rows to train on, and parts of the queries to compare on."""
    if validation is not None and _is_enough(validation):
        yield data, [validation.take_queries(part) for part in _parts(validation, rng)]
        return
    for part in _parts(data, rng):
        rest = np.setdiff1d(np.arange(data.queries.n_queries), part)
        yield data.take_queries(rest), [data.take_queries(part)]


def _parts(data: RankingData, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Divide the queries that tell weights apart at random."""
    shuffled = rng.permutation(_telling_queries(data))
    return [np.sort(part) for part in np.array_split(shuffled, N_PARTS)]


def _is_enough(data: RankingData | None) -> bool:
    """Whether each part would have enough queries."""
    return data is not None and len(_telling_queries(data)) >= N_PARTS * LEAST_QUERIES


def _telling_queries(data: RankingData) -> NDArray[np.int64]:
    """Queries whose labels differ or, if each row is a query of its own, those with a label."""
    if data.labels is None:
        return np.arange(0)
    is_labelled, queries = data.is_labelled, data.queries
    if not queries.has_lists:
        return np.flatnonzero(is_labelled)
    highest = queries.max(np.where(is_labelled, data.labels, -np.inf))
    lowest = queries.min(np.where(is_labelled, data.labels, np.inf))
    return np.flatnonzero(highest > lowest)
