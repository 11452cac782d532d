"""Compute metrics of many queries: against ranx, pytrec_eval, and scikit-learn in a loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.agreement import Close
from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting, Timed
from benchmarks.speed.models import store, stored

K = 10
LOOPED = 2000  # queries of a loop in Python
SAME = Close(1e-4, 1e-6)
# Names of a metric: of ours, of ranx, of pytrec_eval.
METRICS = {
    "NDCG@10": ("ndcg", "ndcg@10", "ndcg_cut_10"),
    "average precision": ("ap", "map", "map"),
    "reciprocal rank": ("mrr", "mrr", "recip_rank"),
}


def data(setting: Setting) -> None:
    """Draw queries of ten rows on average, without ties; one row of each is relevant at least."""
    rng = np.random.default_rng(0)
    n_queries = setting.size(100_000, 10_000)
    sizes = rng.integers(2, 19, n_queries)
    qid = np.repeat(np.arange(n_queries), sizes)
    y = np.maximum(rng.integers(-2, 4, len(qid)), 0).astype(float)
    y[np.cumsum(sizes) - 1] = rng.integers(1, 4, n_queries)
    scores = rng.permutation(len(qid)) / len(qid) + y / 4
    store((y, scores, qid, sizes), setting.folder / "table")


def ours(setting: Setting, metric: str) -> Run:
    from skdistill import metrics

    y, scores, qid, _ = stored(setting.folder / "table")
    functions: dict[str, Callable[..., Any]] = {
        "ndcg": metrics.ndcg_score,
        "ap": metrics.average_precision_score,
        "mrr": metrics.mrr_score,
        "tau": metrics.kendall_tau,
        "auc": metrics.grouped_auc,
    }
    relevant = (y > 0).astype(float) if metric in ("ap", "mrr", "auc") else y
    options = {"k": K, "gain": "linear"} if metric == "ndcg" else {}
    call = partial(functions[metric], relevant, scores, qid, **options)
    # Loops of others take the first queries only; they are compared query by query.
    first = qid < LOOPED
    arrays = relevant[first], scores[first], qid[first]
    result = partial(metrics.per_query, functions[metric], *arrays, **options)
    return Timed(call, len(y), result=result)


def dictionaries(setting: Setting) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return labels and scores as dictionaries by query and row."""
    y, scores, _, sizes = stored(setting.folder / "table")
    ends = np.cumsum(sizes)
    labels, found = {}, {}
    for query, (start, end) in enumerate(zip(ends - sizes, ends, strict=True)):
        names = [f"d{row}" for row in range(end - start)]
        labels[f"q{query:06d}"] = dict(zip(names, y[start:end].astype(int).tolist(), strict=True))
        found[f"q{query:06d}"] = dict(zip(names, scores[start:end].tolist(), strict=True))
    return labels, found


def ranx(setting: Setting, metric: str) -> Run:
    """ranx; its tables are made in advance, and it is compiled by its first call."""
    from ranx import Qrels, evaluate
    from ranx import Run as Ranking

    labels, found = dictionaries(setting)
    if metric != "ndcg@10":
        labels = {q: {row: int(y > 0) for row, y in of.items()} for q, of in labels.items()}
    n_rows = sum(map(len, labels.values()))
    qrels, run = Qrels(labels), Ranking(found)

    def values() -> np.ndarray:
        of_queries = evaluate(qrels, run, metric, return_mean=False)
        return np.asarray(of_queries)[:LOOPED]

    return Timed(lambda: evaluate(qrels, run, metric), n_rows, result=values)


def pytrec_eval(setting: Setting, metric: str) -> Run:
    """pytrec_eval; its dictionaries are made in advance."""
    import pytrec_eval as library

    labels, found = dictionaries(setting)
    n_rows = sum(map(len, labels.values()))
    evaluator = library.RelevanceEvaluator(labels, {metric})

    def values() -> np.ndarray:
        of_queries = evaluator.evaluate(found)
        return np.array([of_queries[query][metric] for query in list(found)[:LOOPED]])

    return Timed(lambda: evaluator.evaluate(found), n_rows, result=values)


def loop(setting: Setting, metric: str) -> Run:
    """scikit-learn or SciPy, query by query, over the first queries."""
    from scipy.stats import kendalltau
    from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

    functions: dict[str, Callable[..., Any]] = {
        "ndcg": lambda y, s: ndcg_score([y], [s], k=K),
        "ap": lambda y, s: average_precision_score(y > 0, s),
        "auc": lambda y, s: roc_auc_score(y > 0, s) if 0 < (y > 0).sum() < len(y) else np.nan,
        "tau": lambda y, s: kendalltau(y, s).statistic,
    }
    function = functions[metric]
    y, scores, _, sizes = stored(setting.folder / "table")
    ends = np.cumsum(sizes[:LOOPED])
    queries = [(y[a:b], scores[a:b]) for a, b in zip(ends - sizes[:LOOPED], ends, strict=True)]

    def call() -> np.ndarray:
        return np.array([function(*query) for query in queries])

    return Timed(call, int(ends[-1]))


def comparison(name: str, ours_name: str, ranx_name: str, trec_name: str) -> Comparison:
    theirs = [
        Contender("ranx", partial(ranx, metric=ranx_name), ("ranx",), 1.0, agrees=SAME),
        Contender(
            "pytrec_eval", partial(pytrec_eval, metric=trec_name), ("pytrec_eval",), 5.0,
            agrees=SAME,
        ),
    ]  # fmt: skip
    if ours_name != "mrr":
        theirs.append(
            Contender("scikit-learn, a loop", partial(loop, metric=ours_name), (), 100, agrees=SAME)
        )
    own = Contender("ours", partial(ours, metric=ours_name))
    return Comparison(name, "row", own, theirs, in_short=ours_name == "ndcg")


def looped(name: str, metric: str, by: str, agrees: bool = True) -> Comparison:
    return Comparison(
        name, "row", Contender("ours", partial(ours, metric=metric)),
        [Contender(by, partial(loop, metric=metric), goal=100, agrees=SAME if agrees else None)],
        in_short=False,
    )  # fmt: skip


BENCHMARK = Benchmark(
    name="metrics",
    title="Compute metrics",
    about=(
        "A million rows in 100,000 queries of 2 to 18 rows. ranx and pytrec_eval get their own "
        "tables, which are not timed; their Numba functions are compiled beforehand. Loops of "
        f"scikit-learn and SciPy take the first {LOOPED:,} queries. Results are compared query "
        "by query."
    ),
    comparisons=[
        *(comparison(name, *names) for name, names in METRICS.items()),
        looped("AUC of each query", "auc", "scikit-learn, a loop"),
        looped("Kendall's tau", "tau", "SciPy, a loop"),
    ],
    data=data,
)
