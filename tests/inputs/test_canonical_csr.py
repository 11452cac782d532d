"""CSR matrices that store a cell several times, out of order, or as an explicit zero.

Every entrance gives what it gives for the same matrix in canonical form.
"""

import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMRanker
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill import DistilledRanker, TwoTowerRetriever
from skdistill.index import make_index
from skdistill.inputs.canonical_csr import canonical_csr, cells_are_moderate, csr_rows, squared_csr
from skdistill.inputs.queries import Queries
from skdistill.students import STUDENTS, FactorizationMachineRanker, LinearRanker
from skdistill.teachers import RankEnsemble, fit_and_score, score_rows
from skdistill.teachers.pair_scores import check_pair_scores

N_QUERIES, LENGTH, N_FEATURES = 40, 5, 6
QID = np.repeat(np.arange(N_QUERIES), LENGTH)


def scattered(matrix, seed, dtype=np.float64):
    """The same matrix with cells in parts, out of order, and explicit zeros."""
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_array(matrix)
    data, indices, indptr = [], [], [0]
    for row in range(matrix.shape[0]):
        cells = slice(*matrix.indptr[row : row + 2])
        values, columns = matrix.data[cells], matrix.indices[cells]
        # Powers of two are added exactly.
        part = rng.choice([0.5, 1.0], len(values))
        zeros = rng.integers(matrix.shape[1], size=2)
        row_values = np.r_[values * part, values * (1 - part), 0.0, 0.0]
        row_columns = np.r_[columns, columns, zeros]
        order = rng.permutation(len(row_values))
        data.append(row_values[order])
        indices.append(row_columns[order])
        indptr.append(indptr[-1] + len(order))
    # SciPy's astype would add the cells up.
    arrays = np.concatenate(data).astype(dtype), np.concatenate(indices), np.array(indptr)
    result = sparse.csr_array(arrays, shape=matrix.shape)
    assert not result.has_canonical_format
    assert_array_equal(result.toarray(), matrix.toarray())
    return result


def example(seed):
    rng = np.random.default_rng(seed)
    shape = N_QUERIES * LENGTH, N_FEATURES
    X = rng.lognormal(0, 2, shape) * (rng.random(shape) < 0.5)
    X[:, 0] = 1 + QID  # what describes the query, no zero
    return sparse.csr_array(X.astype(np.float32).astype(np.float64)), rng.integers(
        0, 3, shape[0]
    ).astype(float)


def student(kind, X, y):
    model = STUDENTS[kind](max_iter=2, random_state=0)
    return model.fit(X, y, qid=QID).predict(X)


ITEM_COLUMNS = [3, 1, 2, 4, 5]  # not in the order of the table


def towers(X, y, with_catalogue):
    model = TwoTowerRetriever(
        query_columns=[0],
        item_columns=ITEM_COLUMNS,
        spectral_start=False,
        max_iter=2,
        teacher_check=False,
        random_state=0,
    )
    queries, items = X[:, [0]], X[:, ITEM_COLUMNS]
    if not with_catalogue:
        return model.fit(X, y, qid=QID).predict(X)
    model.fit(X, y, qid=QID, items=items)
    return np.r_[model.predict(X), model.retrieve(queries, 2)[1].ravel()]


TREES = LGBMRanker(n_estimators=3, min_child_samples=2, verbose=-1)


def frozen(X, y):
    teacher = LGBMRanker(n_estimators=3, min_child_samples=2, verbose=-1)
    teacher.fit(example(0)[0], example(0)[1], group=[LENGTH] * N_QUERIES)
    return score_rows(teacher.booster_, X)


def taught(X, y):
    queries = Queries.from_sizes([LENGTH] * N_QUERIES)
    return fit_and_score(TREES, X, y, queries).scores


# Entrances of a table: ``answer(X, y)``.
TABLES = {
    "LinearRanker": partial(student, "LinearRanker"),
    "FactorizationMachineRanker": partial(student, "FactorizationMachineRanker"),
    "MLPRanker": partial(student, "MLPRanker"),
    "query column": lambda X, y: (
        FactorizationMachineRanker(query_column=0, max_iter=2, random_state=0).fit(X, y).predict(X)
    ),
    "partial_fit": lambda X, y: (
        FactorizationMachineRanker(random_state=0).partial_fit(X, y, qid=QID).predict(X)
    ),
    "DistilledRanker": lambda X, y: (
        DistilledRanker(TREES, FactorizationMachineRanker(max_iter=2), random_state=0)
        .fit(X, y, qid=QID)
        .predict(X)
    ),
    "RankEnsemble": lambda X, y: (
        RankEnsemble([("trees", TREES), ("machine", LinearRanker(max_iter=2, random_state=0))])
        .fit(X, y, qid=QID)
        .predict(X)
    ),
    "log and catalogue": partial(towers, with_catalogue=True),
    "log": partial(towers, with_catalogue=False),
    "score_rows": frozen,
    "fit_and_score": taught,
}


