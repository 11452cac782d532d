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
    """A source of one step of these rows, whose objective is twice the sum of their scores."""

    n_steps = 1

    def __init__(self, X):
        self.X = X

    def epoch(self, epoch, params, rng):
        self.seen = epoch, params, rng
        yield Rows(self.X), lambda scores: (2 * float(scores.sum()), np.full_like(scores, 2))


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


def epochs_of(sizes, n_epochs=2):
    """The rows of each epoch, all of one random generator."""
    rng, queries = np.random.default_rng(0), Queries.from_sizes(sizes)
    return [
        [rows for rows, _ in query_batches(queries, training_settings(), rng)]
        for _ in range(n_epochs)
    ]


def test_a_long_query_is_cut_into_other_random_lists_in_each_epoch():
    """25 rows make lists of 9, 8 and 8, each of which reaches across the whole query."""
    lists = [{frozenset(rows) for rows in epoch} for epoch in epochs_of([25])]
    for of_epoch in lists:
        assert sorted(len(rows) for rows in of_epoch) == [8, 8, 9]
        assert all(max(rows) - min(rows) > 9 for rows in of_epoch)
    assert not lists[0] & lists[1]


def test_queries_come_in_another_order_in_each_epoch():
    first, second = (np.concatenate(epoch) for epoch in epochs_of([1] * 40))
    assert not np.array_equal(first, np.arange(40))
    assert not np.array_equal(first, second)


def test_queries_within_the_budget_keep_the_order_of_their_rows():
    (epoch,) = epochs_of([10, 10, 10], n_epochs=1)
    assert all((np.diff(rows) == 1).all() for rows in epoch)


def test_bounds_respect_both_budgets():
    queries = Queries.from_sizes([2, 2, 2, 2, 9, 9, 1])
    expected = [(0, 3), (3, 4), (4, 5), (5, 7)]
    assert batch_bounds(queries, training_settings(), np.arange(7)) == expected
    assert batch_bounds(queries, training_settings()) == expected
    # A query that is longer than the budget has a step of its own.
    long = Queries.from_sizes([2, 15, 2])
    assert batch_bounds(long, training_settings()) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize(("fraction", "n_drawn"), [(0.2, 1), (0.5, 4), (0.75, 12), (0.01, 1)])
def test_synthetic_rows_join_each_step_with_their_squared_error(fraction, n_drawn):
    real, synthetic = np.zeros((4, 1)), np.array([[1.0], [2], [3]])
    target = np.array([10.0, 20, 30])
    batches = AugmentedBatches(OneStep(real), Rows(synthetic), target, fraction)
    assert batches.n_steps == 1
    arguments = 7, {"weights": np.ones(1)}, np.random.default_rng(0)
    ((inputs, evaluate),) = batches.epoch(*arguments)
    assert batches.batches.seen == arguments
    assert_array_equal(inputs.X[:4], real)
    drawn = inputs.X[4:, 0]
    assert len(drawn) == n_drawn  # so that they are that fraction of the step's rows
    scores = np.arange(4.0 + n_drawn)
    value, gradient = evaluate(scores)
    errors = scores[4:] - 10 * drawn
    assert value == pytest.approx(
        (1 - fraction) * 2 * (0 + 1 + 2 + 3) + fraction * (errors**2).mean()
    )
    assert_allclose(gradient[:4], (1 - fraction) * 2)
    assert_allclose(gradient[4:], fraction * 2 * errors / n_drawn)
