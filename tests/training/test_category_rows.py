"""Weights of categories: their steps by hand, and when they are told apart."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import WIDE, RowGradient, Rows
from skdistill.models.network import Network
from skdistill.students import LinearRanker, MLPRanker
from skdistill.students.optimizing import optimizer_for_fit
from skdistill.training import OPTIMIZERS
from skdistill.training.category_rows import CategoryRows
from skdistill.training.loop import TrainingSettings
from skdistill.training.weight_decay import automatic_decay, category_rate
from tests.training.test_optimizers import BY_HAND, each_optimizer


@each_optimizer
def test_steps_by_hand_of_rows_that_batches_leave_out(name):
    """Row 0 is that of a number, rows 1 to 3 those of categories."""
    rng = np.random.default_rng(0)
    initial = {"weights_0": rng.standard_normal((4, 3)), "bias_0": rng.standard_normal(3)}
    rates = np.array([0.25, 0.5, 0.0])
    categories = CategoryRows(("weights_0",), rates, weight_decay=0.02)
    optimizer = OPTIMIZERS[name](initial, ("weights_0",), 0.3, (), (), categories)
    expected = initial["weights_0"].copy()
    seen = {row: [] for row in range(4)}
    for rate, rows in ((0.1, [0, 1]), (0.05, [0, 3]), (0.2, [0, 1]), (0.1, [1, 2, 3])):
        gradient = rng.standard_normal((len(rows), 3))
        for row, values in zip(rows, gradient, strict=True):
            seen[row].append(values)
            step, decay = (rate, 0.3) if row == 0 else (rates[row - 1] * rate, 0.02)
            # Each row has its own first step, as each parameter has in the papers.
            expected[row] -= step * BY_HAND[name](seen[row]) + rate * decay * expected[row]
        given = {"weights_0": RowGradient(np.array(rows), gradient), "bias_0": np.zeros(3)}
        optimizer.step(given, rate)
        optimizer = pickle.loads(pickle.dumps(optimizer))
    assert_allclose(optimizer.params["weights_0"], expected, rtol=1e-10)


@each_optimizer
def test_steps_by_hand_of_rows_that_all_steps_move(name):
    """As in a narrow table: row 0 of each parameter with a row per input is that of a number."""
    rng = np.random.default_rng(0)
    initial = {
        "linear": rng.standard_normal(3),
        "weights_0": rng.standard_normal((3, 2)),
        "weights_1": rng.standard_normal(2),
        "bias_0": rng.standard_normal(2),
    }
    rates = np.array([0.5, 0.0])
    for decay, of_categories in ((0.3, 0.3), (0.3, 0.1), (0.0, 0.0)):
        categories = CategoryRows(("linear", "weights_0"), rates, of_categories)
        optimizer = OPTIMIZERS[name](initial, (), decay, ("linear",), (), categories)
        expected = {key: array.copy() for key, array in initial.items()}
        seen = {key: [] for key in initial}
        for rate in (0.1, 0.05, 0.2):
            gradient = {key: rng.standard_normal(array.shape) for key, array in initial.items()}
            for key, array in expected.items():
                seen[key].append(gradient[key])
                factors, decays = np.ones(array.shape), np.zeros(array.shape)
                if key in ("linear", "weights_0"):
                    factors.T[..., 1:] = rates
                if key.startswith("weights"):
                    decays[:] = decay
                if key == "weights_0":
                    decays[1:] = of_categories
                array -= rate * factors * BY_HAND[name](seen[key]) + rate * decays * array
            optimizer.step(gradient, rate)
            optimizer = pickle.loads(pickle.dumps(optimizer))
        for key, array in expected.items():
            assert_allclose(optimizer.params[key], array, rtol=1e-10)


def test_large_nets_and_many_epochs_slow_categories_down():
    assert category_rate(96, 5) == category_rate(16, 30) == category_rate(0, 100) == 1
    assert category_rate(96, 30) == pytest.approx(1 / 6)
    assert category_rate(192, 30) == pytest.approx(1 / 12)


def optimizer_of(student, n_codes, queries, n_numbers=2, credibility=1.0):
    """Make the optimizer of a fit on ten rows with one column of categories."""
    numbers = np.zeros((10, n_numbers), dtype=np.float32)
    rows = Rows(MixedTable(numbers, np.zeros((10, 1), dtype=np.int32), n_codes))
    model = student.make_model()
    params = model.initialize(rows.n_features, np.random.default_rng(0))
    settings = TrainingSettings.of(student, learning_rate_init=0.004)
    told = np.full(n_codes, credibility)
    return optimizer_for_fit(settings, model, params, rows, queries, told, n_steps=50)


LISTS = Queries.even(2, 5)
CLICKS = Queries.even(10, 1)


def test_wide_tables_of_queries_tell_categories_apart():
    for units in ((64, 32), (16,)):
        optimizer = optimizer_of(MLPRanker(units), WIDE, LISTS)
        rate = category_rate(sum(units), 30)
        assert optimizer.categories.names == ("weights_0",)
        assert_array_equal(optimizer.categories.rates, np.full(WIDE, rate))
        assert optimizer.categories.weight_decay == 0.01
        assert optimizer.weight_decay == automatic_decay(sum(units), 50, 0.004)
    given = optimizer_of(MLPRanker(weight_decay=0.3), WIDE, LISTS)
    assert given.categories.weight_decay == given.weight_decay == 0.3
    assert_array_equal(optimizer_of(LinearRanker(), WIDE, LISTS).categories.rates, np.ones(WIDE))
    half = optimizer_of(MLPRanker(), WIDE, LISTS, credibility=0.5)
    assert_allclose(half.categories.rates, np.full(WIDE, 0.5 * category_rate(96, 30)))


def test_narrow_tables_tell_those_apart_of_which_queries_tell_little():
    narrow = optimizer_of(MLPRanker(), 20, LISTS, credibility=0.5)
    assert narrow.categories.names == ("weights_0",)
    assert_array_equal(narrow.categories.rates, np.full(20, 0.5))
    assert narrow.categories.weight_decay == narrow.weight_decay == automatic_decay(96, 50, 0.004)


def test_other_tables_do_not():
    narrow = optimizer_of(MLPRanker(), 20, LISTS)
    assert narrow.categories is None
    assert narrow.weight_decay == automatic_decay(96, 50, 0.004)
    clicks = optimizer_of(MLPRanker(), WIDE, CLICKS)
    assert clicks.categories is None
    assert clicks.weight_decay == 0.01


def test_behind_numbers_in_pieces_categories_are_not_slow():
    fitted = MLPRanker(n_knots=3, max_iter=1, random_state=0)
    names = [f"c{n}" for n in range(WIDE)]
    X = pd.DataFrame({"a": np.arange(2.0 * WIDE), "c": names * 2})
    fitted.set_params(min_frequency=None).fit(
        X, np.arange(2 * WIDE) % 2, qid=np.arange(WIDE * 2) // 8
    )
    assert optimizer_of(fitted, WIDE, LISTS, n_numbers=4).categories.rates.min() == 1


def test_a_net_learns_as_far_as_its_settings_say():
    """Halving the rate of categories halves their first steps, and no others."""
    model = Network((4,))
    params = model.initialize(2 + WIDE, np.random.default_rng(0))
    rows = np.arange(3)
    gradient = {name: np.ones_like(array) for name, array in params.items()}
    gradient["weights_0"] = RowGradient(rows, np.ones((3, 4), dtype=np.float32))
    moved = {}
    for rate in (1.0, 0.5):
        categories = CategoryRows(("weights_0",), np.full(WIDE, rate), 0.0)
        optimizer = OPTIMIZERS["adam"](params, ("weights_0",), 0.0, (), (), categories)
        optimizer.step(gradient, 0.1)
        moved[rate] = optimizer.params["weights_0"][:3] - params["weights_0"][:3]
    assert_allclose(moved[0.5][2], moved[1.0][2] / 2, rtol=1e-4)
    assert_array_equal(moved[0.5][:2], moved[1.0][:2])


def test_rows_of_queries_know_more_categories_than_clicks():
    X = pd.DataFrame({"id": np.repeat([f"i{n}" for n in range(300)], 7), "x": np.arange(2100.0)})
    y, qid = np.arange(2100) % 2, np.arange(2100) // 10
    student = LinearRanker(max_iter=1, random_state=0)
    assert len(student.fit(X, y, qid=qid).encoder_.categories[0].values) == 300
    with_column = replace(student, query_column="q").fit(X.assign(q=qid), y)
    assert len(with_column.encoder_.categories[0].values) == 300
    clicks = LinearRanker(max_iter=1, loss="logistic", random_state=0).fit(X, y)
    assert len(clicks.encoder_.categories[0].values) == 0
