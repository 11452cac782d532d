"""Answer a request with a whole cascade: against FAISS and LightGBM by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.declaring import Benchmark, Comparison, Contender, Requests, Run, Setting
from benchmarks.speed.models import store, stored

RETRIEVED, PASSED, K = 500, 100, 10
FIRST_TREES = 10


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

    cascade = compile_cascade(stored(setting.folder / name))
    return lambda query: cascade.rank(query)[0]


def of_students(setting: Setting) -> Run:
    return requests(setting, compiled(setting, "students"))


def with_teacher(setting: Setting) -> Run:
    return requests(setting, compiled(setting, "teacher"))


def by_hand(setting: Setting) -> Run:
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

    def answer(query: np.ndarray) -> np.ndarray:
        _, ids = index.search(towers.transform_queries(query), RETRIEVED)
        return best(query, best(query, ids[0], PASSED, FIRST_TREES), K, None)

    return requests(setting, answer)


HAND = "FAISS, 10 trees, 300 trees by hand"
BENCHMARK = Benchmark(
    name="cascade_request",
    title="Answer a request with a cascade",
    about=(
        f"One query at a time over 100,000 items: {RETRIEVED} are retrieved by towers, {PASSED} "
        f"pass the pre-ranking, {K} are returned. By hand the same embeddings are searched in "
        "FAISS, the teacher's first trees pre-rank, and the teacher ranks."
    ),
    comparisons=[
        Comparison(
            "cascade of students",
            "request",
            Contender("compiled cascade", of_students),
            [Contender(HAND, by_hand, ("faiss",), goal=10.0)],
        ),
        Comparison(
            "cascade with the teacher in its last stage",
            "request",
            Contender("compiled cascade", with_teacher),
            [Contender(HAND, by_hand, ("faiss",))],
            in_short=False,
        ),
    ],
    data=data,
)
