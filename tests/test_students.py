import pickle
import time

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skdistill.datasets import make_ranking
from skdistill.losses import LOSSES, Listwise
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker

STUDENTS = {
    "linear": LinearRanker(max_iter=30, random_state=0),
    "fm": FactorizationMachineRanker(n_factors=8, max_iter=40, random_state=0),
    "mlp": MLPRanker((24,), max_iter=30, random_state=0),
}

each_student = pytest.mark.parametrize("student", STUDENTS.values(), ids=STUDENTS)


@pytest.mark.parametrize(
    ("student", "truth", "at_least"),
    [
        (STUDENTS["linear"], "linear", 0.97),
        (STUDENTS["fm"], "interactions", 0.85),
        (STUDENTS["mlp"], "nonlinear", 0.85),
    ],
    ids=STUDENTS,
)
def test_recovers_a_truth_it_can_express(student, truth, at_least):
    train = make_ranking(300, n_features=8, truth=truth, noise=0.05, random_state=1)
    half = train.qid < 200
    student = clone(student).fit(train.X[half], train.y[half], qid=train.qid[half])
    score = student.score(train.X[~half], train.y[~half], qid=train.qid[~half])
    chance = np.random.default_rng(0).standard_normal(train.X.shape)[~half]
    assert score > at_least
    assert student.score(chance, train.y[~half], qid=train.qid[~half]) < 0.75


@pytest.mark.parametrize("loss", LOSSES)
@each_student
def test_every_loss_learns_from_labels_and_from_a_teacher(student, loss, table):
    utility, y = table.utility, table.y
    if loss == "logistic":
        utility, y = 1 / (1 + np.exp(-utility)), (y > 1).astype(float)
    for scores, alpha in ((None, 1.0), (utility, 1.0), (utility, 0.5)):
        fitted = clone(student).set_params(loss=loss, alpha=alpha)
        fitted.fit(table.X, y, qid=table.qid, teacher_scores=scores)
        # Against probabilities the loss ends at their entropy, not near 0.
        assert (
            fitted.loss_curve_[-1] < (0.97 if loss == "logistic" else 0.9) * fitted.loss_curve_[0]
        )
        assert fitted.score(table.X, y, qid=table.qid) > 0.65


@each_student
def test_order_of_rows_does_not_matter(student, table):
    order = np.random.default_rng(0).permutation(len(table.y))
    a = clone(student).fit(table.X, table.y, qid=table.qid, teacher_scores=table.utility)
    b = clone(student).fit(
        table.X[order], table.y[order], qid=table.qid[order], teacher_scores=table.utility[order]
    )
    for name in a.params_:
        assert_allclose(a.params_[name], b.params_[name], atol=1e-4)


@each_student
def test_same_seed_same_bits_and_other_seed_other_bits(student, table):
    def fit(seed):
        fresh = clone(student).set_params(random_state=seed)
        return fresh.fit(table.X, table.y, qid=table.qid).predict(table.X)

    assert_array_equal(fit(1), fit(1))
    assert not np.array_equal(fit(1), fit(2))


@each_student
def test_dense_and_csr_agree(student):
    data = make_ranking(50, n_features=6, id_columns=(10, 20), random_state=0)
    student = clone(student).set_params(standardize=False, squash=False, max_iter=5)
    narrow = student.fit(data.X, data.y, qid=data.qid).predict(data.X)
    dense = clone(student).fit(data.X.toarray(), data.y, qid=data.qid).predict(data.X.toarray())
    # Up to a common shift: a ranking loss leaves the bias to rounding, which Adam blows up.
    assert_allclose(narrow - narrow.mean(), dense - dense.mean(), atol=1e-2)


@each_student
def test_wide_id_columns_are_learnt_row_by_row(student):
    data = make_ranking(
        400, n_features=3, id_columns=(600, 700), truth="linear", random_state=0, noise=0.05
    )
    assert data.X.shape[1] > 1024
    student = clone(student).fit(data.X, data.y, qid=data.qid)
    assert student.score(data.X, data.y, qid=data.qid) > 0.85
    unseen = np.asarray(data.X.sum(axis=0)).ravel() == 0
    first = student.params_["factors" if "factors" in student.params_ else "weights_0"]
    fresh = student.make_model().initialize(data.X.shape[1], np.random.default_rng(0))
    assert first.shape == fresh[next(n for n in fresh if n in ("factors", "weights_0"))].shape
    assert unseen.sum() < 5


@each_student
def test_adagrad_learns_too(student, table):
    student = clone(student).set_params(optimizer="adagrad", learning_rate_init=0.05)
    student.fit(table.X, table.y, qid=table.qid)
    assert student.loss_curve_[-1] < 0.9 * student.loss_curve_[0]


