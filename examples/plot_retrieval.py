"""
Distil a teacher's order of a whole catalogue into two towers
=============================================================

This example makes a retrieval problem of MovieLens 100k, split by time. The first 60% of each
user's ratings are the history, from which the pair features of a LightGBM teacher are computed. The
next 20% are the labels, and the last 20% the test.

Two towers see user and item columns alone. They learn the order in which the teacher ranks all
1,682 films for each user. They are compared with the same towers on labels alone, on labels and
teacher together, and on 200 sampled films per user; and with popularity and the teacher itself.

Run it with ``make demo``. It prints a table, and writes the table and a picture to ``out/``.
"""

import argparse
import time
import warnings
from pathlib import Path

import lightgbm
import matplotlib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import track
from scipy import sparse

from skdistill import TeacherWarning, TwoTowerRetriever
from skdistill.datasets import load_movielens
from skdistill.datasets.ranking_table import PairFeatures, split_by_time
from skdistill.metrics import retrieval_curve, retrieval_recall

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Progress is shown beside what is printed.
BESIDE = Console(stderr=True)
TOP = 10
RETURNED = 200
USER_COLUMNS = ["user_id", "age", "gender", "occupation"]


def make_tables(users, items):
    """Tables for the towers: ids as integers, categories as strings, quantities as floats."""
    users = pd.DataFrame(
        {
            "user_id": np.arange(len(users)),
            "age": users["age"].astype(float).to_numpy(),
            "gender": users["gender"].to_numpy(),
            "occupation": users["occupation"].astype(str).to_numpy(),
        }
    )
    genres = items["genres"].str.get_dummies(sep=" ").astype(float).add_prefix("genre_")
    items = pd.DataFrame(
        {
            "item_id": np.arange(len(items)),
            "year": items["year"].astype(float).to_numpy(),
        }
    ).join(genres)
    return users, items


def matrix_of(ratings, shape):
    pairs = ratings["user_id"].to_numpy(), ratings["item_id"].to_numpy()
    return sparse.csr_array((np.ones(len(ratings)), pairs), shape=shape)


def draw_log(labels, seen, n_negatives, seed):
    """The labelled pairs, and films drawn uniformly from those each user has not rated so far."""
    rng = np.random.default_rng(seed)
    rated = (labels + seen).toarray() > 0
    user, item = labels.nonzero()
    negatives = [
        rng.choice(np.flatnonzero(~rated[u]), n_negatives, replace=False) for u in np.unique(user)
    ]
    rows = pd.DataFrame(
        {
            "user": np.concatenate([user, np.repeat(np.unique(user), n_negatives)]),
            "item": np.concatenate([item, *negatives]),
            "label": np.r_[np.ones(len(user)), np.zeros(n_negatives * len(negatives))],
        }
    )
    return rows.sort_values(["user", "item"], ignore_index=True)


def fit_teacher(features, log, seed, n_estimators):
    return lightgbm.LGBMRanker(
        n_estimators=n_estimators,
        learning_rate=7.5 / n_estimators,
        min_child_samples=50,
        colsample_bytree=0.5,
        subsample=0.5,
        subsample_freq=1,
        random_state=seed,
        n_jobs=1,  # the seeds share the cores
        verbose=-1,
    ).fit(
        features(log["user"].to_numpy(), log["item"].to_numpy()),
        log["label"],
        group=log.groupby("user").size(),
    )


def score_catalogue(teacher, features, askers, n_items, block=100):
    """Score every film for every user with labels by the teacher."""
    scores = np.empty((len(askers), n_items), dtype=np.float32)
    for start in range(0, len(askers), block):
        users = askers[start : start + block]
        rows = features(np.repeat(users, n_items), np.tile(np.arange(n_items), len(users)))
        scores[start : start + block] = teacher.predict(rows).reshape(len(users), n_items)
    return scores


def teach(labels, history, features, askers, n_items, seed, n_estimators):
    """Draw the log of a seed, fit the teacher on it, and score the catalogue."""
    log = draw_log(labels, history, 100, seed)
    teacher = fit_teacher(features, log, seed, n_estimators)
    return log, score_catalogue(teacher, features, askers, n_items)


