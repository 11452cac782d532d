"""Optimizers against steps by hand, for flat parameters and for tables that step row by row."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdistill.inputs.rows import RowGradient
from skdistill.training import OPTIMIZERS, Optimizer

each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def adam_direction(gradients):
    """Adam's last step at learning rate 1 after these gradients, from the paper's formulas."""
    mean, square = np.zeros_like(gradients[0]), np.zeros_like(gradients[0])
    for gradient in gradients:
        mean = 0.9 * mean + (1 - 0.9) * gradient
        square = 0.999 * square + (1 - 0.999) * gradient**2
    n = len(gradients)
    return mean / (1 - 0.9**n) / (np.sqrt(square / (1 - 0.999**n)) + 1e-8)


def adagrad_direction(gradients):
    """AdaGrad's last step at learning rate 1 after these gradients."""
    return gradients[-1] / np.sqrt(1e-8 + np.sum(np.square(gradients), axis=0))


BY_HAND = {"adam": adam_direction, "adagrad": adagrad_direction}


def test_every_optimizer_has_an_oracle():
    assert set(BY_HAND) == set(OPTIMIZERS)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("tables", [(), ("weights",)], ids=["flat", "row by row"])
@each_optimizer
def test_three_steps_by_hand(name, tables, decay):
    """Each step subtracts rate * (direction + decay * weights); biases do not decay."""
    rng = np.random.default_rng(0)
    initial = {"weights": rng.standard_normal((4, 3)), "bias": rng.standard_normal(3)}
    optimizer = OPTIMIZERS[name](initial, tables, decay)
    expected = {key: array.copy() for key, array in initial.items()}
    seen = {"weights": [], "bias": []}
    for rate in (0.1, 0.05, 0.2):
        for key, gradients in seen.items():
            gradients.append(rng.standard_normal(initial[key].shape))
            decayed = decay * expected[key] if key == "weights" else 0
            expected[key] -= rate * (BY_HAND[name](gradients) + decayed)
        weights, bias = seen["weights"][-1], seen["bias"][-1]
        if tables:
            weights = RowGradient(np.arange(4), weights)
        optimizer.step({"weights": weights, "bias": bias}, rate)
    for key, array in expected.items():
        assert_allclose(optimizer.params[key], array, rtol=1e-10)


@each_optimizer
def test_decay_alone_shrinks_weights_and_leaves_biases(name):
    """Without a gradient, a step of rate 0.1 with decay 0.5 takes a twentieth off each weight."""
    initial = {
        "weights_0": np.array([[2.0], [-4.0]]),
        "bias_0": np.array([3.0]),
        "log_scale_bias": np.array([1.0]),
        "table": np.array([[8.0, -1.0], [5.0, 5.0]]),
    }
    optimizer = OPTIMIZERS[name](initial, ("table",), weight_decay=0.5)
    zeros = {key: np.zeros_like(array) for key, array in initial.items()}
    zeros["table"] = RowGradient(np.array([0]), np.zeros((1, 2)))
    optimizer.step(zeros, 0.1)
    kept = 1 - 0.1 * 0.5
    assert_allclose(optimizer.params["weights_0"], [[2 * kept], [-4 * kept]], rtol=1e-12)
    assert_allclose(optimizer.params["table"], [[8 * kept, -kept], [5, 5]], rtol=1e-12)
    assert_array_equal(optimizer.params["bias_0"], [3])
    assert_array_equal(optimizer.params["log_scale_bias"], [1])


@each_optimizer
def test_untouched_rows_stand_still(name):
    optimizer = OPTIMIZERS[name]({"bias": np.zeros(1), "table": np.ones((5, 2))}, ("table",), 0.5)
    gradient = RowGradient(np.array([1, 3]), np.ones((2, 2)))
    optimizer.step({"bias": np.zeros(1), "table": gradient}, 0.1)
    assert (optimizer.params["table"][[0, 2, 4]] == 1).all()
    # The first step of either optimizer is the rate, for any gradient; the decay comes on top.
    assert_allclose(optimizer.params["table"][[1, 3]], 1 - 0.1 * (1 + 0.5 * 1), rtol=1e-6)


