"""Answer a request with a whole cascade: against FAISS and LightGBM by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.declaring import Benchmark, Comparison, Contender, Requests, Run, Setting
from benchmarks.speed.models import store, stored

RETRIEVED, PASSED, K = 500, 100, 10
FIRST_TREES = 10
STAGES = ("retrieve", "prerank", "rank")


def data(setting: Setting) -> None:
    """Fit a cascade of students, and one whose last stage is the teacher itself."""
    import lightgbm
    from sklearn.frozen import FrozenEstimator

    from skdistill import RankingCascade, TwoTowerRetriever
    from skdistill.datasets import make_retrieval
    from skdistill.students import LinearRanker, MLPRanker

    n_queries, n_items = setting.size((600, 100_000), (100, 2000))
    log = make_retrieval(n_queries=n_queries, n_items=n_items, random_state=0)
    teacher = lightgbm.LGBMRanker(n_estimators=300, verbose=-1, n_jobs=1, random_state=0)
    towers = TwoTowerRetriever(
        query_columns=log.query_columns,
        item_columns=log.item_columns,
        n_candidates=200,
        teacher_check=False,
    )
    for last, model in (("students", MLPRanker((64, 32))), ("teacher", "teacher")):
        prerank = "prerank", LinearRanker(), PASSED
        cascade = RankingCascade(
            [("retrieve", towers, RETRIEVED), prerank, ("rank", model, K)],
            teacher=teacher,
            sources=("passed", "logged"),
            random_state=0,
        ).fit(log.X, log.y, qid=log.qid, items=log.items)
        store(cascade, setting.folder / last)
        teacher = FrozenEstimator(cascade.teacher_)
    store((log.queries, np.asarray(log.items)), setting.folder / "log")
    store(best_items(cascade.teacher_, log), setting.folder / "best")


def best_items(teacher: Any, log: Any, n_queries: int = 50) -> np.ndarray:
    """Return the teacher's best items among all, for some queries."""
    items = np.asarray(log.items)
    found = []
    for query in np.asarray(log.queries)[:n_queries]:
        rows = np.concatenate([np.tile(query, (len(items), 1)), items], axis=1)
        found.append(np.argsort(-teacher.predict(rows), kind="stable")[:K])
    return np.stack(found)


@dataclass
class StageTimes:
    """Requests that follow each other; the median and the 99th percentile of each stage's time.

    Parameters
    ----------
    ask : callable
        Answers one request, and returns the seconds of each stage by its name.
    requests : sequence
        Different requests.
    n_requests : int
        Number of requests in one measurement.
    """

    ask: Callable[[Any], dict[str, float]]
    requests: Sequence[Any]
    n_requests: int
    quality: dict[str, float] = field(default_factory=dict)

    def warm(self) -> None:
        for request in self.requests:
            self.ask(request)

    def measure(self) -> dict[str, float]:
        n_different = len(self.requests)
        found = [self.ask(self.requests[n % n_different]) for n in range(self.n_requests)]
        return {
            f"{name}, {label}": float(np.quantile([each[name] for each in found], level))
            for name in found[0]
            for label, level in (("p50", 0.5), ("p99", 0.99))
        }


def stage_times(setting: Setting, ask: Callable[[Any], dict[str, float]]) -> Run:
    queries = np.asarray(stored(setting.folder / "log")[0])
    return StageTimes(ask, [query[None, :] for query in queries], setting.size(300, 30))


def requests(setting: Setting, answer: Any) -> Run:
    """Time requests of one query, and rate the lists by the teacher's best items."""
    queries = np.asarray(stored(setting.folder / "log")[0])
    best = stored(setting.folder / "best")
    each = [query[None, :] for query in queries]
    lists = [np.ravel(answer(query)) for query in each[: len(best)]]
    kept = np.mean([np.isin(own, ids).mean() for own, ids in zip(best, lists, strict=True)])
    quality = {f"recall of the teacher's top {K}": float(kept)}
    return Requests(answer, each, setting.size(300, 30), quality)


