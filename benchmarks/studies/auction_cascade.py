"""Compare cascades that order by bid x probability at every stage, or only at the end.

    python -m benchmarks auction_cascade

Ads of a catalogue are ranked for queries that no model has seen. The number is the share of the
expected revenue, bid x the teacher's probability, of the best ten ads that the ten returned ones
keep. The teacher is a LightGBM classifier, the stages are towers, an MLP of 16 units, and the
teacher or an MLP of 32 units. Bids enter in three ways: the log bid is added to the last stage's
scores; a cascade that was fitted without bids orders by them at every stage; a cascade was also
fitted with them. Each seed is an auction of its own; the interval of the difference between the
last and the first way is by bootstrap over the seeds.
"""

import argparse
import sys
import warnings

import lightgbm
import numpy as np
from sklearn.frozen import FrozenEstimator

from benchmarks.studies.auction import interval
from skdistill import RankingCascade, TwoTowerRetriever
from skdistill.datasets import make_auction
from skdistill.students import MLPRanker

K = 10
N_ADS = 1000
SETTINGS = (("teacher", (200, 50)), ("teacher", (100, 20)), ("MLP 32", (200, 50)))
WAYS = ("at the end", "fitted without", "with `offset`")


def make_cascade(data, teacher, last, sizes, seed):
    towers = TwoTowerRetriever(
        query_columns=data.query_columns,
        item_columns=data.item_columns,
        embedding_dim=16,
        max_iter=20,
        learning_rate_init=0.02,
        loss="listwise",
        teacher_check=False,
    )
    model = "teacher" if last == "teacher" else MLPRanker((32,), max_iter=20)
    return RankingCascade(
        [
            ("retrieve", towers, sizes[0]),
            ("prerank", MLPRanker((16,), max_iter=20), sizes[1]),
            ("rank", model, K),
        ],
        teacher=FrozenEstimator(teacher),
        random_state=seed,
    )


def one_auction(seed, last, sizes):
    """Revenue that each way keeps in one auction."""
    data = make_auction(600, N_ADS, 40, random_state=seed)
    train, log_bid = data.qid < 450, np.log(data.ad_bid)
    teacher = lightgbm.LGBMClassifier(
        n_estimators=200, learning_rate=0.05, num_leaves=15, verbose=-1, n_jobs=1
    )
    teacher.fit(data.X[train], data.y[train])
    queries = data.X[~train][::40, data.query_columns]
    rows = np.repeat(queries, N_ADS, axis=0), np.tile(data.ads, (len(queries), 1))
    grid = teacher.predict_proba(np.column_stack(rows))[:, 1].reshape(len(queries), N_ADS)
    value = grid * data.ad_bid

    def kept(ids):
        best = np.sort(value, axis=1)[:, -K:]
        return np.take_along_axis(value, ids, axis=1).sum() / best.sum()

    def fitted(offset=None, **size):
        cascade = make_cascade(data, teacher, last, sizes, seed).set_params(**size)
        given = {"qid": data.qid[train], "items": data.ads, "offset": offset}
        return cascade.fit(data.X[train], data.y[train], **given)

    ids, scores = fitted(rank__size=sizes[1]).rank(queries)
    if last == "teacher":
        scores = np.log(scores)
    order = np.argsort(-(scores + log_bid[ids]), axis=1)[:, :K]
    at_end = kept(np.take_along_axis(ids, order, axis=1))
    later = fitted(np.zeros(N_ADS))
    later.set_offset(np.arange(N_ADS), log_bid)
    return at_end, kept(later.rank(queries)[0]), kept(fitted(log_bid).rank(queries)[0])


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args(arguments).seeds
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    print("| last stage | sizes |", " | ".join(WAYS), "| with offset - at the end |")
    print("|---|---|---|---|---|---|")
    for last, sizes in SETTINGS:
        auctions = []
        for seed in range(seeds):
            auctions.append(one_auction(seed, last, sizes))
            print(last, sizes, seed, np.round(auctions[-1], 4), file=sys.stderr, flush=True)
        kept = np.array(auctions)
        means = " | ".join(f"{mean:.3f}" for mean in kept.mean(axis=0))
        difference = interval(kept[:, 2] - kept[:, 0], rng)
        print(f"| {last} | {sizes[0]}, {sizes[1]}, {K} | {means} | {difference} |", flush=True)
