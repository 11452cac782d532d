"""Each loss on a short list, computed by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from skdistill.inputs.queries import Queries
from skdistill.losses import LOSSES, PlackettLuce, RankListwise, get_loss, has_temperature
from skdistill.losses.listwise import support


def value_of(loss, scores, values, kind="soft", weight=None):
    """Value of a loss on one list."""
    queries = Queries.single(len(scores))
    make = loss.soft_target if kind == "soft" else loss.hard_target
    target = make(np.asarray(values, dtype=float), queries)
    weight = None if weight is None else np.asarray(weight, dtype=float)
    return loss.value_and_gradient(np.asarray(scores, dtype=float), target, queries, weight)[0]


def binary_cross_entropy(logit, probability):
    sigma = 1 / (1 + np.exp(-logit))
    return -probability * np.log(sigma) - (1 - probability) * np.log(1 - sigma)


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
    """Differences are divided by the temperature; the pair that the teacher ties is left out."""
    scores, teacher = [0.0, 1.0, 0.5], [3.0, 1.0, 1.0]
    for temperature in (1.0, 2.0):
        preference = 1 / (1 + np.exp(-(3.0 - 1.0) / temperature))
        terms = [binary_cross_entropy(d / temperature, preference) for d in (0 - 1.0, 0 - 0.5)]
        loss = get_loss("pairwise", temperature)
        assert_allclose(value_of(loss, scores, teacher), sum(terms) / 2)
        # A pair's weight is the geometric mean of its rows' weights.
        weighted = value_of(loss, scores, teacher, weight=[4.0, 1.0, 9.0])
        assert_allclose(weighted, (np.sqrt(4 * 1) * terms[0] + np.sqrt(4 * 9) * terms[1]) / 2)


def test_pairwise_labels_prefer_with_certainty():
    terms = [binary_cross_entropy(d, 1.0) for d in (0 - 1.0, 0 - 0.5)]
    found = value_of(get_loss("pairwise"), [0.0, 1.0, 0.5], [3.0, 1.0, 1.0], "hard")
    assert_allclose(found, sum(terms) / 2, rtol=1e-6)


def test_margin_by_hand():
    scores, teacher = np.array([0.0, 1.0, 0.5]), np.array([30.0, 10.0, 20.0])
    t = teacher / np.sqrt(200 / 3)  # the standard deviation of 10, 20, 30
    # The pairs in the teacher's order: rows 0 and 2, 0 and 1, 2 and 1.
    terms = [((scores[i] - scores[j]) - (t[i] - t[j])) ** 2 for i, j in ((0, 2), (0, 1), (2, 1))]
    for kind in ("soft", "hard"):
        assert_allclose(value_of(get_loss("margin"), scores, teacher, kind), sum(terms) / 3)


def test_lambda_by_hand():
    scores, labels = [0.0, 1.0, 0.5], [1.0, 0.0, 0.0]
    # The student ranks them 2, 0, 1; the ideal DCG is 1.
    swap_1 = abs(1 / np.log2(4) - 1 / np.log2(2))
    swap_2 = abs(1 / np.log2(4) - 1 / np.log2(3))
    expected = swap_1 * np.log1p(np.exp(1.0)) + swap_2 * np.log1p(np.exp(0.5))
    assert_allclose(value_of(get_loss("lambda"), scores, labels, "hard"), expected, rtol=1e-6)


def test_lambda_gains_of_a_teacher_fall_by_rank():
    """With k = 2 the gains are 1, 1 / 2 and 0; the student ranks the rows upside down."""
    scores, teacher = [0.0, 1.0, 2.0], [9.0, 5.0, 4.0]
    discount = 1 / np.log2([4, 3, 2])  # of the student's places 2, 1 and 0
    ideal = 1 / np.log2(2) + (1 / 2) / np.log2(3)
    expected = 0
    for i, j in ((0, 1), (0, 2), (1, 2)):
        gain = {(0, 1): 1 - 1 / 2, (0, 2): 1 - 0, (1, 2): 1 / 2 - 0}[i, j]
        change = gain * abs(discount[i] - discount[j]) / ideal
        preference = 1 / (1 + np.exp(-(teacher[i] - teacher[j])))
        expected += change * binary_cross_entropy(scores[i] - scores[j], preference)
    assert_allclose(value_of(LOSSES["lambda"](k=2), scores, teacher), expected)


def test_lambda_gains_of_a_teacher_are_0_below_the_first_k():
    """Lower rows neither lose gain nor enter the ideal DCG."""
    scores, teacher = np.array([0.0, 1.0, 2.0, 3.0]), np.array([9.0, 5.0, 4.0, 2.0])
    loss = LOSSES["lambda"](k=2)
    target = loss.soft_target(teacher, Queries.single(4))
    assert_allclose(target[:, 1], [1, 1 / 2, 0, 0])
    discount = 1 / np.log2([5, 4, 3, 2])  # of the student's places 3 to 0
    ideal = 1 / np.log2(2) + (1 / 2) / np.log2(3)
    expected = 0
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3)):
        change = (target[i, 1] - target[j, 1]) * abs(discount[i] - discount[j]) / ideal
        preference = 1 / (1 + np.exp(-(teacher[i] - teacher[j])))
        expected += change * binary_cross_entropy(scores[i] - scores[j], preference)
    assert_allclose(value_of(loss, scores, teacher), expected)


def test_lambda_of_labels_takes_the_whole_list_as_ideal():
    """With k = 1 only row 0 forms pairs, but row 1 has a gain too."""
    scores, labels = [0.0, 1.0, 2.0], [2.0, 1.0, 0.0]
    discount = 1 / np.log2([4, 3, 2])
    ideal = 1 / np.log2(2) + (1 / 3) / np.log2(3)
    swap_1 = (1 - 1 / 3) * abs(discount[0] - discount[1]) / ideal
    swap_2 = (1 - 0) * abs(discount[0] - discount[2]) / ideal
    expected = swap_1 * np.log1p(np.exp(1.0)) + swap_2 * np.log1p(np.exp(2.0))
    assert_allclose(value_of(LOSSES["lambda"](k=1), scores, labels, "hard"), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["pairwise", "margin", "lambda"])
def test_a_pair_has_the_geometric_mean_of_its_row_weights(name):
    loss, scores, teacher = get_loss(name), [0.0, 1.0], [2.0, 1.0]
    weighted = value_of(loss, scores, teacher, weight=[4.0, 9.0])
    assert_allclose(weighted, np.sqrt(4 * 9) * value_of(loss, scores, teacher))


def test_plackett_luce_by_hand():
    s = np.array([0.2, -0.3, 0.9])
    first = s[1] - np.log(np.exp(s).sum())
    second = s[2] - np.log(np.exp(s[[2, 0]]).sum())
    assert_allclose(value_of(PlackettLuce(k=2), s, [1.0, 3.0, 2.0]), -(first + second) / 2)


def test_plackett_luce_shares_tied_places():
    """Rows 0, 2 and 3 tie for the second place and the third, which is the last of k = 3."""
    s, teacher = np.array([0.2, -0.3, 0.9, 0.4]), [1.0, 3.0, 1.0, 1.0]
    tied = np.exp(s[[0, 2, 3]])
    first = np.log(np.exp(s).sum()) - s[1]
    second = np.log(tied.sum()) - s[[0, 2, 3]].mean()
    third = np.log(tied.sum() * 2 / 3) - s[[0, 2, 3]].mean()
    assert_allclose(value_of(PlackettLuce(k=3), s, teacher), (first + second + third) / 3)


def test_plackett_luce_shares_the_last_two_places_of_the_table():
    s, teacher = np.array([0.2, -0.3, 0.9]), [3.0, 1.0, 1.0]
    tied = np.exp(s[1:]).sum()
    first = np.log(np.exp(s).sum()) - s[0]
    second = np.log(tied) - s[1:].mean()
    third = np.log(tied / 2) - s[1:].mean()
    assert_allclose(value_of(PlackettLuce(k=3), s, teacher), (first + second + third) / 3)


def test_plackett_luce_of_two_tied_pairs():
    s, teacher = np.array([0.2, -0.3, 0.9, 0.4]), [1.0, 3.0, 1.0, 3.0]
    upper, lower = np.exp(s[[1, 3]]).sum(), np.exp(s[[0, 2]]).sum()
    denominators = np.log([upper + lower, upper / 2 + lower, lower, lower / 2])
    expected = denominators.sum() - 2 * s[[1, 3]].mean() - 2 * s[[0, 2]].mean()
    assert_allclose(value_of(PlackettLuce(k=4), s, teacher), expected / 4)


def test_plackett_luce_of_labels_orders_relevant_rows_alone():
    s = np.array([0.2, -0.3, 0.9, 0.4])
    first = np.log(np.exp(s).sum()) - s[1]
    second = np.log(np.exp(s[[0, 2, 3]]).sum()) - s[2]
    found = value_of(PlackettLuce(k=4), s, [0.0, 2.0, 1.0, 0.0], "hard")
    assert_allclose(found, (first + second) / 2)
    assert_allclose(value_of(PlackettLuce(k=4), s, [0.0, 1.0, 0.0, 0.0], "hard"), first)


def test_plackett_luce_of_a_list_with_as_many_rows_as_places():
    """Nothing is left beyond the places of the first query; the second has two more rows."""
    s, teacher = np.array([0.2, -0.3, 0.9, 0.4, 0.1, -0.6]), np.array([2.0, 1, 1, 4, 3, 2])
    queries, loss = Queries.from_sizes([2, 4]), PlackettLuce(k=2)
    found = loss.value_and_gradient(s, loss.soft_target(teacher, queries), queries)[0]
    alone = [value_of(loss, s[rows], teacher[rows]) for rows in (slice(0, 2), slice(2, 6))]
    assert_allclose(found, np.mean(alone))


def test_plackett_luce_of_tied_rows_is_the_mean_over_their_orders():
    """Exactly, if the student ties them too: then all their orders are equally likely."""
    s, teacher = np.array([0.5, 0.1, 0.1, -0.4]), np.array([0.0, 2.0, 2.0, 1.0])
    orders = teacher + np.array([[0, 0.1, 0, 0], [0, 0, 0.1, 0]])
    expected = np.mean([value_of(PlackettLuce(k=4), s, order) for order in orders])
    assert_allclose(value_of(PlackettLuce(k=4), s, teacher), expected)


def test_rank_listwise_by_hand():
    """Only the order of the teacher's scores counts; ties share the mean of their places."""
    s, p = np.array([0.2, -0.3, 0.9, 0.4]), np.exp(-np.arange(4) / 2)
    p[1:3] = p[1:3].mean()
    p = p[[3, 0, 1, 2]] / p.sum()
    expected = p @ (np.log(p) - np.log(np.exp(s) / np.exp(s).sum()))
    assert_allclose(value_of(RankListwise(decay=2.0), s, [-5.0, 1e9, 3.0, 3.0]), expected)


