"""Splits of whole queries in the order of time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score

from skdistill import RankingTimeSeriesSplit
from skdistill.students import LinearRanker


@given(st.data())
def test_queries_stay_whole_and_times_go_forward(data):
    n_queries = data.draw(st.integers(6, 30))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    sizes = rng.integers(1, 5, n_queries)
    query = np.repeat(rng.permutation(100)[:n_queries], sizes)
    begin = np.repeat(rng.permutation(n_queries), sizes) * 10.0
    time = begin + rng.integers(0, 3, len(begin))  # rows of a query are logged one after the other
    order = rng.permutation(len(query))
    query, time = query[order], time[order]
    options = {
        "n_splits": data.draw(st.integers(2, 4)),
        "gap": data.draw(st.integers(0, 1)),
        "max_train_size": data.draw(st.sampled_from([None, 3])),
        "test_size": data.draw(st.sampled_from([None, 1])),
    }
    expected = TimeSeriesSplit(**options).split(np.empty(n_queries))
    splitter = RankingTimeSeriesSplit(**options)
    for (train, test), (n_train, n_test) in zip(
        splitter.split(query, groups=query, time=time), expected, strict=True
    ):
        assert time[train].max() < time[test].min()
        assert len(set(query[train])) == len(n_train)
        assert len(set(query[test])) == len(n_test)
        for rows in (train, test):
            assert_array_equal(rows, np.flatnonzero(np.isin(query, query[rows])))


def test_without_times_the_first_appearance_counts():
    query = ["b", "b", "a", "c", "a", "d"]
    splits = list(RankingTimeSeriesSplit(3).split(query, groups=query))
    assert [(list(train), list(test)) for train, test in splits] == [
        ([0, 1], [2, 4]),
        ([0, 1, 2, 4], [3]),
        ([0, 1, 2, 3, 4], [5]),
    ]
    by_time = RankingTimeSeriesSplit(3).split(query, groups=query, time=[5, 5, 4, 3, 9, 2])
    assert list(next(by_time)[0]) == [5]


@pytest.mark.parametrize(
    "time",
    [
        pd.date_range("2026-01-01", periods=8, tz="UTC")[::-1],
        pd.Series([f"2026-W{week}" for week in range(18, 10, -1)]),
        np.arange(8, 0, -1).astype("datetime64[D]"),
    ],
)
def test_times_are_anything_that_can_be_sorted(time):
    query = np.repeat([0, 1, 2, 3], 2)
    train, test = next(RankingTimeSeriesSplit(3).split(query, groups=query, time=time))
    assert list(train) == [6, 7]
    assert list(test) == [4, 5]


def test_queries_and_times_stand_in_columns():
    frame = pd.DataFrame({"x": 0.0, "query": [1, 1, 2, 3], "day": [3, 3, 2, 1]})
    splitter = RankingTimeSeriesSplit(2, query_column="query", time_column="day")
    assert [list(test) for _, test in splitter.split(frame)] == [[2], [0, 1]]
    assert splitter.get_n_splits(frame) == 2
    with pytest.raises(ValueError, match="^time_column='week' names a column that is not in X"):
        next(splitter.__class__(2, query_column="query", time_column="week").split(frame))


def test_what_does_not_fit_is_refused():
    query = np.repeat([0, 1, 2], 2)
    with pytest.raises(ValueError, match="RankingTimeSeriesSplit needs the query"):
        next(RankingTimeSeriesSplit().split(query))
    with pytest.raises(ValueError, match="too large for 3 queries.*A sample is a query"):
        next(RankingTimeSeriesSplit(4).split(query, groups=query))
    with pytest.raises(ValueError, match="row 3 holds nan"):
        next(RankingTimeSeriesSplit(2).split(query, groups=query, time=[0, 1, 2, np.nan, 1, 1]))
    with pytest.raises(ValueError, match="one value per row"):
        next(RankingTimeSeriesSplit(2).split(query, groups=query, time=[0, 1]))


def test_one_call_reaches_the_splitter(table, routing):
    time = -table.qid
    search = GridSearchCV(
        LinearRanker(max_iter=2, random_state=0),
        {"loss": ["listwise", "pairwise"]},
        cv=RankingTimeSeriesSplit(2),
        error_score="raise",
    ).fit(table.X, table.y, qid=table.qid, time=time)
    by_hand = cross_val_score(
        LinearRanker(max_iter=2, random_state=0, loss="listwise"),
        table.X,
        table.y,
        cv=list(RankingTimeSeriesSplit(2).split(table.X, groups=table.qid, time=time)),
        params={"qid": table.qid},
    )
    assert search.cv_results_["mean_test_score"][0] == by_hand.mean()
    other = search.fit(table.X, table.y, qid=table.qid)
    assert other.cv_results_["mean_test_score"][0] != by_hand.mean()
