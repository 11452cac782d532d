"""The rows that a stage is taught on: what the stage before passes, logged and random rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.cascade.candidates import Candidates
from skdistill.cascade.problem import CascadeProblem

SOURCES = ("passed", "logged", "random")


@dataclass(frozen=True)
class PairRows:
    """Pairs of the queries of a log and items of the catalogue, sorted by query.

    Parameters
    ----------
    query, item : ndarray of shape (n_pairs,), int64
        The pairs; no pair comes twice.
    label : ndarray of shape (n_pairs,), float64
        Logged labels, NaN for pairs that were not logged.
    weight : ndarray of shape (n_pairs,), float64, or None
        Weights of logged rows; 1 for other pairs.
    origin : ndarray of shape (n_pairs,), int64
        Number of the pair's source in ``SOURCES``; a logged pair that is also passed counts as
        both, and has that of "logged".
    is_passed : ndarray of shape (n_pairs,), bool
        Whether the stage before passes the pair.
    """

    query: NDArray[np.int64]
    item: NDArray[np.int64]
    label: NDArray[np.float64]
    weight: NDArray[np.float64] | None
    origin: NDArray[np.int64]
    is_passed: NDArray[np.bool_]

    def take(self, rows: NDArray[Any]) -> PairRows:
        """Select rows by a mask or by number."""
        return PairRows(
            self.query[rows],
            self.item[rows],
            self.label[rows],
            None if self.weight is None else self.weight[rows],
            self.origin[rows],
            self.is_passed[rows],
        )

    def of_sources(self, sources: tuple[str, ...]) -> NDArray[np.bool_]:
        """Mask of the pairs that come from some sources."""
        mask = np.isin(self.origin, [SOURCES.index(source) for source in sources])
        return mask | self.is_passed if "passed" in sources else mask


def gather_rows(
    problem: CascadeProblem,
    passed: Candidates,
    exploration: float,
    rng: np.random.Generator,
) -> PairRows:
    """Gather the pairs of all sources.

    Parameters
    ----------
    problem : CascadeProblem
        The log.
    passed : Candidates
        What the stage before passes, for each query of the log.
    exploration : float
        Number of random pairs, as a fraction of all pairs.
    rng : Generator
        Draws the random pairs, uniformly from the items that are neither logged nor passed.

    Returns
    -------
    PairRows
    """
    n_items, data = problem.n_items, problem.data
    in_catalogue = np.flatnonzero(problem.pairs.item < n_items)
    logged = problem.pairs.query[in_catalogue] * n_items + problem.pairs.item[in_catalogue]
    # A pair that was logged several times counts once, with its largest label, then weight.
    label_of_log = np.full(data.n_rows, np.nan) if data.labels is None else data.labels
    worth = np.nan_to_num(label_of_log[in_catalogue], nan=-np.inf)
    row_weight = np.ones(data.n_rows) if data.sample_weight is None else data.sample_weight
    by_worth = np.lexsort((-row_weight[in_catalogue], -worth))
    logged, first = np.unique(logged[by_worth], return_index=True)
    of_log = in_catalogue[by_worth[first]]
    query, item = passed.pairs()
    passed_keys = np.unique(query * n_items + item)
    exposed = np.union1d(logged, passed_keys)
    n_random = round(exploration / (1 - exploration) * len(exposed))
    drawn_query = rng.integers(problem.n_queries, size=n_random)
    drawn = drawn_query * n_items + rng.integers(n_items, size=n_random)
    keys = np.union1d(exposed, drawn)
    origin = np.full(len(keys), SOURCES.index("random"))
    origin[np.searchsorted(keys, passed_keys)] = SOURCES.index("passed")
    at_log = np.searchsorted(keys, logged)
    origin[at_log] = SOURCES.index("logged")
    label = np.full(len(keys), np.nan)
    label[at_log] = label_of_log[of_log]
    weight = None
    if data.sample_weight is not None:
        weight = np.ones(len(keys))
        weight[at_log] = data.sample_weight[of_log]
    is_passed = np.zeros(len(keys), dtype=bool)
    is_passed[np.searchsorted(keys, passed_keys)] = True
    return PairRows(keys // n_items, keys % n_items, label, weight, origin, is_passed)
