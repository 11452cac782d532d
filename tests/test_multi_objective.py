"""Several objectives at once: gradients of every head, balance, combination, unknown labels."""

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from skdistill import RankingGroupKFold
from skdistill.datasets import make_ranking
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.losses import get_loss
from skdistill.metrics import ndcg_score
from skdistill.models import Network
from skdistill.students import MLPRanker, MultiObjectiveRanker
from skdistill.training.objective import GradientBalance, HeadsObjective, Objective
from tests.test_losses import central_differences

OBJECTIVES = {"click": "logistic", "like": "listwise", "teacher": "listwise"}


@pytest.fixture(scope="module")
def funnel():
    """Clicks, and likes that are known of clicked rows only; a teacher that knows the utility."""
    data = make_ranking(n_queries=300, n_features=8, random_state=0)
    click = (data.y > 0).astype(float)
    like = np.where(click > 0, (data.y > 2).astype(float), np.nan)
    return data, np.column_stack([click, like])


def heads_of(rng, queries, dtype=np.float64):
    labels = rng.integers(0, 2, queries.n_rows).astype(float)
    labels[1] = np.nan
    weight = rng.uniform(0.5, 2, queries.n_rows)
    return tuple(
        Objective.mix(
            queries, soft=loss, hard=loss, alpha=alpha, sample_weight=weight, dtype=dtype, **known
        )
        for loss, alpha, known in (
            (get_loss("logistic"), 0.0, {"labels": labels}),
            (get_loss("lambda"), 0.0, {"labels": 1 + rng.integers(0, 3, queries.n_rows) * 1.0}),
            (get_loss("listwise"), 1.0, {"teacher_scores": rng.standard_normal(queries.n_rows)}),
        )
    )


@pytest.mark.parametrize("hidden", [(), (6, 4)])
def test_gradient_of_a_multi_head_network(hidden):
    rng = np.random.default_rng(0)
    queries = Queries.from_sizes([4, 1, 6])
    heads = heads_of(rng, queries)
    # Only what is a gradient of its value: the weights of lambda move with the scores.
    objective = HeadsObjective((heads[0], heads[2]), np.array([0.7, 1.6]))
    model = Network(hidden, 2)
    inputs = Rows(rng.standard_normal((11, 5)))
    params = {
        name: array.astype(float) + 0.3 * rng.standard_normal(array.shape)
        for name, array in model.initialize(5, rng).items()
    }
    rows = np.arange(11)
    scores, cache = model.forward(params, inputs)
    _, slope = objective.value_and_gradient(scores, rows, queries)
    for name, gradient in model.backward(params, cache, slope).items():

        def value(array, name=name):
            output = model.forward({**params, name: array}, inputs)[0]
            return objective.value_and_gradient(output, rows, queries)[0]

        expected = central_differences(value, params[name])
        assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("balanced", [False, True])
def test_each_head_gets_its_own_gradient(balanced):
    """Fixed: times its weight. Balanced: heads of weight 1 move the scores equally far."""
    rng = np.random.default_rng(1)
    queries = Queries.from_sizes([4, 1, 6])
    heads = heads_of(rng, queries)
    weights = np.array([1.0, 2.0, 1.0])
    scores = rng.standard_normal((11, 3))
    balance = GradientBalance(weights) if balanced else None
    _, gradient = HeadsObjective(heads, weights, balance).value_and_gradient(
        scores, np.arange(11), queries
    )
    alone = [
        head.value_and_gradient(scores[:, i].copy(), np.arange(11), queries)[1]
        for i, head in enumerate(heads)
    ]
    lengths = np.array([np.linalg.norm(g) for g in alone])
    for i, own in enumerate(alone):
        factor = lengths.mean() / lengths[i] if balanced else 1.0
        assert_allclose(gradient[:, i], weights[i] * factor * own, rtol=1e-10)
    if balanced:
        found = np.linalg.norm(gradient, axis=0)
        assert_allclose(found / weights, found[0])


