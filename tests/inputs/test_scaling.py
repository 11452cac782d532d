"""Scaling of columns: moments, softsign on heavy tails, CSR that stays sparse."""

import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse

from skdistill.inputs.scaling import ColumnScaler


def test_columns_get_mean_0_and_deviation_1_and_constant_ones_0():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 3)).astype(np.float32) * [1, 100, 0] + [5, 0, 7]
    z = ColumnScaler.fit(X.astype(np.float32), True, True).transform(X.astype(np.float32))
    assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    assert_allclose(z.std(axis=0), [1, 1, 0], atol=1e-4)
    assert z.dtype == np.float32


def test_heavy_tails_are_squashed_in_any_unit_and_ids_are_not():
    rng = np.random.default_rng(0)
    amounts = (np.exp(2 * rng.standard_normal(5000)) * 1e-3).astype(np.float32)
    rare = (rng.random(5000) < 0.001).astype(np.float32)
    X = np.column_stack([amounts, 1e6 * amounts, rare, rng.standard_normal(5000)])
    X = X.astype(np.float32)
    scaler = ColumnScaler.fit(X, True, True)
    assert list(scaler.has_softsign) == [1, 1, 0, 0]
    high = np.quantile(amounts, 0.99)
    assert_allclose(scaler.half, [high, 1e6 * high, 1, 1], rtol=1e-5)
    squashed = scaler.softsign(X)
    assert_allclose(squashed[:, 0], amounts / (high + amounts), rtol=1e-5)
    assert_allclose(squashed[:, 1], squashed[:, 0], rtol=1e-5)
    assert (squashed[:, 2:] == X[:, 2:]).all()


def test_zeros_and_ones_of_csr_stay():
    X = sparse.csr_array(np.array([[0, 1, 0], [2, 0, 0], [4, 1, 0]], dtype=np.float32))
    z = ColumnScaler.fit(X, True, True).transform(X)
    assert_allclose(z.toarray(), [[0, 1, 0], [0.5, 0, 0], [1, 1, 0]])


def test_without_softsign_and_scale_nothing_changes():
    X = np.array([[1, 2], [3, 1e6]], dtype=np.float32)
    assert_allclose(ColumnScaler.fit(X, False, False).transform(X), X)