@pytest.mark.parametrize("sizes", [[300, 300], [300, 40, 500]])
def test_rank_listwise_of_long_lists(sizes):
    """Places beyond 12 times the decay have no part; the last of the others may be tied."""
    rng, queries, decay = np.random.default_rng(0), Queries.from_sizes(sizes), 5.0
    teacher = rng.permutation(queries.n_rows) // 7 * 1.0
    found = RankListwise(decay).soft_target(teacher, queries)
    for rows in np.split(np.arange(queries.n_rows), queries.offsets[1:-1]):
        place = np.arange(len(rows))
        worth = np.where(place < 12 * decay, np.exp(-place / decay), 0)
        order = rows[np.argsort(-teacher[rows], kind="stable")]
        for value in np.unique(teacher[rows]):
            worth[teacher[order] == value] = worth[teacher[order] == value].mean()
        assert_allclose(found[order], worth / worth.sum(), rtol=1e-12)


def test_rank_listwise_of_a_sample_stands_for_all_rows():
    """Rows of importance w are worth what w equal rows would be worth at their places."""
    scores, importance = np.array([3.0, 5.0, 4.0, 4.0]), np.array([4, 1, 2, 3])
    loss, queries = RankListwise(decay=2.0), Queries.single(4)
    found = loss.sampled_soft_target(scores, np.log(importance), queries)
    all_rows = loss.soft_target(np.repeat(scores, importance), Queries.single(10))
    assert_allclose(found, np.add.reduceat(all_rows, [0, 4, 5, 7]))
    assert_allclose(
        loss.sampled_soft_target(scores, np.zeros(4), queries), loss.soft_target(scores, queries)
    )


