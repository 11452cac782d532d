"""Compare what to do about a teacher that remembers the labels of its training rows.

    python -m benchmarks remembering --ohsumed FOLDER     # S1.txt.gz to S5.txt.gz in it
    python -m benchmarks remembering --short              # only check that it runs

The teacher is a LightGBM model of 600 trees of 63 leaves, which knows its training rows by heart. A
student learns from its scores of these rows with other weights than the default, with the weight
that validation queries choose (``alpha="auto"`` and ``X_val``), or from out-of-fold scores. Numbers
are NDCG@10 on test queries over the seeds, relative to that of the student with default settings,
with a 95% interval by paired bootstrap over queries.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.studies.quality import boosted, joined
from benchmarks.studies.quality_tables import all_tables, per_query
from skdistill import DistilledRanker
from skdistill.metrics import bootstrap_ratio

TABLES = ("MovieLens 100k", "OHSUMED", "interactions", "nonlinear")
REMEMBERS = {"num_leaves": 63, "learning_rate": 0.1, "min_child_samples": 5}
DEFAULT = "default"
WAYS = {
    "`alpha=0`, labels alone": {"alpha": 0.0},
    "`alpha=0.25`": {"alpha": 0.25},
    "`alpha=1`, teacher alone": {"alpha": 1.0},
    '`alpha="auto"` with `X_val`': {"alpha": "auto"},
    "`teacher_cv=5`": {"teacher_cv": 5},
}
ON_TRAIN, ON_TEST = "teacher on its training rows", "teacher on test rows"


def values_of(split, seed, n_trees):
    """NDCG@10 of each test query by way, and of the teacher on both kinds of rows."""
    train, valid, test = split
    teacher = boosted(seed, n_estimators=n_trees, **REMEMBERS)
    first = DistilledRanker(teacher, random_state=seed).fit(train.X, train.y, qid=train.qid)
    scores = first.teacher_.predict(train.X)
    found = {
        ON_TRAIN: per_query(scores, train),
        ON_TEST: per_query(first.teacher_.predict(test.X), test),
        DEFAULT: per_query(first.predict(test.X), test),
    }
    for name, settings in WAYS.items():
        given = {"teacher_scores": scores}
        ranker = DistilledRanker(random_state=seed, **settings)
        if "teacher_cv" in settings:
            given = {}
            ranker.set_params(teacher=teacher)
        elif settings.get("alpha") == "auto":
            given |= {"X_val": valid.X, "y_val": valid.y, "qid_val": valid.qid}
        ranker.fit(train.X, train.y, qid=train.qid, **given)
        found[name] = per_query(ranker.predict(test.X), test)
    return found


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ohsumed", type=Path, help="folder with S1.txt.gz to S5.txt.gz")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args(arguments)
    n_seeds, n_trees = (1, 20) if options.short else (options.seeds, 600)
    tables = all_tables(options.ohsumed, n_queries=120 if options.short else 1200)
    names = TABLES[-1:] if options.short else [name for name in TABLES if name in tables]
    found = {}
    for name in names:
        of_seeds = [values_of(tables[name](seed), seed, n_trees) for seed in range(n_seeds)]
        # Each seed has other training rows.
        remembered = np.nanmean(np.concatenate([one.pop(ON_TRAIN) for one in of_seeds]))
        found[name] = joined(of_seeds, name), remembered
    print("| | " + " | ".join(found) + " |")
    print("|---" * (len(found) + 1) + "|")
    cells = [f"{remembered:.3f}" for _, remembered in found.values()]
    print(f"| {ON_TRAIN}: NDCG@10 | " + " | ".join(cells) + " |")
    for name in (ON_TEST, DEFAULT):
        cells = [f"{np.nanmean(values[name]):.3f}" for values, _ in found.values()]
        print(f"| {name}: NDCG@10 | " + " | ".join(cells) + " |")
    for name in WAYS:
        ratios = [
            bootstrap_ratio(values[name], values[DEFAULT], random_state=0)
            for values, _ in found.values()
        ]
        cells = [f"{ratio:.3f} [{low:.3f}, {high:.3f}]" for ratio, low, high in ratios]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
