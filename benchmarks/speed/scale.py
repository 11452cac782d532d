"""Grow: how time and memory of our own work rise with the size of a table or a catalogue."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting

# Time and memory may rise by this exponent of the size.
WANTED = 1.05
# `fit` may hold so many times the memory of X beyond X.
MOST_MEMORY = 2.0
# Less than this is lost among what is imported.
LEAST_MEGABYTES = 50.0
# The work that warms a process up is so much smaller than the smallest size.
WARM_FRACTION = 10
N_FEATURES = 50
PROGRAM = "from benchmarks.speed import scale; scale.report({work!r}, {size})"
Work = Callable[[], Any]


def features_of(n_rows: int, n_features: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n_rows, n_features), dtype=np.float32)


def fit_of(X: np.ndarray, query_size: int, **parameters: Any) -> Work:
    from skdistill.students import MLPRanker

    qid = np.arange(len(X)) // query_size
    student = MLPRanker((64, 32), max_iter=2, early_stopping=False, random_state=0, **parameters)
    return lambda: student.fit(X, qid=qid, teacher_scores=X[:, 0].astype(np.float64))


def fit_rows(size: int) -> Work:
    return fit_of(features_of(size, N_FEATURES), 50)


def fit_features(size: int) -> Work:
    return fit_of(features_of(20_000, size), 50)


def fit_lists(size: int) -> Work:
    return fit_of(features_of(200_000, 20), size, max_batch_rows=8192)


def score_rows(size: int) -> Work:
    from skdistill.serving import compile_scorer

    X = features_of(size, N_FEATURES)
    scorer = compile_scorer(fit_of(X[:1000], 50)(), "numpy")
    return lambda: scorer(X)


def metric_rows(size: int) -> Work:
    from skdistill.metrics import ndcg_score

    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 5, size).astype(float), rng.random(size)
    return partial(ndcg_score, y, scores, np.arange(size) // 10, k=10)


def search_items(size: int) -> Work:
    from skdistill.index import ExactIndex

    index, queries = ExactIndex(features_of(size, 64)), features_of(32, 64)
    return lambda: index.search(queries, 100)


def fit_catalogue(size: int) -> Work:
    from skdistill import TwoTowerRetriever
    from skdistill.datasets import make_retrieval

    log = make_retrieval(
        2000, size, 4, query_ids=(1000, 100), item_ids=(size, size // 50, 100), random_state=0
    )
    towers = TwoTowerRetriever(
        query_columns=log.query_columns, item_columns=log.item_columns, n_candidates=64,
        max_iter=2, batch_size=256, teacher_check=False, random_state=0,
    )  # fmt: skip
    given = {"qid": log.qid, "items": log.items, "teacher_scores": log.utility}
    return lambda: towers.fit(log.X, log.y, **given)


def fit_pairs(size: int) -> Work:
    """Towers learn from labelled pairs alone; a query has 20 of them."""
    from skdistill import TwoTowerRetriever
    from skdistill.datasets import make_retrieval

    n_queries, n_items = size // 20, 10_000
    log = make_retrieval(
        n_queries, n_items, 20, query_ids=(n_queries, 100), item_ids=(n_items, 100), random_state=0
    )
    towers = TwoTowerRetriever(
        query_columns=log.query_columns, item_columns=log.item_columns, alpha=0.0, max_iter=2,
        batch_size=256, random_state=0,
    )  # fmt: skip
    given = {"qid": log.qid, "items": log.items}
    return lambda: towers.fit(log.X, log.y, **given)


# Work and its sizes. Lists have the same rows in all, so that nothing should rise.
WORK: dict[str, tuple[Callable[[int], Work], Sequence[int]]] = {
    "fit, rows": (fit_rows, (10_000, 100_000, 1_000_000, 10_000_000)),
    "fit, features": (fit_features, (10, 100, 1000)),
    "fit, rows of a list": (fit_lists, (2, 20, 200, 2000, 20_000, 100_000)),
    "score, rows": (score_rows, (10_000, 100_000, 1_000_000, 10_000_000)),
    "NDCG, rows": (metric_rows, (10_000, 100_000, 1_000_000, 10_000_000)),
    "search, items": (search_items, (10_000, 100_000, 1_000_000, 2_000_000)),
    "fit towers, items": (fit_catalogue, (10_000, 100_000, 1_000_000)),
    "fit towers, label pairs": (fit_pairs, (10_000, 100_000, 1_000_000, 3_000_000)),
}


def report(work: str, size: int) -> None:
    """Print the seconds of work of one size, and the peak memory before, with data, and after."""
    import resource
    import time

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    # Everything is imported and warm afterwards. The memory of this small work counts as idle, so
    # that it has to be far less than that of the sizes.
    WORK[work][0](max(min(WORK[work][1]) // WARM_FRACTION, 2))()
    idle = peak()
    call = WORK[work][0](size)
    with_data = peak()
    start = time.perf_counter()
    call()
    print(time.perf_counter() - start, idle, with_data, peak())


def exponent(sizes: np.ndarray, values: np.ndarray) -> float:
    """Return the slope of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


@dataclass
class Growth:
    """The exponents with which time and memory rise, each size in a process of its own."""

    work: str
    sizes: Sequence[int]
    quality: dict[str, float] = field(default_factory=dict)

    def warm(self) -> None:
        pass

    def measure(self) -> dict[str, float]:
        found = np.array([self.run(size) for size in self.sizes])
        seconds, idle, with_data, peak = found.T
        sizes = np.array(self.sizes)
        # The larger half: small sizes have what is paid once.
        larger = np.arange(len(sizes)) >= len(sizes) - max(2, len(sizes) // 2 + 1)
        costs = {"exponent of time": exponent(sizes[larger], seconds[larger])}
        above = (peak - idle > LEAST_MEGABYTES) & larger
        if above.sum() > 1:
            costs["exponent of memory"] = exponent(sizes[above], (peak - idle)[above])
        if self.work == "fit, rows":
            own = sizes[-1] * N_FEATURES * 4 / 2**20
            costs["memory of fit beyond X, by X"] = float((peak[-1] - with_data[-1]) / own)
        return costs

    def run(self, size: int) -> tuple[float, ...]:
        command = [sys.executable, "-c", PROGRAM.format(work=self.work, size=size)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        return tuple(map(float, run.stdout.split()))


def growth(setting: Setting, work: str) -> Run:
    return Growth(work, WORK[work][1])


BENCHMARK = Benchmark(
    name="scale",
    title="Grow",
    about=(
        "The exponent with which time and memory of our own work rise with its size, over the "
        "larger half of the sizes; each size has a process of its own. An exponent of 1 is "
        "proportional. Lists have the same number of rows in all."
    ),
    comparisons=[
        Comparison(
            work, "", Contender("skdistill", partial(growth, work=work)), [],
            in_short=False, rounds=1, starts=1,
            at_most={
                "exponent of time": WANTED,
                "exponent of memory": WANTED,
                "memory of fit beyond X, by X": MOST_MEMORY,
            },
        )
        for work in WORK
    ],
)  # fmt: skip
