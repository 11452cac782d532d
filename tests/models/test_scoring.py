"""Folded scoring: the forward pass with the scaling of columns folded into the first layer."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skdistill.inputs.rows import Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.models import MLP, Network
from skdistill.models.scoring import NotFiniteError, Scorer
from tests.numeric import random_parameters, small_models

MODELS = small_models()


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
    assert list(np.flatnonzero(scaler.has_softsign[:8])) == list(heavy)
    assert scaler.n_outputs == 8 + (len(heavy) if form == "dense" else 0)
    params = random_parameters(model, scaler.n_outputs, rng, np.float32)
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


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("n_rows", [3, 1000])
def test_values_that_are_not_finite_are_refused_where_asked(n_rows):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 4)).astype(np.float32)
    model = MLP((3,))
    scorer = Scorer.fold(model, model.initialize(4, rng), ColumnScaler.fit(X, True, True))
    assert_allclose(scorer(X, ensure_finite=True), scorer(X))
    for value in (np.nan, np.inf):
        X[-1, 2] = value
        with pytest.raises(NotFiniteError):
            scorer(X, ensure_finite=True)
        assert np.isfinite(scorer(X)[:-1]).all()
