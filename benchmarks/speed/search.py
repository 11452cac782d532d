"""Search a catalogue exactly: against FAISS, implicit and usearch, also in a part of the items."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.agreement import SameItems
from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting, Timed

DIMENSIONS, K, N_SEEN = 64, 100, 100
BATCHES = (1, 32, 256)
WAYS = ("all items", "half of the items", "100 seen items excluded")
# Numbers of queries from which FAISS uses matrix products: never, its default, always.
BLAS_THRESHOLDS = (1 << 30, 20, 1)
Pair = tuple[np.ndarray, np.ndarray]


def data(setting: Setting) -> None:
    """Draw items and queries; some items are allowed, and each query has seen some."""
    rng = np.random.default_rng(0)
    n_items = setting.size(1_000_000, 100_000)
    for name, n_rows in (("items", n_items), ("queries", BATCHES[-1])):
        rows = rng.standard_normal((n_rows, DIMENSIONS), dtype=np.float32)
        np.save(setting.folder / f"{name}.npy", rows)
    np.save(setting.folder / "allowed.npy", rng.random(n_items) < 0.5)
    seen = [rng.choice(n_items, N_SEEN, replace=False) for _ in range(BATCHES[-1])]
    np.save(setting.folder / "seen.npy", np.sort(seen, axis=1))


def load(setting: Setting, name: str) -> np.ndarray:
    return np.load(setting.folder / f"{name}.npy")


def seen_matrix(seen: np.ndarray, n_items: int) -> Any:
    from scipy import sparse

    starts = np.arange(len(seen) + 1) * N_SEEN
    ones = np.ones(seen.size, dtype=np.float32)
    return sparse.csr_matrix((ones, seen.ravel(), starts), shape=(len(seen), n_items))


def ours(setting: Setting, batch: int, way: str) -> Run:
    from skdistill.index import ExactIndex

    index = ExactIndex(load(setting, "items"))
    queries, options = load(setting, "queries")[:batch], {}
    if way == WAYS[1]:
        options = {"mask": load(setting, "allowed")}
    elif way == WAYS[2]:
        options = {"exclude": seen_matrix(load(setting, "seen")[:batch], index.n_items)}
    threads = setting.threads
    return Timed(lambda: index.search(queries, K, n_jobs=threads, **options), batch)


def without_seen(ids: np.ndarray, scores: np.ndarray, seen: np.ndarray) -> Pair:
    """Leave seen items out of lists that were made longer for this."""
    kept = np.stack([~np.isin(own, known) for own, known in zip(ids, seen, strict=True)])
    first = np.argsort(~kept, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(ids, first, axis=1), np.take_along_axis(scores, first, axis=1)


def fastest(calls: list[Callable[[], Pair]]) -> Callable[[], Pair]:
    """Choose the call that is fastest of three times."""

    def seconds(call: Callable[[], Pair]) -> float:
        best = np.inf
        for _ in range(3):
            start = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - start)
        return best

    return min(calls, key=seconds)


def faiss(setting: Setting, batch: int, way: str) -> Run:
    """FAISS with the way to its products that is fastest here."""
    import faiss as library

    library.omp_set_num_threads(setting.threads)
    index = library.IndexFlatIP(DIMENSIONS)
    index.add(load(setting, "items"))
    queries, seen = load(setting, "queries")[:batch], load(setting, "seen")[:batch]
    allowed = np.packbits(load(setting, "allowed"), bitorder="little")
    options: dict[str, Any] = {}
    if way == WAYS[1]:
        selector = library.IDSelectorBitmap(allowed)
        options = {"params": library.SearchParameters(sel=selector)}

    def search(threshold: int) -> Pair:
        library.cvar.distance_compute_blas_threshold = threshold
        if way == WAYS[2]:
            scores, ids = index.search(queries, K + N_SEEN)
            return without_seen(ids, scores, seen)
        scores, ids = index.search(queries, K, **options)
        return ids, scores

    return Timed(fastest([partial(search, each) for each in BLAS_THRESHOLDS]), batch)


def implicit(setting: Setting, batch: int, way: str) -> Run:
    import implicit.cpu.topk as library

    items, queries = load(setting, "items"), load(setting, "queries")[:batch]
    options: dict[str, Any] = {}
    if way == WAYS[1]:
        options = {"filter_items": np.flatnonzero(~load(setting, "allowed")).astype(np.int32)}
    elif way == WAYS[2]:
        options = {"filter_query_items": seen_matrix(load(setting, "seen")[:batch], len(items))}
    threads = setting.threads
    return Timed(lambda: library.topk(items, queries, K, num_threads=threads, **options), batch)


def usearch(setting: Setting, batch: int, way: str) -> Run:
    """usearch's exact search, which knows no restrictions: seen items are left out afterwards."""
    from usearch.index import MetricKind, search

    items, queries = load(setting, "items"), load(setting, "queries")[:batch]
    seen = load(setting, "seen")[:batch]
    n_found = K + N_SEEN if way == WAYS[2] else K

    def call() -> Pair:
        found = search(items, queries, n_found, MetricKind.IP, exact=True, threads=setting.threads)
        ids = np.asarray(found.keys).reshape(batch, -1).astype(np.int64)
        scores = 1 - np.asarray(found.distances).reshape(batch, -1)
        return without_seen(ids, scores, seen) if way == WAYS[2] else (ids, scores)

    return Timed(call, batch)


def products(setting: Setting, batch: int, block: int = 4096) -> Run:
    """The scores of all items in blocks that stay in the caches, of which nothing is kept."""
    items, queries = load(setting, "items"), load(setting, "queries")[:batch]
    out = np.empty((batch, block), dtype=np.float32)

    def call() -> None:
        for start in range(0, len(items), block):
            part = items[start : start + block]
            np.matmul(queries, part.T, out=out[:, : len(part)])

    return Timed(call, batch)


def comparison(batch: int, way: str) -> Comparison:
    where = {"batch": batch, "way": way}
    agrees = SameItems(1e-3)
    in_short = batch != BATCHES[1]
    theirs = [
        Contender("FAISS flat", partial(faiss, **where), ("faiss",), goal=3.0, agrees=agrees),
        Contender("implicit", partial(implicit, **where), ("implicit",), 1.5, agrees=agrees),
    ]
    if way != WAYS[1] and batch < BATCHES[-1]:  # it takes ten seconds for the largest batch
        theirs.append(
            Contender("usearch, exact", partial(usearch, **where), ("usearch",), 2.0, agrees=agrees)
        )
    if way == WAYS[0]:
        bare = partial(products, batch=batch)
        theirs.append(Contender("the products alone", bare, goal=0.6, is_bound=True))
    queries = "1 query" if batch == 1 else f"{batch} queries"
    return Comparison(
        f"{queries}, {way}", "query", Contender("ExactIndex", partial(ours, **where)), theirs,
        in_short=in_short and (way == WAYS[0] or batch == BATCHES[-1]),
    )  # fmt: skip


BENCHMARK = Benchmark(
    name="search",
    title="Search a catalogue",
    about=(
        f"The top {K} of a million items of {DIMENSIONS} dimensions, exactly. FAISS switches to "
        "matrix products at the number of queries that is fastest here. FAISS and usearch "
        "cannot exclude items per query: they return more items, and the seen ones are left "
        "out. usearch's exact search cannot be restricted to half of the items."
    ),
    comparisons=[comparison(batch, way) for way in WAYS for batch in BATCHES],
    data=data,
)
