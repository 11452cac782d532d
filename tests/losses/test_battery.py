"""One battery for all losses: gradients, ragged lists, ties, weights, extremes, order of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skdistill.inputs.queries import Queries
from skdistill.losses import LOSSES, get_loss
from tests.numeric import central_differences, example_targets

TEMPERATURES = [0.7, 1.0, 2.5]
# Losses that compare each of the target's first k rows with the rows below it.
WITH_PAIRS_OF_TOP = {"pairwise", "margin", "lambda"}
# Losses that also fix the level of the scores; the others compare rows with each other alone.
WITH_LEVEL = {"pointwise", "logistic", "top_k"}


def target_of(loss, kind, values, queries):
    return (
        loss.soft_target(values, queries) if kind == "soft" else loss.hard_target(values, queries)
    )


def loss_at(loss, kind, scores, values, queries, weight=None):
    return loss.value_and_gradient(scores, target_of(loss, kind, values, queries), queries, weight)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_agrees_with_differences(name, kind, weighted, temperature):
    rng = np.random.default_rng(0)
    loss = get_loss(name, temperature)
    queries, values = example_targets(name, kind, rng)
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
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in WITH_LEVEL])
def test_gradient_of_a_query_sums_to_zero_and_one_row_teaches_nothing(name, kind):
    rng = np.random.default_rng(1)
    loss = get_loss(name)
    queries, values = example_targets(name, kind, rng)
    _, gradient = loss.value_and_gradient(
        rng.standard_normal(queries.n_rows), target_of(loss, kind, values, queries), queries
    )
    assert np.abs(gradient).max() > 0.01
    assert_allclose(queries.sum(gradient), 0, atol=1e-12)
    assert_allclose(gradient[queries.spread(queries.sizes) == 1], 0, atol=1e-12)


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
def test_tied_targets_teach_no_order(name, kind):
    loss, sizes = get_loss(name), [4, 16]
    queries = Queries.from_sizes(sizes)
    target = target_of(loss, kind, np.zeros(4 + 16), queries)
    _, gradient = loss.value_and_gradient(np.zeros(4 + 16), target, queries)
    if name == "logistic":
        # Probability 0 of each row, against a sigmoid of 1 / 2; a mean over rows, then queries.
        assert_allclose(gradient, 1 / 2 / np.repeat(sizes, sizes) / 2)
    else:
        assert_allclose(gradient, 0, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_rows_teaches_nothing(name, kind, weighted):
    """Many rows tie, also across the last of the first k places."""
    rng = np.random.default_rng(4)
    loss, sizes = get_loss(name), [3, 15, 40]
    queries = Queries.from_sizes(sizes)
    values = rng.integers(0, 2 if name == "logistic" else 4, queries.n_rows).astype(float)
    if name in WITH_PAIRS_OF_TOP:
        values[queries.position >= 18] = values.min()  # below the first k = 20
    scores = rng.standard_normal(queries.n_rows)
    weight = rng.uniform(0.2, 3, queries.n_rows) if weighted else None
    value, gradient = loss_at(loss, kind, scores, values, queries, weight)
    order = np.lexsort((rng.random(queries.n_rows), queries.segment))
    weight = None if weight is None else weight[order]
    shuffled, moved = loss_at(loss, kind, scores[order], values[order], queries, weight)
    assert_allclose(shuffled, value)
    assert_allclose(moved, gradient[order], atol=1e-12)


@pytest.mark.parametrize("level", ["shifted", "two tiers"])
@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"logistic"}))
def test_float32_targets_keep_the_differences_of_teacher_scores(name, level):
    """Scores far from 0, or in tiers far from each other, teach what they teach in float64."""
    rng = np.random.default_rng(5)
    loss, queries = get_loss(name), Queries.from_sizes([4, 30])
    teacher = rng.standard_normal(queries.n_rows)
    far = 1e8 if level == "shifted" else 1e9 * (np.arange(queries.n_rows) % 2)
    target = loss.soft_target(teacher + far, queries)
    scores = rng.standard_normal(queries.n_rows)
    value, gradient = loss.value_and_gradient(scores, target, queries)
    rounded, slope = loss.value_and_gradient(
        scores.astype(np.float32), target.astype(np.float32), queries
    )
    assert_allclose(rounded, value, rtol=1e-4)
    assert_allclose(slope, gradient, rtol=1e-3, atol=1e-6)
    if level == "shifted":
        plain = loss.value_and_gradient(scores, loss.soft_target(teacher, queries), queries)
        assert_allclose(gradient, plain[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("magnitude", [1e-310, 1e300])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"logistic"}))
def test_extreme_magnitudes_teach_finite_numbers(name, kind, magnitude):
    queries = Queries.from_sizes([3, 6])
    values = np.array([0, 1, 2, 0, 0, 1, 1, 2, 3]) * magnitude
    scores = np.linspace(-1, 1, 9)
    value, gradient = loss_at(get_loss(name), kind, scores, values, queries)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    if name in ("pointwise", "margin"):  # which standardise their targets
        expected = loss_at(get_loss(name), kind, scores, values / magnitude, queries)
        assert_allclose(value, expected[0], rtol=1e-6)


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
def test_value_is_the_mean_over_queries(name, kind):
    """Ragged queries together give what each gives alone: no row leaks into another query."""
    rng = np.random.default_rng(2)
    loss = get_loss(name)
    queries, values = example_targets(name, kind, rng)
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
    queries, values = example_targets(name, kind, rng, [12])
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
    queries, values = example_targets(name, kind, rng)
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


def test_an_unknown_loss_and_an_object_that_is_not_one_are_refused():
    with pytest.raises(ValueError, match=r"one of \['lambda'.*got 'mse'"):
        get_loss("mse")
    with pytest.raises(ValueError, match="lacks"):
        get_loss(object())


def test_errors_say_what_was_expected():
    queries = Queries.single(2)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], but run from -3 to 4.2"):
        get_loss("logistic").soft_target(np.array([-3, 4.2]), queries)
    with pytest.raises(ValueError, match="^y must hold .* smallest label is -1. .* or 'margin'.$"):
        get_loss("listwise").hard_target(np.array([2, -1.0]), queries)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", [[6, 6, 6], [1, 5, 40]], ids=["even", "ragged"])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", LOSSES)
def test_float32_in_float32_out_without_a_warning(name, kind, sizes, weighted):
    rng = np.random.default_rng(8)
    loss = get_loss(name)
    queries, values = example_targets(name, kind, rng, sizes)
    if kind == "hard":
        values[queries.position > 1] = 0  # few relevant rows
    weight = rng.uniform(0.2, 3, queries.n_rows) if weighted else None
    target, scores = target_of(loss, kind, values, queries), rng.standard_normal(queries.n_rows)
    value, gradient = loss.value_and_gradient(scores, target, queries, weight)
    narrow = [a if a is None else a.astype(np.float32) for a in (scores, target, weight)]
    found, slope = loss.value_and_gradient(narrow[0], narrow[1], queries, narrow[2])
    assert slope.dtype == np.float32
    assert_allclose(found, value, rtol=1e-5)
    assert_allclose(slope, gradient, rtol=1e-4, atol=1e-6)


class ThreeMethods:
    """A loss with the contract of 0.1.0, which answers with what it was given."""

    def soft_target(self, teacher_scores, queries):
        return "soft", teacher_scores, queries

    def hard_target(self, labels, queries):
        return "hard", labels, queries

    def value_and_gradient(self, scores, target, queries, weight=None):
        return scores, target, queries, weight


def test_a_loss_of_three_methods_is_given_everything():
    advice = "error from 0.3 on. Subclass skdistill.protocols.Loss, which .* that was added since.$"
    with pytest.warns(FutureWarning, match=f"^ThreeMethods keeps only .* {advice}"):
        loss = get_loss(ThreeMethods())
    assert loss.soft_target("scores", "queries") == ("soft", "scores", "queries")
    assert loss.hard_target("labels", "queries") == ("hard", "labels", "queries")
    assert loss.value_and_gradient("s", "t", "q") == ("s", "t", "q", None)
    assert loss.value_and_gradient("s", "t", "q", "w") == ("s", "t", "q", "w")


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("name", [name for name in LOSSES if not get_loss(name).is_log_odds])
def test_large_teacher_scores_and_labels_stay_finite(name, kind):
    rng = np.random.default_rng(6)
    loss = get_loss(name)
    queries, values = example_targets(name, kind, rng)
    target = target_of(loss, kind, 1e4 * values, queries).astype(np.float32)
    scores = rng.standard_normal(queries.n_rows).astype(np.float32)
    value, gradient = loss.value_and_gradient(scores, target, queries)
    assert np.isfinite(target).all()
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
