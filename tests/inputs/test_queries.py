"""Rows grouped by query: reductions, subsets and ids of any type."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import check_qid, sort_by_query

sizes_of_queries = st.lists(st.integers(1, 9), min_size=1, max_size=20)


@given(sizes_of_queries, st.integers(0, 2**31))
def test_reductions_ranks_and_subsets_are_those_of_each_query(sizes, seed):
    rng = np.random.default_rng(seed)
    queries = Queries.from_sizes(sizes)
    values = rng.integers(0, 4, queries.n_rows).astype(float)
    mask = rng.random(queries.n_rows) < 0.5
    parts = np.split(values, queries.offsets[1:-1])
    assert_array_equal(queries.sum(values), [p.sum() for p in parts])
    assert_array_equal(queries.max(values), [p.max() for p in parts])
    assert_array_equal(queries.min(values), [p.min() for p in parts])
    assert_array_equal(
        queries.rank_descending(values),
        np.concatenate([np.argsort(np.argsort(-p, kind="stable"), kind="stable") for p in parts]),
    )
    kept = [m.sum() for m in np.split(mask, queries.offsets[1:-1])]
    assert_array_equal(queries.subset(mask).sizes, [k for k in kept if k])
    chosen = rng.permutation(queries.n_queries)[: rng.integers(1, queries.n_queries + 1)]
    rows, taken = queries.take(chosen)
    assert_array_equal(values[rows], np.concatenate([parts[c] for c in chosen]))
    assert_array_equal(taken.sizes, queries.sizes[chosen])


@pytest.mark.parametrize(
    "qid",
    [
        [3, 1, 3, 2, 1],
        ["b", "a", "b", "c", "a"],
        np.array(["b", "a", "b", "c", "a"], dtype=object),
        [3.5, 1.5, 3.5, 2.5, 1.5],
        np.array([3, 1, 3, 2, 1], dtype="datetime64[D]"),
        [[3], [1], [3], [2], [1]],
    ],
)
def test_ids_of_any_order_and_type_group_the_rows(qid):
    ids = check_qid(qid, 5)
    queries, order = sort_by_query(ids, 5)
    assert sorted(queries.sizes) == [1, 2, 2]
    assert_array_equal(ids[order], np.sort(ids))


def test_sorted_rows_are_left_as_they_are():
    queries, order = sort_by_query(np.array([1, 1, 2]), 3)
    assert order is None
    assert_array_equal(queries.offsets, [0, 2, 3])
    queries, order = sort_by_query(None, 4)
    assert (queries.n_queries, order) == (1, None)


def test_ids_of_several_types_stay_apart_and_missing_ones_are_refused():
    ids = check_qid([2, "2", 1, "1", 2, b"2", 1.0], 7)
    queries, order = sort_by_query(ids, 7)
    assert [ids[row] for row in order] == [1, 1.0, 2, 2, b"2", "1", "2"]
    assert_array_equal(queries.sizes, [2, 2, 1, 1, 1])
    for missing in (None, float("nan"), np.datetime64("NaT"), pd.NA):
        with pytest.raises(ValueError, match="qid must name a query in every row: row 1 holds"):
            check_qid(np.array(["a", missing], dtype=object), 2)
    with pytest.raises(ValueError, match="row 1 holds None"):
        check_qid(pl.Series([2**60, None]), 2)
    with pytest.raises(ValueError, match=r"expected shape \(2,\), got \(2, 2\)"):
        check_qid([[1, 2], [1, 3]], 2)
