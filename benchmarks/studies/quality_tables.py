"""The tables of ``quality``: each is split by query into training, validation and test parts.

The test queries of MovieLens and OHSUMED are always the same, and a seed splits the others into
training and validation. A seed of a synthetic table is a new table, of a new truth.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from skdistill.datasets import build_ranking_table, load_letor, load_movielens, make_ranking
from skdistill.metrics import ndcg_per_query

# Fraction of the queries that are not for testing by which settings are chosen.
VALIDATION = 0.25


class Part(NamedTuple):
    """Rows sorted by query."""

    X: Any
    y: np.ndarray
    qid: np.ndarray

    def where(self, mask):
        X = self.X[mask] if isinstance(self.X, np.ndarray) else self.X.loc[mask]
        return Part(X, self.y[mask], self.qid[mask])

    @property
    def labelled(self):
        return self.where(~np.isnan(self.y))


class Split(NamedTuple):
    """A table for one seed; training labels may be NaN, those of the other parts are not."""

    train: Part
    valid: Part
    test: Part


def per_query(scores, part):
    """NDCG@10 of each query; NaN if no row is relevant."""
    return ndcg_per_query(part[1], scores, part[2], k=10)


def mean_score(model, part):
    return np.nanmean(per_query(model.predict(part[0]), part))


def sizes_of(qid):
    return np.unique(qid, return_counts=True)[1]


def by_query(part, size, seed):
    """Split a part at random by query; the second has ``size`` queries, or this fraction."""
    splitter = GroupShuffleSplit(1, test_size=size, random_state=seed)
    second = np.zeros(len(part.y), dtype=bool)
    second[next(splitter.split(part.y, groups=part.qid))[1]] = True
    return part.where(~second), part.where(second)


@cache
def movielens_table(name):
    table = build_ranking_table(*load_movielens(name))
    order = np.argsort(table.qid, kind="stable")
    return Part(table.X.to_numpy()[order], table.y[order], table.qid[order])


def movielens(name, n_users, n_test):
    """Split users, of whom ``n_test`` are for testing; ``n_users`` of all users are taken."""

    def make(seed):
        table = movielens_table(name)
        users = np.random.default_rng(0).permutation(np.unique(table.qid))
        rest = table.where(np.isin(table.qid, users[n_test:n_users]))
        return Split(
            *by_query(rest, VALIDATION, seed), table.where(np.isin(table.qid, users[:n_test]))
        )

    return make


def ohsumed(folder):
    """Train and validate on S1 to S3, test on S4 and S5."""

    def stack(*numbers):
        parts = [load_letor(folder / f"S{number}.txt.gz") for number in numbers]
        X, y, qid = (np.concatenate([part[key] for part in parts]) for key in ("X", "y", "qid"))
        order = np.argsort(qid, kind="stable")
        return Part(X[order], y[order], qid[order])

    def make(seed):
        return Split(*by_query(stack(1, 2, 3), VALIDATION, seed), stack(4, 5))

    return make


def synthetic(n_queries, change=lambda part: part, **options):
    """Make queries of 20 rows, a third of them for testing; ``change`` is the last step."""

    def make(seed):
        data = make_ranking(n_queries, 20, 20, **options, random_state=seed)
        rest, test = by_query(change(Part(data.X, data.y, data.qid)), 1 / 3, seed)
        return Split(*by_query(rest, VALIDATION, seed), test)

    return make


def with_ties(part):
    """Round every column to three values, and the grades to 0 and 1."""
    return Part(np.clip(np.round(part.X), -1, 1), (part.y > 2).astype(float), part.qid)


def with_few_labels(make):
    """Keep the training labels of every tenth query."""

    def few(seed):
        split = make(seed)
        train = split.train
        labelled = np.isin(train.qid, np.unique(train.qid)[::10])
        return split._replace(train=train._replace(y=np.where(labelled, train.y, np.nan)))

    return few


CATEGORIES = {"categories": (20, 30, 300), "missing": 0.05}
# Tables whose test queries are the same for all seeds.
FIXED_TESTS = ("MovieLens 100k", "MovieLens 1M", "OHSUMED")


def all_tables(
    ohsumed_folder: Path | None = None, n_queries: int = 1200
) -> dict[str, Callable[[int], Split]]:
    """Functions from a seed to a split, by the name of the table."""
    tables = {
        "MovieLens 100k": movielens("100k", 943, 243),
        "MovieLens 1M": movielens("1m", 1100, 500),
        "interactions": synthetic(n_queries, truth="interactions", **CATEGORIES),
        "nonlinear": synthetic(n_queries, truth="nonlinear", **CATEGORIES),
        "ties": synthetic(n_queries, with_ties, noise=0.5),
        "few labels": with_few_labels(synthetic(n_queries)),
    }
    if ohsumed_folder is not None:
        tables["OHSUMED"] = ohsumed(ohsumed_folder)
    return tables
