"""A small cascade on known data: a LightGBM teacher, towers, a linear pre-ranker."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMRanker

from skdistill import RankingCascade, TeacherWarning, TwoTowerRetriever
from skdistill.datasets import make_retrieval
from skdistill.students import LinearRanker


@pytest.fixture(scope="package")
def data():
    """A log with names: the columns of queries are q0, q1, ..., those of items i0, i1, ..."""
    made = make_retrieval(n_queries=160, n_items=120, random_state=0)
    names = np.empty(made.X.shape[1], dtype=object)
    names[made.query_columns] = [f"q{n}" for n in range(made.queries.shape[1])]
    names[made.item_columns] = [f"i{n}" for n in range(made.items.shape[1])]
    query_columns, item_columns = list(names[made.query_columns]), list(names[made.item_columns])
    return SimpleNamespace(
        X=pd.DataFrame(made.X, columns=names),
        y=made.y,
        qid=made.qid,
        items=pd.DataFrame(made.items, columns=item_columns),
        queries=pd.DataFrame(made.queries, columns=query_columns),
        query_columns=query_columns,
        item_columns=item_columns,
    )


def make_towers(data, **parameters):
    return TwoTowerRetriever(
        query_columns=data.query_columns,
        item_columns=data.item_columns,
        **{"embedding_dim": 8, "max_iter": 5, "teacher_check": False, **parameters},
    )


def make_cascade(data, stages=None, **parameters):
    if stages is None:
        stages = [
            ("retrieve", make_towers(data), 40),
            ("prerank", LinearRanker(max_iter=5), 15),
            ("rank", "teacher", 5),
        ]
    teacher = LGBMRanker(n_estimators=15, num_leaves=15, verbose=-1, n_jobs=1)
    return RankingCascade(stages, **{"teacher": teacher, "random_state": 0, **parameters})


def fitted(cascade, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        return cascade.fit(data.X, data.y, qid=data.qid, items=data.items)


@pytest.fixture(scope="package")
def cascade(data):
    return fitted(make_cascade(data), data)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