def test_top_k_shares_tied_places():
    """The teacher ties three rows for the two places of positives; the fourth is a negative."""
    s, teacher = np.array([-1.0, 1.0, 0.5, 0.0]), [2.0, 2.0, 2.0, 1.0]
    discount, misplaced = (1 + np.exp(-1 / 10)) / 3, np.maximum([3 - 1, 0 - 1, 1 - 1], 0)
    up = discount * (1 + np.tanh(0.1 * misplaced))
    up = np.append(up / up.sum(), 0)
    down = np.array([1 / 3, 1 / 3, 1 / 3, 1]) / 2
    expected = up @ binary_cross_entropy(s, 1) + down @ binary_cross_entropy(s, 0)
    assert_allclose(value_of(LOSSES["top_k"](k=2), s, teacher), expected)


@pytest.mark.filterwarnings("error")
def test_top_k_of_a_decay_that_leaves_a_positive_no_weight():
    """The weight exp(-1 / 0.001) of the second positive is 0: it teaches nothing."""
    scores = [-1.0, 1.0, 0.5]
    expected = binary_cross_entropy(-1.0, 1) + binary_cross_entropy(0.5, 0)
    loss = LOSSES["top_k"](k=2, decay=0.001)
    assert_allclose(value_of(loss, scores, [3.0, 2.0, 1.0]), expected)