@each_optimizer
def test_a_row_gradient_of_a_flat_parameter_is_spread(name):
    rng = np.random.default_rng(0)
    initial = {"weights": rng.standard_normal((4, 3))}
    values = rng.standard_normal((2, 3))
    whole = np.zeros((4, 3))
    whole[[3, 1]] = values
    spread, dense = (OPTIMIZERS[name](initial) for _ in range(2))
    spread.step({"weights": RowGradient(np.array([3, 1]), values)}, 0.1)
    dense.step({"weights": whole}, 0.1)
    assert_array_equal(spread.params["weights"], dense.params["weights"])


@each_optimizer
def test_a_pickled_optimizer_goes_on_where_it_was(name):
    rng = np.random.default_rng(0)
    initial = {"weights": rng.standard_normal((4, 3)), "table": rng.standard_normal((5, 2))}
    optimizer = OPTIMIZERS[name](initial, ("table",), 0.1)

    def step(optimizer, seed):
        rng = np.random.default_rng(seed)
        rows = RowGradient(np.array([0, 4]), rng.standard_normal((2, 2)))
        optimizer.step({"weights": rng.standard_normal((4, 3)), "table": rows}, 0.1)

    step(optimizer, 1)
    again = pickle.loads(pickle.dumps(optimizer))
    for one in (optimizer, again):
        step(one, 2)
    for key in initial:
        assert_array_equal(again.params[key], optimizer.params[key])
        assert not np.array_equal(again.params[key], initial[key])


@each_optimizer
def test_tables_of_any_shape_and_dtype_step_row_by_row(name):
    """As they step where they are no tables; a table of one dimension has a number per row."""
    rng = np.random.default_rng(0)
    initial = {
        "bias": np.zeros(1, dtype=np.float32),
        "linear": rng.standard_normal(5).astype(np.float32),
        "factors": rng.standard_normal((5, 3)).astype(np.float32),
    }
    rows = np.array([4, 1])
    flat, tables = (OPTIMIZERS[name](initial, of) for of in ((), ("linear", "factors")))
    for _ in range(2):
        gradients = {"bias": np.ones(1, dtype=np.float32)}
        for key in ("linear", "factors"):
            values = rng.standard_normal(initial[key][rows].shape).astype(np.float32)
            gradients[key] = RowGradient(rows, values)
        for one in (flat, tables):
            one.step(gradients, 0.1)
    for key in initial:
        assert_allclose(tables.params[key], flat.params[key], rtol=1e-6)
        assert tables.params[key].dtype == np.float32


@each_optimizer
def test_the_average_is_weighted_over_parameters_and_moments(name):
    """Optimizers with steps of their own, of weights 1/2, 1/3 and 1/6."""
    rng = np.random.default_rng(0)
    weights, optimizers = np.array([1 / 2, 1 / 3, 1 / 6]), []
    for n_steps in (1, 3, 2):
        initial = {"weights": rng.standard_normal((4, 3)), "table": rng.standard_normal((5, 2))}
        optimizers.append(OPTIMIZERS[name](initial, ("table",)))
        for _ in range(n_steps):
            table = RowGradient(np.array([0, 4]), rng.standard_normal((2, 2)))
            gradients = {"weights": rng.standard_normal((4, 3)), "table": table}
            optimizers[-1].step(gradients, 0.1)

    def arrays(optimizer):
        state = optimizer.__getstate__()
        flat, of_tables = state["moments"]
        return [*state["initial"].values(), *flat, *of_tables["table"]]

    each = zip(*(arrays(one) for one in optimizers), strict=True)
    expected = [np.tensordot(weights, np.stack(same), 1) for same in each]
    first, *others = optimizers
    first.average(others, weights)
    assert len(arrays(first)) == 2 + 2 * first.n_moments
    for found, mean in zip(arrays(first), expected, strict=True):
        assert_allclose(found, mean)
    assert first.n_steps == max(1, 3, 2)


def test_the_base_class_has_no_step():
    optimizer = Optimizer({"weights": np.ones(2)})
    with pytest.raises(NotImplementedError, match="^Optimizer is a base .* use Adam or AdaGrad.$"):
        optimizer.step({"weights": np.ones(2)}, 0.1)
