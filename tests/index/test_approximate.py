"""Other libraries' indexes give what the exact one gives, at settings that miss nothing."""

import importlib.util
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.index import ExactIndex
from skdistill.index.adapter import ApproximateIndex
from skdistill.index.approximate import (
    ENGINES,
    FaissIndex,
    HnswlibIndex,
    UsearchIndex,
    make_index,
)

# Settings of recall 1 for a few hundred items. An engine that is not named here has its defaults.
OPTIONS = {
    "faiss": {"factory": "Flat"},
    "usearch": {"exact": True},
    "hnswlib": {"ef": 400, "ef_construction": 400},
}
# The extra "dev" installs the others: without them, tests fail instead of being skipped.
OPTIONAL = {"hnswlib"}


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((300, 16)).astype(np.float32),
        rng.standard_normal((25, 16)).astype(np.float32),
    )


@pytest.fixture(params=[name for name in ENGINES if name != "exact"])
def engine(request):
    name = request.param
    if name in OPTIONAL and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def test_the_ids_are_those_of_the_exact_index(engine, vectors):
    items, queries = vectors
    names = np.array([f"item {i}" for i in range(300)])
    exact = ExactIndex(items, names)
    index = make_index(engine, items, names, **OPTIONS.get(engine, {}))
    seen = sparse.random_array((25, 300), density=0.2, rng=np.random.default_rng(1), format="csr")
    mask = np.arange(300) % 3 > 0
    lists = sparse.random_array((25, 300), density=0.1, rng=np.random.default_rng(2), format="csr")
    for filters in (
        *({}, {"exclude": seen}, {"mask": mask}, {"mask": lists}),
        *({"exclude": seen, "mask": mask}, {"exclude": seen, "mask": lists}),
    ):
        expected, expected_scores = exact.search(queries, 10, **filters)
        ids, scores = index.search(queries, 10, **filters)
        assert_array_equal(ids, expected)
        assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-5)
    one, _ = index.search(queries[:1], 3)
    assert_array_equal(one, exact.search(queries[:1], 3)[0])


def test_fewer_items_than_asked_for(engine, vectors):
    items, queries = vectors
    mask = np.arange(300) < 4
    ids, scores = make_index(engine, items, **OPTIONS.get(engine, {})).search(queries, 6, mask=mask)
    assert (ids[:, 4:] == -1).all()
    assert (scores[:, 4:] == -np.inf).all()
    assert_array_equal(np.sort(ids[:, :4], axis=1), np.tile(np.arange(4), (25, 1)))


CLUSTERS = {"factory": "IVF32,Flat", "parameters": "nprobe=2"}
GRAPH_OF_CLUSTERS = {"factory": "IVF64_HNSW8,Flat", "parameters": "nprobe=1"}


@pytest.fixture(scope="module")
def catalogue():
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((2000, 8)).astype(np.float32),
        rng.standard_normal((20, 8)).astype(np.float32),
    )


@pytest.mark.parametrize("options", [{}, CLUSTERS, GRAPH_OF_CLUSTERS])
def test_a_search_is_as_wide_as_what_it_is_asked_for(engine, options, catalogue):
    """Places are empty only if no item is left; a graph finds most of any number of neighbours."""
    if options and engine != "faiss":
        pytest.skip("options of FAISS")
    items, queries = catalogue
    exact, index = ExactIndex(items), make_index(engine, items, **options)
    narrow = index.search(queries, 3)
    for k in (1, 10, 65, 130, 400, 501, 1999, 2000):
        expected, _ = exact.search(queries, k)
        ids, scores = index.search(queries, k)
        assert (ids >= 0).all()
        assert (np.diff(scores, axis=1) <= 1e-5).all()
        assert_allclose(scores, np.take_along_axis(queries @ items.T, ids, axis=1), atol=1e-4)
        assert all(len(set(row)) == k for row in ids.tolist())
        recall = np.mean([np.isin(a, b).mean() for a, b in zip(expected, ids, strict=True)])
        assert recall > (0.9 if not options else 0.2)
    # A wide search leaves no trace.
    for before, after in zip(narrow, index.search(queries, 3), strict=True):
        assert_array_equal(before, after)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([name for name in ENGINES if name not in OPTIONAL]),
    st.integers(1, 60),
    st.integers(1, 10**9),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_a_place_is_empty_only_if_no_item_is_left(engine, n_items, k, masked, excluded, seed):
    rng = np.random.default_rng(seed)
    items = rng.integers(-2, 3, (n_items, 3)).astype(np.float32)
    queries = rng.standard_normal((4, 3)).astype(np.float32)
    mask = rng.random(n_items) >= masked
    seen = rng.random((4, n_items)) < excluded
    index = make_index(engine, items)
    ids, scores = index.search(queries, k, mask=mask, exclude=sparse.csr_array(seen))
    assert ids.shape == scores.shape == (4, min(k, n_items))
    left = mask & ~seen
    assert_array_equal((ids >= 0).sum(axis=1), np.minimum(left.sum(axis=1), k))
    for row, allowed in zip(ids, left, strict=True):
        found = row[row >= 0]
        assert allowed[found].all()
        assert len(np.unique(found)) == len(found)


