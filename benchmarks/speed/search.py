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
# Fewest queries of a measurement. Batches follow each other until there are so many.
LEAST_QUERIES = 16
WAYS = ("all items", "half of the items", "100 seen items excluded")
# Embeddings: drawn at random, or of towers that learnt from a teacher.
RANDOM, TOWERS = "random", "towers"
# Numbers of queries from which FAISS uses matrix products: never, its default, always.
BLAS_THRESHOLDS = (1 << 30, 20, 1)
Pair = tuple[np.ndarray, np.ndarray]


def data(setting: Setting) -> None:
    """Draw or fit items and queries; some items are allowed, and each query has seen some."""
    rng = np.random.default_rng(0)
    n_items = setting.size(1_000_000, 100_000)
    for side, n_rows in (("items", n_items), ("queries", BATCHES[-1])):
        rows = rng.standard_normal((n_rows, DIMENSIONS), dtype=np.float32)
        np.save(setting.folder / f"{RANDOM}_{side}.npy", rows)
    items, queries = tower_embeddings(n_items)
    np.save(setting.folder / f"{TOWERS}_items.npy", items)
    np.save(setting.folder / f"{TOWERS}_queries.npy", queries[: BATCHES[-1]])
    np.save(setting.folder / "allowed.npy", rng.random(n_items) < 0.5)
    seen = [rng.choice(n_items, N_SEEN, replace=False) for _ in range(BATCHES[-1])]
    np.save(setting.folder / "seen.npy", np.sort(seen, axis=1))


def tower_embeddings(n_items: int) -> Pair:
    """Embed a catalogue, and queries, by towers that were distilled from LightGBM."""
    import lightgbm

    from skdistill import TwoTowerRetriever
    from skdistill.datasets import make_retrieval

    log = make_retrieval(n_queries=600, n_items=n_items, random_state=0)
    towers = TwoTowerRetriever(
        lightgbm.LGBMRanker(n_estimators=100, verbose=-1, n_jobs=1, random_state=0),
        query_columns=log.query_columns,
        item_columns=log.item_columns,
        embedding_dim=DIMENSIONS,
        n_candidates=200,
        teacher_check=False,
        random_state=0,
    ).fit(log.X, log.y, qid=log.qid, items=log.items)
    return towers.transform_items(log.items), towers.transform_queries(log.queries)


def load(setting: Setting, name: str) -> np.ndarray:
    return np.load(setting.folder / f"{name}.npy")


def load_both(setting: Setting, kind: str, batch: int) -> Pair:
    """Return the embeddings of all items and of the queries of one measurement."""
    n_queries = max(batch, LEAST_QUERIES)
    return load(setting, f"{kind}_items"), load(setting, f"{kind}_queries")[:n_queries]


def timed(search: Callable[[slice], Pair], n_queries: int, batch: int) -> Timed:
    """Time searches for batches of queries, given their rows."""

    def call() -> Pair:
        starts = range(0, n_queries, batch)
        lists = [search(slice(start, start + batch)) for start in starts]
        ids, scores = (np.concatenate(parts) for parts in zip(*lists, strict=True))
        return ids, scores

    return Timed(call, n_queries)


def seen_matrix(seen: np.ndarray, n_items: int) -> Any:
    from scipy import sparse

    starts = np.arange(len(seen) + 1) * N_SEEN
    ones = np.ones(seen.size, dtype=np.float32)
    return sparse.csr_matrix((ones, seen.ravel(), starts), shape=(len(seen), n_items))


def ours(setting: Setting, kind: str, batch: int, way: str) -> Run:
    from skdistill.index import ExactIndex

    items, queries = load_both(setting, kind, batch)
    index = ExactIndex(items)
    options = {"mask": load(setting, "allowed")} if way == WAYS[1] else {}
    seen = seen_matrix(load(setting, "seen"), index.n_items)
    threads = setting.threads

    def search(rows: slice) -> Pair:
        exclude = seen[rows] if way == WAYS[2] else None
        return index.search(queries[rows], K, exclude=exclude, n_jobs=threads, **options)

    return timed(search, len(queries), batch)


