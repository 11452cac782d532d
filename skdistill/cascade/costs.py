"""What each stage of a cascade costs, measured: per request and per pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.cascade.funnel import Funnel, Stage
from skdistill.inputs.columns import take_rows
from skdistill.public_names import set_module
from skdistill.teachers.asking import unchecked_scores

# Requests of a measurement; their medians are compared.
REPEATS = 15
MICROSECONDS = 1e6


@set_module("skdistill.cascade")
@dataclass(frozen=True)
class StageCost:
    """Time of a stage for one query, in microseconds.

    Parameters
    ----------
    per_call : float
        Whatever the number of pairs.
    per_row : float
        Per pair that the stage scores; for the first stage, per item that it returns.
    features_per_call, features_per_row : float
        What building the features adds.
    """

    per_call: float
    per_row: float
    features_per_call: float = 0.0
    features_per_row: float = 0.0

    def of(self, n_rows: Any) -> Any:
        """Return the time for some numbers of pairs.

        Parameters
        ----------
        n_rows : int or ndarray of int
            Number of pairs.

        Returns
        -------
        float or ndarray
            Microseconds.
        """
        row = self.per_row + self.features_per_row
        return self.per_call + self.features_per_call + row * np.asarray(n_rows)


def measure_costs(
    funnel: Funnel, queries: Any, widths: Mapping[str, int], repeats: int = REPEATS
) -> dict[str, StageCost]:
    """Measure the stages on single queries, as a service calls them.

    Each stage is timed on few and on many pairs in turn. The line through the two medians is its
    cost.

    Parameters
    ----------
    funnel : Funnel
        The fitted stages.
    queries : table of shape (n_queries, n_query_columns)
        Queries to ask, one after the other.
    widths : dict of str to int
        Largest number of pairs of each stage that matters.
    repeats : int
        Number of queries that are timed for each number of pairs.

    Returns
    -------
    dict of str to StageCost
        By name of the stage.
    """
    n_items = funnel.items.shape[0]
    ones, costs = _single_queries(queries, repeats), {}

    def retrieve(query: Any, size: int) -> None:
        funnel.retrieval.retrieve(query, size, None, None)

    few, many = _few_and_many(min(widths[funnel.name], n_items))
    costs[funnel.name] = StageCost(*_line(retrieve, ones, few, many))
    for stage in funnel.stages:
        costs[stage.name] = cost_of_stage(funnel.items, stage, queries, widths[stage.name], repeats)
    return costs


def _few_and_many(width: int) -> tuple[int, int]:
    """Two numbers of pairs to measure; the same if there is only one."""
    return max(width // 8, 1), max(width, 2)


def _single_queries(queries: Any, repeats: int) -> list[Any]:
    """Tables of one query each."""
    return [take_rows(queries, np.array([q % queries.shape[0]])) for q in range(repeats)]


def cost_of_stage(
    items: Any, stage: Stage, queries: Any, width: int, repeats: int = REPEATS
) -> StageCost:
    """Time the features of a stage and its model apart.

    Parameters
    ----------
    items : table of shape (n_items, n_item_columns)
        The catalogue.
    stage : Stage
        The stage.
    queries : table of shape (n_queries, n_query_columns)
        Queries to ask, one after the other.
    width : int
        Largest number of pairs that matters.
    repeats : int
        Number of queries that are timed for each number of pairs.

    Returns
    -------
    StageCost
    """
    n_items = items.shape[0]
    ones, (few, many) = _single_queries(queries, repeats), _few_and_many(min(width, n_items))
    rng = np.random.default_rng(0)
    tables: dict[int, Any] = {}

    def build(query: Any, size: int) -> None:
        item = rng.integers(n_items, size=size)
        first: NDArray[np.int64] = np.zeros(size, dtype=np.int64)
        scores = {name: np.zeros(size) for name in stage.table.score_columns}
        tables[size] = stage.table.rows(query, items, first, item, scores)

    def score(query: Any, size: int) -> None:
        unchecked_scores(stage.model, tables[size])

    features = _line(build, ones, few, many)
    return StageCost(*_line(score, ones, few, many), *features)


def _line(
    run: Callable[[Any, int], None], ones: list[Any], few: int, many: int
) -> tuple[float, float]:
    """Return the microseconds per call and per row of a function that is timed twice per query."""
    times: dict[int, list[float]] = {few: [], many: []}
    for query in [ones[0], *ones]:  # the first call warms up
        for size in (few, many):
            start = time.perf_counter()
            run(query, size)
            times[size].append(time.perf_counter() - start)
    low, high = (MICROSECONDS * float(np.median(times[size][1:])) for size in (few, many))
    per_row = max(high - low, 0.0) / (many - few)
    return max(low - per_row * few, 0.0), per_row
