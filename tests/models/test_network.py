"""Networks: fresh parameters, scoring in strips of rows, and outputs that are combined."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skdistill.inputs.products import BLOCK_ROWS
from skdistill.inputs.rows import Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.models import MLP, Network
from skdistill.models.scoring import Scorer
from tests.numeric import random_parameters


@pytest.mark.parametrize("n_features", [100, 256, 4000])
def test_fresh_weights_keep_the_variance_and_biases_are_0(n_features):
    """ReLU halves the variance, the last layer does not; wide tables count as 256 columns."""
    params = Network((300, 200), n_outputs=50).initialize(n_features, np.random.default_rng(0))
    variances = [2 / min(n_features, 256), 2 / 256, 1 / 200]
    for layer, variance in enumerate(variances):
        weights, bias = params[f"weights_{layer}"], params[f"bias_{layer}"]
        assert weights.var() == pytest.approx(variance, rel=0.05)
        assert weights.mean() == pytest.approx(0, abs=5 * np.sqrt(variance / weights.size))
        assert weights.dtype == bias.dtype == np.float32
        assert not bias.any()


@pytest.mark.parametrize("n_rows", [1, 100, 300, 447, 448, 449, 1000])
@pytest.mark.parametrize("hidden", [(64, 32), (90, 17), (300,)])
def test_every_row_is_scored_whatever_the_strips(hidden, n_rows):
    """Large products are cut into strips of rows, which need not divide the table."""
    rng = np.random.default_rng(0)
    model = MLP(hidden)
    X = rng.standard_normal((n_rows, 136)).astype(np.float32)
    scaler = ColumnScaler.fit(X[:1].repeat(2, axis=0), False, False)
    params = random_parameters(model, 136, rng, np.float32)
    expected = model.forward(params, Rows(X))[0]
    found = Scorer.fold(model, params, scaler)(X)
    assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_weighted_sum_of_the_outputs_is_one_network():
    rng = np.random.default_rng(0)
    model, rows = Network((5,), n_outputs=3), Rows(rng.standard_normal((20, 4)))
    params = random_parameters(model, 4, rng)
    weights = np.array([2.0, 0.0, -1.0])
    combined, its_params = model.combine_outputs(params, weights)
    expected = model.forward(params, rows)[0] @ weights
    assert_allclose(combined.forward(its_params, rows)[0], expected)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_blocks_of_rows_add_up(n_outputs):
    """Outputs and gradients of many rows are those of the rows one by one."""
    rng = np.random.default_rng(0)
    model = Network((5, 4), n_outputs)
    params = random_parameters(model, 6, rng)
    X = rng.standard_normal((2 * BLOCK_ROWS + 7, 6))
    slope = rng.standard_normal((len(X), n_outputs))
    outputs, cache = model.forward(params, Rows(X))
    grads = model.backward(params, cache, slope)
    totals = {name: np.zeros_like(array) for name, array in params.items()}
    for row in range(len(X)):
        one = slice(row, row + 1)
        output, of_row = model.forward(params, Rows(X[one]))
        assert_allclose(outputs[one], output, atol=1e-12)
        for name, grad in model.backward(params, of_row, slope[one]).items():
            totals[name] += grad
    for name, grad in grads.items():
        assert_allclose(grad, totals[name], atol=1e-9, err_msg=name)
