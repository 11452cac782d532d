"""Lists of candidates: what is known is not drawn again, and capacities hold."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.inputs.queries import Queries
from skdistill.towers.candidates import (
    CandidateLists,
    draw_pool,
    first_of_each,
    logged_together,
    pick_highest,
    pick_uniformly,
    scored_in_pool,
)


def test_candidate_lists_keep_to_their_capacity():
    lists = CandidateLists.empty(3, 4)
    lists.append(np.array([0, 0, 2]), np.array([5, 6, 7]), np.ones(3), 2.0)
    lists.append(np.array([0, 0, 0, 1]), np.array([1, 2, 3, 4]), np.zeros(4), np.full(4, 3.0))
    assert_array_equal(lists.count, [4, 1, 1])
    assert_array_equal(lists.item[0], [5, 6, 1, 2])
    queries, item, score, importance = lists.flat()
    assert_array_equal(queries.sizes, [4, 1, 1])
    assert_array_equal(item, [5, 6, 1, 2, 4, 7])
    assert_array_equal(importance, [2, 2, 3, 3, 3, 2])
    assert_array_equal(score, [1, 1, 0, 0, 0, 1])


def test_known_items_are_not_picked():
    rng = np.random.default_rng(0)
    lists = CandidateLists.empty(2, 3)
    lists.append(np.array([0, 0, 1]), np.array([3, 0, 4]), np.zeros(3), 1.0)
    pool = draw_pool(6, rng)
    known = scored_in_pool(lists, slice(0, 2), pool)
    assert_array_equal(known.toarray(), [[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0]])
    values = np.array([[9, 1, 2, 8, 3, 0.0], [9, 1, 2, 8, 30, 0]], dtype=np.float32)
    row, column = pick_highest(values, np.eye(6, dtype=np.float32), known, 2)
    assert [list(column[row == r]) for r in (0, 1)] == [[4, 2], [0, 3]]
    row, column = pick_highest(values, np.eye(6, dtype=np.float32), known, 100)
    assert_array_equal(np.bincount(row), [4, 5])
    row, column = pick_uniformly(known, 100, rng)
    assert_array_equal(np.bincount(row), [4, 5])
    row, column = pick_uniformly(known, 2, rng)
    assert_array_equal(np.bincount(row), [2, 2])
    assert not known.toarray()[row, column].any()


def test_a_large_pool_is_a_sample(monkeypatch):
    monkeypatch.setattr("skdistill.towers.candidates.POOL", 10)
    pool = draw_pool(1000, np.random.default_rng(0))
    assert len(np.unique(pool)) == 10
    assert (np.diff(pool) > 0).all()
    assert_array_equal(draw_pool(10, np.random.default_rng(0)), np.arange(10))


def test_known_items_are_marked_where_the_pool_has_them():
    lists = CandidateLists.empty(3, 4)
    lists.append(np.array([0, 0, 0, 2]), np.array([3, 7, 0, 9]), np.zeros(4), 1.0)
    known = scored_in_pool(lists, slice(0, 3), np.array([0, 4, 7]))
    assert_array_equal(known.toarray(), [[1, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert_array_equal(scored_in_pool(lists, slice(2, 3), np.array([4, 9])).toarray(), [[0, 1]])


def test_uniform_draws_are_uniform():
    lists = CandidateLists.empty(1, 1)
    lists.append(np.array([0]), np.array([2]), np.zeros(1), 1.0)
    known = scored_in_pool(lists, slice(0, 1), np.arange(5))
    rng = np.random.default_rng(0)
    draws = [pick_uniformly(known, 2, rng)[1] for _ in range(4000)]
    frequency = np.bincount(np.concatenate(draws), minlength=5) / 4000
    assert_allclose(frequency, [2 / 4, 2 / 4, 0, 2 / 4, 2 / 4], atol=0.03)


def test_the_rows_of_the_smallest_keys_come_first():
    queries = Queries.from_sizes([3, 1, 4])
    keys = np.array([0.5, 0.1, 0.9, 0.3, 8, 6, 7, 5])
    assert_array_equal(first_of_each(queries, keys, 2), [0, 1, 3, 5, 7])


def test_items_that_are_logged_together_are_found_by_walks():
    """Two groups of queries share no items; the third group has no log."""
    rng = np.random.default_rng(0)
    log = np.zeros((30, 40), dtype=bool)
    log[:10, :20] = rng.random((10, 20)) < 0.3
    log[10:20, 20:] = rng.random((10, 20)) < 0.3
    log[:20, [0, 39]] = [[True, False]] * 10 + [[False, True]] * 10
    of_queries = sparse.csr_array(log)
    unwanted = np.arange(5, 25) * 40 + 7
    query, item = logged_together(of_queries, of_queries.T.tocsr(), slice(5, 25), unwanted, 6, rng)
    assert (np.diff(query) >= 0).all()
    assert len(np.unique(query * 40 + item)) == len(query)
    assert 7 not in item
    counts = np.bincount(query, minlength=30)
    assert_array_equal(counts, np.where((np.arange(30) >= 5) & (np.arange(30) < 20), 6, 0))
    assert (item[query < 10] < 20).all()
    assert (item[query >= 10] >= 20).all()


def test_walks_end_more_often_at_items_with_more_paths():
    """Query 0 logged item 0; nine of ten that did so too logged item 1, and one item 2."""
    log = np.zeros((11, 3), dtype=bool)
    log[:, 0] = log[1:10, 1] = log[10, 2] = True
    of_queries = sparse.csr_array(log)
    first = [
        logged_together(of_queries, of_queries.T.tocsr(), slice(0, 1), np.array([0]), 1, rng)[
            1
        ].tolist()
        for rng in map(np.random.default_rng, range(20))
    ]
    assert sum(found == [1] for found in first) > 15


def test_without_a_log_no_item_is_logged_together():
    nothing = sparse.csr_array((4, 5), dtype=bool)
    given = nothing, nothing.T.tocsr(), slice(0, 4), np.empty(0, np.int64), 2
    query, item = logged_together(*given, np.random.default_rng(0))
    assert len(query) == len(item) == 0
