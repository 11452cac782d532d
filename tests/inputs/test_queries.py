"""Rows grouped by query: reductions, subsets and ids of any type."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skdistill.inputs.queries import Queries, positions_within
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


@pytest.mark.parametrize("n_queries", [1 << 16, (1 << 16) + 1, 70_000])
def test_many_queries_stay_apart(n_queries):
    """More than 16 bits can number: queries of two rows, the second of which is the higher."""
    rows = np.arange(2 * n_queries)
    queries = Queries.even(n_queries, 2)
    assert_array_equal(queries.sort_descending(rows), rows ^ 1)
    assert_array_equal(queries.rank_descending(rows), (rows + 1) % 2)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_even_queries_are_those_of_their_sizes(width):
    even, ragged = Queries.even(4, width), Queries.from_sizes([width] * 4)
    assert (even.n_queries, even.n_rows) == (4, 4 * width)
    assert even.width == ragged.width == width
    assert_array_equal(even.offsets, ragged.offsets)
    rows, taken = even.take(np.array([2, 0]))
    first = np.arange(width)
    assert_array_equal(rows, np.r_[2 * width + first, 0 * width + first])
    assert (taken.n_queries, taken.width) == (2, width)


@pytest.mark.parametrize("sizes", [[2, 2], [1, 3]])
def test_an_operation_with_each_querys_value_may_go_to_an_array(sizes):
    queries, values = Queries.from_sizes(sizes), np.array([1.0, 2, 3, 4])
    expected = values * np.repeat([10, 100], sizes)
    assert_array_equal(queries.apply(np.multiply, values, np.array([10.0, 100])), expected)
    out = np.zeros(4)
    found = queries.apply(np.multiply, values, np.array([10.0, 100]), out=out)
    assert_array_equal(found, expected)
    assert_array_equal(out, expected)


def test_ranks_and_levels_are_integers_and_means_keep_the_dtype():
    queries, values = Queries.from_sizes([3, 2]), np.array([5, 9, 5, 1, 4], dtype=np.float32)
    ranks, levels = queries.rank_descending(values), queries.level(values)
    assert_array_equal(ranks, [1, 0, 2, 1, 0])
    assert_array_equal(levels, [-1, 0, -1, -1, 0])
    assert ranks.dtype == levels.dtype == np.int64
    means = queries.mean(values)
    assert_array_equal(means, np.float32([19 / 3, 5 / 2]))
    assert means.dtype == np.float32


def test_no_runs_have_no_positions():
    assert_array_equal(positions_within(np.array([2, 3])), [0, 1, 0, 1, 2])
    assert positions_within(np.array([], dtype=np.int64)).shape == (0,)


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


@pytest.mark.parametrize("sizes", [[3, 1, 3, 2], np.full(40, 30), np.arange(1, 90), [2500, 700]])
def test_rows_are_sorted_whether_by_tables_or_all_at_once(sizes):
    """Few rows, rows of many sizes and long tables: ties keep the order of the rows."""
    queries = Queries.from_sizes(sizes)
    values = np.random.default_rng(0).integers(0, 9, queries.n_rows) / 2
    expected = np.lexsort((-values, queries.segment))
    assert_array_equal(queries.sort_descending(values), expected)
    rows = np.sort(np.concatenate([table.ravel() for table in queries.tables]))
    assert_array_equal(rows, np.arange(queries.n_rows))


def test_no_rows_are_sorted():
    assert not len(Queries.from_sizes([]).sort_descending(np.empty(0)))
