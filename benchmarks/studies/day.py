"""What ``partial_fit`` of a day's log keeps of a full refit, and what it costs.

    python -m benchmarks day [--variant 100k|1m] [--supervision teacher|labels] [--short]

Towers of 20 dimensions know users and films by ids and a few columns. A fifth of all ratings, drawn
at random, is for testing. At several times, the towers were fitted on all earlier ratings, and the
next 2% of them arrive: those of new users, of users who come back, and of films that nobody had
rated. Compared are a full refit on everything, ``partial_fit`` with all rows of the users who came,
with their new rows alone, and no update. The teacher, EASE, is fitted anew at each time; labels are
ratings of at least 4. Films that a user has rated are excluded from the lists. Recall@10 and
NDCG@10 are relative to the refit, with 95% intervals by the paired bootstrap over the users of all
times.
"""

import argparse
import time

import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.studies.implicit_feedback import DIMENSIONS, K, ease, measure
from skdistill import TwoTowerRetriever
from skdistill.datasets import load_movielens
from skdistill.metrics import bootstrap_ratio

TIMES = 0.5, 0.6, 0.7, 0.8, 0.9, 1.0
DAY = 0.02
LIKED = 4
EASE_RIDGE = 200.0
PARAMETERS = {
    "teacher": {"known_items": "mask"},
    "labels": {"alpha": 0.0},
}


class Service:
    """Users, films, and the ratings up to a time, the last of which are those of the day."""

    def __init__(self, variant, until, supervision):
        ratings, users, films = load_movielens(variant)
        ratings = ratings.sort_values("timestamp", kind="stable")
        ratings = ratings.iloc[: int(until * len(ratings))]
        is_test = np.random.default_rng(0).random(len(ratings)) < 0.2
        self.supervision = supervision
        self.users = users.assign(user=users.index.astype(str))[["user", "age", "gender"]]
        self.films = films.assign(film=films.index.astype(str))[["film", "year", "genres"]]
        self.test = self.matrix_of(ratings[is_test & (ratings.rating >= LIKED)])
        self.all = ratings[~is_test]
        n_before = int((1 - DAY) * len(self.all))
        self.before, self.day = self.all.iloc[:n_before], self.all.iloc[n_before:]
        self.came = np.unique(self.day.user_id)
        self.known = np.unique(self.before.user_id)
        self.films_before = np.unique(self.before.item_id)
        self.rated = self.matrix_of(self.all)

    def matrix_of(self, ratings):
        pairs = ratings.user_id, ratings.item_id
        shape = len(self.users), len(self.films)
        return sparse.csr_array((np.ones(len(ratings), np.float32), pairs), shape=shape)

    def scores(self, ratings):
        """The teacher's scores, fitted on the ratings that exist; None for labels alone."""
        if self.supervision == "labels":
            return None
        return ease(self.matrix_of(ratings[ratings.rating >= LIKED]), EASE_RIDGE)

    def arguments(self, ratings, films, scores):
        """Arguments of ``fit`` or ``partial_fit``."""
        if self.supervision == "labels":
            ratings = ratings[ratings.rating >= LIKED]
        sides = self.users.iloc[ratings.user_id], self.films.iloc[ratings.item_id]
        users = np.unique(ratings.user_id)
        return {
            "X": pd.concat([side.reset_index(drop=True) for side in sides], axis=1),
            "y": np.ones(len(ratings)),
            "qid": ratings.user_id.to_numpy(),
            "items": self.films.iloc[films].reset_index(drop=True),
            "teacher_scores": None if scores is None else scores[np.ix_(users, films)],
        }

    def measure(self, towers):
        """Recall and NDCG of each user, shape (2, n_users)."""
        towers.index(self.films)
        return measure(towers.retrieve(self.users, K, exclude=self.rated)[0], self.test)


def new_towers(supervision):
    return TwoTowerRetriever(
        query_columns=["user", "age", "gender"],
        item_columns=["film", "year", "genres"],
        embedding_dim=DIMENSIONS,
        teacher_check=False,
        random_state=0,
        **PARAMETERS[supervision],
    )


def one_day(service):
    """Metrics and seconds of each way to go on, and the groups of users."""
    everything = np.arange(len(service.films))
    now, then = service.scores(service.all), service.scores(service.before)
    histories = service.all[service.all.user_id.isin(service.came)]
    before = service.arguments(service.before, service.films_before, then)
    towers = {way: new_towers(service.supervision) for way in ("refit", "update", "rows", "none")}
    calls = {
        "refit": lambda t: t.fit(**service.arguments(service.all, everything, now)),
        "update": lambda t: t.partial_fit(**service.arguments(histories, everything, now)),
        "rows": lambda t: t.partial_fit(**service.arguments(service.day, everything, now)),
        "none": lambda t: t,
    }
    values, seconds = {}, {}
    for way, go_on in calls.items():
        if way != "refit":
            towers[way].fit(**before)
        start = time.perf_counter()
        go_on(towers[way])
        seconds[way] = time.perf_counter() - start
        values[way] = service.measure(towers[way])
    groups = {
        "all": np.union1d(service.known, service.came),
        "came back": np.intersect1d(service.known, service.came),
        "new": np.setdiff1d(service.came, service.known),
    }
    return values, seconds, groups


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=["100k", "1m"], default="1m")
    parser.add_argument("--supervision", choices=list(PARAMETERS), default="teacher")
    parser.add_argument("--short", action="store_true", help="MovieLens 100k, at one time")
    options = parser.parse_args(arguments)
    times = TIMES
    if options.short:
        options.variant, times = "100k", (1.0,)
    with threadpool_limits(1):
        days = [one_day(Service(options.variant, until, options.supervision)) for until in times]
    print(
        f"MovieLens {options.variant}, {options.supervision}, {len(times)} time(s), one "
        f"thread\n{'':28}{'of the time':>12}   ratio of recall@{K} and of NDCG@{K}"
    )
    names = {
        "none": "no update",
        "rows": "partial_fit, new rows alone",
        "update": "partial_fit, all rows",
    }
    for way, name in names.items():
        share = np.median([seconds[way] / seconds["refit"] for _, seconds, _ in days])
        print(f"{name:28}{'' if way == 'none' else f'{share:.3f}':>12}", flush=True)
        for group in days[0][2]:
            texts = []
            for metric in range(2):
                ours, refit = (
                    np.concatenate(
                        [values[one][metric][groups[group]] for values, _, groups in days]
                    )
                    for one in (way, "refit")
                )
                kept = ~np.isnan(ours)
                ratio = bootstrap_ratio(ours[kept], refit[kept], random_state=0)
                texts.append(f"{ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
            print(f"    {group:10} {kept.sum():6,} users {'':14} {'   '.join(texts)}", flush=True)