def test_lambda_gains_of_tied_rows_are_their_mean():
    gain = LOSSES["lambda"](k=4).soft_target(np.array([1.0, 5.0, 1.0, 0.0]), Queries.single(4))
    assert_allclose(gain[:, 1], [(3 / 4 + 2 / 4) / 2, 1, (3 / 4 + 2 / 4) / 2, 1 / 4])


def test_top_k_by_hand():
    """One positive, ranked first by the teacher and last by the student, and two negatives."""
    scores = [-1.0, 1.0, 0.5]
    negatives = (binary_cross_entropy(1.0, 0) + binary_cross_entropy(0.5, 0)) / 2
    expected = binary_cross_entropy(-1.0, 1) + negatives
    assert_allclose(value_of(LOSSES["top_k"](k=1), scores, [3.0, 2.0, 1.0]), expected)
    # Two positives: the first is misplaced by two places, the second not at all.
    weights = [np.exp(-0 / 10) * (1 + np.tanh(0.1 * 2)), np.exp(-1 / 10) * 1]
    positives = weights[0] * binary_cross_entropy(-1.0, 1) + weights[1] * binary_cross_entropy(1, 1)
    expected = positives / sum(weights) + binary_cross_entropy(0.5, 0)
    assert_allclose(value_of(LOSSES["top_k"](k=2), scores, [3.0, 2.0, 1.0]), expected)