@pytest.mark.parametrize("entrance", TABLES)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), dtype=st.sampled_from([np.float32, np.float64]))
def test_tables(entrance, seed, dtype):
    X, y = example(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = TABLES[entrance](X, y)
        other = scattered(X, seed, dtype)
        before = other.copy()
        found = TABLES[entrance](other, y)
        # Sums in another order differ in their last bits. In training, these move all scores of a
        # query together, because a ranking loss leaves their level to chance.
        assert np.corrcoef(found, expected)[0, 1] > 0.999
        assert_allclose(found, expected, atol=0.02)
    # The user's matrix is not changed.
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(other, name), getattr(before, name))


@given(seed=st.integers(0, 1000))
def test_teacher_scores_of_a_catalogue(seed):
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_array(rng.integers(-3, 4, (4, 7)) * 1.0)
    expected = check_pair_scores(matrix, 4, 7, None, None)
    scores = check_pair_scores(scattered(matrix, seed), 4, 7, None, None)
    # An explicit zero is a stored score: it may be the lowest.
    query, item = matrix.nonzero()
    assert_allclose(scores(query, item), expected(query, item))


def test_teacher_scores_that_are_stored_twice_are_added_up():
    twice = sparse.csr_array(([2.0, 3.0, 4.0], [0, 0, 1], [0, 3]), shape=(1, 4))
    scores = check_pair_scores(twice, 1, 4, None, None)
    assert_array_equal(scores(np.zeros(4, int), np.arange(4)), [5, 4, 4, 4])
    assert twice.nnz == 3


@pytest.mark.parametrize("engine", ["exact", "faiss"])
@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_excluded_items(engine, seed):
    rng = np.random.default_rng(seed)
    seen = sparse.csr_array(rng.integers(0, 2, (3, 9)) * 1.0)
    items = make_index(engine, rng.normal(size=(9, 4)))
    queries = rng.normal(size=(3, 4))
    expected = items.search(queries, 5, exclude=seen)
    for exclude in (scattered(seen, seed), scattered(seen, seed).tocoo(), seen.tocsc()):
        found = items.search(queries, 5, exclude=exclude)
        assert_array_equal(found[0], expected[0])


def test_other_formats_and_tables():
    matrix = sparse.csr_array([[1.0, 0.0, 2.0]])
    assert canonical_csr(matrix) is matrix
    table = [[1.0]]
    assert canonical_csr(table) is table
    for other in (matrix.tocoo(), matrix.tocsc(), matrix.tolil(), sparse.csr_matrix(matrix)):
        assert canonical_csr(other).has_canonical_format
        assert_array_equal(canonical_csr(other).toarray(), [[1, 0, 2]])


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_consecutive_rows_are_views(kind, dtype):
    matrix = kind(sparse.random_array((30, 5), density=0.3, rng=np.random.default_rng(0)))
    matrix = matrix.astype(dtype)
    for start, stop in ((0, 30), (0, 7), (7, 21), (29, 30), (4, 4)):
        rows = csr_rows(matrix, start, stop)
        assert rows.shape == (stop - start, 5)
        assert rows.dtype == dtype
        assert_array_equal(rows.toarray(), matrix[start:stop].toarray())
        if rows.nnz:
            assert np.shares_memory(rows.data, matrix.data)
            assert np.shares_memory(rows.indices, matrix.indices)
        rows.check_format(full_check=True)  # which may copy views


def test_cells_are_squared():
    matrix = sparse.csr_array([[1.0, 0, -3], [0, 2, 0]])
    assert_array_equal(squared_csr(matrix).toarray(), [[1, 0, 9], [0, 4, 0]])
    assert_array_equal(matrix.toarray(), [[1, 0, -3], [0, 2, 0]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, -1e38, 2e18])
def test_one_pass_finds_cells_that_are_not_moderate(dtype, value):
    matrix = sparse.csr_array(np.ones((50, 3), dtype))
    assert cells_are_moderate(matrix)
    assert cells_are_moderate(matrix[:0])
    matrix.data[17] = value
    assert not cells_are_moderate(matrix)
    assert cells_are_moderate(csr_rows(matrix, 6, 50))