def fit_towers(users, items, log, scores, seed, **parameters):
    """Fit towers on user and item columns, with the positives of the log as labels."""
    rows = log[log["label"] > 0]
    X = pd.concat(
        [
            users.iloc[rows["user"]].reset_index(drop=True),
            items.iloc[rows["item"]].reset_index(drop=True),
        ],
        axis=1,
    )
    towers = TwoTowerRetriever(
        query_columns=USER_COLUMNS,
        item_columns=list(items.columns),
        embedding_dim=32,
        random_state=seed,
        **parameters,
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)  # the table compares them anyway
        towers.fit(X, rows["label"], qid=rows["user"], items=items, teacher_scores=scores)
    return towers, time.perf_counter() - start


def recalls_of_labels(users, items, log, scores, candidates, seed, parallel):
    """Recall of a held-out fifth of the labels, by towers with each of the parameters."""
    rng = np.random.default_rng(seed)
    held_out = (log["label"] > 0) & (rng.random(len(log)) < 0.2)
    shown = log[~held_out]
    askers = np.unique(shown.loc[shown["label"] > 0, "user"])
    among = np.isin(np.unique(log["user"]), askers)
    shape = len(users), len(items)
    seen = matrix_of(shown.rename(columns={"user": "user_id", "item": "item_id"}), shape)
    wanted = matrix_of(log[held_out].rename(columns={"user": "user_id", "item": "item_id"}), shape)

    def recall(parameters):
        towers, _ = fit_towers(
            users, items, shown, scores[among], seed, teacher_check=False, **parameters
        )
        ids, _ = towers.retrieve(users.iloc[askers], 50, exclude=seen[askers])
        return retrieval_recall(wanted[askers], ids, k=50)

    found = parallel(delayed(recall)(parameters) for parameters in candidates)
    return list(track(found, "choice of parameters", len(candidates), console=BESIDE))


def recall_curve(relevant, ids):
    """Recall of the first 1, 2, ... films returned: the mean over users who rated any of them."""
    wanted = np.where(relevant.toarray() > 0, np.arange(relevant.shape[1]), -1)
    longest = (wanted >= 0).sum(axis=1).max()
    return retrieval_curve(np.sort(wanted)[:, -longest:], ids).recall


