"""Objectives: what several heads, unknown labels and weights make of the losses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skdistill.inputs.offsets import check_compares_offset
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.losses import LOSSES, get_loss
from skdistill.models import Network
from skdistill.training.objective import GradientBalance, HeadsObjective, Objective
from tests.numeric import central_differences, example_targets, numeric_gradients, random_parameters


def heads_of(rng, queries, dtype=np.float64):
    labels = rng.integers(0, 2, queries.n_rows).astype(float)
    labels[1] = np.nan
    weight = rng.uniform(0.5, 2, queries.n_rows)
    return tuple(
        Objective.mix(
            queries, soft=loss, hard=loss, alpha=alpha, sample_weight=weight, dtype=dtype, **known
        )
        for loss, alpha, known in (
            (get_loss("logistic"), 0.0, {"labels": labels}),
            (get_loss("lambda"), 0.0, {"labels": 1 + rng.integers(0, 3, queries.n_rows) * 1.0}),
            (get_loss("listwise"), 1.0, {"teacher_scores": rng.standard_normal(queries.n_rows)}),
        )
    )


def value_with(sample_weight):
    """An objective of five rows, of which the third has no label."""
    queries = Queries.from_sizes([2, 3])
    objective = Objective.mix(
        queries,
        soft=get_loss("listwise"),
        hard=get_loss("pointwise"),
        alpha=0.25,
        labels=np.array([0.0, 1, np.nan, 2, 0]),
        teacher_scores=np.arange(5.0),
        sample_weight=sample_weight,
        dtype=np.float64,
    )
    return objective.value_and_gradient(np.cos(np.arange(5)), np.arange(5), queries)[0]


@pytest.mark.parametrize("hidden", [(), (6, 4)])
def test_the_gradient_of_several_heads_agrees_with_differences(hidden):
    rng = np.random.default_rng(0)
    queries = Queries.from_sizes([4, 1, 6])
    heads = heads_of(rng, queries)
    # Only what is a gradient of its value: the weights of lambda move with the scores.
    objective = HeadsObjective((heads[0], heads[2]), np.array([0.7, 1.6]))
    model = Network(hidden, 2)
    inputs = Rows(rng.standard_normal((11, 5)))
    params = random_parameters(model, 5, rng)
    rows = np.arange(11)

    def value(moved):
        return objective.value_and_gradient(model.forward(moved, inputs)[0], rows, queries)[0]

    scores, cache = model.forward(params, inputs)
    _, slope = objective.value_and_gradient(scores, rows, queries)
    grads = model.backward(params, cache, slope)
    for name, numeric in numeric_gradients(value, params).items():
        assert_allclose(grads[name], numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("balanced", [False, True])
def test_each_head_gets_its_own_gradient(balanced):
    """Fixed: times its weight. Balanced: heads of weight 1 move the scores equally far."""
    rng = np.random.default_rng(1)
    queries = Queries.from_sizes([4, 1, 6])
    heads = heads_of(rng, queries)
    weights = np.array([1.0, 2.0, 1.0])
    scores = rng.standard_normal((11, 3))
    balance = GradientBalance(weights) if balanced else None
    _, gradient = HeadsObjective(heads, weights, balance).value_and_gradient(
        scores, np.arange(11), queries
    )
    alone = [
        head.value_and_gradient(scores[:, i].copy(), np.arange(11), queries)[1]
        for i, head in enumerate(heads)
    ]
    lengths = np.array([np.linalg.norm(g) for g in alone])
    for i, own in enumerate(alone):
        factor = lengths.mean() / lengths[i] if balanced else 1.0
        assert_allclose(gradient[:, i], weights[i] * factor * own, rtol=1e-10)
    if balanced:
        found = np.linalg.norm(gradient, axis=0)
        assert_allclose(found / weights, found[0])


@pytest.mark.parametrize("name", LOSSES)
def test_unknown_labels_are_skipped(name):
    """Rows with NaN labels: same as if the hard loss saw the labelled rows alone."""
    rng = np.random.default_rng(5)
    queries, y = example_targets(name, "hard", rng)
    _, teacher = example_targets(name, "soft", rng)
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


def test_the_balance_follows_a_moving_average_of_the_lengths():
    """A twentieth of the way from the former average to the new length."""
    balance = GradientBalance(np.array([1.0, 3.0]))
    first = balance.factors([0, 1], [np.array([3.0, 4.0]), np.array([10.0])])
    mean = (5 + 10) / 2
    assert_allclose(first, [1 * mean / 5, 3 * mean / 10])
    second = balance.factors([1], [np.array([30.0])])
    length = 10 + 0.05 * (30 - 10)
    assert_allclose(second, [3 * ((5 + length) / 2) / length])


def test_the_balance_takes_one_gradient_per_term():
    with pytest.raises(ValueError, match="longer"):
        GradientBalance(np.ones(2)).factors([0], [np.ones(1), np.ones(1)])


def test_row_weights_are_scaled_to_mean_1():
    weight = np.array([1.0, 2, 0, 4, 5])
    assert value_with(np.full(5, 7.0)) == pytest.approx(value_with(None))
    assert value_with(10 * weight) == pytest.approx(value_with(weight))
    assert value_with(0.01 * weight) == pytest.approx(value_with(weight))
    assert value_with(weight) != pytest.approx(value_with(None))
    assert value_with(np.zeros(5)) == 0


def test_a_batch_has_the_weights_of_its_rows():
    """Rows of weights 1, 3, 2 and 2, of mean 2; the batch is the first query."""
    queries, loss = Queries.from_sizes([2, 2]), get_loss("pointwise")
    objective = Objective.mix(
        queries,
        soft=loss,
        hard=loss,
        alpha=0.0,
        labels=np.array([1.0, -1, 1, -1]),
        sample_weight=np.array([1.0, 3, 2, 2]),
    )
    assert_allclose(objective.sample_weight, [1 / 2, 3 / 2, 2 / 2, 2 / 2])
    rows, batch = queries.take(np.array([0]))
    value, gradient = objective.value_and_gradient(np.array([0.0, 1.0]), rows, batch)
    assert value == pytest.approx((1 / 2 * (0 - 1) ** 2 + 3 / 2 * (1 + 1) ** 2) / 2)
    assert_allclose(gradient, [2 * 1 / 2 * (0 - 1) / 2, 2 * 3 / 2 * (1 + 1) / 2])


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_and_weights_have_the_dtype_of_training(dtype, missing):
    loss, labels = get_loss("listwise"), np.array([1.0, 0, 2, 0])
    if missing:
        labels[3] = np.nan
    objective = Objective.mix(
        Queries.from_sizes([2, 2]),
        soft=loss,
        hard=loss,
        alpha=0.5,
        labels=labels,
        teacher_scores=np.arange(4.0),
        sample_weight=np.ones(4),
        dtype=dtype,
    )
    arrays = [term.target for term in objective.terms] + [objective.sample_weight]
    assert [array.dtype for array in arrays] == [dtype] * 3


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_alpha_is_the_weight_of_the_teacher(alpha):
    queries = Queries.from_sizes([2, 3])
    loss, labels, teacher = get_loss("listwise"), np.array([0.0, 1, 3, 2, 0]), np.arange(5.0)
    known = {"labels": labels, "teacher_scores": teacher}
    objective = Objective.mix(queries, soft=loss, hard=loss, alpha=alpha, dtype=np.float64, **known)
    scores, rows = np.cos(np.arange(5)), np.arange(5)
    soft = loss.value_and_gradient(scores, loss.soft_target(teacher, queries), queries)[0]
    hard = loss.value_and_gradient(scores, loss.hard_target(labels, queries), queries)[0]
    found = objective.value_and_gradient(scores, rows, queries)[0]
    assert found == pytest.approx(alpha * soft + (1 - alpha) * hard)
    assert len(objective.terms) == (alpha > 0) + (alpha < 1)
    # Without a teacher, labels have all the weight.
    alone = Objective.mix(
        queries, soft=loss, hard=loss, alpha=alpha, labels=labels, dtype=np.float64
    )
    assert alone.value_and_gradient(scores, rows, queries)[0] == pytest.approx(hard)


def with_offset(loss, offset, known, alpha=1.0):
    """The objective of two queries, of 12 and 25 rows, whose scores have this offset."""
    return Objective.mix(
        Queries.from_sizes([12, 25]),
        soft=get_loss(loss, 2.0),
        hard=get_loss("listwise"),
        alpha=alpha,
        offset=offset,
        dtype=np.float64,
        **known,
    )


# The others look at single rows, or divide scores by their standard deviation.
COMPARING = ["pairwise", "lambda", "listwise", "plackett_luce", "rank_listwise", "top_k"]


def test_every_other_loss_refuses_an_offset():
    """A further loss is either tested with offsets here, or refuses them."""
    for name in set(LOSSES) - set(COMPARING):
        with pytest.raises(ValueError, match="looks at single rows|standard deviation"):
            check_compares_offset(get_loss(name))
    for name in COMPARING:
        check_compares_offset(get_loss(name))


@pytest.mark.parametrize("name", COMPARING)
def test_a_loss_sees_both_scores_with_their_offset(name):
    """At a temperature, which divides the sums."""
    rng = np.random.default_rng(0)
    queries, rows = Queries.from_sizes([12, 25]), np.arange(37)
    teacher, scores, offset = rng.standard_normal((3, 37))
    offset -= queries.spread(queries.mean(offset))
    found = with_offset(name, offset, {"teacher_scores": teacher})
    value, gradient = found.value_and_gradient(scores, rows, queries)
    loss = get_loss(name, 2.0)
    expected = loss.value_and_gradient(
        scores + offset, loss.soft_target(teacher + offset, queries), queries
    )
    assert value == pytest.approx(expected[0])
    assert_allclose(gradient, expected[1])
    without = with_offset(name, None, {"teacher_scores": teacher})
    assert value != pytest.approx(without.value_and_gradient(scores, rows, queries)[0])
    # The rows of a batch keep their own offsets.
    rows, batch = queries.take(np.array([1]))
    one = loss.value_and_gradient(
        (scores + offset)[12:], loss.soft_target((teacher + offset)[12:], batch), batch
    )[0]
    assert found.value_and_gradient(scores[12:], rows, batch)[0] == pytest.approx(one)


@pytest.mark.parametrize("name", sorted(set(COMPARING) - {"lambda"}))
def test_the_gradient_with_an_offset_agrees_with_differences(name):
    """Without lambda, whose gradient leaves out how the weights of pairs move."""
    rng = np.random.default_rng(1)
    queries, rows = Queries.from_sizes([12, 25]), np.arange(37)
    teacher, scores, offset = rng.standard_normal((3, 37))
    objective = with_offset(name, offset, {"teacher_scores": teacher})
    numeric = central_differences(
        lambda moved: objective.value_and_gradient(moved, rows, queries)[0], scores, step=1e-4
    )
    found = objective.value_and_gradient(scores, rows, queries)[1]
    assert_allclose(found, numeric, atol=1e-8)


@pytest.mark.parametrize("name", COMPARING)
def test_the_currency_of_bids_changes_nothing(name):
    rng = np.random.default_rng(2)
    queries = Queries.from_sizes([12, 25])
    teacher, scores, offset = rng.standard_normal((3, 37))
    in_dollars = with_offset(name, offset, {"teacher_scores": teacher})
    in_cents = with_offset(name, offset + np.log(100), {"teacher_scores": teacher})
    values = [
        objective.value_and_gradient(scores, np.arange(37), queries)[0]
        for objective in (in_dollars, in_cents)
    ]
    assert values[0] == pytest.approx(values[1])


def test_labels_are_compared_without_the_offset():
    rng = np.random.default_rng(3)
    queries, rows = Queries.from_sizes([12, 25]), np.arange(37)
    teacher, scores, offset = rng.standard_normal((3, 37))
    known = {"teacher_scores": teacher, "labels": rng.integers(0, 2, 37).astype(float)}
    soft, both = (with_offset("listwise", offset, known, alpha) for alpha in (1.0, 0.25))
    hard = Objective.mix(
        queries,
        soft=get_loss("listwise"),
        hard=get_loss("listwise"),
        alpha=0.0,
        labels=known["labels"],
        dtype=np.float64,
    )
    parts = [one.value_and_gradient(scores, rows, queries)[0] for one in (soft, hard)]
    found = both.value_and_gradient(scores, rows, queries)[0]
    assert found == pytest.approx(0.25 * parts[0] + 0.75 * parts[1])