@pytest.mark.parametrize("name", [name for name in LOSSES if has_temperature(LOSSES[name])])
def test_a_temperature_divides_the_scores_of_both(name):
    """At T = 2, scores that are twice as large have the same loss, but for a constant factor."""
    rng = np.random.default_rng(0)
    scores, teacher, others = rng.standard_normal((3, 6))
    warm, cold = get_loss(name, 2.0), get_loss(name, 1.0)
    factors = [
        value_of(warm, 2 * scores, 2 * teacher) / value_of(cold, scores, teacher),
        value_of(warm, 2 * others, 2 * teacher) / value_of(cold, others, teacher),
    ]
    assert factors[0] == pytest.approx(factors[1])
    assert value_of(warm, scores, teacher) != pytest.approx(value_of(cold, scores, teacher))


def test_top_k_weighs_what_the_student_misplaces():
    loss = get_loss("top_k")
    queries = Queries.single(20)
    target = loss.soft_target(np.arange(20.0), queries)
    scores = np.arange(20.0)
    scores[19] = -1
    _, gradient = loss.value_and_gradient(np.zeros(20) + 1e-9 * scores, target, queries)
    assert gradient[19] < gradient[18] < 0 < gradient[0]


def test_pointwise_by_hand():
    scores, teacher, weight = [1.0, 0.0, 2.0], [10.0, 20.0, 60.0], [1.0, 4.0, 0.5]
    standard = (np.array(teacher) - 30) / np.sqrt((20**2 + 10**2 + 30**2) / 3)
    squares = (np.array(scores) - standard) ** 2
    for kind in ("soft", "hard"):
        assert_allclose(value_of(get_loss("pointwise"), scores, teacher, kind), squares.sum() / 3)
        weighted = value_of(get_loss("pointwise"), scores, teacher, kind, weight)
        assert_allclose(weighted, (1 * squares[0] + 4 * squares[1] + 0.5 * squares[2]) / 3)


def test_logistic_by_hand():
    terms = [binary_cross_entropy(1.0, 0.3), binary_cross_entropy(-2.0, 0.9)]
    for kind in ("soft", "hard"):
        assert_allclose(
            value_of(get_loss("logistic"), [1.0, -2.0], [0.3, 0.9], kind), sum(terms) / 2
        )
        weighted = value_of(get_loss("logistic"), [1.0, -2.0], [0.3, 0.9], kind, [4.0, 0.5])
        assert_allclose(weighted, (4 * terms[0] + 0.5 * terms[1]) / 2)


@pytest.mark.parametrize("n_irrelevant", [2, 40])
def test_listwise_labels_by_hand(n_irrelevant):
    """Few relevant rows of many are picked out, which changes nothing."""
    labels = np.r_[2.0, 1.0, np.zeros(n_irrelevant)]
    scores = np.r_[0.5, -1.0, np.linspace(-1, 1, n_irrelevant)]
    p, q = np.array([3 / 4, 1 / 4]), softmax(scores)[:2]
    found = value_of(get_loss("listwise"), scores, labels, "hard")
    assert_allclose(found, np.sum(p * np.log(p / q)))
    weight = np.r_[2.0, 5.0, np.full(n_irrelevant, 9.0)]
    weighted = value_of(get_loss("listwise"), scores, labels, "hard", weight)
    assert_allclose(weighted, np.sum([2, 5] * p * np.log(p / q)))


@pytest.mark.parametrize("n_relevant", [1, 3, 4])
def test_listwise_picks_out_the_relevant_rows_up_to_a_tenth(n_relevant):
    target = np.zeros(30)
    target[[5, 17, 20, 29][:n_relevant]] = 0.5
    rows, segment = support(target, Queries.from_sizes([10, 20]))
    if n_relevant > 0.1 * 30:
        assert rows == slice(None)
        assert segment is None
    else:
        assert_array_equal(rows, [5, 17, 20][:n_relevant])
        assert_array_equal(segment, [0, 1, 1][:n_relevant])


