"""Mini-batches of whole queries: every row once, within both budgets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skdistill.inputs.queries import Queries
from skdistill.training.loop import TrainingSettings
from skdistill.training.query_batches import batch_bounds, cut, query_batches

sizes_of_queries = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def settings(**changes):
    defaults = {
        "max_iter": 1,
        "batch_size": 3,
        "max_batch_rows": 10,
        "optimizer": "adam",
        "learning_rate_init": 1e-3,
        "learning_rate": "constant",
        "weight_decay": 0.0,
        "n_iter_no_change": 5,
        "tol": 0.0,
    }
    return TrainingSettings(**{**defaults, **changes})


@given(st.lists(st.integers(1, 35), min_size=1, max_size=30), st.integers(0, 1000))
def test_an_epoch_sees_every_row_once_in_whole_queries(sizes, seed):
    queries = Queries.from_sizes(sizes)
    seen = []
    pieces = 0
    for rows, batch in query_batches(queries, settings(), np.random.default_rng(seed)):
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
    bounds = batch_bounds(queries, settings(), np.arange(7))
    assert bounds == [(0, 3), (3, 4), (4, 5), (5, 7)]