@each_student
def test_early_stopping_holds_out_queries_and_keeps_the_best(student, table):
    student = clone(student).set_params(
        early_stopping=True,
        max_iter=300,
        validation_fraction=0.3,
        n_iter_no_change=4,
        learning_rate="constant",
    )
    student.fit(table.X, table.y, qid=table.qid)
    scores = student.validation_scores_
    assert len(scores) == student.n_iter_ < 300
    assert max(scores) > max(scores[-4:]) - 1e-4
    # Without labels the teacher's order is what is validated.
    nan = np.full(len(table.y), np.nan)
    student.fit(table.X, nan, qid=table.qid, teacher_scores=table.utility)
    assert student.validation_scores_[-1] > student.validation_scores_[0]
    with pytest.raises(ValueError, match="needs at least 2, got 1"):
        student.fit(table.X, table.y, qid=np.zeros(len(table.y)))


@each_student
def test_partial_fit_learns_shard_by_shard(student, table):
    fitted = clone(student)
    for _ in range(15):
        for shard in range(3):
            rows = table.qid % 3 == shard
            fitted.partial_fit(table.X[rows], table.y[rows], qid=table.qid[rows])
    assert len(fitted.loss_curve_) == fitted.n_iter_ == 45
    assert fitted.score(table.X, table.y, qid=table.qid) > 0.8
    with pytest.raises(ValueError, match="X has 3 features"):
        fitted.partial_fit(table.X[:, :3], table.y, qid=table.qid)


@each_student
def test_partial_fit_after_fit_goes_on_from_there(student, table):
    fitted = clone(student).fit(table.X, table.y, qid=table.qid)
    loss = fitted.loss_curve_[-1]
    fitted.partial_fit(table.X, table.y, qid=table.qid)
    assert fitted.loss_curve_[-1] < 1.3 * loss


@each_student
def test_warm_start_goes_on(student, table):
    student = clone(student).set_params(warm_start=True, max_iter=10)
    student.fit(table.X, table.y, qid=table.qid)
    first = student.loss_curve_[0]
    student.fit(table.X, table.y, qid=table.qid)
    assert student.loss_curve_[0] < first
    with pytest.raises(ValueError, match="warm_start=True needs the shape of the last fit"):
        student.fit(table.X[:, :4], table.y, qid=table.qid)


@each_student
@pytest.mark.parametrize("weights", ["zero drops a query", "large pulls"])
def test_sample_weight(student, weights, table):
    first = table.qid < 30
    if weights == "zero drops a query":
        # Training on half the queries: the other half's labels may be anything.
        spoilt = np.where(first, table.y, 4 - table.y)
        fitted = clone(student).fit(
            table.X, spoilt, qid=table.qid, sample_weight=first.astype(float)
        )
        assert fitted.score(table.X[~first], table.y[~first], qid=table.qid[~first]) > 0.7
    else:
        spoilt = np.where(first, table.y, 4 - table.y)
        fitted = clone(student).fit(
            table.X, spoilt, qid=table.qid, sample_weight=np.where(first, 100.0, 1.0)
        )
        assert fitted.score(table.X, table.y, qid=table.qid) > 0.7


@each_student
def test_long_query_is_cut_to_the_row_budget(student, table):
    student = clone(student).set_params(max_batch_rows=64)
    student.fit(table.X, table.y, qid=np.zeros(len(table.y)))
    assert student.score(table.X, table.y, qid=table.qid) > 0.7


@each_student
def test_files_hold_the_parameters_once(student, table, tmp_path):
    student = clone(student).fit(table.X, table.y, qid=table.qid)
    joblib.dump(student, tmp_path / "student.joblib")
    loaded = joblib.load(tmp_path / "student.joblib")
    assert_array_equal(loaded.predict(table.X), student.predict(table.X))
    bare = sum(array.nbytes for array in student.params_.values())
    assert len(pickle.dumps(student)) < 1.2 * bare + 8000