def without_seen(ids: np.ndarray, scores: np.ndarray, seen: np.ndarray) -> Pair:
    """Leave seen items out of lists that were made longer for this."""
    kept = np.stack([~np.isin(own, known) for own, known in zip(ids, seen, strict=True)])
    first = np.argsort(~kept, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(ids, first, axis=1), np.take_along_axis(scores, first, axis=1)


def fastest(calls: list[Callable[[slice], Pair]], rows: slice) -> Callable[[slice], Pair]:
    """Choose the call that is fastest of three times."""

    def seconds(call: Callable[[slice], Pair]) -> float:
        best = np.inf
        for _ in range(3):
            start = time.perf_counter()
            call(rows)
            best = min(best, time.perf_counter() - start)
        return best

    return min(calls, key=seconds)


def faiss(setting: Setting, kind: str, batch: int, way: str) -> Run:
    """FAISS with the way to its products that is fastest here."""
    import faiss as library

    library.omp_set_num_threads(setting.threads)
    index = library.IndexFlatIP(DIMENSIONS)
    items, queries = load_both(setting, kind, batch)
    index.add(items)
    seen = load(setting, "seen")
    allowed = np.packbits(load(setting, "allowed"), bitorder="little")
    options: dict[str, Any] = {}
    if way == WAYS[1]:
        selector = library.IDSelectorBitmap(allowed)
        options = {"params": library.SearchParameters(sel=selector)}

    def search(threshold: int, rows: slice) -> Pair:
        library.cvar.distance_compute_blas_threshold = threshold
        if way == WAYS[2]:
            scores, ids = index.search(queries[rows], K + N_SEEN)
            return without_seen(ids, scores, seen[rows])
        scores, ids = index.search(queries[rows], K, **options)
        return ids, scores

    first = slice(0, batch)
    at_best = fastest([partial(search, each) for each in BLAS_THRESHOLDS], first)
    return timed(at_best, len(queries), batch)


def implicit(setting: Setting, kind: str, batch: int, way: str) -> Run:
    import implicit.cpu.topk as library

    items, queries = load_both(setting, kind, batch)
    options: dict[str, Any] = {}
    if way == WAYS[1]:
        options = {"filter_items": np.flatnonzero(~load(setting, "allowed")).astype(np.int32)}
    seen = seen_matrix(load(setting, "seen"), len(items))
    threads = setting.threads

    def search(rows: slice) -> Pair:
        own = {"filter_query_items": seen[rows]} if way == WAYS[2] else {}
        found = library.topk(items, queries[rows], K, num_threads=threads, **options, **own)
        ids, scores = found
        return ids, scores

    return timed(search, len(queries), batch)


def usearch(setting: Setting, kind: str, batch: int, way: str) -> Run:
    """usearch's exact search, which knows no restrictions: seen items are left out afterwards."""
    from usearch.index import MetricKind, search

    items, queries = load_both(setting, kind, batch)
    seen = load(setting, "seen")
    n_found = K + N_SEEN if way == WAYS[2] else K
    options: dict[str, Any] = {"exact": True, "threads": setting.threads}

    def find(rows: slice) -> Pair:
        found = search(items, queries[rows], n_found, MetricKind.IP, **options)
        ids = np.asarray(found.keys).reshape(batch, -1).astype(np.int64)
        scores = 1 - np.asarray(found.distances).reshape(batch, -1)
        return without_seen(ids, scores, seen[rows]) if way == WAYS[2] else (ids, scores)

    return timed(find, len(queries), batch)


def products(setting: Setting, kind: str, batch: int, block: int = 4096) -> Run:
    """The scores of all items in blocks that stay in the caches, of which nothing is kept."""
    items, queries = load_both(setting, kind, batch)
    out = np.empty((batch, block), dtype=np.float32)

    def call() -> None:
        for rows in np.split(queries, len(queries) // batch):
            for start in range(0, len(items), block):
                part = items[start : start + block]
                np.matmul(rows, part.T, out=out[:, : len(part)])

    return Timed(call, len(queries))


def comparison(kind: str, batch: int, way: str) -> Comparison:
    where: dict[str, Any] = {"kind": kind, "batch": batch, "way": way}
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
        bare = partial(products, kind=kind, batch=batch)
        theirs.append(Contender("the products alone", bare, goal=0.6, is_bound=True))
    queries = "1 query" if batch == 1 else f"{batch} queries"
    of = "" if kind == RANDOM else ", embeddings of towers"
    return Comparison(
        f"{queries}, {way}{of}", "query", Contender("ExactIndex", partial(ours, **where)), theirs,
        in_short=in_short and (way == WAYS[0] or batch == BATCHES[-1]),
    )  # fmt: skip


BENCHMARK = Benchmark(
    name="search",
    title="Search a catalogue",
    about=(
        f"The top {K} of a million items of {DIMENSIONS} dimensions, exactly. Embeddings are drawn "
        "at random, which is the worst case for ExactIndex, or are those of towers with item "
        "columns, which learnt from LightGBM. FAISS switches to "
        "matrix products at the number of queries that is fastest here. FAISS and usearch "
        "cannot exclude items per query: they return more items, and the seen ones are left "
        "out. usearch's exact search cannot be restricted to half of the items."
    ),
    comparisons=[
        *(comparison(RANDOM, batch, way) for way in WAYS for batch in BATCHES),
        # Several queries are searched in the same way, whatever the embeddings.
        *(comparison(TOWERS, 1, way) for way in WAYS),
    ],
    data=data,
)
