"""Mini-batches of whole queries: every row once, within both budgets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.training.query_batches import (
    AugmentedBatches,
    batch_bounds,
    cut,
    query_batches,
)
from tests.numeric import training_settings


class OneStep:
    """A source of one step of these rows, whose objective is the sum of their scores."""

    n_steps = 1

    def __init__(self, X):
        self.X = X

    def epoch(self, epoch, params, rng):
        yield Rows(self.X), lambda scores: (float(scores.sum()), np.ones_like(scores))


@given(st.lists(st.integers(1, 35), min_size=1, max_size=30), st.integers(0, 1000))
def test_an_epoch_sees_every_row_once_in_whole_queries(sizes, seed):
    queries = Queries.from_sizes(sizes)
    seen = []
    pieces = 0
    for rows, batch in query_batches(queries, training_settings(), np.random.default_rng(seed)):
        assert batch.n_queries <= 3
        assert batch.n_rows <= 10
        seen.append(rows)
        pieces += batch.n_queries
        for query in range(batch.n_queries):
            owner = queries.segment[rows[batch.offsets[query] : batch.offsets[query + 1]]]
            assert len(set(owner)) == 1
            if queries.sizes[owner[0]] <= 10:
                assert len(owner) == queries.sizes[owner[0]]
    assert_array_equal(np.sort(np.concatenate(seen)), np.arange(queries.n_rows))
    assert pieces == cut(queries, 10).n_queries


def test_bounds_respect_both_budgets():
    queries = Queries.from_sizes([2, 2, 2, 2, 9, 9, 1])
    bounds = batch_bounds(queries, training_settings(), np.arange(7))
    assert bounds == [(0, 3), (3, 4), (4, 5), (5, 7)]


@pytest.mark.parametrize(("fraction", "n_drawn"), [(0.2, 1), (0.5, 4), (0.75, 12), (0.01, 1)])
def test_synthetic_rows_join_each_step_with_their_squared_error(fraction, n_drawn):
    real, synthetic = np.zeros((4, 1)), np.array([[1.0], [2], [3]])
    target = np.array([10.0, 20, 30])
    batches = AugmentedBatches(OneStep(real), Rows(synthetic), target, fraction)
    assert batches.n_steps == 1
    ((inputs, evaluate),) = batches.epoch(0, {}, np.random.default_rng(0))
    assert_array_equal(inputs.X[:4], real)
    drawn = inputs.X[4:, 0]
    assert len(drawn) == n_drawn  # so that they are that fraction of the step's rows
    scores = np.arange(4.0 + n_drawn)
    value, gradient = evaluate(scores)
    errors = scores[4:] - 10 * drawn
    assert value == pytest.approx((1 - fraction) * (0 + 1 + 2 + 3) + fraction * (errors**2).mean())
    assert_allclose(gradient[:4], 1 - fraction)
    assert_allclose(gradient[4:], fraction * 2 * errors / n_drawn)