def test_loss_of_ones_own(table):
    class Halved(Listwise):
        def value_and_gradient(self, *arguments):
            value, gradient = super().value_and_gradient(*arguments)
            return value / 2, gradient / 2

    student = MLPRanker((8,), loss=Halved(), random_state=0).fit(table.X, table.y, qid=table.qid)
    assert student.loss_curve_[-1] < 0.9 * student.loss_curve_[0]
    same = MLPRanker((8,), random_state=0).fit(table.X, table.y, qid=table.qid)
    # Adam is blind to the scale of a loss: half of it is the same student, but for rounding.
    assert_allclose(student.predict(table.X), same.predict(table.X), atol=0.05)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_divergence_is_an_error(table):
    student = LinearRanker(loss="pointwise", learning_rate_init=1e30, squash=False)
    with pytest.raises(ValueError, match="Training diverged: .* Lower learning_rate_init=1e"):
        student.fit(table.X, table.y, qid=table.qid)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qid": np.zeros(7)}, r"expected shape \(\d+,\), got \(7,\)"),
        ({"y": np.zeros(7)}, r"y must hold one value a row: expected shape \(\d+,\), got \(7,\)"),
        ({"y": "nan"}, "y is NaN in all .* rows and there are no teacher_scores"),
        ({"y": "inf"}, "y must be finite, or NaN where unknown: row 3 holds inf"),
        ({"teacher_scores": "nan"}, "teacher_scores must be finite: row 3 holds nan"),
        ({"teacher_scores": "inf"}, "teacher_scores must be finite: row 3 holds inf"),
        ({"sample_weight": "negative"}, "sample_weight must be 0 or more: row 3 holds -1"),
        ({"y": "negative"}, "smallest label is -1"),
        ({"X": np.empty((0, 8))}, r"0 sample\(s\)"),
        ({"X": "nan"}, "contains NaN"),
    ],
)
def test_bad_input(change, message, table):
    n_rows = len(table.y)
    arguments = {"X": table.X, "y": table.y, "qid": table.qid}
    ((name, value),) = change.items()
    if isinstance(value, str):
        if name == "X":
            changed = table.X.copy()
            changed[3, 1] = np.nan
        elif (name, value) == ("y", "nan"):
            changed = np.full(n_rows, np.nan)
        else:
            changed = np.ones(n_rows)
            changed[3] = {"nan": np.nan, "inf": np.inf, "negative": -1}[value]
        value = changed
    arguments[name] = value
    X, y = arguments.pop("X"), arguments.pop("y")
    with pytest.raises(ValueError, match=message):
        LinearRanker().fit(X, y, **arguments)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": 1.5}, "'alpha' parameter"),
        ({"temperature": 0}, "'temperature' parameter"),
        ({"optimizer": "sgd"}, "'optimizer' parameter"),
        ({"hidden_layer_sizes": (8, 0)}, "must be positive integers"),
        ({"loss": "mse"}, "loss must be one of"),
    ],
)
def test_bad_parameters(params, message, table):
    with pytest.raises(ValueError, match=message):
        MLPRanker(**params).fit(table.X, table.y, qid=table.qid)


def test_not_fitted_and_changed_columns(table):
    with pytest.raises(NotFittedError):
        LinearRanker().predict(table.X)
    student = LinearRanker(max_iter=2).fit(table.X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="X has 5 features, but LinearRanker is expecting 8"):
        student.predict(table.X[:, :5])


def test_one_silent_query_is_said_aloud_at_fit_and_refused_at_score(table):
    with pytest.warns(UserWarning, match="got no qid: all .* rows are taken as one query"):
        LinearRanker(max_iter=2).fit(table.X, table.y)
    student = LinearRanker(max_iter=2).fit(table.X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="was fitted with qid, so scoring needs qid too"):
        student.score(table.X, table.y)
    column = np.column_stack([table.qid, table.X])
    student = LinearRanker(max_iter=2, query_column=0).fit(column, table.y)
    assert student.score(column, table.y) > 0.5
    with pytest.raises(ValueError, match="given twice"):
        student.score(column, table.y, qid=table.qid)


def test_unlabelled_rows_are_left_out_of_the_score(table):
    student = LinearRanker(max_iter=5).fit(table.X, table.y, qid=table.qid)
    known = table.qid < 30
    y = np.where(known, table.y, np.nan)
    expected = student.score(table.X[known], table.y[known], qid=table.qid[known])
    assert student.score(table.X, y, qid=table.qid) == pytest.approx(expected)


def test_training_on_csr_does_not_densify():
    n = 200_000
    rng = np.random.default_rng(0)
    X = sparse.csr_array(
        (
            np.ones(4000, dtype=np.float32),
            (np.repeat(np.arange(2000), 2), rng.integers(0, n, 4000)),
        ),
        shape=(2000, n),
    )
    start = time.process_time()
    FactorizationMachineRanker(4, max_iter=2).fit(
        X, rng.integers(0, 2, 2000), qid=np.repeat(np.arange(100), 20)
    )
    # A dense table would be 1.6 GB; steps over all 200,000 rows would take minutes.
    assert time.process_time() - start < 5
