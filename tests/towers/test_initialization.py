"""Towers that start from the spectrum of the teacher."""

import numpy as np
import pytest
from scipy import sparse

from skdistill.inputs.pairs import PairGrid, Pairs
from skdistill.inputs.rows import Rows
from skdistill.models import TwoTower
from skdistill.towers.initialization import start_from_spectrum


def started(scores, hidden=()):
    """Scores of towers over ids that start from a teacher's scores."""
    model = TwoTower(4, hidden, hidden)
    rows = [Rows(sparse.eye_array(n, format="csr", dtype=np.float32)) for n in scores.shape]
    params = model.initialize(scores.shape, np.random.default_rng(0))
    start_from_spectrum(model, params, *rows, scores.astype(np.float32), 0)
    return model.forward(params, Pairs(*rows, (PairGrid(),)))[0].reshape(scores.shape)


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
