"""A small cascade over data frames, for the tests of what serves it."""

from functools import cache

import lightgbm
import numpy as np
import pandas as pd

from skdistill import RankingCascade, TwoTowerRetriever
from skdistill.datasets import make_retrieval
from skdistill.students import LinearRanker, MLPRanker

DATA = make_retrieval(n_queries=80, n_items=60, n_features=3, random_state=0)
QUERY_COLUMNS = [*"abc", "user"]
ITEM_COLUMNS = [*"xyz", "brand", "item"]


def frame(table, names, *texts):
    """Numbers, and columns of text that are functions of the first number."""
    numbers = pd.DataFrame(np.asarray(table), columns=list(names))
    kinds = pd.Series(np.asarray(table)[:, 0]).round(1).astype(str)
    return numbers.assign(**{name: name + kinds for name in texts})


QUERIES = frame(DATA.queries, "abc", "user")
ITEMS = frame(DATA.items, "xyz", "brand").assign(
    brand=lambda items: items["brand"].astype("category"), item=np.arange(60)
)
LOG = pd.concat(
    [QUERIES.iloc[DATA.qid].reset_index(drop=True), ITEMS.iloc[DATA.item].reset_index(drop=True)],
    axis=1,
)
NUMBERS = [*"abc", *"xyz"]


def towers(**parameters):
    """A retriever of the columns of numbers and text."""
    settings = {"max_iter": 2, "embedding_dim": 8, "teacher_check": False} | parameters
    return TwoTowerRetriever(query_columns=QUERY_COLUMNS, item_columns=ITEM_COLUMNS, **settings)


def teacher():
    return lightgbm.LGBMRanker(n_estimators=10, num_leaves=7, min_child_samples=5, verbose=-1)


def products(queries, items):
    """Features of a pair that no table has."""
    rows = queries[list("abc")].to_numpy() * items[list("xyz")].to_numpy()
    return pd.DataFrame(rows, columns=["ax", "by", "cz"])


def fit_cascade(rank=None, prerank=None, retrieve=None, log=LOG, items=ITEMS, **parameters):
    """Fit a cascade of three stages, which return 30, 15 and 5 items."""
    stages = [
        ("retrieve", towers() if retrieve is None else retrieve, 30),
        ("prerank", LinearRanker(max_iter=2) if prerank is None else prerank, 15),
        ("rank", MLPRanker((8,), max_iter=2) if rank is None else rank, 5),
    ]
    settings = {
        "teacher": teacher(), "sources": ("passed", "logged"), "features": NUMBERS,
        "random_state": 0,
    }  # fmt: skip
    cascade = RankingCascade(stages, **(settings | parameters))
    return cascade.fit(log, DATA.y, qid=DATA.qid, items=items)


@cache
def students():
    """A cascade that ends in a student, with ids."""
    return fit_cascade().index(ITEMS, ids=[f"item {item}" for item in range(60)])


@cache
def ends_in_teacher():
    return fit_cascade("teacher")
