"""Lists of candidates: what is known is not drawn again, and capacities hold."""

import numpy as np
from numpy.testing import assert_array_equal

from skdistill.towers.candidates import (
    CandidateLists,
    draw_pool,
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
