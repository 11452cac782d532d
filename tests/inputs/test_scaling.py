"""Scaling of columns: moments, softsign on heavy tails, CSR that stays sparse."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
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
    high = np.quantile(amounts.astype(np.float64), 0.99)
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


def with_outlier(value, n_rows=100):
    """Ones and minus ones, and one value that may be far from them."""
    column = np.where(np.arange(n_rows) % 2, 1.0, -1.0)
    column[0] = value
    return column.astype(np.float32)[:, None]


def test_tails_of_csr_columns_are_those_of_each_column_alone():
    """Ids, counts, constants, explicit zeros and empty columns, with and without a tail."""
    rng = np.random.default_rng(0)
    dense = np.zeros((400, 60))
    for column in range(60):
        rows = rng.choice(400, rng.integers(0, 12), replace=False)
        values = [np.ones(len(rows)), rng.lognormal(0, 2, len(rows)), -np.ones(len(rows)) * 7]
        dense[rows, column] = values[column % 3]
    X = sparse.csr_array(dense)
    X.data[::17] = 0  # explicit zeros
    whole = ColumnScaler.fit(X, squash=True, standardize=True)
    assert 0 < whole.has_softsign.sum() < 20
    for column in range(60):
        alone = ColumnScaler.fit(X[:, [column]], squash=True, standardize=True)
        magnitudes = np.abs(X[:, [column]].data)
        magnitudes = magnitudes[magnitudes > 0]
        deviation = X[:, [column]].toarray().std()
        mean = X[:, [column]].toarray().mean()
        reach = np.abs(X[:, [column]].toarray() - mean).max()
        has_tail = (
            len(magnitudes) > 0
            and reach > 8 * deviation
            and magnitudes.max() > 3 * np.median(magnitudes)
        )
        assert whole.has_softsign[column] == alone.has_softsign[0] == has_tail
        np.testing.assert_allclose(whole.half[column], alone.half[0])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_a_tail_is_heavy_from_8_standard_deviations_on(make, sign):
    found = []
    for value in np.arange(2.0, 40, 0.5):
        X = sign * with_outlier(value)
        deviations = abs(X[0, 0] - X.mean()) / X.std()
        found.append(ColumnScaler.fit(make(X), True, False).has_softsign[0] == 1)
        assert found[-1] == (deviations > 8), deviations
    assert 0 < sum(found) < len(found)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_a_rare_column_has_a_tail_only_beyond_three_times_its_median(make):
    """Among a thousand zeros every value is many deviations away; magnitudes decide."""
    for largest, has_tail in ((1.0, False), (3.0, False), (3.1, True)):
        X = np.zeros((1000, 1), dtype=np.float32)
        X[[3, 30, 300], 0] = 1, -1, largest
        scaler = ColumnScaler.fit(make(X), True, False)
        assert (scaler.has_softsign[0] == 1) == has_tail
        half = np.quantile([1, 1, largest], 0.99) if has_tail else 1
        assert scaler.half[0] == pytest.approx(half)


@pytest.mark.parametrize("n_rows", [1, 5, 448, 449, 896, 1000])
@pytest.mark.parametrize("has_softsign", [[1, 1], [1, 0]])
def test_softsign_by_its_formula(n_rows, has_softsign):
    """Of blocks of any length, dense and CSR, into an array that is given or a new one."""
    X = np.random.default_rng(0).standard_normal((n_rows, 2)).astype(np.float32)
    has_softsign = np.array(has_softsign, dtype=np.float32)
    half = np.array([2.0, 0.5], dtype=np.float32) ** has_softsign  # 1 without a softsign
    scaler = ColumnScaler(half, has_softsign, np.zeros(2, np.float32), np.ones(2, np.float32))
    expected = np.where(has_softsign, X / (half + np.abs(X)), X)
    out = np.empty_like(X)
    assert_allclose(scaler.softsign(X), expected, rtol=1e-6)
    assert scaler.softsign(X, out=out) is out
    assert_allclose(out, expected, rtol=1e-6)
    assert_allclose(scaler.softsign(sparse.csr_array(X)).toarray(), expected, rtol=1e-6)


def heavy_and_plain():
    rng = np.random.default_rng(1)
    heavy = np.exp(3 * rng.standard_normal(2000))
    return np.column_stack([heavy, 5 + 3 * rng.standard_normal(2000)]).astype(np.float32)


def test_a_dense_table_is_standardised_after_the_softsign():
    X = heavy_and_plain()
    scaler = ColumnScaler.fit(X, True, True)
    bounded = scaler.softsign(X).astype(np.float64)
    expected = (bounded - bounded.mean(axis=0)) / bounded.std(axis=0)
    assert list(scaler.has_softsign) == [1, 0]
    before = X.copy()
    assert_allclose(scaler.transform(X), expected, atol=1e-4)
    assert_array_equal(X, before)


def test_a_csr_table_is_divided_by_its_largest_value_after_the_softsign():
    X = heavy_and_plain()
    X[::3] = 0
    X = np.column_stack([X, np.zeros(len(X), dtype=np.float32)])
    scaler = ColumnScaler.fit(sparse.csr_array(X), True, True)
    assert list(scaler.has_softsign) == [1, 0, 0]
    bounded = X.copy()
    bounded[:, 0] = X[:, 0] / (scaler.half[0] + X[:, 0])
    expected = bounded / [bounded[:, 0].max(), np.abs(X[:, 1]).max(), 1]
    assert_allclose(scaler.transform(sparse.csr_array(X)).toarray(), expected, rtol=1e-5)


def test_a_layer_takes_over_shift_and_scale():
    X = heavy_and_plain()
    scaler = ColumnScaler.fit(X, True, True)
    rng = np.random.default_rng(2)
    weights, bias = rng.standard_normal((2, 3)), rng.standard_normal(3)
    folded, constant = scaler.fold_layer(weights, bias)
    expected = scaler.transform(X) @ weights + bias
    assert_allclose(scaler.softsign(X) @ folded + constant, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("columns", [[0], [1], [0, 1]], ids=["all", "none", "some"])
def test_for_scoring_every_column_has_a_softsign_or_none(columns):
    X = heavy_and_plain()[:, columns]
    scaler = ColumnScaler.fit(X, True, True)
    served = scaler.for_scoring()
    assert (served is scaler) == (len(columns) == 1)
    assert served.has_softsign.all() == (0 in columns)
    assert_allclose(served.transform(X), scaler.transform(X), atol=1e-5)