def compiled(setting: Setting, name: str) -> Any:
    from skdistill.serving import compile_cascade

    return compile_cascade(stored(setting.folder / name))


def ours(setting: Setting, name: str) -> Run:
    cascade = compiled(setting, name)
    return requests(setting, lambda query: cascade.rank(query)[0])


def our_stages(setting: Setting, name: str) -> Run:
    cascade = compiled(setting, name)
    return stage_times(setting, lambda query: cascade.rank(query, return_stages=True)[2].seconds)


def by_hand(setting: Setting) -> Run:
    answer = hand_written(setting)
    return requests(setting, lambda query: answer(query)[0])


def stages_by_hand(setting: Setting) -> Run:
    answer = hand_written(setting)
    return stage_times(setting, lambda query: answer(query)[1])


def hand_written(setting: Setting) -> Callable[[np.ndarray], tuple[np.ndarray, dict[str, float]]]:
    """The same embeddings in FAISS, the teacher's first trees, and the teacher."""
    import faiss

    faiss.omp_set_num_threads(setting.threads)
    cascade = stored(setting.folder / "teacher")
    _, items = stored(setting.folder / "log")
    towers = cascade.funnel_.retrieval.retrievers["retrieve"]
    booster = cascade.teacher_.booster_
    embeddings = towers.transform_items(items)
    index = faiss.IndexFlatIP(embeddings.shape[1])
    index.add(embeddings)

    def rows_of(query: np.ndarray, ids: np.ndarray) -> np.ndarray:
        return np.concatenate([np.repeat(query, len(ids), axis=0), items[ids]], axis=1)

    def best(query: np.ndarray, ids: np.ndarray, k: int, n_trees: int | None) -> np.ndarray:
        rows = rows_of(query, ids)
        scores = booster.predict(rows, num_iteration=n_trees, num_threads=setting.threads)
        return ids[np.argsort(-scores)[:k]]

    def answer(query: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        begun = time.perf_counter()
        _, found = index.search(towers.transform_queries(query), RETRIEVED)
        retrieved = time.perf_counter()
        passed = best(query, found[0], PASSED, FIRST_TREES)
        preranked = time.perf_counter()
        ranked = best(query, passed, K, None)
        ended = time.perf_counter()
        seconds = (retrieved - begun, preranked - retrieved, ended - preranked)
        return ranked, dict(zip(STAGES, seconds, strict=True))

    return answer


HAND = "FAISS, 10 trees, 300 trees by hand"
BENCHMARK = Benchmark(
    name="cascade_request",
    title="Answer a request with a cascade",
    about=(
        f"One query at a time over 100,000 items: {RETRIEVED} are retrieved by towers, {PASSED} "
        f"pass the pre-ranking, {K} are returned. By hand the same embeddings are searched in "
        "FAISS, the teacher's first trees pre-rank, and the teacher ranks. The time of a stage "
        "includes building its features."
    ),
    comparisons=[
        Comparison(
            "cascade of students",
            "request",
            Contender("compiled cascade", partial(ours, name="students")),
            [Contender(HAND, by_hand, ("faiss",), goal=10.0)],
        ),
        Comparison(
            "cascade with the teacher in its last stage",
            "request",
            Contender("compiled cascade", partial(ours, name="teacher")),
            [Contender(HAND, by_hand, ("faiss",))],
            in_short=False,
        ),
        *(
            Comparison(
                f"stages of the {title}",
                "request",
                Contender("compiled cascade", partial(our_stages, name=name)),
                [Contender(HAND, stages_by_hand, ("faiss",))],
                in_short=False,
                starts=1,
            )
            for name, title in (
                ("students", "cascade of students"),
                ("teacher", "cascade with the teacher in its last stage"),
            )
        ),
    ],
    data=data,
)
