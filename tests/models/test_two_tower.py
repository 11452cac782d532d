"""Two towers in float64: gradients over lists and grids, dense and CSR; what pairs are taken."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skdistill.inputs import rows as rows_module
from skdistill.inputs.pairs import PairGrid, PairList, Pairs
from skdistill.inputs.rows import RowGradient, Rows
from skdistill.losses import LOSSES, get_loss
from skdistill.models import TwoTower
from skdistill.training.objective import Objective
from tests.numeric import (
    example_targets,
    numeric_gradients,
    random_parameters,
    spread_rows,
)

TOWERS = {
    "linear": TwoTower(3),
    "no bias": TwoTower(3, item_bias=False),
    "mlp": TwoTower(4, (5,), (6, 3)),
    "cosine": TwoTower(3, (4,), (), item_bias=False, cosine=True),
}
BLOCKS = {
    "list": (PairList(np.array([0, 0, 0, 1, 2, 2, 2]), np.array([4, 0, 0, 2, 4, 1, 3])),),
    "grid": (PairGrid(),),
    "part of the grid": (PairGrid(np.array([2, 0]), np.array([3, 1, 0])),),
    "grid and list": (
        PairGrid(None, np.array([4, 2])),
        PairList(np.array([1, 1, 2]), np.array([0, 4, 3])),
        PairGrid(np.array([1]), None),
    ),
}


def tables(rng, form):
    users = rng.standard_normal((3, 4)) * (rng.random((3, 4)) < 0.8)
    items = rng.standard_normal((5, 6)) * (rng.random((5, 6)) < 0.8)
    return tuple(Rows(sparse.csr_array(t) if form == "csr" else t) for t in (users, items))


def brute_force(model, params, inputs):
    """Scores pair by pair, from the definition."""
    left = model.finish_queries(
        model.query_tower.forward(
            {n.removeprefix("query_"): a for n, a in params.items() if n.startswith("query_")},
            inputs.query_rows,
        )[0]
    )[0]
    right = model.finish_items(
        model.item_tower.forward(
            {n.removeprefix("item_"): a for n, a in params.items() if n.startswith("item_")},
            inputs.item_rows,
        )[0]
    )[0]
    scores = []
    for block in inputs.blocks:
        if isinstance(block, PairList):
            pairs = zip(block.query, block.item, strict=True)
        else:
            queries = range(len(left)) if block.query is None else block.query
            items = range(len(right)) if block.item is None else block.item
            pairs = [(q, i) for q in queries for i in items]
        scores += [left[q] @ right[i] for q, i in pairs]
    return np.array(scores)


@pytest.mark.parametrize("form", ["dense", "csr", "wide csr"])
@pytest.mark.parametrize("block_name", BLOCKS)
@pytest.mark.parametrize("model_name", TOWERS)
def test_scores_and_gradient_of_two_towers(model_name, block_name, form, monkeypatch):
    rng = np.random.default_rng(1)
    model = TOWERS[model_name]
    if form == "wide csr":
        monkeypatch.setattr(rows_module, "WIDE", 3)
    inputs = Pairs(*tables(rng, form.removeprefix("wide ")), BLOCKS[block_name])
    params = random_parameters(model, (4, 6), rng)
    scores, cache = model.forward(params, inputs)
    scale = np.exp(params["log_scale_bias"][0]) if model.cosine else 1
    assert_allclose(scores, scale * brute_force(model, params, inputs), rtol=1e-10)

    slope = rng.standard_normal(len(scores))
    grads = model.backward(params, cache, slope)
    touched = model.row_parameters(inputs)
    assert (touched == ("query_weights_0", "item_weights_0")) == (form == "wide csr")
    assert set(grads) == set(params)
    numeric = numeric_gradients(lambda moved: slope @ model.forward(moved, inputs)[0], params)
    for name, gradient in grads.items():
        assert isinstance(gradient, RowGradient) == (name in touched)
        assert_allclose(spread_rows(gradient, params[name]), numeric[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_reaches_the_towers(loss):
    """Soft and hard part over a list, through both towers, against finite differences."""
    rng = np.random.default_rng(2)
    model = TOWERS["mlp"]
    queries, teacher = example_targets(loss, "soft", rng, [3, 1, 3])
    _, labels = example_targets(loss, "hard", rng, [3, 1, 3])
    inputs = Pairs(*tables(rng, "dense"), BLOCKS["list"])
    objective = Objective.mix(
        queries,
        soft=get_loss(loss),
        hard=get_loss(loss),
        alpha=0.5,
        labels=labels,
        teacher_scores=teacher,
        dtype=np.float64,
    )
    params = random_parameters(model, (4, 6), rng)

    def value(moved):
        scores, _ = model.forward(moved, inputs)
        return objective.value_and_gradient(scores, np.arange(7), queries)[0]

    scores, cache = model.forward(params, inputs)
    _, slope = objective.value_and_gradient(scores, np.arange(7), queries)
    grads = model.backward(params, cache, slope)
    for name, numeric in numeric_gradients(value, params).items():
        assert_allclose(grads[name], numeric, rtol=1e-5, atol=1e-6)


def test_taking_pairs_keeps_their_scores():
    rng = np.random.default_rng(3)
    inputs = Pairs(*tables(rng, "csr"), BLOCKS["list"])
    model = TOWERS["linear"]
    params = random_parameters(model, (4, 6), rng)
    rows = np.array([4, 5, 6, 0, 1, 2, 3])
    taken = inputs.take(rows)
    assert taken.query_rows.n_rows == 3
    assert taken.item_rows.n_rows == 5
    assert_allclose(model.forward(params, taken)[0], model.forward(params, inputs)[0][rows])


def test_pairs_that_share_nothing_have_the_same_gradient():
    """Each query and each item once, in any order: no gathering, no sums, no other numbers."""
    rng = np.random.default_rng(4)
    users, items = (
        (Rows(sparse.random_array((9, 5), density=0.5, rng=rng, format="csr"))),
        Rows(sparse.random_array((9, 7), density=0.5, rng=rng, format="csr")),
    )
    everything = Pairs(users, items, (PairList(rng.permutation(9), rng.permutation(9)),))
    model = TOWERS["linear"]
    params = model.initialize((5, 7), rng)
    params = {name: array.astype(np.float64) for name, array in params.items()}
    rows, slope = rng.permutation(9)[:6], rng.standard_normal(6)
    taken = everything.take(rows)
    (pairs,) = taken.blocks
    assert pairs == PairList(None, None)
    named = Pairs(taken.query_rows, taken.item_rows, (PairList(np.arange(6), np.arange(6)),))
    for inputs in (taken, named):
        scores, cache = model.forward(params, inputs)
        assert_allclose(scores, model.forward(params, everything)[0][rows])
        for name, gradient in model.backward(params, cache, slope).items():
            full = np.zeros(9)
            full[rows] = slope
            expected = model.backward(params, model.forward(params, everything)[1], full)[name]
            assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("dimension", [4, 64])
def test_fresh_towers_score_with_standard_deviation_1(dimension):
    """Over standard normal columns, and with ReLU layers between."""
    rng = np.random.default_rng(0)
    rows = Rows(rng.standard_normal((400, 30))), Rows(rng.standard_normal((400, 50)))
    for hidden in ((), (200,)):
        model = TwoTower(dimension, hidden, hidden, item_bias=False)
        params = model.initialize((30, 50), rng)
        scores = model.forward(params, Pairs(*rows, (PairGrid(),)))[0]
        assert scores.std() == pytest.approx(1, rel=0.25)
