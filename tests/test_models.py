"""Gradients of every loss through every network, in float64; folded scoring; optimisers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skdistill.inputs import rows as rows_module
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import RowGradient, Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.losses import LOSSES, get_loss
from skdistill.models import MLP, FactorizationMachine, Linear, Network
from skdistill.models.scoring import Scorer
from skdistill.training.objective import Objective
from skdistill.training.optimizers import AdaGrad, Adam
from tests.test_losses import central_differences

MODELS = {
    "linear": Linear(),
    "fm": FactorizationMachine(3),
    "mlp": MLP((6, 4)),
}


def parameters(model, n_features, rng, dtype=np.float64):
    """All of them away from 0, so that no gradient vanishes by accident."""
    params = model.initialize(n_features, np.random.default_rng(0))
    return {
        name: (array + 0.5 * rng.standard_normal(array.shape)).astype(dtype)
        for name, array in params.items()
    }


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("model_name", MODELS)
def test_gradient_of_each_loss_through_each_model(model_name, loss_name, form):
    """Ragged and one-row queries, weights, NaN labels, soft and hard part together."""
    rng = np.random.default_rng(7)
    model = MODELS[model_name]
    queries = Queries.from_sizes([4, 1, 7, 2])
    n_rows = queries.n_rows
    X = rng.standard_normal((n_rows, 5)) * (rng.random((n_rows, 5)) < 0.7)
    teacher = rng.standard_normal(n_rows)
    labels = rng.integers(0, 3, n_rows).astype(float)
    if loss_name == "logistic":
        teacher, labels = 1 / (1 + np.exp(-teacher)), np.minimum(labels, 1)
    labels[[1, 6]] = np.nan
    loss = get_loss(loss_name, 1.5)
    objective = Objective.mix(
        queries,
        soft=loss,
        hard=get_loss(loss_name),
        alpha=0.4,
        labels=labels,
        teacher_scores=teacher,
        sample_weight=rng.uniform(0.5, 2, n_rows),
        dtype=np.float64,
    )
    rows = Rows(X if form == "dense" else sparse.csr_array(X))
    params = parameters(model, 5, rng)

    def value_at(flat):
        moved, start = {}, 0
        for name, array in params.items():
            moved[name] = flat[start : start + array.size].reshape(array.shape)
            start += array.size
        scores, _ = model.forward(moved, rows)
        return objective.value_and_gradient(scores, np.arange(n_rows), queries)[0]

    scores, cache = model.forward(params, rows)
    _, slope = objective.value_and_gradient(scores, np.arange(n_rows), queries)
    grads = model.backward(params, cache, slope)
    assert set(grads) == set(params)
    analytic = np.concatenate([np.ravel(grads[name]) for name in params])
    numeric = central_differences(
        value_at, np.concatenate([array.ravel() for array in params.values()]), 1e-6
    )
    # The bias of a ranking loss has gradient 0: differences leave rounding there.
    assert_allclose(analytic, numeric, rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize("model_name", MODELS)
def test_wide_csr_touches_rows_only_and_agrees_with_dense(model_name, monkeypatch):
    rng = np.random.default_rng(3)
    model = MODELS[model_name]
    X = sparse.random_array((20, 60), density=0.05, format="csr", rng=rng, dtype=np.float64)
    params = parameters(model, 60, rng)
    slope = rng.standard_normal(20)

    def grads(rows):
        _, cache = model.forward(params, rows)
        return model.backward(params, cache, slope)

    dense = grads(Rows(X.toarray()))
    monkeypatch.setattr(rows_module, "WIDE", 10)
    wide = grads(Rows(X))
    touched = np.unique(X.indices)
    for name, gradient in wide.items():
        if name in model.row_parameters(Rows(X)):
            assert isinstance(gradient, RowGradient)
            assert_allclose(gradient.rows, touched)
            full = np.zeros_like(params[name])
            full[gradient.rows] = gradient.values
            gradient = full
        assert_allclose(gradient, dense[name], atol=1e-12)


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("squash", ["none", "few", "most", "all"])
@pytest.mark.parametrize("model_name", [*MODELS, "two outputs"])
def test_folded_scoring_is_the_forward_pass(model_name, squash, form):
    rng = np.random.default_rng(5)
    model = MODELS.get(model_name, Network((5,), n_outputs=2))
    X = rng.standard_normal((1500, 8)).astype(np.float32)
    heavy = {"none": [], "few": [2], "most": [0, 1, 2, 4, 5, 7], "all": range(8)}[squash]
    for column in heavy:
        X[:, column] = np.exp(2 * rng.standard_normal(1500)) * np.sign(X[:, column])
        X[rng.integers(1500), column] = 5000
    if form == "csr":
        X = sparse.csr_array(np.where(rng.random(X.shape) < 0.5, X, 0))
    scaler = ColumnScaler.fit(X, True, True)
    assert list(np.flatnonzero(scaler.has_softsign)) == list(heavy)
    params = parameters(model, 8, rng, np.float32)
    expected, _ = model.forward(params, Rows(scaler.transform(X)))
    scorer = Scorer.fold(model, params, scaler)
    assert_allclose(scorer(X), expected, rtol=2e-4, atol=2e-4)
    # A short request, and rows in another order, score as in the whole table.
    order = rng.permutation(1500)[:20]
    assert_allclose(scorer(X[order]), expected[order], rtol=2e-4, atol=2e-4)
    assert scorer(X).dtype == np.float32


def test_short_requests_score_a_row_the_same_in_any_company():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((32, 40)).astype(np.float32)
    model = MLP((64, 32))
    scaler = ColumnScaler.fit(X, True, True)
    scorer = Scorer.fold(model, model.initialize(40, rng), scaler)
    together = scorer(X)
    assert np.array_equal(together[::-1], scorer(X[::-1]))
    assert np.array_equal(together, np.concatenate([scorer(X[i : i + 1]) for i in range(32)]))


class TestScaler:
    def test_moments_and_constant_columns(self):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((500, 3)).astype(np.float32) * [1, 100, 0] + [5, 0, 7]
        z = ColumnScaler.fit(X.astype(np.float32), True, True).transform(X.astype(np.float32))
        assert_allclose(z.mean(axis=0), 0, atol=1e-4)
        assert_allclose(z.std(axis=0), [1, 1, 0], atol=1e-4)
        assert z.dtype == np.float32

    def test_heavy_tails_are_squashed_in_any_unit_and_ids_are_not(self):
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

    def test_csr_keeps_zeros_and_ones(self):
        X = sparse.csr_array(np.array([[0, 1, 0], [2, 0, 0], [4, 1, 0]], dtype=np.float32))
        z = ColumnScaler.fit(X, True, True).transform(X)
        assert_allclose(z.toarray(), [[0, 1, 0], [0.5, 0, 0], [1, 1, 0]])

    def test_off(self):
        X = np.array([[1, 2], [3, 1e6]], dtype=np.float32)
        assert_allclose(ColumnScaler.fit(X, False, False).transform(X), X)


@pytest.mark.parametrize("optimizer", [Adam, AdaGrad])
def test_tables_step_as_the_flat_vector_does_where_all_rows_are_touched(optimizer):
    rng = np.random.default_rng(0)
    initial = {"weights": rng.standard_normal((4, 3)), "bias": rng.standard_normal(3)}
    flat = optimizer(initial, weight_decay=0.1)
    rowwise = optimizer(initial, tables=("weights",), weight_decay=0.1)
    for _ in range(5):
        weights, bias = rng.standard_normal((4, 3)), rng.standard_normal(3)
        flat.step({"weights": weights, "bias": bias}, 0.1)
        rowwise.step({"weights": RowGradient(np.arange(4), weights), "bias": bias}, 0.1)
    for name in initial:
        assert_allclose(flat.params[name], rowwise.params[name], rtol=1e-10)
        assert not np.allclose(flat.params[name], initial[name])


def test_adam_by_hand():
    optimizer = Adam({"weights": np.array([1.0])})
    optimizer.step({"weights": np.array([0.5])}, 0.1)
    # The first step of Adam is the learning rate, whatever the gradient's size.
    assert_allclose(optimizer.params["weights"], 0.9, rtol=1e-6)


def test_untouched_rows_stand_still():
    optimizer = Adam({"bias": np.zeros(1), "table": np.ones((5, 2))}, ("table",), 0.5)
    gradient = RowGradient(np.array([1, 3]), np.ones((2, 2)))
    optimizer.step({"bias": np.zeros(1), "table": gradient}, 0.1)
    assert (optimizer.params["table"][[0, 2, 4]] == 1).all()
    assert (optimizer.params["table"][[1, 3]] < 1).all()
