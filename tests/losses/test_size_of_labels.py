"""Labels of any size teach what they say: 2^y and float32 overflow long before float64 does."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skdistill.inputs.queries import Queries
from skdistill.losses import LOSSES, get_loss
from skdistill.losses.pairwise import CERTAIN, logits_of
from skdistill.training.objective import Objective

SIZES = [1, 4, 6, 3]
TAKES_ANY_LABEL = [name for name in LOSSES if not get_loss(name).is_log_odds]
ORDER_ONLY = ["pairwise", "plackett_luce", "top_k"]
# Finite labels from the smallest float to the largest, with ties.
LABELS = st.sampled_from([0.0, 5e-324, 1e-300, 0.5, 1.0, 2.0, 3.0, 1023.0, 1024.0, 1e10, 1e308])


def objective_of(name, labels):
    """The loss on labels as training has it: its target in float32."""
    queries = Queries.from_sizes(SIZES)
    soft = hard = get_loss(name)
    return queries, Objective.mix(queries, soft=soft, hard=hard, alpha=0.0, labels=labels)


def gradient_of(name, labels):
    queries, objective = objective_of(name, labels)
    scores = np.linspace(-1, 1, queries.n_rows, dtype=np.float32)
    return objective.value_and_gradient(scores, np.arange(queries.n_rows), queries)


@pytest.mark.parametrize("name", TAKES_ANY_LABEL)
@given(labels=st.lists(LABELS, min_size=sum(SIZES), max_size=sum(SIZES)))
def test_the_loss_of_any_labels_is_finite(name, labels):
    value, gradient = gradient_of(name, np.array(labels))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("unit", [1000.0, 1e9, 1e307])
@pytest.mark.parametrize("name", ORDER_ONLY)
def test_grades_far_apart_are_preferred_as_grades_are(name, unit):
    labels = np.random.default_rng(0).integers(0, 4, sum(SIZES)).astype(float)
    value, gradient = gradient_of(name, labels)
    far_value, far_gradient = gradient_of(name, labels * unit)
    assert np.abs(gradient).max() > 0.01
    assert far_value == pytest.approx(value)
    assert_allclose(far_gradient, gradient, rtol=1e-6)


@pytest.mark.parametrize("name", ["pointwise", "margin"])
@pytest.mark.parametrize("unit", [1e-310, 1e9, 1e307])
def test_standardised_labels_have_no_unit(name, unit):
    labels = np.random.default_rng(0).integers(0, 4, sum(SIZES)).astype(float)
    assert_allclose(gradient_of(name, labels * unit)[1], gradient_of(name, labels)[1], rtol=1e-5)


@pytest.mark.parametrize("name", ["listwise", "lambda"])
@given(labels=st.lists(st.integers(0, 3000), min_size=sum(SIZES), max_size=sum(SIZES)))
def test_gains_are_exact(name, labels):
    queries, objective = objective_of(name, np.array(labels, dtype=float))
    target = objective.terms[0].target
    for start, stop in zip(queries.offsets[:-1], queries.offsets[1:], strict=True):
        gains = [2 ** Fraction(y) - 1 for y in labels[start:stop]]
        unit = sum(gains) if name == "listwise" else max(gains)
        expected = [float(g / unit) if unit else 0.0 for g in gains]
        found = target[start:stop] if name == "listwise" else target[start:stop, 1]
        assert_allclose(found, expected, rtol=1e-6, atol=1e-37)


@given(st.lists(LABELS, min_size=sum(SIZES), max_size=sum(SIZES)))
def test_grades_keep_the_order_and_small_gaps(labels):
    queries, y = Queries.from_sizes(SIZES), np.array(labels)
    grades = logits_of(y, queries, CERTAIN) / CERTAIN
    for start, stop in zip(queries.offsets[:-1], queries.offsets[1:], strict=True):
        labels_here, grades_here = y[start:stop], grades[start:stop]
        assert grades_here.max() == 0
        for a, b in zip(*np.triu_indices(stop - start, 1), strict=True):
            gap = labels_here[a] - labels_here[b]
            difference = grades_here[a] - grades_here[b]
            # A difference below one grade stays what it is, a larger one stays at least a grade.
            expected = np.clip(gap, -1, 1)
            assert np.clip(difference, -1, 1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_gap_that_overflows_is_certain():
    logits = logits_of(np.array([1e308, -1e308, 1e308]), Queries.single(3), 1.0)
    assert_allclose(logits, [0, -CERTAIN, 0])


def test_weights_that_float32_cannot_hold_are_refused():
    from skdistill.students import LinearRanker

    X, y, qid = np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"float32: row 1 holds 1e\+308. Divide the weights"):
        LinearRanker().fit(X, y, qid=qid, sample_weight=[1, 1e308, 1, 1])
