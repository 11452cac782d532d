"""The exact index against brute force, with ties, masks and exclusions."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.index import ExactIndex, block_search
from skdistill.index import exact as index_module


def brute_force(queries, items, k, exclude=None, mask=None, offset=None):
    k = min(k, len(items))
    ids = np.full((len(queries), k), -1)
    scores = np.full((len(queries), k), -np.inf)
    for q, query in enumerate(queries):
        allowed = np.ones(len(items), bool) if mask is None else np.array(mask)
        if allowed.ndim == 2:
            allowed = allowed[q]
        if exclude is not None:
            allowed &= exclude[q] == 0
        value = items @ query + (0 if offset is None else offset)
        best = sorted(np.flatnonzero(allowed), key=lambda i: (-value[i], i))[:k]
        ids[q, : len(best)], scores[q, : len(best)] = best, value[best]
    return ids, scores


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.integers(1, 60),
    st.integers(0, 9),
    st.integers(1, 30),
    st.booleans(),
    st.sampled_from([None, "items", "pairs"]),
    st.booleans(),
)
def test_the_exact_index_finds_what_brute_force_finds(
    seed, n_items, n_queries, k, with_exclude, masked, with_offset
):
    """Small integers: scores without rounding, ties and duplicates in plenty."""
    rng = np.random.default_rng(seed)
    items = rng.integers(-2, 3, (n_items, 3)).astype(np.float32)
    queries = rng.integers(-2, 3, (n_queries, 3)).astype(np.float32)
    exclude = rng.random((n_queries, n_items)) < 0.4 if with_exclude else None
    shapes = {"items": n_items, "pairs": (n_queries, n_items)}
    mask = None if masked is None else rng.random(shapes[masked]) < 0.3
    offset = rng.integers(-3, 4, n_items) if with_offset else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "QUERY_BLOCK", 3)
        for name, size in {"ITEM_BLOCK": 7, "BLOCK_SCORES": 8, "TILE": 3}.items():
            patch.setattr(block_search, name, size)
        ids, scores = ExactIndex(items, offset=offset).search(
            queries,
            k,
            exclude=None if exclude is None else sparse.csr_array(exclude),
            mask=sparse.csr_array(mask) if masked == "pairs" else mask,
            n_jobs=2 if seed % 2 else None,
        )
    expected_ids, expected_scores = brute_force(queries, items, k, exclude, mask, offset)
    assert_array_equal(ids, expected_ids)
    assert_allclose(scores, expected_scores)


@given(st.integers(0, 2**31))
def test_candidates_are_merged_by_query_then_score_then_item(seed):
    rng = np.random.default_rng(seed)
    special = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3e38, -3e38], np.float32)
    score = np.r_[rng.standard_normal(30, dtype=np.float32), rng.choice(special, 60)]
    query = rng.integers(0, 3, len(score))
    order = np.argsort(block_search._descending(query, score), kind="stable")
    assert_array_equal(order, np.lexsort((np.arange(len(score)), -score, query)))


@pytest.mark.parametrize("n_queries", [1, 64])
def test_a_mask_copies_no_more_than_a_block(n_queries):
    rng = np.random.default_rng(0)
    items = rng.standard_normal((100_000, 64), dtype=np.float32)
    index, allowed = ExactIndex(items), np.arange(100_000) % 3 == 0
    queries = rng.standard_normal((n_queries, 64), dtype=np.float32)
    tracemalloc.start()
    found, scores = index.search(queries, 10, mask=allowed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < items[allowed].nbytes
    best = np.where(allowed, queries @ items.T, -np.inf).argsort(axis=1)[:, ::-1][:, :10]
    assert_array_equal(found, best)
    assert_allclose(scores, np.take_along_axis(queries @ items.T, best, axis=1), rtol=1e-4)


@pytest.mark.parametrize("n_queries", [2, 3, 15, 16, 100])
def test_the_scores_of_a_query_do_not_depend_on_the_other_queries(n_queries):
    rng = np.random.default_rng(0)
    index = ExactIndex(rng.standard_normal((5003, 32), dtype=np.float32))
    queries = rng.standard_normal((128, 32), dtype=np.float32)
    ids, scores = index.search(queries, 200)
    some_ids, some_scores = index.search(queries[:n_queries], 200)
    assert_array_equal(some_ids, ids[:n_queries])
    assert_array_equal(some_scores, scores[:n_queries])


def test_many_items_over_several_blocks():
    rng = np.random.default_rng(0)
    items, queries = rng.standard_normal((20_000, 16)), rng.standard_normal((300, 16))
    ids, scores = ExactIndex(items).search(queries, 50)
    full = queries.astype(np.float32) @ items.astype(np.float32).T
    assert_allclose(scores, -np.sort(-full, axis=1)[:, :50], rtol=1e-5)
    assert_allclose(np.take_along_axis(full, ids, axis=1), scores, rtol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_ids_of_any_type_are_returned_and_short_lists_are_padded():
    index = ExactIndex(np.eye(3), ids=["x", "y", "z"])
    without_z = np.array([True, True, False])
    ids, scores = index.search(np.eye(3)[:2], 3, mask=without_z)
    assert ids.tolist() == [["x", "y", None], ["y", "x", None]]
    assert (scores[:, 2] == -np.inf).all()
    ids, _ = ExactIndex(np.eye(3), ids=[70, 80, 90]).search(np.eye(3)[:2], 3, mask=without_z)
    assert ids.tolist() == [[70, 80, -1], [80, 70, -1]]
    nothing = sparse.csr_array(np.ones((3, 3)))
    ids, _ = index.search(np.eye(3), 1, exclude=nothing)
    assert ids.tolist() == [[None], [None], [None]]
    ids, scores = ExactIndex(np.eye(2)).search(np.empty((0, 2)), 2)
    assert ids.shape == scores.shape == (0, 2)


def test_no_more_places_than_items():
    """Room for a thousand million places would be 12 GB a query."""
    ids, scores = ExactIndex(np.eye(4)).search(np.eye(4), 10**9)
    assert ids.shape == scores.shape == (4, 4)
    assert_array_equal(np.sort(ids, axis=1), np.tile(np.arange(4), (4, 1)))


def test_a_memory_map_is_not_copied(tmp_path):
    path = tmp_path / "items.npy"
    np.save(path, np.eye(5, dtype=np.float32))
    items = np.load(path, mmap_mode="r")
    index = ExactIndex(items)
    assert np.shares_memory(index.embeddings, items)
    assert index.search(np.eye(5), 1)[0].ravel().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be an integer of at least 1, got 0"),
        ({"queries": np.ones((2, 3))}, "queries have 3 dimensions, but the index has 2"),
        ({"queries": np.full((2, 2), np.nan)}, "contains NaN"),
        ({"mask": np.ones(3, bool)}, r"mask must be bool of shape \(2,\)"),
        ({"mask": sparse.csr_array((2, 3))}, r"mask must be a sparse matrix of shape \(2, 2\)"),
        ({"exclude": sparse.csr_array((1, 2))}, r"sparse matrix of shape \(2, 2\), got \(1, 2\)"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExactIndex(np.eye(2)).search(**{"queries": np.eye(2), "k": 1, **arguments})
    with pytest.raises(ValueError, match=r"expected shape \(2,\), got \(3,\)"):
        ExactIndex(np.eye(2), ids=[1, 2, 3])


def test_added_removed_and_reordered_items_are_found_as_in_a_new_index():
    """Each gives a new index that finds what an index of those items finds; the old one stays."""
    rng = np.random.default_rng(5)
    items = rng.standard_normal((40, 6)).astype(np.float32)
    queries = rng.standard_normal((7, 6)).astype(np.float32)
    names = np.array([f"item {i}" for i in range(40)])
    index = ExactIndex(items[:30], names[:30])
    before = index.search(queries, 5)
    added = index.add(items[30:], names[30:])
    assert_array_equal(added.search(queries, 5)[0], ExactIndex(items, names).search(queries, 5)[0])
    removed = added.remove(names[::2])
    kept = ExactIndex(items[1::2], names[1::2])
    assert_array_equal(removed.search(queries, 5)[0], kept.search(queries, 5)[0])
    order = rng.permutation(40)
    shuffled = ExactIndex(items[order], names[order])
    assert_array_equal(shuffled.search(queries, 5)[0], added.search(queries, 5)[0])
    assert_array_equal(index.search(queries, 5)[0], before[0])
    # Without ids items are their positions, and the others move up.
    plain = ExactIndex(items).remove([0, 39])
    assert_array_equal(plain.search(queries, 3)[0], ExactIndex(items[1:39]).search(queries, 3)[0])
    with pytest.raises(KeyError, match=r"The index has no items \['item 0'\]\."):
        removed.remove(["item 1", "item 0"])
    with pytest.raises(ValueError, match="^An index needs at least one item"):
        removed.remove(names[1::2])
    with pytest.raises(ValueError, match=r"^Pass ids if .* this one has ids\.$"):
        index.add(items[30:])
    with pytest.raises(ValueError, match=r"this one has none\.$"):
        ExactIndex(items[:30]).add(items[30:], names[30:])
    longer = ExactIndex(items[:30]).add(items[30:])
    assert longer.ids is None
    assert_array_equal(longer.search(queries, 5)[0], ExactIndex(items).search(queries, 5)[0])
    with pytest.raises(ValueError, match="2 dimensions, but the index has 6"):
        index.add(np.zeros((1, 2)), ["new"])
    with pytest.raises(ValueError, match="'item 3' names several"):
        index.add(items[:1], ["item 3"])


def test_equal_items_are_both_returned_and_in_order():
    items = np.array([[1.0, 0], [2, 0], [1, 0], [2, 0]])
    ids, scores = ExactIndex(items).search([[1.0, 0]], 4)
    assert ids.tolist() == [[1, 3, 0, 2]]
    assert scores.tolist() == [[2, 2, 1, 1]]


def test_a_single_query_over_several_blocks_is_exact():
    rng = np.random.default_rng(6)
    items = rng.standard_normal((300_000, 4)).astype(np.float32)
    query = rng.standard_normal((1, 4)).astype(np.float32)
    ids, _ = ExactIndex(items).search(query, 20)
    assert_array_equal(ids[0], np.argsort(-(items @ query[0]), kind="stable")[:20])


@pytest.mark.parametrize("item_block", [2, 4096])
def test_only_non_zero_entries_exclude(item_block, monkeypatch):
    """A zero that is stored excludes nothing; any other number does, also a negative one."""
    monkeypatch.setattr(block_search, "ITEM_BLOCK", item_block)
    monkeypatch.setattr(block_search, "BLOCK_SCORES", item_block)
    index = ExactIndex([[5.0], [4], [3], [2], [1]])
    stored = sparse.csr_array(([0.0, -1.0, 2.0, 0.0], ([0, 0, 0, 0], [0, 1, 3, 4])), shape=(1, 5))
    assert index.search([[1.0]], 5, exclude=stored)[0].tolist() == [[0, 2, 4, -1, -1]]
    # Of a cell that is stored twice the sum counts, as everywhere in SciPy.
    twice = sparse.coo_array(([1.0, -1.0, 1.0, 1.0], ([0, 0, 0, 0], [0, 0, 1, 1])), shape=(1, 5))
    assert index.search([[1.0]], 2, exclude=twice)[0].tolist() == [[0, 2]]
    mask = np.array([True, True, False, True, True])
    found = index.search([[1.0]], 5, exclude=stored, mask=mask)[0]
    assert found.tolist() == [[0, 4, -1, -1, -1]]


@pytest.mark.parametrize("item_block", [1, 2, 3, 4096])
@pytest.mark.parametrize("ids", [None, [50, 40, 30, 20, 10, 0]])
def test_ties_at_the_last_place_go_to_the_earlier_position_whatever_the_id(
    item_block, ids, monkeypatch
):
    monkeypatch.setattr(block_search, "ITEM_BLOCK", item_block)
    monkeypatch.setattr(block_search, "BLOCK_SCORES", item_block)
    index = ExactIndex([[1.0], [2], [1], [2], [1], [2]], ids)
    for k, expected in ((2, [1, 3]), (3, [1, 3, 5]), (5, [1, 3, 5, 0, 2])):
        found = index.search([[1.0]], k)[0][0].tolist()
        assert found == (expected if ids is None else [ids[item] for item in expected])


@pytest.mark.parametrize("ids", [["a", None, None], ["a", np.nan, None]])
def test_an_item_without_an_id_is_named_by_its_position(ids):
    with pytest.raises(ValueError, match=rf"^ids must name .* item 1 is {ids[1]!r}\.$"):
        ExactIndex(np.eye(3), np.array(ids, dtype=object))


def test_the_first_of_the_doubled_ids_is_named():
    with pytest.raises(ValueError, match="^ids must be distinct: 'c' names several items"):
        ExactIndex(np.eye(5), ["a", "c", "b", "b", "c"])


def test_embeddings_are_kept_in_float32_row_by_row():
    index = ExactIndex(np.asfortranarray(np.eye(3)))
    assert index.embeddings.dtype == np.float32
    assert index.embeddings.flags.c_contiguous


@pytest.mark.parametrize("name", ["embeddings", "queries"])
def test_masked_and_missing_numbers_are_refused_under_their_name(name):
    def use(table):
        return ExactIndex(table) if name == "embeddings" else ExactIndex(np.eye(2)).search(table, 1)

    masked = np.ma.array(np.eye(2), mask=[[False, False], [False, True]])
    with pytest.raises(ValueError, match=rf"^{name} must not be masked.* by {name}\.filled"):
        use(masked)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match=rf"^Input {name} contains"):
            use(np.full((2, 2), wrong))
        with pytest.raises(ValueError, match=rf"^Input {name} contains"):
            use(np.full((2, 2), wrong, dtype=np.float32))


@pytest.mark.parametrize(
    "queries",
    [
        [[1, 0], [0, 2]],
        np.array([[1, 0], [0, 2]]),
        np.asfortranarray(np.array([[1, 0], [0, 2]], np.float32)),
        np.array([[1.0, 9, 0, 9], [0, 9, 2, 9]], np.float32)[:, ::2],
        np.array([[1.0, 0], [0, 2]], dtype=object),
    ],
    ids=["list", "integers", "Fortran", "strided", "objects"],
)
def test_queries_of_any_kind_are_searched_in_float32(queries):
    ids, scores = ExactIndex(np.eye(2)).search(queries, 2)
    assert ids.tolist() == [[0, 1], [1, 0]]
    assert scores.tolist() == [[1, 0], [2, 0]]
    assert scores.dtype == np.float32


def test_exclusion_that_is_no_sparse_matrix_is_refused_by_kind():
    for wrong, shown in ((np.zeros((2, 2)), r"\(2, 2\)"), ([0, 1], "<class 'list'>")):
        with pytest.raises(ValueError, match=f"^exclude must be a sparse matrix.* got {shown}"):
            ExactIndex(np.eye(2)).search(np.eye(2), 1, exclude=wrong)


IDS = [None, np.array([7, 3, 900, -2, 5]), np.array(["b", "a", "e", "d", "c"])]


@pytest.mark.parametrize("ids", IDS, ids=["positions", "numbers", "text"])
def test_offsets_change_in_place(ids):
    rng = np.random.default_rng(0)
    items, queries = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
    kept = items.astype(np.float32)
    offset = rng.standard_normal(5)
    index = ExactIndex(kept, ids, offset=offset)
    names = np.arange(5) if ids is None else ids
    index.set_offset(names[[4, 1]], [2.5, -1.5])
    offset[[4, 1]] = 2.5, -1.5
    found, scores = index.search(queries, 5)
    expected, expected_scores = brute_force(queries, items, 5, offset=offset)
    assert_array_equal(found, names[expected])
    assert_allclose(scores, expected_scores, rtol=1e-5)
    # Neither the embeddings of the caller nor an index made from this one change with it.
    assert_array_equal(kept, items.astype(np.float32))
    smaller = index.remove(names[[4]])
    index.set_offset(names[[0]], [100.0])
    again, _ = smaller.search(queries, 5)
    assert_array_equal(again, [[name for name in row if name != names[4]] for row in found])


@pytest.mark.parametrize("n_items", [7, 9000])
def test_one_search_has_other_offsets(n_items):
    rng = np.random.default_rng(0)
    items, queries = rng.standard_normal((n_items, 3)), rng.standard_normal((5, 3))
    index = ExactIndex(items, offset=rng.standard_normal(n_items))
    before = index.search(queries, 6)
    offset = 2 * rng.standard_normal(n_items)
    other = index.with_offset(offset)
    few = np.zeros(n_items, dtype=bool)
    few[rng.choice(n_items, 5, replace=False)] = True
    lists = sparse.random_array((5, n_items), density=0.5, rng=rng, format="csr")
    seen = sparse.random_array((5, n_items), density=0.3, rng=rng, format="csr")
    fresh = ExactIndex(items, offset=offset)
    for options in ({}, {"mask": few}, {"mask": ~few}, {"mask": lists}, {"exclude": seen}):
        found, scores = other.search(queries, 6, **options)
        expected, expected_scores = fresh.search(queries, 6, **options)
        assert_array_equal(found, expected)
        assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-6)
    query, item = np.array([0, 4, 2]), np.array([6, 0, 3])
    values = items[item] @ queries[query].T
    assert_allclose(
        other.score_pairs(queries.astype(np.float32), query, item),
        np.diag(values) + offset[item],
        rtol=1e-5,
    )
    for found, expected in zip(index.search(queries, 6), before, strict=True):
        assert_array_equal(found, expected)
    for change in (
        lambda: other.set_offset([0], [1.0]),
        lambda: other.add(items[:1], offset=[1.0]),
        lambda: other.remove([0]),
    ):
        with pytest.raises(TypeError, match="shares the items of another one. Change that"):
            change()
    with pytest.raises(ValueError, match="The index has no offset"):
        ExactIndex(items).with_offset(offset)
    with pytest.raises(ValueError, match=rf"expected shape \({n_items},\)"):
        index.with_offset([1.0])


def test_an_index_grows_with_offsets():
    rng = np.random.default_rng(0)
    items, queries, offset = rng.standard_normal((6, 3)), rng.standard_normal((4, 3)), np.arange(6)
    grown = ExactIndex(items[:4], offset=offset[:4]).add(items[4:], offset=offset[4:])
    assert_array_equal(
        grown.search(queries, 6)[0], brute_force(queries, items, 6, offset=offset)[0]
    )
    copied = pickle.loads(pickle.dumps(grown))
    copied.set_offset([0], [50.0])
    assert (copied.search(queries, 1)[0] == 0).all()
    with pytest.raises(ValueError, match="this one has some"):
        grown.add(items[4:])
    with pytest.raises(ValueError, match="this one has none"):
        ExactIndex(items).add(items, offset=offset)
    with pytest.raises(ValueError, match="queries have 4 dimensions, but the index has 3"):
        grown.search(np.ones((1, 4)), 2)


def test_invalid_offsets_are_refused():
    items = np.eye(3)
    with pytest.raises(ValueError, match="The index has no offset to change"):
        ExactIndex(items).set_offset([0], [1.0])
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(2,\)"):
        ExactIndex(items, offset=[1.0, 2.0])
    index = ExactIndex(items, ["a", "b", "c"], offset=[1.0, 2.0, 3.0])
    with pytest.raises(KeyError, match=r"has no items \['d'\]"):
        index.set_offset(["a", "d"], [1.0, 2.0])
    with pytest.raises(ValueError, match="'a' names several items"):
        index.set_offset(["a", "a"], [1.0, 2.0])
    with pytest.raises(ValueError, match="A bid of 0 has no logarithm"):
        index.set_offset(["a"], [-np.inf])
    assert_array_equal(index.embeddings[:, -1], [1.0, 2.0, 3.0])
