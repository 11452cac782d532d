"""Check of which columns of integers a student warns that they seem to be ids.

    python -m benchmarks ids
    python -m benchmarks ids --short      # only check that it runs

Each table has an id, an amount that goes with the item, or both, all of them integers that the
student reads as numbers. For each column, the study prints in how many of the seeds ``fit`` warns
of it, and by how much NDCG@10 on held-out queries changes, relative to that of the same student, if
the column is named as a category, with the standard error over the queries of all seeds.

A second table is about ids of users: a column of text, the same in all rows of a query, that means
nothing. It prints the change of NDCG@10 on held-out queries if an MLP reads it, by the number of
queries per user, for labels with little noise and with much.
"""

import argparse
import warnings

import lightgbm
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.studies.quality_tables import Part, by_query, per_query, sizes_of
from skdistill.datasets import build_ranking_table, load_movielens, make_auction, make_ranking
from skdistill.students import LinearRanker, MLPRanker

QUERY_SIZE = 20
FEATURES = ["item_n_ratings", "item_n_recent", "item_mean_rating", "item_year", "pair_latent"]
# Standard deviation of the noise of labels; that of the utility is about 1.
NOISE = (0.2, 3.0)
USERS, SHORT_USERS = (50, 100, 200, 400, 800, 1500, 3000), (40,)
STUDENTS = {"MLP": MLPRanker, "linear": LinearRanker}


def graded(utility):
    return np.digitize(utility, np.quantile(utility, [0.7, 0.9])).astype(float)


def shops(n_shops, strength, noise):
    """A table whose shops have numbers and effects; no other column knows anything of them."""

    def make(seed, n_queries):
        data = make_ranking(n_queries, QUERY_SIZE, n_features=4, random_state=seed)
        rng = np.random.default_rng(seed)
        shop = rng.integers(0, n_shops, len(data.qid))
        effect = strength * rng.normal(size=n_shops)[shop]
        utility = data.X[:, 0] + effect + noise * rng.normal(size=len(shop))
        X = pd.DataFrame(data.X, columns=list("abcd")).assign(shop=shop + 1000)
        return Part(X, graded(utility), data.qid), ["shop"]

    return make


