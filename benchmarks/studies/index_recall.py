"""Recall of the approximate indexes at their defaults, against the exact index, by number of items.

The embeddings are Gaussian noise, the hardest case: nothing in them groups the items. Embeddings of
a fitted retriever have a higher recall. ``--short`` searches a tenth of the items.
"""

import argparse
from functools import partial
from importlib.util import find_spec

import numpy as np

from benchmarks.studies.timing import median_times
from skdistill.index import ENGINES, make_index

DIMENSIONS = 32
QUERIES = 200
OPTIONS = {
    "faiss": [{}, {"factory": "IVF256,Flat", "parameters": "nprobe=32"}],
    "usearch": [{}],
    "hnswlib": [{}],
}


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer items")
    n_items = 5_000 if parser.parse_args(arguments).short else 50_000
    rng = np.random.default_rng(0)
    items = rng.standard_normal((n_items, DIMENSIONS), dtype=np.float32)
    queries = rng.standard_normal((QUERIES, DIMENSIONS), dtype=np.float32)
    exact = make_index("exact", items)
    engines = [name for name in ENGINES if name in OPTIONS and find_spec(name)]
    for engine, options in ((name, options) for name in engines for options in OPTIONS[name]):
        index = make_index(engine, items, **options)
        for k in (10, 100, 1000):
            expected, found = exact.search(queries, k)[0], index.search(queries, k)[0]
            recall = np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)])
            searches = {"it": index.search, "exact": exact.search}
            times = median_times({n: partial(s, queries, k) for n, s in searches.items()}, 3)
            name = f"{engine} {options.get('factory', '')}".strip()
            print(
                f"{name}: recall of the top {k} of {n_items:,} is {recall:.2f}, in "
                f"{times['it'] / times['exact']:.2f} of the exact index's time"
            )
