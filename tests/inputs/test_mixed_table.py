"""A table of numbers and categories computes like the matrix with one-hot columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skdistill.inputs import MixedTable, RowGradient, Rows
from skdistill.inputs.columns import row_keys, take_rows
from skdistill.inputs.rows import WIDE, square


def mixed(rng, n_rows, n_numbers=3, sizes=(4, 2), dtype=np.float64):
    """A random table, and its dense matrix."""
    numbers = rng.standard_normal((n_rows, n_numbers)).astype(dtype)
    starts = np.cumsum([0, *sizes])
    codes = np.column_stack(
        [start + rng.integers(0, size, n_rows) for start, size in zip(starts, sizes, strict=False)]
    ).astype(np.int32)
    one_hot = np.zeros((n_rows, starts[-1]), dtype=dtype)
    one_hot[np.arange(n_rows)[:, None], codes] = 1
    return MixedTable(numbers, codes, int(starts[-1])), np.hstack([numbers, one_hot])


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 4))
def test_products_are_those_of_the_dense_matrix(seed, n_rows, n_numbers):
    rng = np.random.default_rng(seed)
    table, dense = mixed(rng, n_rows, n_numbers)
    assert table.shape == dense.shape
    assert len(table) == n_rows
    for weights in (rng.standard_normal((dense.shape[1], 5)), rng.standard_normal(dense.shape[1])):
        assert_allclose(table @ weights, dense @ weights, atol=1e-12)
        assert_allclose(square(table) @ weights, dense**2 @ weights, atol=1e-12)
    rows = rng.integers(0, n_rows, 7)
    assert_allclose(take_rows(table, rows) @ np.eye(dense.shape[1]), dense[rows])


def test_weights_in_float32_are_used_as_they_are():
    # The large table of a model is not copied to float64 for a few rows.
    rng = np.random.default_rng(0)
    table, dense = mixed(rng, 20)
    weights = rng.standard_normal((dense.shape[1], 3)).astype(np.float32)
    product = table @ weights
    assert product.dtype == np.float64
    assert_allclose(product, dense @ weights.astype(np.float64), rtol=1e-12)


@pytest.mark.parametrize("sizes", [(4, 2), (WIDE, 3)], ids=["narrow", "wide"])
@pytest.mark.parametrize("n_outputs", [None, 4])
def test_gradient_is_that_of_the_dense_matrix(sizes, n_outputs):
    rng = np.random.default_rng(0)
    table, dense = mixed(rng, 25, sizes=sizes)
    grad = rng.standard_normal(25 if n_outputs is None else (25, n_outputs))
    rows = Rows(table)
    assert rows.is_wide == (sizes[0] == WIDE)
    assert (rows.n_rows, rows.n_features) == dense.shape
    gradient = rows.gradient(grad)
    expected = dense.T @ grad
    if rows.is_wide:
        assert isinstance(gradient, RowGradient)
        used = np.flatnonzero(np.r_[np.ones(3), dense[:, 3:].any(axis=0)])
        assert_array_equal(gradient.rows, used)
        assert_allclose(gradient.values, expected[used], atol=1e-12)
    else:
        assert_allclose(gradient, expected, atol=1e-12)
    assert_allclose(rows.squared.gradient(grad).values if rows.is_wide else
                    rows.squared.gradient(grad),
                    ((dense**2).T @ grad)[used] if rows.is_wide else (dense**2).T @ grad,
                    atol=1e-12)  # fmt: skip
    some = rng.integers(0, 25, 9)
    assert_allclose(rows.take(some).dot(np.eye(dense.shape[1])), dense[some])


def test_keys_of_rows_differ_if_a_number_or_a_category_does():
    rng = np.random.default_rng(0)
    table, _ = mixed(rng, 6)
    same = table[np.array([0, 0, 1, 1, 2, 2])]
    keys = row_keys(same)
    assert len(np.unique(keys)) == 3
    codes = same.codes.copy()
    codes[0, 0] = (codes[0, 0] + 1) % 4
    assert row_keys(MixedTable(same.numbers, codes, same.n_codes))[0] not in keys
    swapped = MixedTable(same.numbers, codes[:, ::-1].copy(), same.n_codes)
    assert not set(row_keys(swapped)) & set(keys)


def test_a_function_that_would_lose_the_categories_says_what_to_do():
    table, dense = mixed(np.random.default_rng(0), 4)
    with pytest.raises(TypeError, match="X @ weights"):
        np.matmul(table, dense.T)