def test_threads_that_search_widely_do_not_narrow_each_other(engine, catalogue):
    items, queries = catalogue
    index = make_index(engine, items)
    expected = {k: index.search(queries, k)[0] for k in (100, 300)}
    with ThreadPoolExecutor(4) as pool:
        for k, found in pool.map(lambda k: (k, index.search(queries, k)[0]), [100, 300] * 20):
            assert_array_equal(found, expected[k])


def test_a_pickled_index_finds_the_same(engine, vectors):
    items, queries = vectors
    index = make_index(engine, items, np.arange(300) * 2, **OPTIONS.get(engine, {}))
    again = pickle.loads(pickle.dumps(index))
    assert_array_equal(again.search(queries, 5)[0], index.search(queries, 5)[0])
    assert again.options == index.options


def test_a_missing_library_names_the_extra(vectors, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r'FaissIndex.*extra ann: pip install "skdistill\[ann\]"'):
        FaissIndex(vectors[0])
    with pytest.raises(ValueError, match="engine must be one of"):
        make_index("quick", vectors[0])
    assert set(OPTIONS) < set(ENGINES)


def test_only_non_zero_entries_exclude(engine):
    """A zero that is stored excludes nothing; any other number does, also a negative one."""
    items = np.eye(40, dtype=np.float32)[:, ::-1] + np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    index = make_index(engine, items, **OPTIONS.get(engine, {}))
    query = np.ones((1, 40), np.float32)  # item 39 is the best, then 38, ...
    stored = sparse.csr_array(([0.0, -1.0, 2.0], ([0, 0, 0], [39, 38, 36])), shape=(1, 40))
    ids, _ = index.search(query, 3, exclude=stored)
    assert ids.tolist() == [[39, 37, 35]]


def test_clusters_that_are_searched_hold_four_times_the_items_asked_for():
    items = np.random.default_rng(0).standard_normal((400, 4)).astype(np.float32)
    index = FaissIndex(items, **CLUSTERS)
    assert index.candidates == 2 * 400 // 32 // 4
    probed = []
    index._space = SimpleNamespace(set_index_parameter=lambda _, *setting: probed.append(setting))
    for n in (1, 50, 51, 400):
        index._set_candidates(n)
    # 32 clusters of 400 items: 4 n * 32 / 400 of them, rounded up, at least the 2 that were set.
    assert probed == [("nprobe", 2), ("nprobe", 16), ("nprobe", 17), ("nprobe", 32)]


@pytest.mark.parametrize(
    ("options", "candidates"),
    [
        ({}, 16),
        ({"parameters": "efSearch=48"}, 48),
        ({"factory": "Flat"}, 400),
        ({"factory": "IVF32_HNSW8,Flat", "parameters": "quantizer_efSearch=20, nprobe=7"}, 21),
    ],
)
def test_candidates_are_those_that_the_settings_of_faiss_allow(options, candidates):
    """7 of 32 clusters hold 87 of 400 items, which is enough for 21 of them."""
    items = np.random.default_rng(0).standard_normal((400, 4)).astype(np.float32)
    assert FaissIndex(items, **options).candidates == candidates


