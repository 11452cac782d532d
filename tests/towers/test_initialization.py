"""Towers that start from the spectrum of the teacher."""

import numpy as np
import pytest
from scipy import sparse

from skdistill.inputs.pairs import PairGrid, Pairs
from skdistill.inputs.rows import Rows
from skdistill.models import TwoTower
from skdistill.towers.initialization import LoggedPairs, TeacherMatrix, start_from_spectrum


def start(matrix, shape, model):
    """Scores of towers over ids that start from a matrix of pairs."""
    rows = [Rows(sparse.eye_array(n, format="csr", dtype=np.float32)) for n in shape]
    params = model.initialize(shape, np.random.default_rng(0))
    start_from_spectrum(model, params, *rows, matrix, 0)
    return model.forward(params, Pairs(*rows, (PairGrid(),)))[0].reshape(shape)


def started(scores, hidden=()):
    """Scores of towers over ids that start from a teacher's scores."""
    matrix = TeacherMatrix(scores.astype(np.float32))
    return start(matrix, scores.shape, TwoTower(4, hidden, hidden))


def agreement(found, scores):
    found, scores = (values - values.mean(axis=1, keepdims=True) for values in (found, scores))
    return np.corrcoef(found.ravel(), scores.ravel())[0, 1]


def low_rank(rng, n_queries=40, n_items=60):
    """Scores of rank 3 with an item bias, and levels of the queries that mean nothing."""
    scores = rng.standard_normal((n_queries, 3)) @ rng.standard_normal((3, n_items))
    return scores + rng.standard_normal(n_items) + 100 * rng.standard_normal((n_queries, 1))


@pytest.mark.parametrize("hidden", [(), (200,)])
def test_start_from_the_spectrum_gives_the_scores_of_low_rank(hidden):
    """In id columns the start is the teacher already."""
    scores = low_rank(np.random.default_rng(0))
    assert agreement(started(scores, hidden=hidden), scores) > 0.99


def test_a_uniform_sample_of_the_scores_is_enough():
    rng = np.random.default_rng(1)
    scores = low_rank(rng, 300, 200)
    # A quarter of the items of each query.
    column = np.argsort(rng.random(scores.shape), axis=1)[:, :50]
    row = np.repeat(np.arange(300), 50)
    sample = sparse.csr_array((scores[row, column.ravel()], (row, column.ravel())), scores.shape)
    found = started(sample)
    assert agreement(found, scores) > 0.8
    # The sampled scores stand for all: the start is neither a quarter nor four times as large.
    centred = [values - values.mean(axis=1, keepdims=True) for values in (found, scores)]
    slope = np.sum(centred[0] * centred[1]) / np.sum(centred[1] ** 2)
    assert 0.5 < slope < 1.5


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_of_noise_teaches_next_to_nothing(seed):
    """Unshrunk, the largest singular values of noise would give scores almost as large as it."""
    rng = np.random.default_rng(seed)
    noise = sparse.random_array((200, 150), density=0.1, rng=rng, format="csr")
    noise.data[:] = rng.standard_normal(noise.nnz)
    assert started(noise).std() < 0.3


def groups(n_queries=60, n_items=40, n_groups=4):
    """A log in which each query has half of the items of its group, and the other half."""
    rng = np.random.default_rng(0)
    same = np.arange(n_queries)[:, None] % n_groups == np.arange(n_items) % n_groups
    is_logged = same & (rng.random(same.shape) < 0.5)
    return is_logged, same & ~is_logged


@pytest.mark.parametrize("item_bias", [False, True])
def test_logged_pairs_tell_which_items_go_together(item_bias):
    logged, others = groups()
    log = sparse.csr_array(logged)
    found = start(LoggedPairs(log), log.shape, TwoTower(6, item_bias=item_bias))
    # Items of the same group that a query has not come before those of other groups.
    assert found[others].mean() > found[~logged & ~others].mean() + 3 * found[~logged].std() / 2


def test_the_spectrum_of_logged_pairs_divides_by_powers_of_both_counts():
    logged, _ = groups()
    n_of_query, n_of_item = logged.sum(axis=1), logged.sum(axis=0)
    scaled = logged / np.sqrt(np.maximum(n_of_query, 1))[:, None]
    scaled = scaled / np.maximum(n_of_item, 1) ** (1 / 3)
    left, strength, right = np.linalg.svd(scaled, full_matrices=False)
    factors = LoggedPairs(sparse.csr_array(logged)).factorize(4, True, 0)
    expected = (left[:, :4] * strength[:4]) @ right[:4]
    np.testing.assert_allclose(factors.queries @ factors.items.T, expected, atol=1e-3)
    assert not factors.item_bias.any()


def test_a_log_without_positives_leaves_the_towers_as_they_were():
    empty = LoggedPairs(sparse.csr_array((5, 6), dtype=bool))
    assert empty.factorize(3, True, 0) is None
    model = TwoTower(4)
    assert start(empty, (5, 6), model).any()