def test_pairs_are_formed_from_the_first_k_rows_of_the_target():
    """With k = 1, row 0 with rows 2 and 1, but not row 2 with row 1."""
    scores, teacher = np.array([0.0, 1.0, 0.5]), np.array([30.0, 10.0, 20.0])
    t = teacher / np.sqrt(200 / 3)
    errors = [((scores[0] - scores[j]) - (t[0] - t[j])) ** 2 for j in (2, 1)]
    assert_allclose(value_of(LOSSES["margin"](k=1), scores, teacher), sum(errors) / 2)
    terms = [
        binary_cross_entropy(scores[0] - scores[j], 1 / (1 + np.exp(-(teacher[0] - teacher[j]))))
        for j in (2, 1)
    ]
    assert_allclose(value_of(LOSSES["pairwise"](k=1), scores, teacher), sum(terms) / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_the_unit_of_a_score_is_the_teachers_deviation_where_targets_are_standardised(name):
    unit = np.sqrt((20**2 + 10**2 + 30**2) / 3) if name in ("pointwise", "margin") else 1
    assert get_loss(name).score_unit(np.array([10.0, 20.0, 60.0])) == pytest.approx(unit)
    assert get_loss(name).score_unit(np.full(3, 7.0)) == 1


@pytest.mark.parametrize("name", ["pointwise", "margin"])
def test_the_unit_of_a_teacher_does_not_matter(name):
    scores, teacher = np.array([0.0, 1.0, 0.5]), np.array([30.0, 10.0, 20.0])
    loss = get_loss(name)
    assert_allclose(value_of(loss, scores, teacher / 1000), value_of(loss, scores, teacher))


def test_top_k_takes_relevant_rows_alone_as_positives():
    """With k = 2, the second label is 0; with k = 1, the second relevant row is a negative."""
    scores = [1.0, -1.0, 0.5]

    def negatives(*rows):
        return sum(binary_cross_entropy(scores[row], 0) for row in rows) / len(rows)

    expected = binary_cross_entropy(1.0, 1) + negatives(1, 2)
    assert_allclose(value_of(LOSSES["top_k"](k=2), scores, [3.0, 0.0, 0.0], "hard"), expected)
    assert_allclose(value_of(LOSSES["top_k"](k=1), scores, [3.0, 0.0, 2.0], "hard"), expected)
    # Nothing but positives, or nothing but negatives, has no order.
    assert value_of(LOSSES["top_k"](k=3), scores, [3.0, 1.0, 2.0], "hard") == 0
    assert value_of(LOSSES["top_k"](k=3), scores, [0.0, 0.0, 0.0], "hard") == 0


def test_probabilities_lie_between_0_and_1():
    assert value_of(get_loss("logistic"), [0.0, 0.0], [0.0, 1.0]) == pytest.approx(np.log(2))
    for wrong in ([-0.1, 0.5], [0.5, 1.1]):
        with pytest.raises(
            ValueError, match=r"probabilities: the teacher's scores must.* Use a classifier as t"
        ):
            value_of(get_loss("logistic"), [0.0, 0.0], wrong)
        with pytest.raises(ValueError, match=r"probabilities: y must .* Use labels 0 and 1, or"):
            value_of(get_loss("logistic"), [0.0, 0.0], wrong, "hard")


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_tell_relevant_rows_from_others_refuse_negative_labels(name):
    """Rows of label 0 would count as irrelevant beside those of label -1."""
    labels, queries = np.array([-1.0, 0.0, 1.0]), Queries.single(3)
    if name in ("pointwise", "pairwise", "margin"):
        shifted = get_loss(name).hard_target(labels + 1, queries)
        scores = np.array([0.5, -1.0, 0.2])
        values = [
            get_loss(name).value_and_gradient(scores, target, queries)[0]
            for target in (get_loss(name).hard_target(labels, queries), shifted)
        ]
        assert_allclose(*values)
    else:
        with pytest.raises(ValueError, match=r"0 or more|must lie in \[0, 1\]"):
            get_loss(name).hard_target(labels, queries)