class Remembering(ApproximateIndex):
    """Finds what the exact index finds, and remembers what it was asked for."""

    module = "numpy"

    def _build(self, embeddings, n_found=None):
        self.candidates, self.n_found = 5, n_found
        self.asked, self.widths = [], []

    def _set_candidates(self, n):
        self.widths.append(n)

    def _nearest(self, queries, k):
        self.asked.append((len(queries), k))
        position, score = ExactIndex(self._exact.embeddings).search(queries, k)
        if self.n_found is not None:
            position[:, self.n_found :] = -1
        return position, score


# Item 0 is the best of 100, then item 1, ...
DESCENDING = np.arange(100, 0, -1, dtype=np.float32)[:, None]
ONE = np.ones((1, 1), np.float32)


def test_a_library_is_asked_for_as_many_as_hold_k_allowed_ones():
    index = Remembering(DESCENDING)
    assert index.search(ONE, 3)[0].tolist() == [[0, 1, 2]]
    assert index.search(ONE, 3, mask=np.arange(100) % 2 == 1)[0].tolist() == [[1, 3, 5]]
    assert index.search(ONE, 3, mask=np.arange(100) % 7 < 3)[0].tolist() == [[0, 1, 2]]
    assert index.asked == [(1, 3), (1, 3 * 2), (1, 7)]  # 45 of 100 are allowed: 3 / 0.45 = 6.7
    # A search is no narrower than the candidates that were set, which the next one finds again.
    index.search(ONE, 3)
    assert index.widths == [6, 7, 5]


def test_only_queries_with_too_few_items_are_asked_again_for_twice_as_many():
    index = Remembering(DESCENDING)
    seen = np.zeros((3, 100), bool)
    seen[1, :4], seen[2, :30] = True, True
    ids, _ = index.search(np.ones((3, 1)), 3, exclude=sparse.csr_array(seen))
    assert ids.tolist() == [[0, 1, 2], [4, 5, 6], [30, 31, 32]]
    # The last query is searched exactly, because 48 are more than a quarter of all items.
    assert index.asked == [(3, 3), (2, 6), (2, 12), (1, 24)]


def test_a_quarter_of_the_items_is_the_most_that_a_library_is_asked_for():
    index = Remembering(DESCENDING)
    for k in (25, 26):
        assert index.search(ONE, k)[0].tolist() == [list(range(k))]
    assert index.asked == [(1, 25)]


def test_places_that_a_library_leaves_empty_are_no_items():
    index = Remembering(DESCENDING, n_found=2)
    assert index.search(ONE, 3, mask=np.arange(100) != 50)[0].tolist() == [[0, 1, 2]]
    stored = sparse.csr_array(([1.0], ([0], [1])), shape=(1, 100))
    assert index.search(ONE, 3, exclude=stored)[0].tolist() == [[0, 2, 3]]
    assert Remembering(DESCENDING).search(ONE, 1, exclude=stored)[0].tolist() == [[0]]


def test_a_forked_process_searches_with_one_thread():
    index, threads = FaissIndex(np.eye(3)), []
    index._library = SimpleNamespace(omp_set_num_threads=threads.append)
    index.after_fork()
    assert threads == [1]


class FakeIndex:
    """Libraries' interfaces over a few fixed answers; remembers its calls."""

    def __init__(self, **settings):
        self.calls = [("Index", settings)]

    def init_index(self, n_items, **settings):
        self.calls.append(("init_index", n_items, settings))

    def add_items(self, embeddings, positions):
        self.items = np.array(embeddings)[np.argsort(positions)]

    def set_ef(self, n):
        self.calls.append(("set_ef", n))

    def knn_query(self, queries, k):
        distance = 1 - queries @ self.items.T
        order = np.argsort(distance, axis=1, kind="stable")[:, :k]
        return order.astype(np.uint64), np.take_along_axis(distance, order, axis=1)


