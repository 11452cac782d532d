"""Gradients of every loss through every student's model, in float64."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.inputs import rows as rows_module
from skdistill.inputs.rows import RowGradient, Rows
from skdistill.losses import LOSSES, get_loss
from skdistill.testing import central_differences
from skdistill.training.objective import Objective
from tests.numeric import (
    example_targets,
    numeric_gradients,
    random_parameters,
    small_models,
    spread_rows,
)

MODELS = small_models()


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_gradient_of_each_loss_through_each_model(model, loss, form):
    """Ragged and one-row queries, weights, NaN labels, soft and hard part together."""
    rng = np.random.default_rng(7)
    queries, teacher = example_targets(loss, "soft", rng, [4, 1, 7, 2])
    _, labels = example_targets(loss, "hard", rng, [4, 1, 7, 2])
    labels[[1, 6]] = np.nan
    n_rows = queries.n_rows
    X = rng.standard_normal((n_rows, 5)) * (rng.random((n_rows, 5)) < 0.7)
    rows = Rows(X if form == "dense" else sparse.csr_array(X))
    objective = Objective.mix(
        queries,
        soft=get_loss(loss, 1.5),
        hard=get_loss(loss),
        alpha=0.4,
        labels=labels,
        teacher_scores=teacher,
        sample_weight=rng.uniform(0.5, 2, n_rows),
        dtype=np.float64,
    )
    params = random_parameters(model, 5, rng)

    def value(moved):
        scores, _ = model.forward(moved, rows)
        return objective.value_and_gradient(scores, np.arange(n_rows), queries)[0]

    scores, cache = model.forward(params, rows)
    _, slope = objective.value_and_gradient(scores, np.arange(n_rows), queries)
    grads = model.backward(params, cache, slope)
    assert set(grads) == set(params)
    for name, numeric in numeric_gradients(value, params, 1e-6).items():
        # The bias of a ranking loss has gradient 0: differences leave rounding there.
        assert_allclose(grads[name], numeric, rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_wide_csr_touches_rows_only_and_agrees_with_dense(model, monkeypatch):
    rng = np.random.default_rng(3)
    X = sparse.random_array((20, 60), density=0.05, format="csr", rng=rng, dtype=np.float64)
    params = random_parameters(model, 60, rng)
    slope = rng.standard_normal(20)

    def grads(rows):
        _, cache = model.forward(params, rows)
        return model.backward(params, cache, slope)

    dense = grads(Rows(X.toarray()))
    assert model.row_parameters(Rows(X)) == ()
    monkeypatch.setattr(rows_module, "WIDE", 60)
    wide = grads(Rows(X))
    by_row = model.row_parameters(Rows(X))
    assert by_row
    for name, gradient in wide.items():
        if name in by_row:
            assert isinstance(gradient, RowGradient)
            assert_array_equal(gradient.rows, np.unique(X.indices))
        assert_allclose(spread_rows(gradient, params[name]), dense[name], atol=1e-12)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_gradient_of_the_inputs(model):
    rng = np.random.default_rng(0)
    params = random_parameters(model, 5, rng)
    X = rng.standard_normal((7, 5))
    outputs, cache = model.forward(params, Rows(X))
    slope = rng.standard_normal(outputs.shape)
    numeric = central_differences(
        lambda moved: float((model.forward(params, Rows(moved))[0] * slope).sum()), X, step=1e-6
    )
    found = model.input_gradient(params, cache, slope.copy())
    assert_allclose(found, numeric, rtol=1e-5, atol=1e-8)
