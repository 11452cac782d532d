"""One battery for all losses: gradients, ragged lists, ties, weights, extremes, order of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from skdistill.inputs.queries import Queries
from skdistill.losses import LOSSES, get_loss
from skdistill.training.objective import Objective

SIZES = [1, 2, 5, 17, 3, 1, 30]
TEMPERATURES = [0.7, 1.0, 2.5]


def example(loss, kind, rng, sizes=SIZES):
    queries = Queries.from_sizes(sizes)
    if kind == "hard":
        labels = rng.integers(0, 2 if loss == "logistic" else 4, queries.n_rows).astype(float)
        return queries, labels
    teacher = rng.standard_normal(queries.n_rows)
    if loss == "logistic":
        teacher = 1 / (1 + np.exp(-teacher))
    return queries, teacher


def target_of(loss, kind, values, queries):
    return (
        loss.soft_target(values, queries) if kind == "soft" else loss.hard_target(values, queries)
    )


def central_differences(function, x, step=1e-3):
    """Fourth-order central differences."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):

        def at(offset, i=i):
            moved = x.copy()
            moved[i] += offset * step
            return function(moved)

        gradient[i] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
    return gradient


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradient(name, kind, weighted, temperature):
    rng = np.random.default_rng(0)
    loss = get_loss(name, temperature)
    queries, values = example(name, kind, rng)
    target = target_of(loss, kind, values, queries)
    # Evenly spaced: the rank-dependent weights of lambda and top_k are constant between crossings.
    scores = (rng.permutation(queries.n_rows) - queries.n_rows / 2) * 0.1
    weight = rng.uniform(0.2, 3, queries.n_rows) if weighted else None
    value, gradient = loss.value_and_gradient(scores, target, queries, weight)
    numeric = central_differences(
        lambda s: loss.value_and_gradient(s, target, queries, weight)[0], scores, 1e-4
    )
    assert np.isfinite(value)
    assert value >= 0
    assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", [n for n in LOSSES if n not in ("pointwise", "logistic", "top_k")])
def test_gradient_of_a_query_sums_to_zero_and_one_row_teaches_nothing(name, kind):
    rng = np.random.default_rng(1)
    loss = get_loss(name)
    queries, values = example(name, kind, rng)
    _, gradient = loss.value_and_gradient(
        rng.standard_normal(queries.n_rows), target_of(loss, kind, values, queries), queries
    )
    assert_allclose(queries.sum(gradient), 0, atol=1e-12)
    assert_allclose(gradient[queries.spread(queries.sizes) == 1], 0, atol=1e-12)


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
def test_value_is_the_mean_over_queries(name, kind):
    """Ragged queries together give what each gives alone: no row leaks into another query."""
    rng = np.random.default_rng(2)
    loss = get_loss(name)
    queries, values = example(name, kind, rng)
    target = target_of(loss, kind, values, queries)
    scores = rng.standard_normal(queries.n_rows)
    value, gradient = loss.value_and_gradient(scores, target, queries)
    alone = []
    for query in range(queries.n_queries):
        rows = slice(*queries.offsets[query : query + 2])
        part = Queries.single(queries.sizes[query])
        v, g = loss.value_and_gradient(scores[rows], target[rows], part)
        alone.append(v)
        assert_allclose(gradient[rows], g / queries.n_queries, atol=1e-12)
    assert_allclose(value, np.mean(alone))


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
def test_constant_weight_of_a_query_multiplies_its_loss(name, kind):
    rng = np.random.default_rng(3)
    loss = get_loss(name)
    queries, values = example(name, kind, rng, [12])
    target = target_of(loss, kind, values, queries)
    scores = rng.standard_normal(12)
    value, gradient = loss.value_and_gradient(scores, target, queries)
    weighted = loss.value_and_gradient(scores, target, queries, np.full(12, 3.0))
    assert_allclose(weighted[0], 3 * value)
    assert_allclose(weighted[1], 3 * gradient, atol=1e-12)


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_and_ties_stay_finite(name, kind, dtype):
    rng = np.random.default_rng(4)
    loss = get_loss(name)
    queries, values = example(name, kind, rng)
    for target_values in (values, np.zeros_like(values)):
        target = target_of(loss, kind, target_values, queries).astype(dtype)
        for scores in (
            np.zeros(queries.n_rows),
            1e4 * rng.standard_normal(queries.n_rows),
            np.where(np.arange(queries.n_rows) % 2, 1e4, -1e4),
        ):
            value, gradient = loss.value_and_gradient(scores.astype(dtype), target, queries)
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
            assert gradient.dtype == dtype


@pytest.mark.parametrize("name", LOSSES)
def test_all_tied_targets_teach_no_order(name):
    loss = get_loss(name)
    queries = Queries.from_sizes([4, 6])
    for kind in ("soft", "hard"):
        target = target_of(loss, kind, np.zeros(10), queries)
        _, gradient = loss.value_and_gradient(np.zeros(10), target, queries)
        if name in ("plackett_luce", "top_k", "logistic") and kind == "soft":
            continue  # these read an order, or a level, out of any scores
        if name == "logistic":
            assert_allclose(gradient, 0.5 / np.repeat([4, 6], [4, 6]) / 2)
        else:
            assert_allclose(gradient, 0, atol=1e-12)


