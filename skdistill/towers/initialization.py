"""Spectral start: initial embeddings whose dot products approximate a matrix of pairs.

The matrix, of the teacher's scores or of the logged pairs, is factorised by its leading singular
vectors, and the towers' last layers are fitted to the two factors. Training then needs far fewer
epochs than from random weights; from logged pairs, it also ends at better towers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.utils.extmath import randomized_svd

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.rows import Rows
from skdistill.models.network import Network
from skdistill.models.two_tower import TwoTower, side
from skdistill.protocols import Array, Parameters

# Ridges of the fit to the factors. With scores it is small, because each id occurs in one row of
# its table: a ridge of 1 halves its embedding. The factors of a log are noisier, and other columns
# should explain what they can (docs/decisions/0021).
RIDGE, LOG_RIDGE = 0.01, 1.0
# Power iterations of the decomposition of a dense matrix. Each reads it twice, and training mends
# what two of them miss.
DENSE_ITERATIONS = 2
# Number of zeros added to the sampled scores of an item, to shrink its mean towards 0.
PRIOR = 5.0


# Powers of a query's and of an item's number of logged pairs that a pair is divided by. The first
# makes queries equal; the second lets frequent items keep some of their weight.
QUERY_POWER, ITEM_POWER = 1 / 2, 1 / 3


@dataclass(frozen=True)
class Factors:
    """Factors of a matrix of pairs.

    Parameters
    ----------
    queries, items : ndarray of shape (n_queries, rank) and (n_items, rank)
        Their product approximates the matrix.
    item_bias : ndarray of shape (n_items,)
        What is to be added for each item.
    ridge : float
        How strongly the weights that are fitted to the factors are drawn to 0.
    """

    queries: Array
    items: Array
    item_bias: Array
    ridge: float


class MatrixOfPairs(Protocol):
    """What a spectral start factorises."""

    def factorize(self, rank: int, centres_items: bool, random_state: int) -> Factors | None:
        """Factorise the matrix; None if there is nothing in it.

        ``centres_items`` tells whether the towers have a bias per item, which then stands apart.
        """


@dataclass(frozen=True)
class TeacherMatrix:
    """The teacher's scores, which are centred by query and by item.

    Parameters
    ----------
    scores : ndarray or CSR matrix of shape (n_queries, n_items)
        The teacher's scores; a CSR matrix is a uniform sample of them.
    """

    scores: Any

    def factorize(self, rank: int, centres_items: bool, random_state: int) -> Factors | None:
        scores = self.scores
        if sparse.issparse(scores):
            residual, item_mean = _centre_sample(scores, centres_items)
        else:
            residual = scores - scores.mean(axis=1, keepdims=True)
            item_mean = residual.mean(axis=0)
            if centres_items:
                residual -= item_mean
        rank = min(rank, *(n - 1 for n in residual.shape))
        if rank < 1:
            return None
        n_iter = "auto" if sparse.issparse(residual) else DENSE_ITERATIONS
        left, strength, right = randomized_svd(
            residual, rank, n_iter=n_iter, random_state=random_state
        )
        if sparse.issparse(scores):
            strength = _shrink(strength, residual, random_state)
            rank = int((strength > 0).sum())
            if not rank:
                return None
            left, strength, right = left[:, :rank], strength[:rank], right[:rank]
        root = np.sqrt(strength)
        return Factors(left * root, right.T * root, item_mean, RIDGE)


@dataclass(frozen=True)
class LoggedPairs:
    """The pairs of a log with a positive label, each divided by powers of its two counts.

    Parameters
    ----------
    log : CSR array of shape (n_queries, n_items), bool

    References
    ----------
    Cremonesi, Koren, Turrin, "Performance of Recommender Algorithms on Top-N Recommendation Tasks",
    RecSys 2010.
    """

    log: Any

    def factorize(self, rank: int, centres_items: bool, random_state: int) -> Factors | None:
        n_queries, n_items = self.log.shape
        rank = min(rank, n_queries - 1, n_items - 1)
        if rank < 1 or not self.log.nnz:
            return None
        sizes = np.diff(self.log.indptr)
        per_item = np.bincount(self.log.indices, minlength=n_items)
        data = np.repeat(np.maximum(sizes, 1.0) ** -QUERY_POWER, sizes)
        data *= per_item[self.log.indices] ** -ITEM_POWER
        scaled = sparse.csr_array(
            (data.astype(np.float32), self.log.indices, self.log.indptr), self.log.shape
        )
        left, strength, right = randomized_svd(scaled, rank, random_state=random_state)
        root = np.sqrt(strength)
        return Factors(left * root, right.T * root, np.zeros(n_items), LOG_RIDGE)


def start_from_spectrum(
    model: TwoTower,
    params: Parameters,
    query_rows: Rows,
    item_rows: Rows,
    matrix: MatrixOfPairs,
    random_state: int,
) -> None:
    """Initialise the towers' last layers in place.

    Parameters
    ----------
    model : TwoTower
    params : dict of ndarray
        Parameters of both towers; their last layers are overwritten.
    query_rows, item_rows : Rows
        Encoded and scaled tables.
    matrix : MatrixOfPairs
        Of shape (n_queries, n_items).
    random_state : int
        Seed of the randomised decomposition.
    """
    rank = model.embedding_dim - model.item_bias
    factors = matrix.factorize(rank, model.item_bias, random_state)
    if factors is None:
        return
    rank = factors.queries.shape[1]
    items = factors.items
    if model.item_bias:
        items = np.column_stack([items, factors.item_bias])
    ridge, copies = factors.ridge, model.n_objectives
    queries = factors.queries
    _fit_last_layer(model.query_tower, "query_", params, query_rows, queries, rank, ridge, copies)
    _fit_last_layer(model.item_tower, "item_", params, item_rows, items, rank, ridge)


def _centre_sample(scores: Any, by_item: bool) -> tuple[Any, Array]:
    """Centre the stored scores, and scale them by their importance; also return item means."""
    n_queries, n_items = scores.shape
    row = np.repeat(np.arange(n_queries), np.diff(scores.indptr))
    counts = np.maximum(np.bincount(row, minlength=n_queries), 1)
    means = np.bincount(row, scores.data, minlength=n_queries) / counts
    data = scores.data - means[row]
    item = scores.indices
    per_item = np.bincount(item, minlength=n_items)
    item_mean = np.bincount(item, data, minlength=n_items) / (per_item + PRIOR)
    if by_item:
        data = data - item_mean[item]
    data = (data * (n_items / counts[row])).astype(np.float32)
    return sparse.csr_array((data, item, scores.indptr), shape=scores.shape), item_mean


def _shrink(strength: Array, sample: Any, random_state: int) -> Array:
    """Remove from the singular values of a sampled matrix what sampling adds; noise becomes 0.

    The noise level is the largest singular value after random sign flips, which keep the size of
    every entry and destroy all structure.

    References
    ----------
    Hong, Sheng, Dobriban, "Selecting the Number of Components in PCA via Random Signflips", 2020.
    """
    signs = np.random.default_rng(random_state).choice([-1, 1], size=sample.nnz)
    flipped = sparse.csr_array(
        ((sample.data * signs).astype(np.float32), sample.indices, sample.indptr), sample.shape
    )
    edge = randomized_svd(flipped, 1, random_state=random_state)[1][0]
    return np.sqrt(np.maximum(strength**2 - edge**2, 0))


def _fit_last_layer(
    tower: Network,
    prefix: str,
    params: Parameters,
    rows: Rows,
    target: Array,
    rank: int,
    ridge: float,
    n_copies: int = 1,
) -> None:
    """Fit the last layer to a target by ridge regression; outputs beyond the rank stay random."""
    last = tower.n_layers - 1
    _, (_, activations) = tower.forward(side(prefix, params), rows)
    reaching = activations[-1] if activations else rows.X
    if isinstance(reaching, MixedTable):
        reaching = reaching.to_csr()
    solver = "sparse_cg" if sparse.issparse(reaching) else "cholesky"
    fitted = Ridge(ridge, solver=solver, tol=1e-3).fit(reaching, target.astype(np.float32))
    weights, bias = params[f"{prefix}weights_{last}"], params[f"{prefix}bias_{last}"]
    coefficients = np.atleast_2d(fitted.coef_).T
    intercept = np.atleast_1d(fitted.intercept_)
    # All objectives start from the teacher's embedding of the query.
    weights.reshape(len(weights), n_copies, -1)[..., :rank] = coefficients[:, None, :rank]
    bias.reshape(n_copies, -1)[:, :rank] = intercept[:rank]
    if target.shape[1] > rank:
        weights[:, -1], bias[-1] = coefficients[:, -1], intercept[-1]
