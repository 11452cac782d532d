"""Merged lists against a naive merge, and the retriever of popular items."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse

from skdistill.cascade import PopularityRetriever
from skdistill.cascade.retrieval import Retrieval, merge_lists


def naive_merge(lists, quotas, size):
    """Take the items of one query one after the other, in the order of their places."""
    places = [
        ((place + 1) / quota, number, item)
        for number, (found, quota) in enumerate(zip(lists, quotas, strict=True))
        for place, item in enumerate(found)
        if item >= 0
    ]
    merged, source = [], []
    for _, number, item in sorted(places, key=lambda entry: entry[:2]):
        if item not in merged:
            merged.append(item)
            source.append(number)
    padding = [-1] * size
    return (merged + padding)[:size], (source + padding)[:size]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 12),
    st.lists(st.integers(1, 5), min_size=3, max_size=3),
)
def test_lists_are_merged_at_the_rates_of_their_quotas(seed, n_lists, size, quotas):
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n_lists):
        found = np.array([rng.permutation(15)[:size] for _ in range(3)])
        length = rng.integers(0, size + 1, (3, 1))
        lists.append(np.where(np.arange(found.shape[1]) < length, found, -1))
    item, source = merge_lists(lists, tuple(quotas[:n_lists]), size)
    for query in range(3):
        of_query = [found[query].tolist() for found in lists]
        expected, origin = naive_merge(of_query, quotas[:n_lists], item.shape[1])
        assert item[query].tolist() == expected
        assert source[query].tolist() == origin


def test_a_smaller_merge_is_the_beginning_of_a_larger_one():
    """What a plan needs: the first m items are those of a merge of size m."""
    rng = np.random.default_rng(0)
    lists = [np.array([rng.permutation(50)[:30] for _ in range(5)]) for _ in range(2)]
    whole, _ = merge_lists(lists, (2, 1), 30)
    for size in (1, 7, 29):
        assert_array_equal(merge_lists(lists, (2, 1), size)[0], whole[:, :size])
    # Two thirds of the places go to the first list, as long as nothing comes twice.
    apart = [np.arange(30)[None, :], 100 + np.arange(30)[None, :]]
    assert (merge_lists(apart, (2, 1), 9)[1] == 0).sum() == 6


def test_popular_items_come_first_and_ties_by_position():
    log = pd.DataFrame({"user": [1, 1, 2, 3, 3], "film": ["a", "b", "b", "c", "a"]})
    films = pd.DataFrame({"film": ["c", "b", "x", "a"]})
    popular = PopularityRetriever().fit(log, [1, 1, 1, 0, 1], items=films)
    assert popular.counts_.tolist() == [0, 2, 0, 2]
    users = pd.DataFrame({"user": [1, 9]})
    ids, scores = popular.retrieve(users, k=3)
    assert ids.tolist() == [[1, 3, 0]] * 2
    assert scores.tolist() == [[2, 2, 0]] * 2
    seen = sparse.csr_array([[0, 1, 0, 0], [0, 0, 0, 0]])
    assert popular.retrieve(users, k=2, exclude=seen)[0].tolist() == [[3, 0], [1, 3]]
    pairs = np.array([0, 1, 1]), np.array([3, 0, 1])
    assert popular.score_pairs(users, *pairs).tolist() == [2, 0, 2]
    # Every row counts without labels; items that are new have no count.
    popular.fit(log, items=films).index(films.iloc[[3, 2, 0]], ["A", "X", "C"])
    assert popular.retrieve(users[:1], k=3)[0].tolist() == [["A", "C", "X"]]


def test_popularity_of_arrays_needs_the_item_columns():
    log = np.array([[1.0, 7.0], [1.0, 8.0], [2.0, 8.0]])
    items = np.array([[7.0], [8.0]])
    with pytest.raises(ValueError, match="needs item_columns"):
        PopularityRetriever().fit(log, items=items)
    assert PopularityRetriever([1]).fit(log, items=items).counts_.tolist() == [1, 2]
    with pytest.raises(ValueError, match="item_columns="):
        PopularityRetriever([5]).fit(log, items=items)
    # Further columns of the catalogue were not compared, without a word.
    with pytest.raises(ValueError, match=r"selects 1 columns of X, .* items= has 2 columns"):
        PopularityRetriever([1]).fit(log, items=np.ones((2, 2)))


class Wrong:
    """A retriever that returns names."""

    def retrieve(self, queries, k=10, *, exclude=None, mask=None):
        return np.full((len(queries), k), "x"), np.zeros((len(queries), k))


def test_a_retriever_must_return_positions():
    with pytest.raises(ValueError, match="The retriever 'r' must return positions"):
        Retrieval({"r": Wrong()}, (1,)).retrieve(np.zeros((2, 1)), 3, None, None)


class Lists:
    """A retriever that returns the first items and cannot score others."""

    def retrieve(self, queries, k=10, *, exclude=None, mask=None):
        ids = np.tile(np.arange(k), (len(queries), 1))
        return ids, 10.0 - ids


def test_pairs_in_no_list_have_no_score():
    retrieval = Retrieval({"lists": Lists()}, (3,))
    scores = retrieval.score_pairs(np.zeros((2, 1)), np.array([0, 1, 1]), np.array([2, 0, 7]))
    assert_array_equal(scores["lists_score"], [8, 10, np.nan])
