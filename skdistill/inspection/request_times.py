"""What a request would cost: untrained students answer requests in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone

from skdistill.inputs.columns import column_names, take_rows
from skdistill.inputs.ranking_data import RankingData
from skdistill.inspection.models import dense_rows, student_columns
from skdistill.inspection.sampling import some_queries
from skdistill.serving.compiled import CompiledScorer, compile_scorer
from skdistill.threads import single_thread

# Rows on which students are fitted for an epoch.
CALIBRATION_ROWS = 20_000
ROUNDS, REQUESTS = 15, 8
MICROSECONDS = 1e6


def request_times(
    students: Mapping[str, Any], data: RankingData, request_rows: int, seed: int
) -> tuple[dict[str, float], float]:
    """Predict the microseconds of a request for each student.

    A student is trained for an epoch on some rows, because what it costs depends on the columns
    that it squashes and on their categories, but not on its weights. The compiled students answer
    requests of different rows in turns.

    Parameters
    ----------
    students : dict of str to student
        Unfitted.
    data : RankingData
        Training rows with labels.
    request_rows : int
        Number of rows of a request.
    seed : int
        Seeds the choice of rows.

    Returns
    -------
    times : dict of str to float
        Median over the rounds.
    reading : float
        Microseconds that reading a request of a data frame takes besides; 0 for arrays.
    """
    some = some_queries(data, CALIBRATION_ROWS, seed)
    assert some.labels is not None  # required by suggest_student
    rows = np.arange(REQUESTS * request_rows) % some.n_rows
    calls = {}
    for name, student in students.items():
        fitted = clone(student).set_params(max_iter=1)
        fitted.fit(some.X, np.nan_to_num(some.labels), qid=some.queries.segment)
        scorer = compile_scorer(fitted)
        table = student_columns(fitted, some.X)
        frames = [take_rows(table, part) for part in np.split(rows, REQUESTS)]
        calls[name] = scorer, [encoded(scorer, frame) for frame in frames]
    times: dict[str, list[float]] = {name: [] for name in calls}
    with single_thread():
        for _ in range(ROUNDS + 1):
            for name, (scorer, requests) in calls.items():
                start = time.perf_counter()
                for request in requests:
                    scorer(*request)
                times[name].append(MICROSECONDS * (time.perf_counter() - start) / REQUESTS)
        reading = _reading_time(scorer, frames) if column_names(some.X) is not None else 0.0
    # The first round fills the caches.
    return {name: float(np.median(of[1:])) for name, of in times.items()}, reading


def _reading_time(scorer: CompiledScorer, frames: list[Any]) -> float:
    """Median time of reading data frames."""
    times = []
    for frame in [frames[0], *frames]:
        start = time.perf_counter()
        scorer.encode(frame)
        times.append(MICROSECONDS * (time.perf_counter() - start))
    return float(np.median(times[1:]))


def encoded(scorer: CompiledScorer, rows: Any) -> tuple[Any, ...]:
    """Return rows as a compiled scorer takes them fastest.

    Parameters
    ----------
    scorer : CompiledScorer
        It knows the columns.
    rows : table of shape (n_rows, n_features)
        The columns of ``fit``.

    Returns
    -------
    tuple of ndarray
        Arguments of a call: the numbers, and the codes of categories if there are any.
    """
    if column_names(rows) is None:
        return (dense_rows(scorer, rows),)
    numbers, codes = scorer.encode(rows)
    return (numbers, codes) if scorer.n_codes else (numbers,)
