"""Only some rows of some parameters are trained; their gradient is that of the whole model."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skdistill.inputs.rows import RowGradient, Rows
from skdistill.models.network import Network
from skdistill.models.partly_fixed import PartlyFixed
from skdistill.training.optimizers import OPTIMIZERS


def problem(n_features, *, is_sparse):
    rng = np.random.default_rng(0)
    X = sparse.random_array((6, n_features), density=0.2, format="csr", rng=rng, dtype=np.float32)
    inputs = Rows(X if is_sparse else X.toarray())
    network = Network((5,), 2)
    params = network.initialize(n_features, rng)
    trained = {"weights_0": rng.random(n_features) < 0.5}
    return inputs, params, PartlyFixed(network, tuple(params), trained)


@pytest.mark.parametrize(("n_features", "is_sparse"), [(30, False), (30, True), (1500, True)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_trained_rows_change(n_features, is_sparse, name):
    inputs, params, model = problem(n_features, is_sparse=is_sparse)
    outputs, cache = model.forward(params, inputs)
    assert_array_equal(outputs, model.model.forward(params, inputs)[0])
    slope = np.ones_like(outputs)
    whole = model.model.backward(params, cache, slope)["weights_0"]
    if isinstance(whole, RowGradient):
        dense = np.zeros_like(params["weights_0"])
        dense[whole.rows] = whole.values
        whole = dense
    gradient = model.backward(params, cache, slope)
    assert list(gradient) == ["weights_0"]
    assert_array_equal(gradient["weights_0"].values, whole[gradient["weights_0"].rows])
    fixed = model.fixed_parameters(inputs)
    optimizer = OPTIMIZERS[name](params, model.row_parameters(inputs), fixed=fixed)
    optimizer.step(gradient, 0.1)
    changed = (optimizer.params["weights_0"] != params["weights_0"]).any(axis=1)
    assert_array_equal(changed, model.trained["weights_0"] & (whole != 0).any(axis=1))
    for other in set(params) - {"weights_0"}:
        assert_array_equal(optimizer.params[other], params[other])
    assert optimizer.is_finite


def test_a_step_that_touches_no_trained_row_changes_nothing():
    inputs, params, model = problem(1500, is_sparse=True)
    model.trained["weights_0"][:] = False
    outputs, cache = model.forward(params, inputs)
    gradient = model.backward(params, cache, np.ones_like(outputs))
    fixed = model.fixed_parameters(inputs)
    optimizer = OPTIMIZERS["adam"](params, model.row_parameters(inputs), fixed=fixed)
    optimizer.step(gradient, 0.1)
    for name, array in params.items():
        assert_array_equal(optimizer.params[name], array)
