"""Early stopping: when it stops, which parameters it restores, and what it holds out."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.models import Linear
from skdistill.students import LinearRanker
from skdistill.training.early_stopping import (
    EarlyStopping,
    hold_out,
    mean_of,
    ndcg_on,
    teacher_recall_on,
)


def watch(scores, n_iter_no_change=2, tol=0.0):
    """Show parameters that count the epochs, which score as told; stop and restore."""
    params = {"weights": np.zeros(2)}
    early_stopping = EarlyStopping(
        lambda params: scores[int(params["weights"][0])], n_iter_no_change, tol
    )
    for epoch in range(len(scores)):
        params["weights"][...] = epoch
        score, should_stop = early_stopping.update(params)
        assert score == scores[epoch]
        if should_stop:
            break
    early_stopping.restore_best(params)
    return epoch, params["weights"]


def test_the_best_epoch_is_restored():
    assert_array_equal(watch([0.1, 0.5, 0.4, 0.3])[1], [1, 1])
    assert_array_equal(watch([0.9, 0.5, 0.4, 0.3])[1], [0, 0])
    assert_array_equal(watch([0.1, 0.2, 0.3, 0.4])[1], [3, 3])


def test_training_stops_after_so_many_epochs_without_a_gain():
    scores = [0.1, 0.5, 0.4, 0.5, 0.3, 0.2, 0.9]
    assert watch(scores, n_iter_no_change=1)[0] == 1 + 1
    assert watch(scores, n_iter_no_change=3)[0] == 1 + 3
    assert watch(scores, n_iter_no_change=9)[0] == len(scores) - 1


def test_a_gain_counts_from_the_tolerance_on():
    scores = [0.50, 0.54, 0.58, 0.62]
    assert watch(scores, n_iter_no_change=9, tol=0.05)[1][0] == 2  # 0.58 > 0.50 + 0.05
    assert watch(scores, n_iter_no_change=2, tol=0.20)[0] == 2
    assert watch(scores, n_iter_no_change=2, tol=0.00)[0] == 3


def test_a_score_that_is_nan_is_no_score():
    """It compares with nothing: the first epoch would be kept without a word."""
    with pytest.raises(ValueError, match="^The validation score is NaN.* best. Check the held-out"):
        watch([0.5, np.nan])


def test_the_first_epoch_is_kept_even_where_nothing_scores():
    assert_array_equal(watch([-np.inf, -np.inf])[1], [0, 0])


@pytest.mark.parametrize(
    ("n_queries", "fraction", "n_held_out"),
    [(10, 0.3, 3), (10, 0.01, 1), (10, 0.99, 9), (2, 0.5, 1)],
)
def test_held_out_queries_and_the_others_are_all(n_queries, fraction, n_held_out):
    train, held_out = hold_out(n_queries, fraction, np.random.default_rng(0))
    assert len(held_out) == n_held_out
    assert_array_equal(np.sort(np.r_[train, held_out]), np.arange(n_queries))


def test_one_query_cannot_be_split():
    with pytest.raises(ValueError, match="^early_stopping=True holds .* needs at least 2, got 1"):
        hold_out(1, 0.5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="^calibration= holds out .* leave out calibration="):
        hold_out(1, 0.5, np.random.default_rng(0), "calibration=")


def by_column(queries, labels, teacher_scores):
    """NDCG of the single column of a table, by a linear model of weight 1."""
    X = np.array([[3.0], [2.0], [1.0], [1.0], [2.0], [3.0]])
    params = {"weights_0": np.ones((1, 1)), "bias_0": np.zeros(1)}
    shapes = {name: array.shape for name, array in Linear().initialize(1, None).items()}
    params = {name: array.reshape(shapes[name]) for name, array in params.items()}
    return ndcg_on(Linear(), Rows(X), queries, labels, teacher_scores)(params)


def test_labels_are_what_is_validated_where_there_are_any():
    queries = Queries.from_sizes([3, 3])
    # The first query is in the best order; in the second the relevant row comes third.
    labels = np.array([1.0, 0, 0, 1, 0, 0])
    expected = (1 + 1 / np.log2(4)) / 2
    assert by_column(queries, labels, None) == pytest.approx(expected)
    # Rows without a label are left out: the relevant row comes second of two.
    labels = np.array([1.0, 0, 0, 1, np.nan, 0])
    expected = (1 + 1 / np.log2(3)) / 2
    assert by_column(queries, labels, -np.arange(6.0)) == pytest.approx(expected)
    with pytest.raises(ValueError, match="^early_stopping .*single label. Raise validation_frac"):
        by_column(queries, np.full(6, np.nan), None)
    with pytest.raises(
        ValueError, match="^early_stopping .*single relevant row.* another. Raise v"
    ):
        by_column(queries, np.zeros(6), None)
    with pytest.raises(ValueError, match="query number 1 .in sorted order"):
        by_column(queries, np.array([1.0, 0, 0, -1, 0, 0]), None)


def test_without_labels_the_teachers_order_is_validated():
    """A row's relevance is 1 at the teacher's first rank, and a tenth less at each further one."""
    queries = Queries.from_sizes([3, 3])
    assert by_column(queries, None, np.array([9.0, 5, -7, -3, 0, 40])) == pytest.approx(1)
    gains = 2 ** np.array([1, 0.9, 0.8]) - 1
    discounts = 1 / np.log2([2, 3, 4])
    upside_down = gains[::-1] @ discounts / (gains @ discounts)
    found = by_column(queries, None, np.array([9.0, 5, -7, 40, 0, -3]))
    assert found == pytest.approx((1 + upside_down) / 2)


def linear_params():
    """Parameters of a linear model that scores a row by its single column."""
    params = Linear().initialize(1, None)
    return {name: np.full(array.shape, "weights" in name, float) for name, array in params.items()}


def test_what_is_validated_is_ndcg_at_10():
    """The relevant row of the first query comes 10th, that of the second 11th."""
    X = np.tile(-np.arange(12.0), 2)[:, None]
    labels = np.zeros(24)
    labels[[10 - 1, 12 + 11 - 1]] = 1
    validate = ndcg_on(Linear(), Rows(X), Queries.even(2, 12), labels, None)
    assert validate(linear_params()) == pytest.approx((1 / np.log2(10 + 1) + 0) / 2)


def test_teacher_recall_looks_for_10_items_among_50():
    """The student has the teacher's first ten items at its places 46 to 55, the 11th on top."""
    place = np.r_[np.arange(46, 56), 1, np.arange(2, 46), np.arange(56, 61)]
    teacher = -np.arange(60.0)[None]
    validate = teacher_recall_on(Linear(), Rows(-place[:, None].astype(float)), teacher)
    assert validate(linear_params()) == pytest.approx(5 / 10)


