"""Fit towers for a catalogue of a million items on sampled candidates, in bounded memory.

There are 200,000 queries, and the teacher is a given utility. The benchmark prints time, memory and
the fraction of the teacher's top 10 that the towers find. ``--short`` takes a hundredth of the
queries and items.
"""

import argparse
import resource
import time

import numpy as np
from threadpoolctl import threadpool_limits

from skdistill import TwoTowerRetriever
from skdistill.datasets import make_retrieval
from skdistill.metrics import retrieval_curve


def peak_gigabytes():
    """Peak memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer queries and items")
    short = parser.parse_args(arguments).short
    n_items, n_queries = (10_000, 2_000) if short else (1_000_000, 200_000)
    start = time.perf_counter()
    data = make_retrieval(
        n_queries,
        n_items,
        4,
        query_ids=(1000, 100),
        item_ids=(n_items, n_items // 50, 100),
        random_state=0,
    )
    print(
        f"{n_items:,} items, {n_queries:,} queries made in {time.perf_counter() - start:.0f} s, "
        f"{peak_gigabytes():.1f} GB"
    )
    start = time.perf_counter()
    retriever = TwoTowerRetriever(
        query_columns=data.query_columns,
        item_columns=data.item_columns,
        embedding_dim=64,
        n_candidates=64,
        max_iter=10,
        batch_size=256,
        teacher_check=False,
        random_state=0,
    ).fit(data.X, data.y, qid=data.qid, items=data.items, teacher_scores=data.utility)
    print(f"fit in {time.perf_counter() - start:.0f} s, {peak_gigabytes():.1f} GB")
    queries = data.queries[:256]
    with threadpool_limits(1):
        retriever.retrieve(queries, 100)
        start = time.perf_counter()
        ids, _ = retriever.retrieve(queries, 1000)
        print(f"top 1,000 for 256 queries in {time.perf_counter() - start:.2f} s, one thread")
    curve = retrieval_curve(data.utility.best(queries, data.items, 10), ids)
    fractions = ", ".join(f"{curve.recall[m - 1]:.3f} in {m}" for m in (50, 100, 500, 1000))
    print(f"of the teacher's top 10: {fractions} (by chance {np.float64(1000 / n_items):.4f})")
