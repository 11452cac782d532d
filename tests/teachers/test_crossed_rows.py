"""Rows that exchange columns: real values, whole queries, every kind of table and teacher."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from lightgbm import LGBMRanker
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsRegressor

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inputs.queries import Queries
from skdistill.students import LinearRanker, MLPRanker
from skdistill.teachers.crossed_rows import cross_rows, item_columns

QUERIES = Queries.from_sizes([3, 2, 4])


def numbered():
    """Two columns of the query and four of the item; every cell tells its row or query."""
    rows, query = np.arange(9), QUERIES.segment
    item = {f"item_{place}": 100 * place + rows for place in range(4)}
    return pd.DataFrame({"query": query, "season": np.array(list("abc"))[query], **item})


@pytest.mark.parametrize("convert", [lambda f: f, pl.from_pandas], ids=["pandas", "polars"])
def test_half_of_the_items_columns_come_from_another_row(convert):
    table = convert(numbered())
    assert item_columns(table, QUERIES) == [2, 3, 4, 5]
    drawn = cross_rows(table, QUERIES, 500, np.random.default_rng(0))
    assert type(drawn) is type(table)
    assert list(drawn.columns) == list(table.columns)
    rows = np.column_stack([np.asarray(drawn[f"item_{p}"]) - 100 * p for p in range(4)])
    assert rows.shape == (500, 4)
    assert ((rows >= 0) & (rows < 9)).all()
    # At most two source rows, two columns each; the columns of the query belong to one of them.
    n_sources = np.array([len(set(row)) for row in rows.tolist()])
    assert set(n_sources) == {1, 2}
    assert (n_sources == 2).mean() > 0.7
    query = np.asarray(drawn["query"])
    assert ((QUERIES.segment[rows] == query[:, None]).sum(axis=1) >= 2).all()
    assert_array_equal(np.asarray(drawn["season"]), np.array(list("abc"))[query])
    # Every column is exchanged now and then.
    pairs = {tuple(sorted(np.flatnonzero(row == row[0]))) for row in rows[n_sources == 2]}
    assert len(pairs) >= 3


def test_arrays_keep_their_type_and_sparse_tables_are_refused():
    array = numbered().drop(columns="season").to_numpy(dtype=np.float32)
    drawn = cross_rows(array, QUERIES, 50, np.random.default_rng(0))
    assert (drawn.dtype, drawn.shape) == (np.float32, (50, 5))
    again = cross_rows(array, QUERIES, 50, np.random.default_rng(0))
    assert_array_equal(drawn, again)
    ranker = DistilledRanker(KNeighborsRegressor(3), LinearRanker(max_iter=1), augment=0.5)
    with pytest.raises(TypeError, match="augment needs X to be an array or a data frame"):
        ranker.fit(sparse.csr_array(array), np.arange(9) % 2, qid=QUERIES.segment)


def test_few_rows_and_one_column_are_no_exception():
    one = pd.DataFrame({"item": np.arange(9)})
    assert len(cross_rows(one, QUERIES, 1, np.random.default_rng(0))) == 1
    constant = pd.DataFrame({"query": QUERIES.segment})
    drawn = cross_rows(constant, QUERIES, 7, np.random.default_rng(0))
    assert set(drawn["query"]) <= {0, 1, 2}


def test_crossed_rows_show_what_the_teacher_does_elsewhere():
    """With few queries, they bring a student nearer to its teacher on rows of other queries."""
    data = make_ranking(
        300, 20, 8, categories=(5,), missing=0.05, truth="interactions", random_state=0
    )
    train = data.qid < 20
    X, y, qid = data.X[train], data.y[train], data.qid[train]
    teacher = LGBMRanker(n_estimators=50, min_child_samples=5, verbose=-1, n_jobs=1)
    teacher = FrozenEstimator(teacher.fit(X, y, group=np.full(20, 20)))
    other = data.X[~train]
    expected = teacher.predict(other)
    correlation = {}
    for augment in (0.0, 0.8):
        ranker = DistilledRanker(
            *(teacher, MLPRanker((32,), max_iter=200)),
            **{"loss": "pointwise", "alpha": 1.0, "augment": augment, "random_state": 0},
        ).fit(X, y, qid=qid)
        correlation[augment] = np.corrcoef(ranker.predict(other), expected)[0, 1]
    assert correlation[0.8] > correlation[0.0] + 0.02


def test_any_teacher_can_score_crossed_rows():
    data = make_ranking(40, 10, 6, random_state=0)
    teacher = KNeighborsRegressor(3)
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=3), augment=0.5, random_state=0)
    assert ranker.fit(data.X, data.y, qid=data.qid).score(data.X, data.y, qid=data.qid) > 0.5
    with pytest.raises(TypeError, match="thresholds"):
        ranker.set_params(augmentation="thresholds").fit(data.X, data.y, qid=data.qid)
