"""The training loop: its learning rates step by step, its state, and when it ends."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skdistill.students import MLPRanker
from skdistill.training import OPTIMIZERS
from skdistill.training.early_stopping import EarlyStopping
from skdistill.training.loop import SCHEDULES, train
from tests.numeric import training_settings


class Identity:
    """A model whose scores are its one parameter."""

    def forward(self, params, inputs):
        return params["weights"].copy(), None

    def backward(self, params, cache, slope):
        return {"weights": slope}

    def row_parameters(self, inputs):
        return ()


@dataclass
class Descent:
    """Plain gradient descent that writes down its learning rates."""

    params: dict
    rates: list = field(default_factory=list)
    is_finite = True

    def step(self, grads, rate):
        self.rates.append(rate)
        self.params["weights"] -= rate * grads["weights"]


@dataclass
class Falling:
    """Two steps an epoch of the objective 3 * weights, or of what is given."""

    values: list = field(default_factory=lambda: [3.0, 3.0])
    seen: list = field(default_factory=list)

    @property
    def n_steps(self):
        return len(self.values)

    def epoch(self, epoch, params, rng):
        self.seen.append((epoch, float(params["weights"][0]), rng.random()))
        for value in self.values:
            yield None, lambda scores, value=value: (value * float(scores[0]), np.array([value]))


def run(batches=None, early_stopping=None, on_epoch=None, **changes):
    optimizer = Descent({"weights": np.array([10.0])})
    settings = training_settings(**{"max_iter": 4, **changes})
    training = train(
        Identity(),
        optimizer,
        batches or Falling(),
        settings,
        np.random.default_rng(0),
        early_stopping=early_stopping,
        on_epoch=on_epoch,
    )
    return training, optimizer


# Fraction of the initial rate after a fraction of all steps.
RATES = {
    "constant": {0: 1, 0.01: 1, 0.5: 1, 1: 1, 1.5: 1},
    "linear": {0: 1, 0.01: 1 - 0.01, 0.25: 1 - 0.25, 0.5: 1 - 0.5, 1: 0, 1.5: 0},
    "cosine": {
        0: 0,
        0.01: (0.01 / 0.02) * (1 + np.cos(0.01 * np.pi)) / 2,  # half way through the warm-up
        0.02: (1 + np.cos(0.02 * np.pi)) / 2,
        0.25: (1 + np.cos(np.pi / 4)) / 2,
        0.5: (1 + np.cos(np.pi / 2)) / 2,
        1: 0,
        1.5: 0,
    },
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_of_a_schedule(schedule):
    settings = training_settings(learning_rate=schedule)
    for progress, fraction in RATES[schedule].items():
        assert settings.rate(progress) == pytest.approx(0.5 * fraction, abs=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_training_takes_its_rates_from_the_schedule(schedule):
    """Four epochs of two steps: each step has the rate of its middle."""
    training, optimizer = run(learning_rate=schedule)
    settings = training_settings(learning_rate=schedule)
    expected = [settings.rate((step + 0.5) / (4 * 2)) for step in range(8)]
    assert optimizer.rates == expected
    assert_allclose(training.params["weights"], 10 - 3 * np.sum(expected))


def test_the_loss_curve_is_the_mean_of_each_epochs_steps():
    training, _ = run(max_iter=2)
    # Every step takes 0.5 * 3 off the weight, and the objective is three times the weight.
    assert_allclose(training.loss_curve, [3 * (10 + 8.5) / 2, 3 * (7 + 5.5) / 2])
    assert training.validation_scores == []


def test_batches_see_each_epoch_with_its_parameters_and_one_generator():
    batches, rng = Falling(), np.random.default_rng(0)
    run(batches, max_iter=3)
    # The two steps of an epoch take 0.5 * 3 off the weight each.
    assert batches.seen == [(epoch, 10 - epoch * 2 * 0.5 * 3, rng.random()) for epoch in range(3)]


def test_early_stopping_ends_the_loop_with_the_best_parameters():
    scores = iter([0.2, 0.6, 0.5, 0.4])
    early_stopping = EarlyStopping(lambda params: next(scores), 2, 0.0)
    training, optimizer = run(max_iter=9, early_stopping=early_stopping)
    assert training.validation_scores == [0.2, 0.6, 0.5, 0.4]
    assert_array_equal(training.params["weights"], [10 - 4 * 0.5 * 3])  # two epochs of two steps
    assert training.params is optimizer.params


def test_a_callback_sees_every_epoch_and_may_stop():
    seen = []

    def on_epoch(epoch, training):
        seen.append((epoch, len(training.loss_curve)))
        return epoch == 2

    training, _ = run(max_iter=9, on_epoch=on_epoch)
    assert seen == [(0, 1), (1, 2), (2, 3)]
    assert len(training.loss_curve) == 3


def test_an_objective_that_is_no_number_is_an_error():
    wrong = "Training diverged: the objective is nan in epoch 1. Lower learning_rate_init=0.5, or"
    with pytest.raises(ValueError, match=wrong):
        run(Falling([np.nan]))


def test_gradients_that_overflow_are_an_error(monkeypatch):
    monkeypatch.setattr(Descent, "is_finite", False)
    with pytest.raises(ValueError, match="diverged: the gradients overflow in epoch 1. Lower"):
        run()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_weight_decay_and_schedule_reach_the_students_one_step(optimizer, schedule, table):
    """With and without decay a single step differs by rate * decay * weights of hidden layers.

    Biases and the output layer do not decay.
    """
    student = MLPRanker(
        (4,),
        max_iter=1,
        batch_size=len(table.y),
        optimizer=optimizer,
        learning_rate=schedule,
        learning_rate_init=0.1,
        random_state=0,
    )
    with_decay, without = (
        clone(student).set_params(weight_decay=decay).fit(table.X, table.y, qid=table.qid)
        for decay in (0.2, 0.0)
    )
    start = student.make_model().initialize(8, student.generator())
    rate = 0.1 * {"constant": 1, "linear": 1 - 0.5, "cosine": (1 + np.cos(np.pi / 2)) / 2}[schedule]
    for name, initial in start.items():
        decay = 0.2 if name == "weights_0" else 0
        difference = with_decay.params_[name] - without.params_[name]
        assert_allclose(difference, -rate * decay * initial, rtol=1e-3, atol=1e-6)
        assert initial.any() == ("bias" not in name)
