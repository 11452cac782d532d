import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skdistill.inputs.queries import Queries, check_qid, sort_by_query
from skdistill.training.loop import TrainingSettings
from skdistill.training.query_batches import batch_bounds, cut, query_batches

sizes_of_queries = st.lists(st.integers(1, 9), min_size=1, max_size=20)


@given(sizes_of_queries, st.integers(0, 2**31))
def test_reductions_ranks_and_subsets(sizes, seed):
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
def test_any_order_and_type_of_ids(qid):
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


def test_mixed_types_are_refused():
    with pytest.raises(ValueError, match="one sortable type"):
        sort_by_query(np.array([1, "a"], dtype=object), 2)


def settings(**changes):
    defaults = {
        "max_iter": 1,
        "batch_size": 3,
        "max_batch_rows": 10,
        "optimizer": "adam",
        "learning_rate_init": 1e-3,
        "learning_rate": "constant",
        "weight_decay": 0.0,
        "n_iter_no_change": 5,
        "tol": 0.0,
    }
    return TrainingSettings(**{**defaults, **changes})


@given(st.lists(st.integers(1, 35), min_size=1, max_size=30), st.integers(0, 1000))
def test_an_epoch_sees_every_row_once_in_whole_queries(sizes, seed):
    queries = Queries.from_sizes(sizes)
    seen = []
    pieces = 0
    for rows, batch in query_batches(queries, settings(), np.random.default_rng(seed)):
        assert batch.n_queries <= 3
        assert batch.n_rows <= 10
        seen.append(rows)
        pieces += batch.n_queries
        for query in range(batch.n_queries):
            owner = queries.segment[rows[batch.offsets[query] : batch.offsets[query + 1]]]
            assert len(set(owner)) == 1
            if queries.sizes[owner[0]] <= 10:
                assert len(owner) == queries.sizes[owner[0]]
    assert_array_equal(np.sort(np.concatenate(seen)), np.arange(queries.n_rows))
    assert pieces == cut(queries, 10).n_queries


def test_bounds_respect_both_budgets():
    queries = Queries.from_sizes([2, 2, 2, 2, 9, 9, 1])
    bounds = batch_bounds(queries, settings(), np.arange(7))
    assert bounds == [(0, 3), (3, 4), (4, 5), (5, 7)]
