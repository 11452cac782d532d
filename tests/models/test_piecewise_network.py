"""Networks on pieces of columns: against pieces made by hand, gradients, folding, and students."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skdistill import DistilledRanker
from skdistill.inputs import ColumnScaler
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.rows import WIDE, RowGradient, Rows
from skdistill.models import MLP, Linear, Network, PiecewiseNetwork
from skdistill.models.pieces import cut
from skdistill.models.scoring import Scorer
from skdistill.serving import compile_scorer, load, save, to_onnx
from skdistill.students import LinearRanker, MLPRanker, MultiObjectiveRanker, mean_student
from skdistill.testing import central_differences
from tests.numeric import numeric_gradients, spread_rows

RNG = np.random.default_rng(0)
N_ROWS = 600
X = RNG.normal(size=(N_ROWS, 3))
QID = np.repeat(np.arange(N_ROWS // 10), 10)
UTILITY = np.abs(X[:, 0]) + np.sin(3 * X[:, 1])
TRAINED = slice(0, 400)


@pytest.fixture(autouse=True)
def same_numbers():
    """The numbers of a test do not depend on the tests before it."""
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def table(n_rows, n_codes=0):
    """Columns of many values, of three, and of two; with categories if there are codes."""
    numbers = np.column_stack(
        [RNG.normal(size=n_rows), RNG.integers(0, 3, n_rows), RNG.integers(0, 2, n_rows)]
    ).astype(float)
    codes = RNG.integers(0, max(n_codes, 1), (n_rows, 2)).astype(np.int32)
    return MixedTable(numbers, codes, n_codes) if n_codes else numbers


def adapted(model, rows, dtype=np.float64):
    """Parameters away from 0, with pieces of these rows."""
    params = model.initialize(rows.n_features, np.random.default_rng(0))
    params = {name: array + 0.3 * RNG.normal(size=array.shape) for name, array in params.items()}
    params = model.adapt(params, rows)
    return {name: array.astype(dtype) for name, array in params.items()}


def pieces_by_hand(columns, params):
    """Every piece of every column as a column, standardised."""
    knots, means, scales = (params[name] for name in ("knots", "piece_means", "piece_scales"))
    out = np.zeros((len(scales), *columns.shape))
    for column, values in enumerate(columns.T):
        n_knots = np.count_nonzero(scales[1:, column])
        edges = [-np.inf, *knots[:n_knots, column], np.inf]
        for piece in range(n_knots + 1):
            clipped = np.clip(values, edges[piece], edges[piece + 1])
            out[piece, :, column] = (clipped - means[piece, column]) * scales[piece, column]
    return np.hstack(list(out))


@pytest.mark.parametrize("n_knots", [1, 2, 5])
@pytest.mark.parametrize("n_codes", [0, 4, WIDE])
@pytest.mark.parametrize("network", [MLP((5, 4)), Linear(), Network((4,), 2)])
def test_it_is_the_network_on_pieces(n_knots, n_codes, network):
    model, rows = PiecewiseNetwork(network, n_knots, n_codes), Rows(table(40, n_codes))
    params = adapted(model, rows)
    numbers = rows.X.numbers if n_codes else rows.X
    pieces = pieces_by_hand(numbers, params)
    used = params["piece_scales"].ravel() > 0
    assert_allclose(pieces[:, used].mean(axis=0)[3:], 0, atol=1e-5)
    assert_allclose(pieces[:, used].std(axis=0)[3:], 1, atol=1e-5)
    of_pieces = Rows(rows.X.with_numbers(pieces) if n_codes else pieces)
    expected, cache = network.forward(params, of_pieces)
    outputs, own_cache = model.forward(params, rows)
    assert_allclose(outputs, expected, atol=1e-5)
    slope = RNG.normal(size=outputs.shape)
    expected = network.backward(params, cache, slope)
    grads = model.backward(params, own_cache, slope)
    assert set(grads) == set(params) - set(model.fixed_parameters(rows))
    assert isinstance(grads["weights_0"], RowGradient) == (n_codes == WIDE)
    assert bool(model.row_parameters(rows)) == (n_codes == WIDE)
    for name, gradient in grads.items():
        actual, wanted = (spread_rows(one, params[name]) for one in (gradient, expected[name]))
        assert_allclose(actual, wanted, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("n_codes", [0, 4])
def test_gradients_are_those_of_the_scores(n_codes):
    model, rows = PiecewiseNetwork(MLP((5, 4)), 3, n_codes), Rows(table(20, n_codes))
    params = adapted(model, rows)
    # On a knot there is no derivative, and knots lie at values.
    moved = rows.X.numbers if n_codes else rows.X
    moved += 0.01 * RNG.normal(size=moved.shape)
    outputs, cache = model.forward(params, rows)
    slope = RNG.normal(size=outputs.shape)

    def value(params, X=rows.X):
        return float(model.forward(params, Rows(X))[0] @ slope)

    grads = model.backward(params, cache, slope)
    numeric = numeric_gradients(value, params, step=1e-6)
    for name, gradient in grads.items():
        assert_allclose(gradient, numeric[name], atol=1e-6, err_msg=name)
    if not n_codes:
        numeric = central_differences(lambda moved: value(params, moved), rows.X, step=1e-7)
        assert_allclose(model.input_gradient(params, cache, slope), numeric, atol=1e-5)


@pytest.mark.parametrize("n_codes", [0, 4])
def test_folded_scores_are_those_of_the_forward_pass(n_codes):
    """Also of columns that are constant, far from 0, heavy-tailed or partly missing."""
    rows = table(1000, n_codes)
    numbers = rows.numbers if n_codes else rows
    numbers[:, 0] = np.exp(2 * numbers[:, 0])
    numbers[7, 0] = 1e4
    constant, far = np.full((1000, 1), 7.0), 1e6 + RNG.normal(size=(1000, 1))
    numbers = np.column_stack([numbers, constant, far])
    numbers[::9, 1] = np.nan
    rows = rows.with_numbers(numbers) if n_codes else numbers
    scaler = ColumnScaler.fit(rows, squash=True, standardize=True)
    assert scaler.applies_softsign
    assert len(scaler.flagged) == 1
    model = PiecewiseNetwork(MLP((6, 5)), 4, n_codes)
    scaled = Rows(scaler.transform(rows))
    params = adapted(model, scaled, np.float32)
    n_knots = np.count_nonzero(params["piece_scales"][1:], axis=0)
    # A number; three values, and the mean where one is missing; two; one; far from 0; the second
    # view of the first; a flag.
    assert n_knots.tolist() == [4, 2, 0, 0, 4, 4, 0]
    expected, _ = model.forward(params, scaled)
    scorer = Scorer.fold(model, params, scaler)
    for n_rows in (1, 20, 449, 1000):
        assert_allclose(scorer(rows[:n_rows]), expected[:n_rows], atol=2e-3)


def test_columns_without_knots_are_a_plain_network():
    """What there is before ``adapt``, and of columns with two values."""
    flags = RNG.integers(0, 2, (30, 4)).astype(np.float32)
    model = PiecewiseNetwork(MLP((3,)), 5)
    params = model.adapt(model.initialize(4, np.random.default_rng(0)), Rows(flags))
    assert not params["piece_scales"][1:].any()
    plain = {name: array[:4] if name == "weights_0" else array for name, array in params.items()}
    expected, _ = MLP((3,)).forward(plain, Rows(flags))
    assert_allclose(model.forward(params, Rows(flags))[0], expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-5, 5) | st.floats(-3, 3, width=32), min_size=1, max_size=60),
    n_knots=st.integers(1, 6),
)
def test_knots_lie_between_the_values(values, n_knots):
    columns = np.array(values, dtype=np.float32)[:, None]
    params = cut(columns, n_knots)
    has_knot = params["piece_scales"][1:, 0] > 0
    knots = params["knots"][:, 0][has_knot]
    assert has_knot.tolist() == sorted(has_knot, reverse=True), "the first knots are used"
    assert all(np.isfinite(array).all() for array in params.values())
    if len(knots):
        width = 0.02 * columns.astype(float).std()
        assert np.diff([columns.min(), *knots, columns.max()]).min() > 0.4 * width
        assert np.diff(knots).min(initial=np.inf) > 0.9 * width
    distinct = np.unique(columns)
    if len(distinct) <= n_knots + 2 and np.diff(distinct).min(initial=1) > 0.2:
        assert_allclose(knots, distinct[1:-1], atol=0.02 * columns.std())


def test_knots_are_quantiles():
    columns = RNG.normal(size=(4000, 1)).astype(np.float32)
    knots = cut(columns, 4)["knots"][:, 0]
    assert_allclose(knots, np.quantile(columns, [0.2, 0.4, 0.6, 0.8]), atol=0.02)
    # A value that most rows share takes one knot, and leaves the others to the rest.
    columns[:3500] = 0
    knots = cut(columns, 4)["knots"][:, 0]
    assert_allclose(knots[[0, -1]], np.quantile(columns[3500:], [0.25, 0.75]), atol=0.15)
    assert np.abs(knots).min() < 0.02


def fitted(n_knots=4, **parameters):
    student = MLPRanker((8,), n_knots=n_knots, loss="pointwise", random_state=0, **parameters)
    return student.fit(X, None, qid=QID, teacher_scores=UTILITY)


def fidelity(student):
    """Correlation with the teacher on queries that were not trained on."""
    student = clone(student).set_params(max_iter=100)
    student.fit(X[TRAINED], None, qid=QID[TRAINED], teacher_scores=UTILITY[TRAINED])
    return np.corrcoef(student.predict(X[400:]), UTILITY[400:])[0, 1]


def test_few_units_follow_bends(tmp_path):
    cut_up = fitted(8)
    assert fidelity(cut_up) > 0.9 > 0.7 > fidelity(fitted(0))
    assert cut_up.feature_importances_[2] < 0.2
    with pytest.raises(AttributeError, match="no coef_"):
        fitted(max_iter=1).coef_  # noqa: B018
    save(cut_up, tmp_path / "student.skd")
    again = clone(cut_up).fit(X, None, qid=QID, teacher_scores=UTILITY)
    for model in (load(tmp_path / "student.skd"), again):
        assert_array_equal(model.predict(X), cut_up.predict(X))


def test_a_linear_student_bends():
    """No straight line orders the rows of a query."""
    utility = np.abs(X[:, 0]) - 0.5 * np.maximum(X[:, 1], 0)
    bent, straight = (
        LinearRanker(n_knots=n_knots, loss="pointwise", random_state=0).fit(
            X, None, qid=QID, teacher_scores=utility
        )
        for n_knots in (8, 0)
    )
    correlation = np.corrcoef(bent.predict(X), utility)[0, 1]
    assert correlation > 0.97 > 0.6 > np.corrcoef(straight.predict(X), utility)[0, 1]
    assert bent.feature_importances_[0] > bent.feature_importances_[1]
    assert bent.feature_importances_[2] < 0.05
    with pytest.raises(AttributeError, match="no coef_"):
        bent.coef_  # noqa: B018


@pytest.mark.parametrize("engine", ["numpy", "onnxruntime"])
def test_one_row_scores_as_in_a_table(engine):
    student = fitted()
    scorer = compile_scorer(student, engine)
    rows = X.astype(np.float32)
    expected = student.predict(rows)
    assert_allclose(scorer(rows), expected, atol=1e-5)
    assert_allclose([scorer(row[None])[0] for row in rows[:30]], expected[:30], atol=1e-5)


def test_training_goes_on_with_the_same_pieces():
    student = fitted(warm_start=True)
    start = {name: array.copy() for name, array in student.params_.items()}
    student.set_params(learning_rate_init=1e-9).fit(X, None, qid=QID, teacher_scores=UTILITY)
    for name, array in start.items():
        assert_allclose(student.params_[name], array, atol=1e-4)
    with pytest.raises(ValueError, match="same shapes"):
        student.set_params(n_knots=3).fit(X, None, qid=QID, teacher_scores=UTILITY)
    first, second = (MLPRanker((8,), n_knots=4, random_state=0) for _ in range(2))
    first.partial_fit(X, None, qid=QID, teacher_scores=UTILITY)
    second.partial_fit(X[::-1] * 2, None, qid=QID, teacher_scores=UTILITY)
    knots = first.params_["knots"].copy()
    first.partial_fit(5 * X, None, qid=QID, teacher_scores=UTILITY)
    assert_array_equal(first.params_["knots"], knots)
    mean = mean_student([first, clone(first).partial_fit(X, None, qid=QID, teacher_scores=UTILITY)],
                        [1, 0])  # fmt: skip
    assert_allclose(mean.predict(X), first.predict(X), atol=1e-5)


def test_several_objectives_share_the_pieces():
    y = np.column_stack([UTILITY > 0, X[:, 2] > 0]).astype(float)
    student = MultiObjectiveRanker({"a": "logistic", "b": "logistic"}, (8,), n_knots=4,
                                   random_state=0)  # fmt: skip
    student.fit(X, y, qid=QID)
    heads = student.predict_objectives(X)
    logits = {name: np.log(p / (1 - p)) for name, p in heads.items()}
    combined = student.combination @ np.array([logits["a"], logits["b"]])
    assert_allclose(student.predict(X), combined, atol=1e-4)
    assert_allclose(compile_scorer(student)(X), student.predict(X), atol=1e-5)


def test_what_it_cannot_take_is_refused_before_the_teacher_is_fitted():
    def teacher(table):
        raise AssertionError("asked")

    for kind in (LinearRanker, MLPRanker):
        with pytest.raises(ValueError, match="n_knots=8 needs a dense table, got a CSR matrix"):
            DistilledRanker(teacher, kind(n_knots=8)).fit(sparse.csr_array(X), QID % 2, qid=QID)
        with pytest.raises(ValueError, match="'n_knots' parameter"):
            kind(n_knots=-1).fit(X, QID % 2, qid=QID)


@pytest.mark.parametrize("columns", [slice(0, 1), slice(0, 3)])
def test_graphs_pick_columns_without_gathering(columns):
    """Gathering columns takes ONNX Runtime ten times as long as all else."""
    rows, query = table(400)[:, columns].copy(), np.repeat(np.arange(40), 10)
    student = MLPRanker((4,), n_knots=3, max_iter=1, random_state=0)
    student.fit(rows, rows[:, 0] > 0.5, qid=query)
    operators = [node.op_type for node in to_onnx(student).graph.node]
    assert "Gather" not in operators
    scores = compile_scorer(student, "onnxruntime")(rows)
    assert_allclose(scores, student.predict(rows), atol=1e-5)
