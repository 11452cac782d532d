"""Rate students on a table as people have it: numbers, categories, missing values.

    python -m benchmarks columns --seeds 3

The table has 20 columns of numbers and 4 of categories, one of them of 10,000 values, and 5% of
its cells are missing. The teacher is a LightGBM LambdaRank of 300 trees with 31 leaves. The number
is the NDCG@10 of students on held-out queries, relative to the teacher's, for the default settings
and for others. No test query tunes anything: settings are compared, not chosen.
"""

import argparse

import lightgbm
import numpy as np
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.metrics import ndcg_per_query
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker

CATEGORIES = (20, 30, 300, 10_000)
N_TRAIN, QUERY_SIZE = 1400, 30


def make_table(truth, seed, n_queries=2000):
    return make_ranking(
        n_queries, QUERY_SIZE, 20, categories=CATEGORIES, missing=0.05, truth=truth,
        random_state=seed,
    )  # fmt: skip


def make_teacher(X, y, n_trees=300):
    teacher = lightgbm.LGBMRanker(
        n_estimators=n_trees, num_leaves=31, learning_rate=0.05, verbose=-1, n_jobs=1
    )
    return teacher.fit(X, y, group=np.full(len(y) // QUERY_SIZE, QUERY_SIZE))


def settings(seed):
    """Rankers to compare, by name; each gets the fitted teacher's scores."""
    mlp = MLPRanker()
    rare = MLPRanker(min_frequency=None)

    def ranker(student, **parameters):
        return DistilledRanker(None, student, random_state=seed, **parameters)

    return {
        "MLP, default": ranker(mlp),
        "MLP, default, teacher alone": ranker(mlp, alpha=1.0),
        "MLP, pointwise": ranker(mlp, loss="pointwise"),
        "MLP, pointwise, teacher alone": ranker(mlp, loss="pointwise", alpha=1.0),
        "MLP, weights for rare categories": ranker(rare),
        "FM, pointwise": ranker(FactorizationMachineRanker(), loss="pointwise"),
        "linear, default": ranker(LinearRanker()),
        "linear, 4 knots": ranker(LinearRanker(n_knots=4)),
    }


def quality(n_seeds):
    """Print the NDCG@10 of students on held-out queries, relative to the teacher's."""
    for truth in ("interactions", "nonlinear"):
        ratios = {}
        for seed in range(n_seeds):
            data = make_table(truth, seed)
            train = data.qid < N_TRAIN
            X, y, qid = data.X[train].reset_index(drop=True), data.y[train], data.qid[train]
            X_test, y_test, qid_test = data.X[~train], data.y[~train], data.qid[~train]
            teacher = make_teacher(X, y)
            scores = teacher.predict(X)

            def rate(scores, y=y_test, qid=qid_test):
                return np.nanmean(ndcg_per_query(y, scores, qid, k=10))

            best = rate(teacher.predict(X_test))
            small = make_teacher(X, y, n_trees=30)
            found = {"LightGBM of 30 trees": rate(small.predict(X_test))}
            for name, ranker in settings(seed).items():
                ranker.fit(X, y, qid=qid, teacher_scores=scores)
                found[name] = rate(ranker.predict(X_test))
            augmented = DistilledRanker(
                FrozenEstimator(teacher),
                MLPRanker(),
                loss="pointwise",
                augment=0.5,
                random_state=seed,
            ).fit(X, y, qid=qid)
            found["MLP, pointwise, augment 0.5"] = rate(augmented.predict(X_test))
            for name, value in found.items():
                ratios.setdefault(name, []).append(value / best)
        print(f"\nTruth {truth}: NDCG@10 relative to the teacher, {n_seeds} tables")
        for name, values in ratios.items():
            spread = f"{min(values):.3f} to {max(values):.3f}"
            print(f"{name:34s} {np.mean(values):7.3f}   {spread}")


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    with threadpool_limits(1):
        quality(parser.parse_args(arguments).seeds)
