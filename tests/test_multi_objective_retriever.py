"""Towers of several objectives, and a DistilledRanker with a student of several."""

import joblib
import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRanker
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker, MultiObjectiveRetriever, TwoTowerRetriever
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.inputs.pairs import PairList, Pairs
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.losses import get_loss
from skdistill.metrics.retrieval import fraction_of_top
from skdistill.models.two_tower import TwoTower
from skdistill.students import MLPRanker, MultiObjectiveRanker
from skdistill.towers.log_batches import LogBatches
from skdistill.training.loop import TrainingSettings
from skdistill.training.objective import GradientBalance, HeadsObjective, Objective
from skdistill.training.query_batches import QueryBatches
from tests.test_losses import central_differences

SETTINGS = TrainingSettings(1, 4, 100, "adam", 0.01, "constant", 0.0, 5, 1e-4)


@pytest.fixture(scope="module")
def log():
    """Clicks, purchases of the best fifth of a query's clicks, and the truth of all pairs."""
    data = make_retrieval(n_queries=400, n_items=200, random_state=0)
    utility = data.utility(data.X[:, data.query_columns], data.X[:, data.item_columns])
    click = (data.y > 0).astype(float)
    buy = np.where(click > 0, (utility > np.quantile(utility, 0.8)).astype(float), np.nan)
    truth = data.utility(
        np.repeat(data.queries, len(data.items), axis=0),
        np.tile(data.items, (len(data.queries), 1)),
    ).reshape(len(data.queries), -1)
    columns = {"query_columns": data.query_columns, "item_columns": data.item_columns}
    return data, np.column_stack([click, buy]), truth, {**columns, "random_state": 0}


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("cosine", [False, True])
def test_gradient_over_lists(cosine, balanced):
    rng = np.random.default_rng(0)
    model = TwoTower(4, (3,), (), item_bias=not cosine, cosine=cosine, n_objectives=2)
    tables = Rows(rng.standard_normal((3, 5))), Rows(rng.standard_normal((6, 4)))
    queries = Queries.from_sizes([3, 1, 4])
    pairs = PairList(queries.segment, np.array([0, 3, 5, 1, 2, 3, 4, 0]))
    listwise, logistic = get_loss("listwise"), get_loss("logistic")
    scores, labels = rng.standard_normal(8), np.array([1, 0, 0, 1, np.nan, 0, 1, 0.0])
    soft = {"alpha": 1.0, "teacher_scores": scores}
    hard = {"alpha": 0.0, "labels": labels}
    heads = tuple(
        Objective.mix(queries, soft=loss, hard=loss, dtype=np.float64, **known)
        for loss, known in ((listwise, soft), (logistic, hard))
    )
    weights = np.array([0.7, 1.6])

    def objective():
        # A balance remembers: each evaluation starts afresh.
        balance = GradientBalance(weights) if balanced else None
        return HeadsObjective(heads, weights, balance)

    params = {
        name: array.astype(float) + 0.3 * rng.standard_normal(array.shape)
        for name, array in model.initialize((5, 4), rng).items()
    }
    table = QueryBatches(Pairs(*tables, (pairs,)), queries, objective(), SETTINGS)
    ((inputs, evaluate),) = LogBatches(table, 2).epoch(0, params, np.random.default_rng(1))
    output, cache = model.forward(params, inputs)
    assert output.shape == (16,)
    _, slope = evaluate(output)
    if balanced:
        lengths = np.linalg.norm(slope.reshape(2, -1), axis=1)
        assert_allclose(lengths / weights, lengths[0] / weights[0])
        return
    for name, gradient in model.backward(params, cache, slope).items():

        def value(array, name=name):
            return evaluate(model.forward({**params, name: array}, inputs)[0])[0]

        expected = central_differences(value, params[name])
        assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("balance", ["fixed", "gradient"])
