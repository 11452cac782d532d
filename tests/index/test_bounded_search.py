"""Searches by upper bounds find what scoring all items finds, at every rounding."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.index import ExactIndex, bounded_search, score_bounds
from skdistill.index.score_bounds import ScoreBounds


def flat(rng, n_rows, dim=16, rank=3, rest=1e-2):
    """Draw rows near a space of few dimensions."""
    rows = rng.standard_normal((n_rows, rank)) @ rng.standard_normal((rank, dim))
    return (rows + rest * rng.standard_normal((n_rows, dim))).astype(np.float32)


def in_full(index):
    other = pickle.loads(pickle.dumps(index))
    other.bounds = None
    return other


def allow_few_items(patch):
    patch.setattr(score_bounds, "LEAST_SAVED", 1)
    patch.setattr(score_bounds, "LARGEST_SHARE", 1.0)
    patch.setattr(bounded_search, "SAVED_PER_TRIED", 0)
    patch.setattr(bounded_search, "LARGEST_SHARE", 1.0)


@pytest.fixture
def few_items(monkeypatch):
    allow_few_items(monkeypatch)


@pytest.fixture
def searches(monkeypatch):
    """Whether each search by bounds was done."""
    done = []

    def search(*arguments):
        done.append(bounded_search.search_by_bounds(*arguments))
        return done[-1]

    monkeypatch.setattr("skdistill.index.exact.search_by_bounds", search)
    return done


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**31),
    st.integers(50, 200),
    st.integers(1, 40),
    st.sampled_from([1e-6, 1e-2, 1.0]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "offset", "shift", "changed"]),
    st.sampled_from([1.0, 1e-20, 1e15]),
)
def test_bounds_lose_no_item(seed, n_items, k, rest, excludes, masked, offset, size):
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded_search, "MORE_TRIED", int(rng.integers(0, 20)))
        allow_few_items(patch)
        items = flat(rng, n_items, rest=rest) * np.float32(size)
        # Items that are equal, and items that are almost equal.
        items[n_items // 2 :] = items[rng.integers(0, n_items // 2, n_items - n_items // 2)]
        items[-5:] *= np.float32(1 + 1e-6)
        offsets = size * rng.standard_normal(n_items)
        index = ExactIndex(items, offset=offsets if offset else None)
        if offset == "shift":
            index = index.with_offset(size * rng.standard_normal(n_items))
        if offset == "changed":
            changed = rng.choice(n_items, 10, replace=False)
            index.set_offset(changed, 1000 * size * rng.standard_normal(10))
        assert index.bounds is not None
        query = flat(rng, 1, rest=1.0)
        options = {}
        if excludes:
            options["exclude"] = sparse.csr_array(rng.random((1, n_items)) < 0.3)
        if masked:
            options["mask"] = rng.random(n_items) < 0.7
        ids, scores = index.search(query, k, **options)

    table = index.embeddings
    row = query[0] if not index.has_offset else np.append(query[0], np.float32(1))
    values = np.einsum("ij,j->i", table, row)
    if index.shift is not None:
        values = values + index.shift
    allowed = options.get("mask", np.ones(n_items, dtype=bool)).copy()
    if excludes:
        allowed &= options["exclude"].toarray()[0] == 0
    best = np.flatnonzero(allowed)
    best = best[np.argsort(-values[best], kind="stable")][:k]
    n_found = int((ids >= 0).sum())
    assert n_found == min(k, allowed.sum())
    assert_allclose(scores[0, :n_found], values[best], rtol=1e-5, atol=1e-5 * size)
    # Where all are scored in full, the last bits differ, and with them the order of such items.
    wrong = ids[0, :n_found] != best
    assert_allclose(
        values[ids[0, :n_found][wrong]], values[best][wrong], rtol=1e-5, atol=1e-5 * size
    )


def test_the_scores_of_items_exceed_no_bound(few_items):
    rng = np.random.default_rng(0)
    for rest in (0, 1e-7, 1e-3, 1.0):
        items = np.vstack([flat(rng, 3000, 64, rest=rest), 1e-3 * flat(rng, 100, 64, rest=1.0)])
        queries = flat(rng, 200, 64, rest=1.0) * rng.uniform(1e-3, 1e3, (200, 1)).astype(np.float32)
        bounds = ScoreBounds.of(items, has_offset=False)
        upper = bounds.of_queries(queries) @ bounds.heads.T
        exact = queries.astype(np.float64) @ items.astype(np.float64).T
        assert (upper + bounds.slack(queries)[:, None] >= exact).all()
        # They are no more than what Cauchy and Schwarz give, up to rounding.
        n_kept = bounds.heads.shape[1] - 1
        q, x = queries @ bounds.basis, items @ bounds.basis
        rest_of = [np.linalg.norm(rows[:, n_kept:], axis=1) for rows in (q, x)]
        expected = q[:, :n_kept] @ x[:, :n_kept].T + np.outer(*rest_of)
        assert_allclose(upper, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_one_query_is_searched_by_bounds_and_several_are_not(searches):
    rng = np.random.default_rng(0)
    index = ExactIndex(flat(rng, 40_000, 64))
    assert index.bounds is not None
    queries = flat(rng, 30, 64, rest=1.0)
    expected, _ = in_full(index).search(queries, 50)
    assert searches == []
    for query, ids in zip(queries, expected, strict=True):
        found, scores = index.search(query[None], 50)
        assert_array_equal(found[0], ids)
        assert_allclose(scores[0], index.embeddings[ids] @ query, rtol=1e-4, atol=1e-4)
    assert searches == [True] * 30


def test_queries_for_which_the_bounds_say_nothing_are_scored_in_full(searches):
    rng = np.random.default_rng(0)
    index = ExactIndex(flat(rng, 40_000, 64))
    # Such a query lies outside of the space of the items.
    query = index.bounds.basis[:, -1][None]
    found, scores = index.search(query, 10)
    assert searches == [False]
    full = in_full(index).search(query, 10)
    assert_array_equal(found, full[0])
    assert_array_equal(scores, full[1])


def test_long_lists_are_searched_in_full(searches):
    rng = np.random.default_rng(0)
    index = ExactIndex(flat(rng, 40_000, 64))
    query = flat(rng, 1, 64)
    for k, done in ((100, [True]), (1000, [])):
        found, _ = index.search(query, k)
        assert_array_equal(found, in_full(index).search(query, k)[0])
        assert searches == done
        searches.clear()


def test_fewer_allowed_items_than_asked_for(few_items, searches):
    rng = np.random.default_rng(0)
    index = ExactIndex(flat(rng, 100))
    excluded = sparse.csr_array(np.arange(100)[None] >= 7)
    found, scores = index.search(flat(rng, 1), 10, exclude=excluded)
    assert sorted(found[0, :7].tolist()) == list(range(7))
    assert found[0, 7:].tolist() == [-1] * 3
    assert np.isneginf(scores[0, 7:]).all()
    assert searches == [False]


@pytest.mark.parametrize(
    ("n_items", "dim", "rest"), [(10_000, 64, 1e-3), (400_000, 4, 0.0), (40_000, 64, 3.0)]
)
def test_small_short_or_scattered_embeddings_have_no_bounds(n_items, dim, rest):
    index = ExactIndex(flat(np.random.default_rng(0), n_items, dim, rest=rest))
    assert index.bounds is None


def test_bounds_follow_new_items_and_offsets(few_items, searches):
    rng = np.random.default_rng(0)
    items, offset = flat(rng, 300), rng.standard_normal(300)
    index = ExactIndex(items[:200], np.arange(200), offset=offset[:200])
    index = index.add(items[200:], np.arange(200, 300), offset=offset[200:])
    assert len(index.bounds.heads) == 300
    index = index.remove(np.arange(10))
    assert len(index.bounds.heads) == 290
    query = flat(rng, 1)
    for ids, values in [([15, 299], [1e4, 2e4]), ([15, 299], [-1e4, -2e4])]:
        index.set_offset(ids, values)
        values = np.full(300, -np.inf)
        values[10:] = index.embeddings[:, :-1] @ query[0] + index.embeddings[:, -1]
        found, _ = index.search(query, 20)
        assert_array_equal(found[0], np.argsort(-values, kind="stable")[:20])
    assert searches == [True] * 2


def test_an_index_that_shares_offsets_learns_of_larger_ones(few_items):
    """The slack of all indexes with these items grows with the longest embedding."""
    index = ExactIndex(flat(np.random.default_rng(0), 100), offset=np.zeros(100))
    other = index.with_offset(np.ones(100))
    before = other.bounds.slack(np.ones((1, 17), dtype=np.float32))
    index.set_offset([3], [1e9])
    assert (other.bounds.slack(np.ones((1, 17), dtype=np.float32)) > 1e5 * before).all()


def test_a_stored_index_keeps_its_bounds(searches):
    rng = np.random.default_rng(0)
    index = pickle.loads(pickle.dumps(ExactIndex(flat(rng, 80_000, 32))))
    index.search(flat(rng, 1, 32), 5)
    assert searches == [True]
    # In Fortran order the product is several times as fast.
    assert index.bounds.heads.flags.f_contiguous
