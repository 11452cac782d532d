"""One battery for all students: what they learn, repeat, weigh, stop at and refuse."""

import pickle
import tracemalloc

import joblib
import numpy as np
import pytest
from lightgbm import LGBMRanker
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inputs.rows import RowGradient
from skdistill.losses import LOSSES, Listwise, get_loss
from skdistill.students import (
    STUDENTS,
    BaseStudent,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)
from skdistill.training import OPTIMIZERS

# A student that is not named here is tested with its defaults.
SETTINGS = {
    "LinearRanker": {"max_iter": 30},
    "FactorizationMachineRanker": {"n_factors": 8, "max_iter": 40},
    "MLPRanker": {"hidden_layer_sizes": (24,), "max_iter": 30},
    "MultiObjectiveRanker": {
        "objectives": {"label": "listwise"},
        "hidden_layer_sizes": (24,),
        "max_iter": 30,
    },
}
EXAMPLES = {name: kind(**SETTINGS.get(name, {}), random_state=0) for name, kind in STUDENTS.items()}
# Students with one objective, which have the parameters loss, hard_loss and alpha.
SINGLE = {name: one for name, one in EXAMPLES.items() if isinstance(one, BaseStudent)}

each_student = pytest.mark.parametrize("student", EXAMPLES.values(), ids=EXAMPLES)
each_single_student = pytest.mark.parametrize("student", SINGLE.values(), ids=SINGLE)
# A truth that a student can express, and the NDCG that it then reaches on unseen queries.
TRUTHS = {
    "LinearRanker": ("linear", 0.97),
    "FactorizationMachineRanker": ("interactions", 0.85),
    "MLPRanker": ("nonlinear", 0.85),
    "MultiObjectiveRanker": ("nonlinear", 0.85),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_recovers_a_truth_that_it_can_express(name):
    truth, at_least = TRUTHS.get(name, ("linear", 0.85))
    train = make_ranking(300, n_features=8, truth=truth, noise=0.05, random_state=1)
    half = train.qid < 200
    student = clone(EXAMPLES[name]).fit(train.X[half], train.y[half], qid=train.qid[half])
    score = student.score(train.X[~half], train.y[~half], qid=train.qid[~half])
    chance = np.random.default_rng(0).standard_normal(train.X.shape)[~half]
    assert score > at_least
    assert student.score(chance, train.y[~half], qid=train.qid[~half]) < 0.75


@pytest.mark.parametrize("loss", LOSSES)
@each_single_student
def test_every_loss_learns_from_labels_and_from_a_teacher(student, loss, table):
    utility, y = table.utility, table.y
    is_log_odds = get_loss(loss).is_log_odds
    if is_log_odds:
        utility, y = 1 / (1 + np.exp(-utility)), (y > 1).astype(float)
    for scores, alpha in ((None, 1.0), (utility, 1.0), (utility, 0.5)):
        fitted = clone(student).set_params(loss=loss, alpha=alpha)
        fitted.fit(table.X, y, qid=table.qid, teacher_scores=scores)
        # Against probabilities the loss ends at their entropy, not near 0.
        kept = 0.97 if is_log_odds else 0.9
        assert fitted.loss_curve_[-1] < kept * fitted.loss_curve_[0]
        assert fitted.score(table.X, y, qid=table.qid) > 0.65


@each_student
def test_order_of_rows_does_not_matter(student, table):
    order = np.random.default_rng(0).permutation(len(table.y))
    a = clone(student).fit(table.X, table.y, qid=table.qid, teacher_scores=table.utility)
    b = clone(student).fit(
        table.X[order], table.y[order], qid=table.qid[order], teacher_scores=table.utility[order]
    )
    for name in a.params_:
        assert_array_equal(a.params_[name], b.params_[name])


@each_student
def test_wide_id_columns_are_learnt(student):
    data = make_ranking(
        400, n_features=3, id_columns=(600, 700), truth="linear", random_state=0, noise=0.05
    )
    assert data.X.shape[1] > 1024
    student = clone(student).fit(data.X, data.y, qid=data.qid)
    assert student.score(data.X, data.y, qid=data.qid) > 0.85


@pytest.mark.parametrize("n_columns", [1023, 1024])
@each_student
def test_from_1024_columns_on_a_column_without_entries_keeps_its_parameters(student, n_columns):
    """In narrower tables, weight decay reaches the parameters of every column."""
    data = make_ranking(50, n_features=3, id_columns=(20, 30), random_state=0)
    X = sparse.csr_array(data.X)
    X.resize(len(data.y), n_columns)
    student = clone(student).set_params(max_iter=2, warm_start=True, weight_decay=0.5)
    student.fit(X, data.y, qid=data.qid)
    for array in student.params_.values():
        array += 1  # those of a linear student start at 0, which does not decay
    before = {name: array.copy() for name, array in student.params_.items()}
    student.fit(X, data.y, qid=data.qid)
    has_entries = np.isin(np.arange(n_columns), X.indices)
    per_column = [name for name, array in before.items() if len(array) == n_columns]
    assert per_column
    for name in per_column:
        moved = (student.params_[name] != before[name]).reshape(n_columns, -1).any(axis=1)
        assert moved[has_entries].all()
        assert (moved[~has_entries] == (n_columns < 1024)).all()


@each_student
def test_training_on_ids_makes_no_dense_table_and_steps_over_touched_rows(student, monkeypatch):
    n_rows, n_columns = 2000, 200_000
    rng = np.random.default_rng(0)
    column = rng.integers(0, n_columns, 2 * n_rows)
    ones = np.ones(2 * n_rows, dtype=np.float32)
    X = sparse.csr_array(
        (ones, (np.repeat(np.arange(n_rows), 2), column)), shape=(n_rows, n_columns)
    )
    for matrix in (sparse.csr_array, sparse.csr_matrix):
        for method in ("toarray", "todense"):
            monkeypatch.setattr(matrix, method, lambda *arguments: pytest.fail("a dense table"))
    touched = []
    kind = OPTIMIZERS[student.optimizer]
    step = kind.step

    def watched(self, grads, learning_rate):
        touched.extend(len(g.rows) for g in grads.values() if isinstance(g, RowGradient))
        step(self, grads, learning_rate)

    monkeypatch.setattr(kind, "step", watched)
    student = clone(student).set_params(max_iter=1)
    tracemalloc.start()
    student.fit(X, rng.integers(0, 2, n_rows), qid=np.repeat(np.arange(100), 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A step sees 16 queries of 20 rows with two ids each.
    assert 1 < max(touched) <= 16 * 20 * 2
    assert peak < n_rows * n_columns * 4 / 4  # a quarter of the dense float32 table


@pytest.mark.parametrize("shape", [(300_000, 50), (20_000, 750)], ids=["long", "wide"])
@each_student
def test_a_fit_holds_one_more_table(student, shape):
    """The sorted rows are scaled in their own memory, and the user's rows stay as they are."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal(shape, dtype=np.float32)  # many of the chunks read at once
    before, qid = X.copy(), np.arange(len(X)) // 20
    student = clone(student).set_params(max_iter=1, squash=False)
    tracemalloc.start()
    student.fit(X, X[:, 1] > 0, qid=qid)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 1 < peak / X.nbytes < 2
    assert_array_equal(X, before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@each_student
def test_every_optimizer_learns(student, optimizer, table):
    student = clone(student).set_params(optimizer=optimizer, learning_rate_init=0.05)
    student.fit(table.X, table.y, qid=table.qid)
    assert student.loss_curve_[-1] < 0.9 * student.loss_curve_[0]


@each_student
def test_early_stopping_ends_with_the_best_epoch(student, table, monkeypatch):
    made = []
    make_validator = type(student).make_validator

    def watched(self, held_out):
        made.append((held_out, make_validator(self, held_out)))
        return made[-1][1]

    monkeypatch.setattr(type(student), "make_validator", watched)
    student = clone(student).set_params(
        early_stopping=True,
        max_iter=300,
        validation_fraction=0.3,
        n_iter_no_change=4,
        tol=0.0,
        learning_rate="constant",
    )
    student.fit(table.X, table.y, qid=table.qid)
    ((held_out, validate),) = made
    scores = student.validation_scores_
    assert held_out.queries.n_queries == 0.3 * 60
    assert len(scores) == student.n_iter_ == np.argmax(scores) + 1 + 4 < 300
    assert validate(student.params_) == max(scores) > scores[-1]


@each_single_student
def test_early_stopping_without_labels_follows_the_teacher(student, table):
    student = clone(student).set_params(early_stopping=True, validation_fraction=0.3)
    nan = np.full(len(table.y), np.nan)
    student.fit(table.X, nan, qid=table.qid, teacher_scores=table.utility)
    assert max(student.validation_scores_) > student.validation_scores_[0]
    with pytest.raises(ValueError, match="needs at least 2, got 1"):
        student.fit(table.X, table.y, qid=np.zeros(len(table.y)))


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
    assert_allclose(narrow - narrow.mean(), dense - dense.mean(), atol=1e-5)


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
    before = {name: array.copy() for name, array in fitted.params_.items()}
    fitted.set_params(learning_rate_init=1e-9).partial_fit(table.X, table.y, qid=table.qid)
    for name, array in before.items():
        assert_allclose(fitted.params_[name], array, atol=1e-6)
    assert len(fitted.loss_curve_) == student.max_iter + 1


@each_student
def test_labels_of_queries_with_weight_0_do_not_matter(student, table):
    first = table.qid < 30
    a, b = (
        clone(student).fit(table.X, y, qid=table.qid, sample_weight=first.astype(float))
        for y in (table.y, np.where(first, table.y, 4 - table.y))
    )
    for name in a.params_:
        assert_array_equal(a.params_[name], b.params_[name])
    assert a.score(table.X[~first], table.y[~first], qid=table.qid[~first]) > 0.7


@each_student
def test_queries_of_large_weight_overrule_the_others(student, table):
    first = table.qid < 30
    spoilt = np.where(first, table.y, 4 - table.y)
    fitted = clone(student)
    fitted.fit(table.X, spoilt, qid=table.qid, sample_weight=np.where(first, 100.0, 1.0))
    assert fitted.score(table.X, table.y, qid=table.qid) > 0.7


@each_student
def test_warm_start_goes_on(student, table):
    student = clone(student).set_params(warm_start=True, max_iter=10)
    student.fit(table.X, table.y, qid=table.qid)
    first = student.loss_curve_[0]
    student.fit(table.X, table.y, qid=table.qid)
    assert student.loss_curve_[0] < first
    with pytest.raises(ValueError, match="warm_start=True needs parameters of the same shapes"):
        student.fit(table.X[:, :4], table.y, qid=table.qid)


@each_student
def test_a_long_query_is_cut_to_the_row_budget(student, table):
    student = clone(student).set_params(max_batch_rows=64)
    student.fit(table.X, table.y, qid=np.zeros(len(table.y)))
    assert student.score(table.X, table.y, qid=table.qid) > 0.7


@each_student
def test_files_hold_the_parameters_once(student, tmp_path):
    data = make_ranking(50, n_features=3, id_columns=(4000, 4000), random_state=0)
    student = clone(student).set_params(max_iter=1).fit(data.X, data.y, qid=data.qid)
    joblib.dump(student, tmp_path / "student.joblib")
    loaded = joblib.load(tmp_path / "student.joblib")
    assert_array_equal(loaded.predict(data.X), student.predict(data.X))
    parameters = sum(array.nbytes for array in student.params_.values())
    others = len(pickle.dumps(student.scaler_)) + 5_000
    assert parameters > 2 * 8_000
    assert len(pickle.dumps(student)) < parameters + others


def test_a_loss_of_ones_own_is_minimised(table):
    class Halved(Listwise):
        def value_and_gradient(self, *arguments):
            value, gradient = super().value_and_gradient(*arguments)
            return value / 2, gradient / 2

    own = MLPRanker((8,), loss=Halved(), random_state=0).fit(table.X, table.y, qid=table.qid)
    same = MLPRanker((8,), random_state=0).fit(table.X, table.y, qid=table.qid)
    # Adam is blind to the scale of a loss: half of it is the same student, but for rounding.
    assert_allclose(own.loss_curve_, np.array(same.loss_curve_) / 2, rtol=1e-3)
    scores, expected = own.predict(table.X), same.predict(table.X)
    assert_allclose(scores - scores.mean(), expected - expected.mean(), atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_divergence_is_an_error(table):
    student = LinearRanker(loss="pointwise", learning_rate_init=1e30, squash=False)
    with pytest.raises(ValueError, match="Training diverged: .* Lower learning_rate_init=1e"):
        student.fit(table.X, table.y, qid=table.qid)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qid": np.zeros(7)}, r"expected shape \(\d+,\), got \(7,\)"),
        ({"y": np.zeros(7)}, r"y must hold one value per row: expected shape \(\d+,\), got \(7,\)"),
        ({"y": "nan"}, "y is NaN in all .* rows and there are no teacher_scores"),
        ({"y": "inf"}, "y must be finite, or NaN for a row without a label: row 3 holds inf"),
        ({"teacher_scores": "nan"}, "teacher_scores must be finite: row 3 holds nan"),
        ({"teacher_scores": "inf"}, "teacher_scores must be finite: row 3 holds inf"),
        ({"sample_weight": "negative"}, "sample_weight must be 0 or more: row 3 holds -1"),
        ({"y": "negative"}, "smallest label is -1"),
        ({"X": np.empty((0, 8))}, r"0 sample\(s\)"),
        ({"X": "inf"}, "(?i)infinity or a value too large"),
    ],
)
def test_bad_input_is_refused(change, message, table):
    n_rows = len(table.y)
    arguments = {"X": table.X, "y": table.y, "qid": table.qid}
    ((name, value),) = change.items()
    if isinstance(value, str):
        if name == "X":
            changed = table.X.copy()
            changed[3, 1] = np.inf
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
def test_bad_parameters_are_refused(params, message, table):
    with pytest.raises(ValueError, match=message):
        MLPRanker(**params).fit(table.X, table.y, qid=table.qid)


def test_unfitted_students_and_changed_columns_are_refused(table):
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


@pytest.mark.parametrize(
    "student",
    [
        MLPRanker((4,), loss="pointwise", early_stopping=True),
        MultiObjectiveRanker({"a": "listwise", "b": "pointwise"}, early_stopping=True),
    ],
    ids=lambda student: type(student).__name__,
)
def test_labels_that_early_stopping_cannot_measure_are_refused_with_their_row(student, table):
    order = np.random.default_rng(0).permutation(len(table.y))
    y = table.y[order].astype(float)
    y[77] = -2
    if isinstance(student, MultiObjectiveRanker):
        y = np.column_stack([table.y[order], y])
    X, qid = table.X[order], table.qid[order]
    with pytest.raises(ValueError, match="0 or more: row 77 of y holds -2. Shift the labels"):
        clone(student).fit(X, y, qid=qid)
    clone(student).set_params(early_stopping=False, max_iter=1).fit(X, y, qid=qid)


def test_labels_are_checked_before_a_teacher_is_fitted(table):
    class Teacher(LGBMRanker):
        def fit(self, *args, **kwargs):
            pytest.fail("the teacher is fitted")

    for student, y, message in (
        (LinearRanker(early_stopping=True), table.y - 1.0, "early_stopping measures NDCG"),
        (LinearRanker(), table.y * 1.0, "logistic loss needs probabilities"),
    ):
        loss = "pointwise" if student.early_stopping is True else "logistic"
        ranker = DistilledRanker(Teacher(), student, loss=loss)
        with pytest.raises(ValueError, match=message):
            ranker.fit(table.X, y, qid=table.qid)
