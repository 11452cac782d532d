"""Check of which columns of integers a student warns that they seem to be ids.

    python -m benchmarks ids
    python -m benchmarks ids --short      # only check that it runs

Each table has an id, an amount that goes with the item, or both, all of them integers that the
student reads as numbers. For each column, the study prints in how many of the seeds ``fit`` warns
of it, and by how much NDCG@10 on held-out queries changes, relative to that of the same student, if
the column is named as a category, with the standard error over the queries of all seeds.

Two more tables are about ids of users: a column of text, the same in all rows of a query. They
print the change of NDCG@10 on held-out queries if an MLP reads the id. In the second table, the id
means nothing, with little noise of the labels and with much, or users have tastes of their own. In
the third, users of MovieLens rate twenty films at a time.
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
USERS, SHORT_USERS = (50, 100, 200, 400, 800, 1500, 3000), (40,)
MOVIELENS = [("100k", 200), ("100k", 943), ("1m", 400)]
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


def scores_of_trees(part, **settings):
    """Fit LightGBM, and score the rows that it was fitted on."""
    ranker = lightgbm.LGBMRanker(verbose=-1, n_jobs=1, **settings)
    return ranker.fit(part.X, part.y, group=sizes_of(part.qid)).predict(part.X)


def fit(student, part, teacher_scores, seed, **settings):
    """Fit a student; return it and what it has warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fitted = student(random_state=seed, **settings).fit(
            part.X, part.y, qid=part.qid, teacher_scores=teacher_scores
        )
    return fitted, [str(one.message) for one in told if "seem to be ids" in str(one.message)]


def rows_of(make, seed, n_queries):
    """Yield the student and the column; whether ``fit`` warns, and the gains of the queries."""
    part, columns = make(seed, n_queries)
    train, test = by_query(part, 0.3, seed)
    scores = scores_of_trees(train, n_estimators=200, min_child_samples=40)
    for name, student in STUDENTS.items():
        as_number, told = fit(student, train, scores, seed)
        before = per_query(as_number.predict(test.X), test)
        for column in columns:
            named, _ = fit(student, train, scores, seed, categorical_features=[column])
            gains = (per_query(named.predict(test.X), test) - before) / np.nanmean(before)
            yield (name, column), (any(repr(column) in one for one in told), gains)


def without_tastes(noise):
    """Lists of which the users say nothing; the utility has a standard deviation of about 1."""

    def make(seed, n_queries, n_users):
        data = make_ranking(n_queries, QUERY_SIZE, n_features=20, noise=noise, random_state=seed)
        user = np.random.default_rng(seed).integers(0, n_users, n_queries)
        return Part(pd.DataFrame(data.X).add_prefix("x"), data.y, data.qid), user

    return make


def with_tastes(seed, n_queries, n_users):
    """Lists whose users differ in what they look for, half as much as they agree."""
    rng = np.random.default_rng(seed)
    user, qid = rng.integers(0, n_users, n_queries), np.repeat(np.arange(n_queries), QUERY_SIZE)
    X = rng.normal(size=(len(qid), 8))
    tastes = 0.25 * rng.normal(size=(n_users, 8))
    utility = X[:, :4].sum(axis=1) / 2 + np.maximum(X[:, 4], X[:, 5]) / 2
    utility += np.einsum("ij,ij->i", X, tastes[user[qid]]) + rng.normal(size=len(qid))
    return Part(pd.DataFrame(X).add_prefix("x"), graded(utility), qid), user


def lists_of_ratings(name, n_users):
    """The ratings of users of MovieLens, in lists of twenty in the order of time."""
    ratings, _, films = load_movielens(name)[:3]
    kept = np.random.default_rng(0).permutation(ratings["user_id"].unique())[:n_users]
    ratings = ratings[ratings["user_id"].isin(kept)].sort_values(["user_id", "timestamp"])
    place = ratings.groupby("user_id").cumcount() // QUERY_SIZE
    qid = pd.factorize(pd.MultiIndex.from_arrays([ratings["user_id"], place]))[0]
    film, rating = ratings["item_id"].to_numpy(), ratings["rating"].to_numpy(float)
    counts, sums = np.bincount(film), np.bincount(film, rating)
    genres = films["genres"].str.get_dummies(" ").iloc[film].reset_index(drop=True)
    X = genres.assign(
        year=films["year"].fillna(films["year"].median()).to_numpy()[film],
        n_ratings=counts[film],
        mean_rating=(sums[film] - rating) / np.maximum(counts[film] - 1, 1),
    )
    return Part(X, rating, qid), ratings["user_id"].to_numpy()[np.unique(qid, return_index=True)[1]]


def gain_of_user(part, user, seed):
    """Return what each held-out query gains if an MLP reads the id of its user."""
    ids = np.char.add("u", user.astype(str))
    train, test = by_query(part, 0.3, seed)
    scores = scores_of_trees(train, n_estimators=100)
    before = per_query(fit(MLPRanker, train, scores, seed)[0].predict(test.X), test)
    with_user = train._replace(X=train.X.assign(user=ids[train.qid]))
    read, _ = fit(MLPRanker, with_user, scores, seed)
    after = per_query(read.predict(test.X.assign(user=ids[test.qid])), test)
    return (after - before) / np.nanmean(before)


def user_tables(n_seeds, n_queries, sizes, movielens):
    """Print what an id of users gains or costs, by the number of users."""
    kinds = (without_tastes(0.2), without_tastes(3.0), with_tastes)
    print("\n| users | training queries per user | no tastes, little noise | much noise | tastes |")
    print("|---" * 5 + "|")
    for size in sizes:
        cells = [
            summary([gain_of_user(*make(seed, n_queries, size), seed) for seed in range(n_seeds)])
            for make in kinds
        ]
        print(f"| {size} | {0.7 * n_queries / size:.1f} | {' | '.join(cells)} |", flush=True)
    print("\n| ratings of | users | training queries per user | NDCG@10 if the id is read |")
    print("|---" * 4 + "|")
    for name, size in movielens:
        part, user = lists_of_ratings(name, size)
        gains = summary([gain_of_user(part, user, seed) for seed in range(n_seeds)])
        print(f"| MovieLens {name} | {size} | {0.7 * len(user) / size:.1f} | {gains} |", flush=True)


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
    of_users = (200, SHORT_USERS, [("100k", 30)]) if options.short else (3000, USERS, MOVIELENS)
    with threadpool_limits(1):
        user_tables(n_seeds, *of_users)