def draw(curves, recalls, path):
    """Draw what is found by the number of items returned, with one legend below both axes."""
    plt.style.use("tableau-colorblind10")
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    m = np.arange(1, RETURNED + 1)
    looks = {name: {"color": f"C{i}"} for i, name in enumerate(curves)}
    looks["teacher"] = {"color": "black", "linestyle": "--"}
    looks["popularity"] = {"color": "gray", "linestyle": ":"}
    looks["distilled"]["linewidth"] = 4  # seen behind the curve of sampled films
    for name, curve in curves.items():
        axes[0].plot(m, curve, **looks[name])
    for name, curve in recalls.items():
        axes[1].plot(m, curve, label=name, **looks[name])
    axes[0].set(title=f"Found of the teacher's top {TOP}", ylabel="fraction")
    axes[1].set(title="Found of the films that users rated later", ylabel="recall")
    for axis in axes:
        axis.set(xlabel="films returned", xscale="log")
        axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("out"), help="output folder")
    parser.add_argument("--seeds", type=int, default=3, help="number of random seeds")
    parser.add_argument(
        "--n-estimators", type=int, default=150, help="number of trees of the teacher"
    )
    parser.add_argument(
        "--variant", choices=["100k", "1m"], default="100k", help="size of MovieLens"
    )
    parser.add_argument(
        "--n-candidates", type=int, default=200, help="number of sampled films per user"
    )
    parser.add_argument("--users", type=int, help="number of users; all by default")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    ratings, users, items = load_movielens(arguments.variant)
    users = users[: arguments.users]
    ratings = ratings[ratings["user_id"] < len(users)]
    period = split_by_time(ratings, (0.6, 0.2, 0.2))
    shape = len(users), len(items)
    history, labels, test = (matrix_of(ratings[period == p], shape) for p in range(3))
    features = PairFeatures(ratings[period == 0], users, items)
    users, items = make_tables(users, items)
    print(f"MovieLens {arguments.variant}: {len(users)} users, {len(items)} films")

    found = {}
    askers = np.unique(labels.nonzero()[0])
    seen = ((history + labels) > 0).astype(float)[askers]
    relevant = test[askers]
    parallel = Parallel(n_jobs=2, return_as="generator")
    taught = parallel(
        delayed(teach)(labels, history, features, askers, len(items), seed, arguments.n_estimators)
        for seed in range(arguments.seeds)
    )
    taught = list(track(taught, "teachers", arguments.seeds, console=BESIDE))
    alone = [{"alpha": 0.0, "weight_decay": decay} for decay in (0.0, 0.1, 0.3, 1.0)]
    both = [
        {"alpha": alpha, "weight_decay": decay} for alpha in (0.1, 0.3, 0.6) for decay in (0.0, 0.3)
    ]
    recalls = recalls_of_labels(users, items, *taught[0], alone + both, 0, parallel)
    on_labels = alone[int(np.argmax(recalls[: len(alone)]))]
    mixed = both[int(np.argmax(recalls[len(alone) :]))]
    print(f"chosen on held-out labels: {on_labels} for labels alone, {mixed} for both")
    for seed, (log, scores) in enumerate(track(taught, "towers", console=BESIDE)):
        rows = {
            "distilled": {},
            f"distilled, {arguments.n_candidates} sampled": {
                "n_candidates": arguments.n_candidates
            },
            "labels and teacher": mixed,
            "labels alone": on_labels,
        }
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        hidden = np.where(seen.toarray() > 0, -np.inf, scores)
        popular = np.tile(np.asarray(history.sum(axis=0)), (len(askers), 1))
        popular = np.where(seen.toarray() > 0, -np.inf, popular)
        for name, values in {"teacher": hidden, "popularity": popular}.items():
            order = np.argsort(-values, axis=1, kind="stable")[:, :RETURNED]
            found.setdefault(name, []).append((None, recall_curve(relevant, order), np.nan))
        for name, parameters in rows.items():
            towers, seconds = fit_towers(
                users, items, log, scores, seed, teacher_check=name == "distilled", **parameters
            )
            if name == "distilled":
                check = towers.teacher_check_
                print(
                    f"seed {seed}: held-out films among the first {check.m}, by the teacher "
                    f"{check.teacher:.3f}, by towers of labels alone {check.label_towers:.3f}, by "
                    f"popularity {check.popularity:.3f}"
                )
            everything, _ = towers.retrieve(users.iloc[askers], RETURNED)
            unseen, _ = towers.retrieve(users.iloc[askers], RETURNED, exclude=seen)
            curve = retrieval_curve(best, everything).recall
            found.setdefault(name, []).append((curve, recall_curve(relevant, unseen), seconds))

    summary = pd.DataFrame(
        {
            name: {
                **{
                    f"top {TOP} in {m}": np.nan
                    if runs[0][0] is None
                    else np.mean([curve[m - 1] for curve, _, _ in runs])
                    for m in (10, 50, 100)
                },
                "recall@50": np.mean([recall[49] for _, recall, _ in runs]),
                "±": np.std([recall[49] for _, recall, _ in runs]),
                "fit, s": np.mean([seconds for _, _, seconds in runs]),
            }
            for name, runs in found.items()
        }
    ).T
    text = (
        f"Two towers, 32 dimensions, mean over {arguments.seeds} seeds: fraction of the teacher's "
        f"top {TOP} among the items returned, recall@50 of the test period\n\n"
        + summary.to_string(float_format="{:.4f}".format, na_rep="")
    )
    print("\n" + text)
    (arguments.out / "retrieval.txt").write_text(text + "\n")
    summary.to_csv(arguments.out / "retrieval.csv")
    draw(
        {
            n: np.mean([r[0] for r in runs], 0)
            for n, runs in found.items()
            if runs[0][0] is not None
        },
        {n: np.mean([r[1] for r in runs], 0) for n, runs in found.items()},
        arguments.out / "retrieval.png",
    )
    print(f"Written to {arguments.out}/, {start_to_now(start)}")


def start_to_now(start):
    return f"{time.perf_counter() - start:.0f} s since the start"


if __name__ == "__main__":
    main()