def test_listwise_by_hand():
    t, s, temperature = np.array([1.0, 0.0, -2.0]), np.array([0.3, 0.4, 0.1]), 2.0
    p, q = softmax(t / temperature), softmax(s / temperature)
    loss = get_loss("listwise", temperature)
    queries = Queries.single(3)
    value, gradient = loss.value_and_gradient(s, loss.soft_target(t, queries), queries)
    assert_allclose(value, temperature**2 * np.sum(p * np.log(p / q)))
    assert_allclose(gradient, temperature * (q - p))


def test_listwise_hard_target_is_the_share_of_the_gain():
    queries = Queries.from_sizes([3, 2])
    target = get_loss("listwise").hard_target(np.array([2.0, 1.0, 0.0, 0.0, 0.0]), queries)
    assert_allclose(target, [3 / 4, 1 / 4, 0, 0, 0])
    huge = get_loss("listwise").hard_target(np.array([5000.0, 4999.0, 0, 1, 0]), queries)
    assert_allclose(huge, [2 / 3, 1 / 3, 0, 1, 0])


def test_pairwise_by_hand():
    s, t = np.array([0.0, 1.0, 0.5]), np.array([3.0, 1.0, 1.0])
    loss = get_loss("pairwise")
    queries = Queries.single(3)
    value, _ = loss.value_and_gradient(s, loss.soft_target(t, queries), queries)

    def bce(x, p):
        sigma = 1 / (1 + np.exp(-x))
        return -p * np.log(sigma) - (1 - p) * np.log(1 - sigma)

    preference = 1 / (1 + np.exp(-2.0))
    # The pair that the teacher ties is left out.
    assert_allclose(value, (bce(-1.0, preference) + bce(-0.5, preference)) / 2)


def test_lambda_by_hand():
    s, y = np.array([0.0, 1.0, 0.5]), np.array([1.0, 0.0, 0.0])
    loss = get_loss("lambda")
    queries = Queries.single(3)
    value, _ = loss.value_and_gradient(s, loss.hard_target(y, queries), queries)
    # The student ranks them 2, 0, 1; the ideal DCG is 1.
    swap_1 = abs(1 / np.log2(4) - 1 / np.log2(2))
    swap_2 = abs(1 / np.log2(4) - 1 / np.log2(3))
    expected = swap_1 * np.log1p(np.exp(1.0)) + swap_2 * np.log1p(np.exp(0.5))
    assert_allclose(value, expected, rtol=1e-6)


def test_plackett_luce_by_hand():
    s, t = np.array([0.2, -0.3, 0.9]), np.array([1.0, 3.0, 2.0])
    from skdistill.losses import PlackettLuce

    loss = PlackettLuce(k=2)
    queries = Queries.single(3)
    value, _ = loss.value_and_gradient(s, loss.soft_target(t, queries), queries)
    first = s[1] - np.log(np.exp(s).sum())
    second = s[2] - np.log(np.exp(s[[2, 0]]).sum())
    assert_allclose(value, -(first + second) / 2)


def test_top_k_weighs_what_the_student_misplaces():
    loss = get_loss("top_k")
    queries = Queries.single(20)
    target = loss.soft_target(np.arange(20.0), queries)
    scores = np.arange(20.0)
    scores[19] = -1
    _, gradient = loss.value_and_gradient(np.zeros(20) + 1e-9 * scores, target, queries)
    assert gradient[19] < gradient[18] < 0 < gradient[0]


def test_unknown_loss_and_object_that_is_none():
    with pytest.raises(ValueError, match=r"one of \['lambda'.*got 'mse'"):
        get_loss("mse")
    with pytest.raises(ValueError, match="lacks"):
        get_loss(object())


def test_errors_say_what_was_expected():
    queries = Queries.single(2)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], but run from -3 to 4.2"):
        get_loss("logistic").soft_target(np.array([-3, 4.2]), queries)
    with pytest.raises(ValueError, match="smallest label is -1"):
        get_loss("listwise").hard_target(np.array([-1.0, 2]), queries)


@pytest.mark.parametrize("name", LOSSES)
def test_objective_skips_unknown_labels(name):
    """Rows with NaN labels: same as if the hard loss saw the labelled rows alone."""
    rng = np.random.default_rng(5)
    queries, y = example(name, "hard", rng)
    _, teacher = example(name, "soft", rng)
    y[rng.random(len(y)) < 0.4] = np.nan
    y[queries.offsets[2] : queries.offsets[3]] = np.nan
    loss = get_loss(name)
    scores = (rng.permutation(len(y)) - len(y) / 2) * 0.1
    rows = np.arange(len(y))
    objective = Objective.mix(
        queries, soft=loss, hard=loss, alpha=0.3, labels=y, teacher_scores=teacher, dtype=np.float64
    )
    value, gradient = objective.value_and_gradient(scores, rows, queries)
    soft = loss.value_and_gradient(scores, loss.soft_target(teacher, queries), queries)
    known = ~np.isnan(y)
    labelled = queries.subset(known)
    hard = loss.value_and_gradient(scores[known], loss.hard_target(y[known], labelled), labelled)
    assert_allclose(value, 0.3 * soft[0] + 0.7 * hard[0])
    expected = 0.3 * soft[1]
    expected[known] += 0.7 * hard[1]
    assert_allclose(gradient, expected, atol=1e-12)
    numeric = central_differences(
        lambda s: objective.value_and_gradient(s, rows, queries)[0], scores, 1e-4
    )
    assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8)
    # Over all batches of one query the mean is the whole: no batch counts its labels twice.
    parts = []
    for query in range(queries.n_queries):
        own, single = queries.take(np.array([query]))
        parts.append(objective.value_and_gradient(scores[own], own, single)[0])
    assert_allclose(np.mean(parts), value)