def test_hnswlib_is_asked_as_its_documentation_says(monkeypatch):
    """With a stand-in, because the library has no wheels."""
    library = ModuleType("hnswlib")
    library.Index = FakeIndex
    monkeypatch.setitem(sys.modules, "hnswlib", library)
    items = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    index = HnswlibIndex(items)
    assert index.candidates == 100
    ids, scores = index.search(items[:4], 5)
    expected, expected_scores = ExactIndex(items).search(items[:4], 5)
    assert_array_equal(ids, expected)
    assert_allclose(scores, expected_scores, rtol=1e-5)
    position, score = index._nearest(items[:1], 2)
    assert position.dtype == np.int64
    assert_allclose(score, expected_scores[:1, :2], rtol=1e-5)
    assert index._index.calls[:3] == [
        ("Index", {"space": "ip", "dim": 3}),
        ("init_index", 50, {"ef_construction": 200, "M": 16}),
        ("set_ef", 100),
    ]
    index._set_candidates(7)
    assert index._index.calls[-1] == ("set_ef", 7)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"connectivity": 16, "expansion_add": 128, "expansion_search": 64, "dtype": "f32"}),
        (
            {"connectivity": 5, "expansion_add": 6, "expansion_search": 7, "dtype": "f16"},
            {"connectivity": 5, "expansion_add": 6, "expansion_search": 7, "dtype": "f16"},
        ),
    ],
)
def test_usearch_is_made_with_its_settings(options, expected, monkeypatch):
    made = []

    class Index(SimpleNamespace):
        def __init__(self, **settings):
            made.append(settings)

        def add(self, keys, embeddings):
            made.append((keys.tolist(), len(embeddings)))

    library = ModuleType("usearch.index")
    library.Index = Index
    monkeypatch.setitem(sys.modules, "usearch.index", library)
    index = UsearchIndex(np.eye(3), **options)
    assert made == [{"ndim": 3, "metric": "ip", **expected}, ([0, 1, 2], 3)]
    assert index.candidates == expected["expansion_search"]
    assert not index._is_exact
    assert UsearchIndex(np.eye(3), exact=True).candidates == 3


def test_matches_of_usearch_are_padded():
    index, asked = UsearchIndex(np.eye(6), exact=True), []

    def search(queries, k, exact):
        asked.append((len(queries), k, exact))
        if len(queries) == 1:
            return SimpleNamespace(keys=np.array([5]), distances=np.array([0.25]))
        return SimpleNamespace(
            keys=np.array([[5, 3], [4, 9]], np.uint64),
            distances=np.array([[0.25, 0.5], [0.75, 9.0]]),
            counts=np.array([2, 1]),
        )

    index._index = SimpleNamespace(search=search)
    position, score = index._nearest(np.eye(6)[:2], 4)
    assert position.tolist() == [[5, 3, -1, -1], [4, -1, -1, -1]]
    assert score[0].tolist() == [1 - 0.25, 1 - 0.5, -np.inf, -np.inf]
    position, score = index._nearest(np.eye(6)[:1], 2)
    assert position.tolist() == [[5, -1]]
    assert score.tolist() == [[1 - 0.25, -np.inf]]
    assert score.dtype == np.float32
    assert asked == [(2, 4, True), (1, 2, True)]


def test_the_base_of_adapters_is_no_index():
    base = ApproximateIndex.__new__(ApproximateIndex)
    for call in (
        lambda: base._build(np.eye(2, dtype=np.float32)),
        lambda: base._set_candidates(3),
        lambda: base._nearest(np.eye(2, dtype=np.float32), 1),
    ):
        with pytest.raises(TypeError, match="^ApproximateIndex is abstract: use FaissIndex"):
            call()


def test_offsets_are_found_and_cannot_be_changed(engine, vectors):
    items, queries = vectors
    offset = 3 * np.random.default_rng(1).standard_normal(300)
    index = make_index(engine, items, offset=offset, **OPTIONS.get(engine, {}))
    seen = sparse.random_array((25, 300), density=0.2, rng=np.random.default_rng(1), format="csr")
    for one in (index, pickle.loads(pickle.dumps(index))):
        expected, expected_scores = ExactIndex(items, offset=offset).search(
            queries, 10, exclude=seen
        )
        ids, scores = one.search(queries, 10, exclude=seen)
        assert_array_equal(ids, expected)
        assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-5)
        # So many items are asked for that all of them are compared.
        whole, _ = one.search(queries, 250)
        assert_array_equal(whole, ExactIndex(items, offset=offset).search(queries, 250)[0])
    with pytest.raises(TypeError, match=r"Index the items again with the new offset="):
        index.set_offset([0], [1.0])
    with pytest.raises(TypeError, match=r"Index the items again with the new offset="):
        index.with_offset(offset)
