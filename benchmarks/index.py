"""Exact top-k over a million items on one thread, against FAISS's flat index and implicit's topk.

No other benchmark needs these two libraries. ``--short`` searches a tenth of the items without
them, and only checks that the benchmark runs.
"""

import argparse
import sys

import numpy as np
from scipy import sparse
from speed import median_times
from threadpoolctl import threadpool_limits

from skdistill.index import ExactIndex

DIMENSIONS = 64
QUERIES = 256
K = 100


def agree_up_to_ties(found, expected, queries, items):
    """Whether two results have the same scores in the same places; ids of ties may differ."""
    scores = np.einsum("qd,qkd->qk", queries, items[found])
    expected_scores = np.einsum("qd,qkd->qk", queries, items[expected])
    return np.allclose(scores, expected_scores, rtol=1e-4, atol=1e-4)


def products(queries, items, block=4096):
    """Compute the matrix product in blocks, without a search."""
    out = np.empty((len(queries) // 2, block), dtype=np.float32)
    for half in np.split(queries, 2):
        for start in range(0, len(items), block):
            part = items[start : start + block]
            np.matmul(half, part.T, out=out[:, : len(part)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer items, no rivals")
    short = parser.parse_args().short
    n_items = 100_000 if short else 1_000_000
    rng = np.random.default_rng(0)
    items = rng.standard_normal((n_items, DIMENSIONS), dtype=np.float32)
    queries = rng.standard_normal((QUERIES, DIMENSIONS), dtype=np.float32)
    index = ExactIndex(items)
    seen = sparse.random_array((QUERIES, n_items), density=100 / n_items, rng=rng, format="csr")
    calls = {
        "skdistill": lambda: index.search(queries, K),
        "skdistill, 100 seen items excluded": lambda: index.search(queries, K, exclude=seen),
        "the product alone": lambda: products(queries, items),
    }
    results = {}
    if not short:
        import faiss
        import implicit.cpu.topk

        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatIP(DIMENSIONS)
        flat.add(items)
        calls["FAISS flat"] = lambda: flat.search(queries, K)
        calls["implicit topk"] = lambda: implicit.cpu.topk.topk(items, queries, K, num_threads=1)
        results = {"FAISS flat": flat.search(queries, K)[1]}
        results["implicit topk"] = calls["implicit topk"]()[0]
    with threadpool_limits(1):
        times = median_times(calls, 2 if short else 5)
    ours = index.search(queries, K)[0]
    for name, seconds in times.items():
        ratio = seconds / times["skdistill"]
        print(f"top {K} of {n_items:,} for {QUERIES} queries: {name} {seconds:.2f} s, {ratio:.2f}")
    for name, found in results.items():
        if not agree_up_to_ties(ours, found, queries, items):
            sys.exit(f"{name} finds items with other scores than skdistill")


if __name__ == "__main__":
    main()
