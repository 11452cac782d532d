"""What a row costs a service: models are timed in turns, each on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skdistill.inputs.checks import check_k
from skdistill.inputs.columns import as_table, column_names, take_rows
from skdistill.inputs.pipelines import last_step
from skdistill.inspection.models import (
    check_models,
    dense_rows,
    student_columns,
    student_of,
    unwrapped,
)
from skdistill.public_names import set_module
from skdistill.serving.compiled import CompiledScorer, compile_scorer
from skdistill.students.pipelines import through_head
from skdistill.teachers.asking import unchecked_scores
from skdistill.teachers.boosters import is_lightgbm_booster
from skdistill.teachers.columns import teacher_table
from skdistill.threads import single_thread

# Rows of a measurement, unless they take longer than a tenth of a second.
MOST_ROWS, FEWEST_ROWS = 10_000, 100
LONGEST, SHORTEST = 0.1, 2e-3
ROUNDS = 7
# Calls of which the fastest tells how many rows to score at a time.
TRIES = 3

Score = Callable[[], Any]


@set_module("skdistill.inspection")
@dataclass(frozen=True)
class RowCost:
    """Time of a row on one thread.

    Parameters
    ----------
    seconds : float
        Median of the rounds.
    low, high : float
        Quartiles of the rounds.
    """

    seconds: float
    low: float
    high: float


def serving_call(model: Any, X: Any) -> Score:
    """Return a function that scores a table as a service would.

    Students are compiled if they can be. LightGBM is asked for by its Booster. Columns are selected
    before, because a service has those of its model.

    Parameters
    ----------
    model : student, DistilledRanker, Pipeline, Booster, estimator, compiled scorer or callable
        Fitted.
    X : table of shape (n_rows, n_features)
        The columns of ``fit``.

    Returns
    -------
    callable
        Without arguments; returns the scores.
    """
    model = unwrapped(model)
    if isinstance(model, CompiledScorer):
        return _compiled_call(model, X)
    table = student_columns(model, X)
    student = student_of(model)
    with suppress(TypeError):  # not one that can be compiled
        return _compiled_call(compile_scorer(student), table)
    trees = unwrapped(last_step(student))
    booster = getattr(trees, "booster_", trees)
    if is_lightgbm_booster(booster) and isinstance(student, Pipeline):
        return lambda: booster.predict(
            teacher_table(booster, through_head(student, table)), num_threads=1
        )
    if is_lightgbm_booster(booster):
        table = teacher_table(booster, table)
        return lambda: booster.predict(table, num_threads=1)
    return lambda: unchecked_scores(model, X)


def _compiled_call(scorer: CompiledScorer, X: Any) -> Score:
    """Score by a compiled scorer, which gets an array in the type that it is fastest on."""
    table = dense_rows(scorer, X) if column_names(X) is None else X
    return lambda: scorer(table)


@set_module("skdistill.inspection")
def row_costs(models: Mapping[str, Any], X: Any, *, rounds: int = ROUNDS) -> dict[str, RowCost]:
    """Measure what a row costs, for several models in turns.

    Each model scores as a service would that has one thread: a student by its compiled scorer, a
    LightGBM model by its Booster, others by ``predict``. A data frame is passed as it is, so that
    reading its columns counts.

    Parameters
    ----------
    models : dict of str to model
        Fitted models by name. Compiled scorers and functions of the table are models too.
    X : table of shape (n_rows, n_features)
        The columns of ``fit``. Up to 10,000 rows are scored at a time, and fewer if the slowest
        model takes longer than a tenth of a second.
    rounds : int, default=7
        Number of measurements of each model.

    Returns
    -------
    dict of str to RowCost
        Seconds per row, by name.

    Raises
    ------
    ValueError
        If there is no model, or ``rounds`` is invalid.
    TypeError
        If a model cannot score.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.inspection import row_costs
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=20, random_state=0)
    >>> student = LinearRanker(random_state=0).fit(data.X, data.y, qid=data.qid)
    >>> row_costs({"linear": student}, data.X)["linear"].seconds < 1e-3
    True
    """
    check_models(models)
    check_k(rounds, "rounds")
    table = as_table(X)
    return costs_on_tables({name: (model, table) for name, model in models.items()}, rounds)


def costs_on_tables(
    models: Mapping[str, tuple[Any, Any]], rounds: int = ROUNDS
) -> dict[str, RowCost]:
    """Measure what a row costs as :func:`row_costs` does, each model on a table of its own."""
    with single_thread():
        n_rows, calls = FEWEST_ROWS, _calls(models, FEWEST_ROWS)
        # A call has a fixed cost too, so that more rows do not take as much more time.
        while n_rows < MOST_ROWS:
            slowest = max(map(_fewest_seconds, calls.values()))
            if slowest > LONGEST / 2:
                break
            n_rows = int(min(n_rows * max(LONGEST / slowest, 2), MOST_ROWS))
            calls = _calls(models, n_rows)
        repeats = {name: 1 + int(SHORTEST / _seconds(call, 1)) for name, call in calls.items()}
        times = np.array(
            [
                [_warm_seconds(call, repeats[name]) / n_rows for name, call in calls.items()]
                for _ in range(rounds)
            ]
        )
    quartiles = np.quantile(times, [0.5, 0.25, 0.75], axis=0).T.tolist()
    return {name: RowCost(*of) for name, of in zip(calls, quartiles, strict=True)}


def _calls(models: Mapping[str, tuple[Any, Any]], n_rows: int) -> dict[str, Score]:
    """Functions that score so many rows by each model, which may stand there several times."""
    return {
        name: serving_call(model, take_rows(X, np.arange(n_rows) % X.shape[0]))
        for name, (model, X) in models.items()
    }


def _fewest_seconds(call: Score) -> float:
    """Time a call at its best: the first one may load libraries, and any may be interrupted."""
    return min(_seconds(call, 1) for _ in range(TRIES))


def _warm_seconds(call: Score, repeats: int) -> float:
    """Time a call as a service makes it, which has not just called another model."""
    call()
    return _seconds(call, repeats)


def _seconds(call: Score, repeats: int) -> float:
    """Time a call, on average over a number of repeats."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