@pytest.mark.parametrize("balance", ["fixed", "gradient"])
def test_heads_are_as_good_as_students_of_their_own(funnel, balance):
    data, y = funnel
    student = MultiObjectiveRanker(OBJECTIVES, (32,), balance=balance, random_state=0)
    student.fit(data.X, y, qid=data.qid, teacher_scores=data.utility)
    outputs = student.predict_objectives(data.X)
    assert student.objective_names_ == list(OBJECTIVES)
    assert 0 < outputs["click"].min() < outputs["click"].max() < 1
    single = MLPRanker((32,), loss="logistic", random_state=0).fit(data.X, y[:, 0], qid=data.qid)
    own = ndcg_score(y[:, 0], outputs["click"], data.qid, k=10)
    assert own > 0.98 * ndcg_score(y[:, 0], single.predict(data.X), data.qid, k=10)
    assert student.score(data.X, y, qid=data.qid) > 0.7


def test_combination(funnel):
    data, y = funnel
    student = MultiObjectiveRanker(OBJECTIVES, (8,), max_iter=2, random_state=0)
    student.fit(data.X, y, qid=data.qid, teacher_scores=data.utility)
    raw = student.predict_objectives(data.X)
    logit = np.log(raw["click"]) - np.log1p(-raw["click"])
    plain = student.predict(data.X)
    assert_allclose(plain, logit + raw["like"] + raw["teacher"], rtol=1e-3, atol=1e-3)
    student.set_params(combine={"teacher": 2.0, "like": -1.0})
    assert_allclose(student.predict(data.X), 2 * raw["teacher"] - raw["like"], rtol=1e-5, atol=1e-5)
    student.set_params(combine=lambda outputs, X: outputs["click"] * expit(X[:, 0]))
    assert_allclose(student.predict(data.X), raw["click"] * expit(data.X[:, 0]), rtol=1e-5)
    student.set_params(combine=lambda outputs, X: 1.0)
    with pytest.raises(ValueError, match="combine must return one score per row"):
        student.predict(data.X)


def test_the_teacher_alone_is_distillation(funnel):
    data, _ = funnel
    alone = MultiObjectiveRanker({"teacher": "listwise"}, (8,), random_state=0)
    alone.fit(data.X, qid=data.qid, teacher_scores=data.utility)
    same = MLPRanker((8,), random_state=0).fit(data.X, qid=data.qid, teacher_scores=data.utility)
    assert_allclose(alone.predict(data.X), same.predict(data.X), rtol=1e-4, atol=1e-5)


def test_inside_scikit_learn(funnel, routing, tmp_path):
    data, y = funnel
    frame = pd.DataFrame({"like": y[:, 1], "click": y[:, 0]})
    objectives = {"click": "logistic", "like": "listwise"}
    student = MultiObjectiveRanker(objectives, (8,), max_iter=3, random_state=0)
    scores = cross_val_score(
        student, data.X, y, cv=RankingGroupKFold(3), params={"qid": data.qid}, error_score="raise"
    )
    assert (scores > 0.4).all()
    by_name = clone(student).fit(data.X, frame, qid=data.qid)
    by_place = clone(student).fit(data.X, y, qid=data.qid)
    assert_array_equal(by_name.predict(data.X), by_place.predict(data.X))
    joblib.dump(by_name, tmp_path / "student.joblib")
    assert_array_equal(
        joblib.load(tmp_path / "student.joblib").predict(data.X), by_name.predict(data.X)
    )
    stopped = clone(student).set_params(early_stopping=True).fit(data.X, y, qid=data.qid)
    assert len(stopped.validation_scores_) == stopped.n_iter_
    more = clone(student).partial_fit(data.X, y, qid=data.qid).partial_fit(data.X, y, qid=data.qid)
    assert len(more.loss_curve_) == 2


def test_errors(funnel):
    data, y = funnel

    def fit(objectives, y=y, **parameters):
        student = MultiObjectiveRanker(objectives, (4,), max_iter=1, **parameters)
        return student.fit(data.X, y, qid=data.qid)

    two = {"click": "logistic", "like": "listwise"}
    with pytest.raises(ValueError, match=r"a column for each of \['click', 'like'\]"):
        fit(two, y=y[:, 0])
    with pytest.raises(ValueError, match=r"y lacks the objectives \['like'\]"):
        fit(two, y=pd.DataFrame({"click": y[:, 0]}))
    with pytest.raises(ValueError, match='"teacher" needs teacher_scores'):
        fit(OBJECTIVES)
    with pytest.raises(ValueError, match="No row of y has a label for the objective 'like'"):
        fit(two, y=np.column_stack([y[:, 0], np.full(len(y), np.nan)]))
    with pytest.raises(ValueError, match=r"objective_weights names \['clik'\]"):
        fit(two, objective_weights={"clik": 2.0})
