"""
Distil a whole funnel: retrieve, pre-rank, rank
===============================================

A LightGBM ranker that knows 31 features of a user and a film is too slow to score all 1,682 films
of MovieLens 100k for every visitor. This example makes a cascade of it: two towers find 200 films,
a linear student keeps some of them, and the ranker itself orders these.

All stages learn the ranker's order. A fifth of the users is held out: no stage has seen them, and
the towers know them by their columns alone. The example prints

1. where the ranker's favourite ten films of these users are lost,
2. what the same stages would keep, had they been trained in other ways,
3. the sizes that keep 95% of the favourites at the lowest cost, planned on one half of the held-out
   users and tried on the other.

Run it with ``make demo``. It writes the tables and a picture to ``out/``.
"""

import argparse
import time
import warnings
from pathlib import Path

import lightgbm
import matplotlib
import numpy as np
import pandas as pd
from scipy import sparse

from skdistill import RankingCascade, TeacherWarning, TwoTowerRetriever
from skdistill.cascade import cascade_report, fit_rivals, plan_cascade
from skdistill.datasets import load_movielens
from skdistill.datasets.ranking_table import PairFeatures, split_by_time
from skdistill.inspection import CascadeDisplay
from skdistill.students import LinearRanker

matplotlib.use("Agg")

HELD_OUT = 0.2


class Films:
    """MovieLens as a log, a catalogue, and features of any pair of a user and a film."""

    def __init__(self, variant="100k"):
        ratings, users, items = load_movielens(variant)
        period = split_by_time(ratings, (0.6, 0.2, 0.2))
        self.shape = len(users), len(items)
        self.history, self.labels, self.test = (
            self._matrix(ratings[period == number]) for number in range(3)
        )
        self._features = PairFeatures(ratings[period == 0], users, items)
        genres = items["genres"].str.get_dummies(sep=" ").astype(float)
        self.users = pd.DataFrame(
            {
                "user": np.arange(len(users)),
                "age": users["age"].astype(float).to_numpy(),
                "gender": users["gender"].to_numpy(),
                "occupation": users["occupation"].astype(str).to_numpy(),
                "log_ratings": np.log1p(self.history.sum(axis=1)),
            }
        )
        tastes = self.history @ genres.to_numpy()
        tastes /= np.maximum(tastes.sum(axis=1, keepdims=True), 1)
        self.users[[f"likes_{name}" for name in genres]] = tastes
        self.items = pd.DataFrame(
            {
                "film": np.arange(len(items)),
                "year": items["year"].astype(float).to_numpy(),
                "log_viewers": np.log1p(self.history.sum(axis=0)),
            }
        ).join(genres.add_prefix("genre_"))

    def _matrix(self, ratings):
        pairs = ratings["user_id"].to_numpy(), ratings["item_id"].to_numpy()
        return sparse.csr_array((np.ones(len(ratings)), pairs), shape=self.shape)

    @property
    def columns_of_users(self):
        """What the towers know of a user: not the id."""
        return [name for name in self.users if name != "user"]

    def features(self, users, films):
        """The ranker's features of aligned users and films."""
        return self._features(users["user"].to_numpy(), films["film"].to_numpy())

    def log(self, users, seed, n_negatives=100):
        """Films that users rated in the second period, and films that they never rated so far."""
        rng = np.random.default_rng(seed)
        rated = (self.history + self.labels).toarray() > 0
        rows = []
        for user in users:
            liked = self.labels.indices[self.labels.indptr[user] : self.labels.indptr[user + 1]]
            if len(liked):
                others = rng.choice(np.flatnonzero(~rated[user]), n_negatives, replace=False)
                film = np.concatenate([liked, others])
                rows.append(np.column_stack([np.full(len(film), user), film]))
        user, film = np.concatenate(rows).T
        y = np.asarray(self.labels[user, film]).ravel()
        left = self.users.iloc[user].reset_index(drop=True)
        return left.join(self.items.iloc[film].reset_index(drop=True)), y, user

    def split_users(self, seed, n_users=None):
        """Users to train on, and users that no stage has seen."""
        order = np.random.default_rng(seed).permutation(self.shape[0])[:n_users]
        n_held_out = round(HELD_OUT * len(order))
        return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def make_ranker(seed, n_estimators):
    return lightgbm.LGBMRanker(
        n_estimators=n_estimators,
        learning_rate=7.5 / n_estimators,
        min_child_samples=50,
        colsample_bytree=0.5,
        subsample=0.5,
        subsample_freq=1,
        random_state=seed,
        n_jobs=1,  # other processes may need the other cores
        verbose=-1,
    )


def make_cascade(films, ranker, seed, last=("rank", "teacher", 10), size=30, **parameters):
    towers = TwoTowerRetriever(
        query_columns=films.columns_of_users,
        item_columns=list(films.items),
        teacher_check=False,
    )
    return RankingCascade(
        [("retrieve", towers, 200), ("prerank", LinearRanker(), size), last],
        teacher=ranker,
        features=films.features,
        query_columns=list(films.users),
        random_state=seed,
        **parameters,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("out"), help="output folder")
    parser.add_argument("--n-estimators", type=int, default=150, help="trees of the ranker")
    parser.add_argument("--recall", type=float, default=0.95, help="target of the plan")
    parser.add_argument("--users", type=int, help="number of users; all by default")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    warnings.simplefilter("ignore", TeacherWarning)

    films = Films()
    train, held_out = films.split_users(arguments.seed, arguments.users)
    X, y, user = films.log(train, arguments.seed)
    ranker = make_ranker(arguments.seed, arguments.n_estimators).set_params(n_jobs=2)
    cascade = make_cascade(films, ranker, arguments.seed)
    cascade.fit(X, y, qid=user, items=films.items)
    cascade.teacher_.set_params(n_jobs=1)  # requests are timed on one thread
    print(f"fitted on {len(train)} users, {time.perf_counter() - start:.0f} s since the start")
    rivals = fit_rivals(cascade, X, y, qid=user, items=films.items, n_jobs=2)
    queries = films.users.iloc[held_out]
    report = cascade_report(cascade, queries, rivals=rivals)

    half = len(held_out) // 2
    plan = plan_cascade(cascade, queries[:half], target_recall=arguments.recall, random_state=0)
    planned = cascade_report(plan.apply(), queries[half:])
    text = (
        f"{report}\n\nPlanned on {half} users for a recall of {arguments.recall}:\n{plan}\n"
        f"On the other {len(held_out) - half} users the recall is {planned.recall:.4f}."
    )
    print("\n" + text)
    (arguments.out / "cascade.txt").write_text(text + "\n")
    plan.frame().to_csv(arguments.out / "cascade_plan.csv", index=False)
    display = CascadeDisplay.from_report(report)
    display.figure_.savefig(arguments.out / "cascade.png", dpi=120)
    print(f"Written to {arguments.out}/, {time.perf_counter() - start:.0f} s since the start")


if __name__ == "__main__":
    main()
