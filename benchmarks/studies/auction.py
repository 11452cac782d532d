"""Compare students that are trained with and without the bids of an auction, with intervals.

    python -m benchmarks auction

Ads are ranked by bid x click probability: by the student's score plus the log bid. The number is
the share of the expected revenue of the best ten ads that the ten chosen ones keep, on queries that
no model has seen; the true probabilities are known. Students learn from a LightGBM classifier in
three ways: from its probabilities as they are; from their logarithms; from the logarithms with the
bids as ``offset``. Each seed is an auction of its own; intervals are by bootstrap over the seeds,
of the difference between the last two ways.
"""

import argparse
import sys

import lightgbm
import numpy as np

from skdistill.datasets import make_auction
from skdistill.students import LinearRanker, MLPRanker

STUDENTS = {"linear": (LinearRanker, {}), "MLP 16": (MLPRanker, {"hidden_layer_sizes": (16,)})}
# The loss, and the weight of the teacher beside labels.
OBJECTIVES = (
    ("listwise", 1.0),
    ("pairwise", 1.0),
    ("lambda", 1.0),
    ("plackett_luce", 1.0),
    ("plackett_luce", 0.5),
    ("top_k", 1.0),
)
SIZE = 40
WAYS = ("probability", "logarithm", "offset")


def revenue_kept(scores, value):
    """Share of the revenue of each query's best ten ads, over all queries."""
    scores, value = scores.reshape(-1, SIZE), value.reshape(-1, SIZE)
    chosen = np.take_along_axis(value, np.argsort(-scores, axis=1)[:, :10], axis=1)
    return chosen.sum() / -np.sort(-value, axis=1)[:, :10].sum()


def one_auction(seed):
    """Revenue that each student keeps in one auction, by (student, loss, alpha, way)."""
    data = make_auction(1100, 1000, SIZE, random_state=seed)
    train = data.qid < 700
    value, log_bid = (data.probability * data.bid)[~train], np.log(data.bid)
    X, y, qid, offset = data.X[train], data.y[train], data.qid[train], log_bid[train]
    teacher = lightgbm.LGBMClassifier(
        n_estimators=200, learning_rate=0.05, num_leaves=15, verbose=-1, n_jobs=1
    )
    probability = teacher.fit(X, y).predict_proba(data.X)[:, 1]
    logarithm = np.log(probability)
    kept = {
        ("best probability", "", "", ""): revenue_kept(logarithm[~train], value),
        ("highest bid", "", "", ""): revenue_kept(log_bid[~train], value),
        ("teacher", "", "", ""): revenue_kept((logarithm + log_bid)[~train], value),
    }
    known = {
        "probability": {"teacher_scores": probability[train]},
        "logarithm": {"teacher_scores": logarithm[train]},
        "offset": {"teacher_scores": logarithm[train], "offset": offset},
    }
    for name, (student, settings) in STUDENTS.items():
        for loss, alpha in OBJECTIVES:
            for way in WAYS:
                fitted = student(**settings, loss=loss, alpha=alpha, random_state=seed)
                fitted.fit(X, y, qid=qid, **known[way])
                scores = fitted.predict(data.X[~train]) + log_bid[~train]
                kept[name, loss, alpha, way] = revenue_kept(scores, value)
    print(f"auction {seed}", file=sys.stderr, flush=True)
    return kept


def interval(differences, rng):
    """Mean of the differences of the seeds, with bounds that hold with 95% confidence."""
    means = rng.choice(differences, size=(10_000, len(differences))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{differences.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    seeds = parser.parse_args(arguments).seeds
    auctions = [one_auction(seed) for seed in range(seeds)]
    kept = {key: np.array([one[key] for one in auctions]) for key in auctions[0]}
    rng = np.random.default_rng(0)
    for (name, *_, way), values in kept.items():
        if not way:
            print(f"{name}: {values.mean():.3f}")
    print("\n| student | loss | alpha |", " | ".join(WAYS), "| offset - logarithm |")
    print("|---|---|---|---|---|---|---|")
    for name in STUDENTS:
        for loss, alpha in OBJECTIVES:
            values = [kept[name, loss, alpha, way] for way in WAYS]
            means = " | ".join(f"{value.mean():.3f}" for value in values)
            difference = interval(values[2] - values[1], rng)
            print(f"| {name} | `{loss}` | {alpha} | {means} | {difference} |")