def items(hidden):
    """Items with a price and a number; other columns know their appeal, but for a part of it."""

    def make(seed, n_queries):
        rng = np.random.default_rng(seed)
        item = rng.integers(0, 400, n_queries * QUERY_SIZE)
        X = pd.DataFrame(rng.normal(size=(400, 3)), columns=list("abc")).iloc[item]
        X = X.reset_index(drop=True).assign(
            match=rng.normal(size=len(item)),
            price=np.exp(rng.normal(10, 0.8, 400)).astype(int)[item],
            item=rng.permutation(400)[item],
        )
        appeal = np.maximum(X["a"], X["b"]) + X["c"] * X["match"] - 0.5 * np.log(X["price"])
        appeal += hidden * rng.normal(size=400)[item] + rng.normal(size=len(item))
        return Part(X, graded(appeal), np.arange(len(item)) // QUERY_SIZE), ["price", "item"]

    return make


def auction(seed, n_queries):
    """Ads with a number and a bid, which do not explain clicks beyond the other columns."""
    data = make_auction(n_queries, 500, 40, click_rate=0.1, random_state=seed)
    X = pd.DataFrame(data.X).add_prefix("f")
    X = X.assign(ad=data.ad + 100, cents=np.round(100 * data.bid).astype(int))
    return Part(X, data.y, data.qid), ["ad", "cents"]


def films(has_features):
    """Ratings or features of MovieLens 100k, with the number of the film."""

    def make(seed, n_queries):
        ratings, users, films = load_movielens("100k")[:3]
        if has_features:
            table = build_ranking_table(ratings, users, films)
            X, y, qid = table.X[FEATURES], table.y, table.qid
            film, counted = table.item, "item_n_ratings"
        else:
            film, y, qid = (ratings[name].to_numpy() for name in ("item_id", "rating", "user_id"))
            X = films.iloc[film][["year"]].reset_index(drop=True)
            n_ratings = np.bincount(film, minlength=len(films))
            X, counted = X.assign(n_ratings=n_ratings[film]), "n_ratings"
        kept = np.isin(qid, np.random.default_rng(seed).permutation(np.unique(qid))[:n_queries])
        order = np.flatnonzero(kept)[np.argsort(qid[kept], kind="stable")]
        X = X.assign(film=film).iloc[order].reset_index(drop=True)
        return Part(X, np.asarray(y, dtype=float)[order], qid[order]), ["film", counted]

    return make


TABLES = {
    "200 shops": shops(200, 0.7, 1.0),
    "200 shops, weak": shops(200, 0.3, 1.0),
    "1500 shops": shops(1500, 1.0, 1.0),
    "items, columns know all": items(0.0),
    "items, columns know a part": items(0.5),
    "auction": auction,
    "MovieLens ratings": films(False),
    "MovieLens features": films(True),
}


def fit(student, part, teacher_scores, seed, *, told="seem to be ids", **settings):
    """Fit a student; return it and those of its warnings that say this."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = student(random_state=seed, **settings).fit(
            part.X, part.y, qid=part.qid, teacher_scores=teacher_scores
        )
    return fitted, [str(one.message) for one in caught if told in str(one.message)]


def rows_of(make, seed, n_queries):
    """Yield the student and the column; whether ``fit`` warns, and the gains of the queries."""
    part, columns = make(seed, n_queries)
    train, test = by_query(part, 0.3, seed)
    teacher = lightgbm.LGBMRanker(n_estimators=200, min_child_samples=40, verbose=-1, n_jobs=1)
    scores = teacher.fit(train.X, train.y, group=sizes_of(train.qid)).predict(train.X)
    for name, student in STUDENTS.items():
        as_number, told = fit(student, train, scores, seed)
        before = per_query(as_number.predict(test.X), test)
        for column in columns:
            named, _ = fit(student, train, scores, seed, categorical_features=[column])
            gains = (per_query(named.predict(test.X), test) - before) / np.nanmean(before)
            yield (name, column), (any(repr(column) in one for one in told), gains)


def gains_with_users(seed, n_queries, noise, sizes):
    """Yield the number of users, whether ``fit`` warns, and what each query gains by the column."""
    data = make_ranking(n_queries, QUERY_SIZE, n_features=20, noise=noise, random_state=seed)
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(data.X).add_prefix("x")
    train, test = by_query(Part(X, data.y, data.qid), 0.3, seed)
    teacher = lightgbm.LGBMRanker(n_estimators=100, verbose=-1, n_jobs=1)
    scores = teacher.fit(train.X, train.y, group=sizes_of(train.qid)).predict(train.X)
    before = per_query(fit(MLPRanker, train, scores, seed)[0].predict(test.X), test)
    for size in sizes:
        users = np.char.add("u", rng.integers(0, size, n_queries).astype(str))
        with_user = train._replace(X=train.X.assign(user=users[train.qid]))
        read, messages = fit(MLPRanker, with_user, scores, seed, told="few queries per value")
        after = per_query(read.predict(test.X.assign(user=users[test.qid])), test)
        yield size, bool(messages), (after - before) / np.nanmean(before)


def user_table(n_seeds, n_queries, sizes):
    """Print what an id of users that means nothing costs, by the number of users."""
    print("\n| users | training queries per user | warns | labels have little noise | much noise |")
    print("|---" * 5 + "|")
    told, gains = dict.fromkeys(sizes, 0), {}
    for noise in NOISE:
        for seed in range(n_seeds):
            for size, is_told, of_queries in gains_with_users(seed, n_queries, noise, sizes):
                told[size] += is_told
                gains.setdefault((size, noise), []).append(of_queries)
    for size in sizes:
        cells = [summary(gains[size, noise]) for noise in NOISE]
        print(
            f"| {size} | {0.7 * n_queries / size:.1f} | {told[size]} of {len(NOISE) * n_seeds} | "
            f"{' | '.join(cells)} |"
        )


def summary(of_seeds):
    """Mean gain over queries, and its standard error."""
    gain = np.concatenate(of_seeds)
    gain = gain[np.isfinite(gain)]
    return f"{gain.mean():+.3f} ± {gain.std() / np.sqrt(len(gain)):.3f}"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args(arguments)
    n_seeds, n_queries = (1, 100) if options.short else (options.seeds, 1000)
    tables = {"200 shops": TABLES["200 shops"]} if options.short else TABLES
    print("| table | student | column | warns | NDCG@10 if it is named |")
    print("|---" * 5 + "|")
    for table, make in tables.items():
        found = {}
        with threadpool_limits(1):
            for seed in range(n_seeds):
                for key, row in rows_of(make, seed, n_queries):
                    found.setdefault(key, []).append(row)
        for (student, column), rows in found.items():
            told, gains = zip(*rows, strict=True)
            print(
                f"| {table} | {student} | `{column}` | {sum(told)} of {n_seeds} | "
                f"{summary(gains)} |",
                flush=True,
            )
    with threadpool_limits(1):
        user_table(n_seeds, 200 if options.short else 3000, SHORT_USERS if options.short else USERS)
