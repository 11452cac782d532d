"""Products in strips equal plain products, whatever the number of rows."""

import numpy as np
import pytest

from skdistill.inputs.products import (
    BLOCK_ROWS,
    LARGEST,
    product,
    row_blocks,
    strip_rows,
    transposed_product,
)

ROWS = [1, 111, 112, 113, BLOCK_ROWS, BLOCK_ROWS + 1, 1000]


@pytest.mark.parametrize("n_rows", ROWS)
@pytest.mark.parametrize("shape", [(136, 64), (3, 1), (700, 40), (0, 8)])
def test_strips_change_nothing_but_rounding(n_rows, shape):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, shape[0]))
    weights, grad = rng.standard_normal(shape), rng.standard_normal((n_rows, shape[1]))
    out = np.empty((n_rows, shape[1]))
    assert product(X, weights, out) is out
    np.testing.assert_allclose(out, np.einsum("ni,io->no", X, weights), atol=1e-10)
    np.testing.assert_allclose(transposed_product(X, grad), np.einsum("ni,no->io", X, grad), 1e-9)


def test_a_strip_divides_a_block():
    """The place of a row in its strip does not depend on the number of rows."""
    for n_weights in (0, 1, 1000, 136 * 64, LARGEST, LARGEST + 1):
        assert BLOCK_ROWS % strip_rows(n_weights) == 0
    assert strip_rows(136 * 64) == 112


def test_blocks_cover_the_rows():
    for n_rows in (0, *ROWS):
        rows = np.arange(n_rows)
        assert [row for block in row_blocks(n_rows) for row in rows[block]] == rows.tolist()
