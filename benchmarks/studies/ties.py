"""Compare what to do with rows that a teacher ties, with intervals.

    python -m benchmarks ties

Small LightGBM teachers tie many rows. A student learns by ``plackett_luce`` from the scores as they
are, whose tied rows share their places; from scores whose ties are broken at random; and from
scores whose ties are broken by a linear function of the columns, as the order in which a table is
stored may do. NDCG@10 is that on the labels of other queries; intervals are by paired bootstrap
over these queries, with the student's seeds averaged.
"""

import argparse

import lightgbm
import numpy as np

from skdistill.datasets import make_ranking
from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import LinearRanker, MLPRanker

TEACHERS = ((1, 4), (5, 4), (50, 31))  # trees, leaves
STUDENTS = {"linear": LinearRanker, "MLP 64-32": MLPRanker}
SMALL = 1e-6


def fraction_tied(scores, qid):
    """Fraction of the rows whose score another row of the query has too."""
    tied = 0
    for query in np.unique(qid):
        counts = np.unique(scores[qid == query], return_counts=True)[1]
        tied += counts[counts > 1].sum()
    return tied / len(scores)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args(arguments).seeds
    data = make_ranking(n_queries=600, n_features=10, random_state=0)
    train = data.qid < 300
    X, qid = data.X[train], data.qid[train]
    sizes = np.unique(qid, return_counts=True)[1]
    rng = np.random.default_rng(0)
    print("| teacher | rows tied | student | shared places | at random | by a linear function |")
    print("|---|---|---|---|---|---|")
    for n_trees, n_leaves in TEACHERS:
        teacher = lightgbm.LGBMRanker(
            n_estimators=n_trees, num_leaves=n_leaves, verbose=-1, n_jobs=1
        )
        scores = teacher.fit(X, data.y[train], group=sizes).predict(X)
        ways = {
            "shared": scores,
            "random": scores + SMALL * rng.random(len(scores)),
            "linear": scores + SMALL * (X @ rng.standard_normal(X.shape[1])),
        }
        for name, student in STUDENTS.items():
            values = {
                way: per_query(student, X, qid, ways[way], data, ~train, seeds) for way in ways
            }
            cells = [f"{np.nanmean(values['shared']):.3f}"]
            for way in ("random", "linear"):
                ratio, low, high = bootstrap_ratio(values[way], values["shared"])
                cells.append(f"{ratio:.3f} [{low:.3f}, {high:.3f}]")
            tied = fraction_tied(scores, qid)
            print(f"| {n_trees} trees of {n_leaves} leaves | {tied:.0%} | {name} |", end=" ")
            print(" | ".join(cells), "|", flush=True)


def per_query(student, X, qid, scores, data, test, seeds):
    """NDCG@10 of each test query, averaged over the student's seeds."""
    values = []
    for seed in range(seeds):
        fitted = student(loss="plackett_luce", random_state=seed)
        fitted.fit(X, qid=qid, teacher_scores=scores)
        predicted = fitted.predict(data.X[test])
        values.append(ndcg_per_query(data.y[test], predicted, data.qid[test], k=10))
    return np.mean(values, axis=0)
