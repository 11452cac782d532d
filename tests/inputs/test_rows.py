"""Rows as models read them: the same products for dense and CSR tables, and gradients by row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.rows import (
    CHUNK_ROWS,
    CHUNK_VALUES,
    RowGradient,
    Rows,
    chunks_of_rows,
    distinct,
)


def csr(n_rows, n_columns, density=0.05, seed=0):
    rng = np.random.default_rng(seed)
    return sparse.random_array((n_rows, n_columns), density=density, format="csr", rng=rng)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_products_of_taken_rows_are_those_of_the_dense_table(make):
    """Rows with as many entries each, rows with none, and their squares."""
    rng = np.random.default_rng(0)
    ids = np.zeros((6, 5))
    ids[np.arange(6), rng.integers(0, 5, 6)] = rng.standard_normal(6)
    ragged = rng.standard_normal((6, 5)) * (rng.random((6, 5)) < 0.5)
    ragged[2] = 0
    chosen = np.array([5, 2, 2, 0])
    weights, slope = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
    for table in (ids, ragged):
        taken = Rows(make(table)).take(chosen)
        assert (taken.n_rows, taken.n_features) == (4, 5)
        assert_allclose(taken.dot(weights), table[chosen] @ weights)
        assert_allclose(taken.dot(weights[:, 0]), table[chosen] @ weights[:, 0])
        assert_allclose(taken.gradient(slope), table[chosen].T @ slope)
        assert_allclose(taken.gradient(slope[:, 0]), table[chosen].T @ slope[:, 0])
        assert_allclose(taken.squared.dot(weights), table[chosen] ** 2 @ weights)
        assert_allclose(taken.take(np.array([3, 1])).dot(weights), table[[0, 2]] @ weights)


@pytest.mark.parametrize(
    ("table", "length"),
    [
        (np.empty((200_000, 1), np.int8), CHUNK_ROWS),
        (np.empty((3000, 1000), np.int8), CHUNK_VALUES // 1000),
        (np.empty((2, CHUNK_VALUES + 1), np.int8), 1),
        (csr(200_000, 100_000, 1e-6), CHUNK_ROWS),
        (np.empty((0, 3)), 0),
        (np.empty((3, 0)), 3),
    ],
    ids=["narrow", "wide", "wider than a chunk", "csr", "no rows", "no columns"],
)
def test_chunks_hold_all_rows_in_order(table, length):
    """So many rows that a float64 copy of them is small, whatever the number of columns."""
    slices = list(chunks_of_rows(table))
    rows = [row for of in slices for row in range(of.start, of.stop)]
    assert rows == list(range(table.shape[0]))
    assert all(of.stop - of.start == length for of in slices[:-1])
    assert not slices or 0 < slices[-1].stop - slices[-1].start <= length


@pytest.mark.parametrize("n_columns", [1023, 1024])
def test_from_1024_columns_on_a_csr_gradient_holds_touched_rows_alone(n_columns):
    X = csr(20, n_columns)
    slope = np.random.default_rng(1).standard_normal((20, 3))
    batch = np.arange(3, 9)
    for rows in (Rows(X[batch]), Rows(X).take(batch), Rows(X).take(np.arange(12)).take(batch)):
        expected = X[batch].toarray().T @ slope[batch]
        gradient = rows.gradient(slope[batch])
        assert rows.is_wide == isinstance(gradient, RowGradient) == (n_columns >= 1024)
        if rows.is_wide:
            assert_array_equal(gradient.rows, np.unique(X[batch].indices))
            gradient, touched = np.zeros_like(expected), gradient
            gradient[touched.rows] = touched.values
        assert_allclose(gradient, expected, atol=1e-15)


@pytest.mark.parametrize("n_columns", [30, 1500])
@pytest.mark.parametrize("kind", ["dense", "csr", "mixed"])
def test_square_norms_by_their_formula(kind, n_columns):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((n_columns, 4)).astype(np.float32)
    X = csr(12, n_columns).astype(np.float32)
    if kind == "mixed":
        codes = rng.integers(0, n_columns - 3, (12, 2), dtype=np.int32)
        table = MixedTable(rng.standard_normal((12, 3), dtype=np.float32), codes, n_columns - 3)
        X = table.to_csr()
    rows = {"dense": lambda: Rows(X.toarray()), "csr": lambda: Rows(X).take(np.arange(12))}
    given = Rows(table).take(np.arange(12)) if kind == "mixed" else rows[kind]()
    # A code that a row has twice counts twice, as the sum of two one-hot columns does not.
    squares = (X.toarray() ** 2) if kind != "mixed" else _squares_of(table)
    assert_allclose(given.square_norms(weights), squares @ (weights**2).sum(axis=1), rtol=2e-5)
    assert_allclose(
        given.square_norms(weights), given.squared.dot((weights**2).sum(axis=1)), rtol=2e-5
    )


def _squares_of(table):
    dense = np.zeros(table.shape, dtype=np.float32)
    dense[:, :3] = table.numbers**2
    for row, codes in enumerate(table.codes):
        for code in codes:
            dense[row, 3 + code] += 1
    return dense


def test_a_dense_table_is_never_wide():
    X = np.random.default_rng(0).standard_normal((4, 1100))
    assert not Rows(X).is_wide
    assert_allclose(Rows(X).gradient(np.ones(4)), X.sum(axis=0))


def test_distinct_numbers_are_those_of_unique():
    numbers = np.random.default_rng(0).integers(0, 50, 40)
    found, place = distinct(numbers, 60)
    assert_array_equal(found, np.unique(numbers))
    assert_array_equal(found[place], numbers)
