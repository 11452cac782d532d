"""Piecewise linear models: gradients, folding, and what LinearRanker(n_knots=) makes of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from skdistill import DistilledRanker
from skdistill.inputs import ColumnScaler
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.rows import Rows
from skdistill.models import PiecewiseLinear
from skdistill.models.scoring import Scorer
from skdistill.serving import compile_scorer, load, save
from skdistill.students import LinearRanker, mean_student
from skdistill.testing import central_differences
from tests.numeric import numeric_gradients, random_parameters

RNG = np.random.default_rng(0)
N_ROWS = 600
X = RNG.normal(size=(N_ROWS, 3))
QID = np.repeat(np.arange(N_ROWS // 10), 10)
# No straight line orders the rows of a query.
UTILITY = np.abs(X[:, 0]) - 0.5 * np.maximum(X[:, 1], 0)


def table(n_rows, is_mixed):
    numbers = RNG.normal(size=(n_rows, 3))
    codes = RNG.integers(0, 4, (n_rows, 2)).astype(np.int32)
    return MixedTable(numbers, codes, 4) if is_mixed else numbers


@pytest.mark.parametrize("n_knots", [1, 2, 5])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_gradients_are_those_of_the_scores(n_knots, is_mixed):
    model = PiecewiseLinear(n_knots, 4 if is_mixed else 0)
    rows = Rows(table(20, is_mixed))
    params = random_parameters(model, rows.n_features, RNG)
    outputs, cache = model.forward(params, rows)
    slope = RNG.normal(size=outputs.shape)

    def value(moved):
        return float(model.forward(moved, rows)[0] @ slope)

    grads = model.backward(params, cache, slope)
    for name, numeric in numeric_gradients(value, params, step=1e-6).items():
        assert_allclose(grads[name], numeric, atol=1e-6, err_msg=name)
    if not is_mixed:
        numeric = central_differences(
            lambda moved: float(model.forward(params, Rows(moved))[0] @ slope), rows.X, step=1e-6
        )
        assert_allclose(model.input_gradient(params, cache, slope), numeric, atol=1e-6)


@pytest.mark.parametrize("is_mixed", [False, True])
def test_folded_scores_are_those_of_the_forward_pass(is_mixed):
    """Also of columns that are constant, far from 0, heavy-tailed or partly missing."""
    rows = table(1000, is_mixed)
    numbers = rows.numbers if is_mixed else rows
    numbers[:, 0] = np.exp(2 * numbers[:, 0])
    numbers[7, 0] = 1e4
    constant, far = np.full((1000, 1), 7.0), 1e6 + RNG.normal(size=(1000, 1))
    numbers = np.column_stack([numbers, constant, far])
    numbers[::9, 1] = np.nan
    rows = rows.with_numbers(numbers) if is_mixed else numbers
    scaler = ColumnScaler.fit(rows, squash=True, standardize=True)
    assert scaler.applies_softsign
    assert scaler.scale[3] == 0
    assert len(scaler.flagged) == 1
    model = PiecewiseLinear(6, 4 if is_mixed else 0)
    assert scaler.n_outputs == 7  # five columns, a second view of one, and a flag
    params = random_parameters(model, 7 + model.n_codes, RNG, np.float32)
    expected, _ = model.forward(params, Rows(scaler.transform(rows)))
    scorer = Scorer.fold(model, params, scaler)
    for n_rows in (1, 20, 449, 1000):
        assert_allclose(scorer(rows[:n_rows]), expected[:n_rows], atol=2e-3)


def fitted(n_knots=8, **parameters):
    student = LinearRanker(n_knots=n_knots, loss="pointwise", random_state=0, **parameters)
    return student.fit(X, None, qid=QID, teacher_scores=UTILITY)


def test_knots_follow_bends(tmp_path):
    bent, straight = fitted(), fitted(0)
    assert straight.score(X, np.argsort(np.argsort(UTILITY)) % 5, qid=QID) < 0.9
    correlation = np.corrcoef(bent.predict(X), UTILITY)[0, 1]
    assert correlation > 0.97 > 0.6 > np.corrcoef(straight.predict(X), UTILITY)[0, 1]
    assert bent.feature_importances_[0] > bent.feature_importances_[1]
    assert bent.feature_importances_[2] < 0.05
    with pytest.raises(AttributeError, match="no coef_"):
        bent.coef_  # noqa: B018
    save(bent, tmp_path / "student.skd")
    for model in (load(tmp_path / "student.skd"), clone(bent).fit(X, None, qid=QID,
                  teacher_scores=UTILITY)):  # fmt: skip
        np.testing.assert_array_equal(model.predict(X), bent.predict(X))


@pytest.mark.parametrize("engine", ["numpy", "onnxruntime"])
def test_one_row_scores_as_in_a_table(engine):
    student = fitted()
    scorer = compile_scorer(student, engine)
    rows = X.astype(np.float32)
    expected = student.predict(rows)
    assert_allclose(scorer(rows), expected, atol=1e-5)
    assert_allclose([scorer(row[None])[0] for row in rows[:30]], expected[:30], atol=1e-5)


def test_training_goes_on_from_the_same_knots():
    student = fitted(warm_start=True)
    start = {name: array.copy() for name, array in student.params_.items()}
    student.set_params(learning_rate_init=1e-9).fit(X, None, qid=QID, teacher_scores=UTILITY)
    for name, array in start.items():
        assert_allclose(student.params_[name], array, atol=1e-4)
    with pytest.raises(ValueError, match="same shapes"):
        student.set_params(n_knots=3).fit(X, None, qid=QID, teacher_scores=UTILITY)
    parts = [LinearRanker(n_knots=8, random_state=0) for _ in range(2)]
    for part in parts:
        part.partial_fit(X, None, qid=QID, teacher_scores=UTILITY)
    assert_allclose(mean_student(parts, [1, 1]).predict(X), parts[0].predict(X), atol=1e-5)


def test_what_it_cannot_take_is_refused_before_the_teacher_is_fitted():
    student = LinearRanker(n_knots=8)

    def teacher(table):
        raise AssertionError("asked")

    with pytest.raises(ValueError, match="n_knots=8 needs a dense table, got a CSR matrix"):
        DistilledRanker(teacher, student).fit(sparse.csr_array(X), QID % 2, qid=QID)
    with pytest.raises(ValueError, match="'n_knots' parameter"):
        LinearRanker(n_knots=-1).fit(X, QID % 2, qid=QID)
