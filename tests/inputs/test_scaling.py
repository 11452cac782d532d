"""Scaling of columns: moments, softsign on heavy tails, CSR that stays sparse."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.inputs.mixed_table import MixedTable
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
    assert list(scaler.has_softsign) == [1, 1, 0, 0, 1, 1]
    assert list(scaler.sources) == [0, 1, 2, 3, 0, 1]
    high, typical = np.quantile(amounts.astype(np.float64), [0.99, 0.5])
    halves = [high, 1e6 * high, 1, 1, typical, 1e6 * typical]
    assert_allclose(scaler.half, halves, rtol=1e-5)
    squashed = scaler.softsign(X)
    assert_allclose(squashed[:, 0], amounts / (high + amounts), rtol=1e-5)
    assert_allclose(squashed[:, 4], amounts / (typical + amounts), rtol=1e-5)
    assert_allclose(squashed[:, [1, 5]], squashed[:, [0, 4]], rtol=1e-5)
    assert (squashed[:, 2:4] == X[:, 2:]).all()


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
    heavy = X[:, 0].astype(np.float64)
    halves = np.quantile(heavy, [0.99, 0.5])
    bounded = np.column_stack([heavy / (halves[0] + heavy), X[:, 1], heavy / (halves[1] + heavy)])
    expected = (bounded - bounded.mean(axis=0)) / bounded.std(axis=0)
    assert list(scaler.has_softsign) == [1, 0, 1]
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
    weights, bias = rng.standard_normal((3, 3)), rng.standard_normal(3)
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


def kurtosis_of_softsign(values):
    """By its definition, of the non-zero values with the 99% quantile as ``half``."""
    values = values[values != 0].astype(np.float64)
    bounded = values / (np.quantile(np.abs(values), 0.99) + np.abs(values))
    deviations = bounded - bounded.mean()
    return np.mean(deviations**4) / np.mean(deviations**2) ** 2


def test_a_second_view_is_for_columns_whose_softsign_crowds_their_values():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((20_000, 10))
    far_out = np.where(rng.random(20_000) < 0.001, 100 * z[:, 4], z[:, 4])
    columns = {
        "normal": z[:, 0],
        "log-normal": np.exp(2 * z[:, 1]),
        "negative": -np.exp(2 * z[:, 2]),
        "two signs": np.sinh(3 * z[:, 3]),
        "a few far out": far_out,
        "mostly zero": np.where(z[:, 6] > 1, np.exp(2 * z[:, 5]), 0),
        "counts": np.floor(10 * np.exp(0.8 * z[:, 7])),
        "exponential": rng.exponential(size=20_000) ** 1.5,
    }
    X = np.column_stack(list(columns.values()))
    scaler = ColumnScaler.fit(X, squash=True, standardize=True)
    expected = []
    for place, values in enumerate(columns.values()):
        present = values[values != 0]
        if scaler.has_softsign[place] and kurtosis_of_softsign(values) > 8:
            has_two_signs = present.min() < 0 < present.max()
            half = np.quantile(np.abs(present), 0.75 if has_two_signs else 0.5)
            expected.append((place, half))
    assert [list(columns)[place] for place, _ in expected] == [
        "log-normal", "negative", "two signs", "mostly zero",
    ]  # fmt: skip
    assert scaler.has_softsign[[4, 6]].all()  # with a single view
    assert list(scaler.sources) == [*range(len(columns)), *(place for place, _ in expected)]
    assert_allclose(scaler.half[len(columns) :], [half for _, half in expected], rtol=1e-6)
    assert scaler.n_columns == len(columns)
    # The first views are those of the columns alone, and CSR columns have no other.
    single = ColumnScaler.fit(sparse.csr_array(X), squash=True, standardize=True)
    assert single.sources is None
    plain = ColumnScaler.fit(X[:, [0, 4, 6, 7]], squash=True, standardize=True)
    assert plain.sources is None
    for name in ("half", "has_softsign", "shift", "scale"):
        assert_array_equal(getattr(scaler, name)[[0, 4, 6, 7]], getattr(plain, name))


def test_a_second_view_bends_elsewhere():
    """Almost all magnitudes are the same: both views would be one."""
    values = np.ones(5000)
    values[:3] = 1e5
    assert kurtosis_of_softsign(values) > 8
    scaler = ColumnScaler.fit(values[:, None], squash=True, standardize=True)
    assert list(scaler.has_softsign) == [1]
    assert scaler.sources is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 448, 1000])
def test_views_by_their_formula(n_rows, dtype):
    """Beside missing values, a flag, and an origin; also of CSR rows and of mixed tables."""
    rng = np.random.default_rng(3)
    X = np.exp(2.5 * rng.standard_normal((5000, 4))).astype(dtype)
    X[:, 1] = 1e6 + np.round(100 * X[:, 1])
    X[:, 2] = rng.standard_normal(5000)
    X[rng.random(5000) < 0.2, 0] = np.nan
    scaler = ColumnScaler.fit(X, squash=True, standardize=True)
    assert list(scaler.sources) == [0, 1, 2, 3, 0, 1, 3]
    assert scaler.origin[1] == scaler.origin[5] > 1e6 - 1
    assert list(scaler.flagged) == [0]

    wide = X[:, scaler.sources].astype(np.float64) - scaler.origin
    bounded = wide / (scaler.half + scaler.has_softsign * np.abs(wide))
    means, deviations = np.nanmean(bounded, axis=0), np.nanstd(bounded, axis=0)
    expected = np.nan_to_num((bounded - means) / deviations)
    expected = np.column_stack([expected, np.isnan(X[:, 0])])[:n_rows]
    rows = X[:n_rows].copy()
    assert_allclose(scaler.transform(rows), expected, atol=2e-4)
    assert_array_equal(rows, X[:n_rows])
    served = scaler.for_scoring()
    assert served.has_softsign.all()
    assert_allclose(served.transform(rows), expected, atol=2e-4)
    out = np.empty((n_rows, scaler.n_outputs), dtype=np.float32)
    assert scaler.softsign(rows, out) is out
    assert_array_equal(out, scaler.softsign(rows))
    codes = np.zeros((n_rows, 1), dtype=np.int32)
    assert_array_equal(scaler.transform(MixedTable(rows, codes, 2)).numbers, scaler.transform(rows))

    full = X[:, 1:]
    scaler = ColumnScaler.fit(full, squash=True, standardize=True)
    assert scaler.sources is not None
    expected = scaler.softsign(full[:n_rows])
    found = scaler.softsign(sparse.csr_array(full[:n_rows])).toarray()
    assert_allclose(found, expected, rtol=1e-6)


def test_lost_columns_are_columns_of_the_table():
    X = np.column_stack([np.exp(2 * np.random.default_rng(0).standard_normal(3000))] * 2)
    X[:, 1] = 1
    X[5, 1] += 1e-7
    X = X.astype(np.float32)
    scaler = ColumnScaler.fit(X, squash=True, standardize=True)
    assert list(scaler.sources) == [0, 1, 0]
    scaler = replace(scaler, scale=scaler.scale * np.float32([1, 1, 0]))
    assert scaler.lost_columns(X) == [1]
