"""Automatic weight decay: its rule, the weights that it reaches, and its use by students."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skdistill.datasets import make_ranking
from skdistill.students import LinearRanker, MLPRanker, MultiObjectiveRanker
from skdistill.training.optimizers import OPTIMIZERS
from skdistill.training.weight_decay import automatic_decay


def test_larger_nets_and_shorter_epochs_decay_more_but_not_without_bound():
    assert automatic_decay(96, 100, 0.002) == pytest.approx(96 / 480 / 100 / 0.002)
    assert automatic_decay(16, 100, 0.002) == pytest.approx(automatic_decay(96, 100, 0.002) / 6)
    assert automatic_decay(96, 1, 0.002) == 3
    assert automatic_decay(0, 1, 0.002) == 0


def test_the_net_forgets_as_much_per_epoch_whatever_the_learning_rate_and_the_steps():
    for n_steps, rate in [(50, 0.01), (500, 0.001), (5000, 0.003)]:
        forgotten = automatic_decay(96, n_steps, rate) * rate * n_steps
        assert forgotten == pytest.approx(0.2)


@pytest.mark.parametrize(("batch_size", "max_batch_rows", "n_steps"), [(4, 8192, 15), (60, 50, 12)])
def test_fit_counts_its_steps(batch_size, max_batch_rows, n_steps):
    """60 queries of 10 rows, in steps of 4 queries or of 50 rows."""
    data = make_ranking(60, 10, 8, random_state=0)
    student = MLPRanker((8, 4), max_iter=3, random_state=0).set_params(
        batch_size=batch_size, max_batch_rows=max_batch_rows
    )
    decay = automatic_decay(12, n_steps, student.learning_rate_init)
    by_hand = clone(student).set_params(weight_decay=decay)
    scores = [one.fit(data.X, data.y, qid=data.qid).predict(data.X) for one in (student, by_hand)]
    assert_array_equal(*scores)


def test_partial_fit_takes_a_hundredth(table):
    student = MLPRanker((8,), random_state=0)
    streamed = clone(student).partial_fit(table.X, table.y, qid=table.qid)
    by_hand = clone(student).set_params(weight_decay=0.01)
    assert streamed.optimizer_.weight_decay == 0.01
    assert_array_equal(
        streamed.predict(table.X),
        by_hand.partial_fit(table.X, table.y, qid=table.qid).predict(table.X),
    )


@pytest.mark.parametrize(("n_ids", "decay"), [(900, None), (1100, 0.01)])
def test_wide_tables_of_ids_forget_little(n_ids, decay):
    """8 numbers and an id; from 1024 columns on, steps touch only the rows of their ids."""
    data = make_ranking(40, 10, 8, id_columns=(n_ids,), random_state=0)
    student = MLPRanker((8,), max_iter=2, random_state=0)
    by_hand = clone(student).set_params(weight_decay=decay or automatic_decay(8, 3, 3e-3))
    scores = [one.fit(data.X, data.y, qid=data.qid).predict(data.X) for one in (student, by_hand)]
    assert_array_equal(*scores)


@pytest.mark.parametrize("student", [MLPRanker(), MultiObjectiveRanker({"click": "logistic"})])
def test_nets_decay_automatically_and_linear_models_do_not_know_it(student, table):
    assert student.weight_decay == "auto"
    with pytest.raises(ValueError, match="weight_decay"):
        LinearRanker(weight_decay="auto").fit(table.X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="weight_decay"):
        clone(student).set_params(weight_decay="more").fit(table.X, table.y, qid=table.qid)


@pytest.mark.parametrize("sizes", [(), (4,), (4, 3)])
def test_the_output_layer_decays_only_where_it_is_the_only_one(sizes):
    model = MLPRanker(sizes).make_model()
    params = model.initialize(5, np.random.default_rng(0))
    optimizer = OPTIMIZERS["adam"](params, (), 1.0, model.undecayed_parameters)
    optimizer.step({name: np.zeros_like(array) for name, array in params.items()}, 0.1)
    last = f"weights_{len(sizes)}"
    for name, array in params.items():
        stays = "bias" in name or (name == last and len(sizes) > 0)
        assert_allclose(optimizer.params[name], array * (1 if stays else 0.9), rtol=1e-5)


def test_it_generalises_better_than_little_decay():
    """400 noisy queries, half of them held out; each of three truths gains."""
    for seed in range(3):
        data = make_ranking(400, 10, 8, noise=0.5, random_state=seed)
        seen = data.qid < 200
        scores = [
            MLPRanker(weight_decay=decay, random_state=0)
            .fit(data.X[seen], data.y[seen], qid=data.qid[seen])
            .score(data.X[~seen], data.y[~seen], qid=data.qid[~seen])
            for decay in ("auto", 0.01)
        ]
        assert scores[0] > scores[1] + 0.002
