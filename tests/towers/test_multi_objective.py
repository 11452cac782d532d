"""Towers of several objectives: gradients, quality of each objective, combined scores."""

import joblib
import numpy as np
import pytest
from lightgbm import LGBMClassifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skdistill import MultiObjectiveRetriever, TeacherWarning, TwoTowerRetriever
from skdistill.datasets import make_retrieval
from skdistill.inputs.pairs import PairList, Pairs
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.losses import get_loss
from skdistill.metrics.agreement import fraction_of_top
from skdistill.models.two_tower import TwoTower
from skdistill.towers.multi_embedding_batches import MultiEmbeddingBatches
from skdistill.training.objective import GradientBalance, HeadsObjective, Objective
from skdistill.training.query_batches import QueryBatches
from tests.numeric import numeric_gradients, random_parameters, training_settings

# Of the two objectives.
WEIGHTS = np.array([0.7, 1.6])


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


def lists_of_two_objectives(rng, balanced):
    """Ragged lists of pairs, soft and hard, as one batch of a log."""
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
    balance = GradientBalance(WEIGHTS) if balanced else None
    objective = HeadsObjective(heads, WEIGHTS, balance)
    table = QueryBatches(
        Pairs(*tables, (pairs,)), queries, objective, training_settings(max_batch_rows=100)
    )
    ((inputs, evaluate),) = MultiEmbeddingBatches(table, 2).epoch(0, {}, np.random.default_rng(1))
    return inputs, evaluate


def two_objectives(cosine):
    return TwoTower(4, (3,), (), item_bias=not cosine, cosine=cosine, n_objectives=2)


@pytest.mark.parametrize("cosine", [False, True])
def test_gradient_over_lists(cosine):
    rng = np.random.default_rng(0)
    model = two_objectives(cosine)
    inputs, evaluate = lists_of_two_objectives(rng, balanced=False)
    params = random_parameters(model, (5, 4), rng)
    output, cache = model.forward(params, inputs)
    assert output.shape == (16,)
    grads = model.backward(params, cache, evaluate(output)[1])
    numeric = numeric_gradients(lambda moved: evaluate(model.forward(moved, inputs)[0])[0], params)
    for name, expected in numeric.items():
        assert_allclose(grads[name], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("cosine", [False, True])
def test_balanced_gradients_are_as_long_as_their_weights(cosine):
    rng = np.random.default_rng(0)
    model = two_objectives(cosine)
    inputs, evaluate = lists_of_two_objectives(rng, balanced=True)
    output, _ = model.forward(random_parameters(model, (5, 4), rng), inputs)
    lengths = np.linalg.norm(evaluate(output)[1].reshape(2, -1), axis=1)
    assert lengths[0] > 0
    assert_allclose(lengths / WEIGHTS, lengths[0] / WEIGHTS[0])


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
    with pytest.raises(ValueError, match="needs a teacher: pass teacher="):
        clone(towers).set_params(teacher=None).fit(data.X, y, qid=data.qid)
    labels = clone(towers).set_params(objectives={"click": "listwise"}, teacher_target=None)
    assert labels.fit(data.X, y[:, 0], qid=data.qid).teacher_ is None


def test_the_warning_of_an_unfit_teacher_advises_on_objectives(log):
    """These towers have no alpha."""
    data, labels, truth, columns = log
    towers = MultiObjectiveRetriever(
        objectives={"click": "listwise", "buy": "listwise", "teacher": "listwise"},
        max_iter=1,
        **columns,
    )
    with pytest.warns(TeacherWarning, match="by objectives of labels with larger obj") as warned:
        towers.fit(data.X, labels, qid=data.qid, items=data.items, teacher_scores=-truth)
    assert not any("alpha" in str(warning.message) for warning in warned)