def test_teacher_recall_and_the_mean_of_several_measures():
    X = np.array([[4.0], [3.0], [2.0], [1.0]])
    shapes = {name: array.shape for name, array in Linear().initialize(1, None).items()}
    params = {name: np.full(shape, "weights" in name, float) for name, shape in shapes.items()}
    teacher = np.array([[1.0, 2, 3, 4]])
    validators = [teacher_recall_on(Linear(), Rows(X), teacher, k=2, m=m) for m in (2, 3, 4)]
    assert [validate(params) for validate in validators] == [0, 1 / 2, 1]
    assert mean_of(validators)(params) == pytest.approx((0 + 1 / 2 + 1) / 3)


@pytest.mark.parametrize("missing", [False, True])
def test_scores_that_are_not_finite_name_their_query(missing):
    """Rows without a label count too, so that the number is that of the held-out query."""
    X = np.array([[3.0], [2.0], [1.0], [np.inf]])
    params = {name: np.ones(a.shape) for name, a in Linear().initialize(1, None).items()}
    labels = np.array([np.nan if missing else 0.0, 1.0, 1.0, 0.0])
    validate = ndcg_on(Linear(), Rows(X), Queries.from_sizes([1, 1, 2]), labels, None)
    with pytest.raises(
        ValueError, match=r"^Early stopping .* number 2 \(in sorted order\) as inf. L"
    ):
        validate(params)
    X[3] = np.nan
    teacher = np.array([[1.0, 2], [3, 4]])
    with pytest.raises(ValueError, match="student must be finite.*query number 1"):
        teacher_recall_on(Linear(), Rows(X), teacher)(params)


def test_labels_whose_gain_overflows_are_validated():
    """Seconds watched, say; NDCG was NaN, and the first epoch was kept."""
    rng = np.random.default_rng(0)
    X, qid = rng.standard_normal((600, 4)), np.repeat(np.arange(30), 20)
    y = np.round(np.exp(X[:, 0]) * 600)
    assert y.max() > 1024
    student = LinearRanker(
        loss="pairwise", early_stopping=True, validation_fraction=0.3, random_state=0
    ).fit(X, y, qid=qid)
    assert np.isfinite(student.validation_scores_).all()
    assert max(student.validation_scores_) > student.validation_scores_[0]
    assert student.score(X, y, qid=qid) > 0.9
