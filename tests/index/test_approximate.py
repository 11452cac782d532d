"""Other libraries' indexes give what the exact one gives, at settings that miss nothing."""

import importlib.util
import pickle
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.index import ExactIndex
from skdistill.index.approximate import ENGINES, FaissIndex, make_index

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
    for filters in ({}, {"exclude": seen}, {"mask": mask}, {"exclude": seen, "mask": mask}):
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


def test_a_pickled_index_finds_the_same(engine, vectors):
    items, queries = vectors
    index = make_index(engine, items, np.arange(300) * 2, **OPTIONS.get(engine, {}))
    again = pickle.loads(pickle.dumps(index))
    assert_array_equal(again.search(queries, 5)[0], index.search(queries, 5)[0])


def test_a_missing_library_names_the_extra(vectors, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r'extra ann: pip install "skdistill\[ann\]"'):
        FaissIndex(vectors[0])
    with pytest.raises(ValueError, match="engine must be one of"):
        make_index("quick", vectors[0])
    assert set(OPTIONS) < set(ENGINES)