@pytest.mark.parametrize("n_candidates", [None, 60])
def test_each_objective_is_as_good_as_towers_of_its_own(log, n_candidates, balance):
    data, y, truth, columns = log
    towers = MultiObjectiveRetriever(
        objectives={"click": "listwise", "buy": "listwise", "teacher": "listwise"},
        n_candidates=n_candidates,
        balance=balance,
        **columns,
    )
    towers.fit(data.X, y, qid=data.qid, items=data.items, teacher_scores=data.utility)
    own = TwoTowerRetriever(n_candidates=n_candidates, **columns)
    own.fit(data.X, y[:, 0], qid=data.qid, items=data.items, teacher_scores=data.utility)

    def recall(fitted):
        scores = fitted.transform_queries(data.queries) @ fitted.transform_items(data.items).T
        return fraction_of_top(truth, scores, 5, 20).mean()

    towers.set_params(combine={"teacher": 1.0})
    assert recall(towers) > 0.99 * recall(own)
    own.set_params(alpha=0.0).fit(data.X, y[:, 0], qid=data.qid, items=data.items)
    towers.set_params(combine={"click": 1.0})
    assert recall(towers) > 0.99 * recall(own)


def test_combined_scores_are_the_weighted_sum_of_the_objectives(log):
    data, y, _, columns = log
    towers = MultiObjectiveRetriever(
        objectives={"click": "logistic", "buy": "listwise", "teacher": "pointwise"},
        max_iter=2,
        **columns,
    )
    towers.fit(data.X, y, qid=data.qid, items=data.items, teacher_scores=data.utility)
    raw = towers.predict_objectives(data.X)
    logit = np.log(raw["click"]) - np.log1p(-raw["click"])
    assert_allclose(
        towers.predict(data.X), logit + raw["buy"] + raw["teacher"], rtol=1e-3, atol=1e-3
    )
    towers.set_params(combine={"teacher": 2.0, "buy": -1.0})
    scores = towers.predict(data.X)
    assert_allclose(scores, 2 * raw["teacher"] - raw["buy"], rtol=1e-4, atol=1e-4)
    ids, found = towers.retrieve(data.queries[:1], k=3)
    pairs = np.hstack([np.repeat(data.queries[:1], 3, axis=0), data.items[ids[0]]])
    assert_allclose(towers.predict(pairs), found[0], rtol=1e-4, atol=1e-5)
    assert towers.transform_queries(data.queries[:0]).shape == (0, 32)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_over_a_log_without_a_catalogue(log, similarity, tmp_path):
    data, y, _, columns = log
    utility = data.utility(data.X[:, data.query_columns], data.X[:, data.item_columns])
    towers = MultiObjectiveRetriever(
        objectives={"click": "logistic", "buy": "logistic", "teacher": "listwise"},
        similarity=similarity,
        early_stopping=True,
        **columns,
    )
    towers.fit(data.X, y, qid=data.qid, teacher_scores=utility)
    assert len(towers.validation_scores_) == towers.n_iter_
    outputs = towers.predict_objectives(data.X)
    known = ~np.isnan(y[:, 1])
    # Probabilities that are probabilities: on average as many as there are.
    assert_allclose(outputs["click"].mean(), y[:, 0].mean(), atol=0.05)
    assert_allclose(outputs["buy"][known].mean(), y[known, 1].mean(), atol=0.05)
    score = towers.score(data.X, y, qid=data.qid)
    assert score > 0.6
    joblib.dump(towers, tmp_path / "towers.joblib")
    loaded = joblib.load(tmp_path / "towers.joblib")
    assert loaded.score(data.X, y, qid=data.qid) == score


def test_the_teacher_learns_the_objective_it_is_told(log):
    data, y, _, columns = log
    objectives = {"click": "listwise", "buy": "listwise", "teacher": "listwise"}
    teacher = LGBMClassifier(n_estimators=5, verbose=-1)
    towers = MultiObjectiveRetriever(
        teacher, objectives=objectives, max_iter=1, teacher_check=False, **columns
    )
    with pytest.raises(ValueError, match=r"teacher_target, one of \['click', 'buy'\]"):
        towers.fit(data.X, y, qid=data.qid, items=data.items)
    with pytest.raises(ValueError, match="teacher_target='like' is not an objective of y"):
        clone(towers).set_params(teacher_target="like").fit(data.X, y, qid=data.qid)
    towers.set_params(teacher_target="buy").fit(data.X, y, qid=data.qid, items=data.items)
    known = ~np.isnan(y[:, 1])
    expected = clone(teacher).fit(data.X[known], y[known, 1])
    assert_array_equal(towers.teacher_.predict_proba(data.X), expected.predict_proba(data.X))
    with pytest.raises(ValueError, match="needs teacher= or fit"):
        clone(towers).set_params(teacher=None).fit(data.X, y, qid=data.qid)
    labels = clone(towers).set_params(objectives={"click": "listwise"}, teacher_target=None)
    assert labels.fit(data.X, y[:, 0], qid=data.qid).teacher_ is None


@pytest.fixture(scope="module")
def funnel():
    data = make_ranking(n_queries=200, n_features=8, random_state=0)
    return data, np.column_stack([data.y > 0, data.y > 2]).astype(float)


def student():
    objectives = {"click": "logistic", "like": "listwise", "teacher": "listwise"}
    return MultiObjectiveRanker(objectives, (16,), max_iter=15)


def test_distilled_ranker_with_several_objectives(funnel, routing):
    data, y = funnel
    teacher = LGBMRanker(n_estimators=10, verbose=-1, random_state=0)
    ranker = DistilledRanker(teacher, student(), random_state=0)
    with pytest.raises(ValueError, match="name the objective"):
        ranker.fit(data.X, y, qid=data.qid)
    ranker.set_params(teacher_target="like").fit(data.X, y, qid=data.qid)
    single = DistilledRanker(teacher, MLPRanker((4,), max_iter=1), random_state=0)
    single.fit(data.X, y[:, 1], qid=data.qid)
    assert_array_equal(ranker.teacher_.predict(data.X), single.teacher_.predict(data.X))
    outputs = ranker.predict_objectives(data.X)
    assert set(outputs) == {"click", "like", "teacher"}
    assert_array_equal(ranker.predict(data.X), ranker.export_student().predict(data.X))
    assert ranker.score(data.X, y, qid=data.qid) > 0.6
    piped = clone(ranker).set_params(student=make_pipeline(StandardScaler(), student()))
    assert set(piped.fit(data.X, y, qid=data.qid).predict_objectives(data.X)) == set(outputs)
    search = GridSearchCV(
        ranker,
        {"student__balance": ["fixed", "gradient"]},
        cv=GroupKFold(3).set_split_request(groups="qid"),
        error_score="raise",
    )
    assert search.fit(data.X, y, qid=data.qid).best_score_ > 0.5


def test_a_frozen_teacher_needs_no_target(funnel):
    data, y = funnel
    teacher = MLPRanker((8,), max_iter=2, random_state=0).fit(data.X, data.y, qid=data.qid)
    frozen = FrozenEstimator(teacher)
    ranker = DistilledRanker(frozen, student(), random_state=0).fit(data.X, y, qid=data.qid)
    given = DistilledRanker(None, student(), random_state=0)
    given.fit(data.X, y, qid=data.qid, teacher_scores=frozen.predict(data.X))
    # Rows in another order change last bits, and ranking losses leave it to them what all scores
    # have in common.
    own, expected = ranker.predict(data.X), given.predict(data.X)
    assert_allclose(own - own.mean(), expected - expected.mean(), atol=1e-4)
    with pytest.raises(ValueError, match="calibrate='isotonic' is for students of one objective"):
        clone(ranker).set_params(calibrate="isotonic").fit(data.X, y, qid=data.qid)
    assert not hasattr(DistilledRanker(frozen, MLPRanker()), "predict_objectives")
