"""The steps of DistilledRanker.fit: errors before the teacher is fitted, several objectives."""

import numpy as np
import pytest
from lightgbm import LGBMRanker
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.distillation import prepare
from skdistill.inputs import ranking_data
from skdistill.students import LinearRanker, MLPRanker, MultiObjectiveRanker


class Expensive(BaseEstimator):
    """A teacher whose fit must not be reached."""

    def fit(self, X, y, qid=None):
        raise RuntimeError("the teacher was fitted")

    def predict(self, X):
        return np.zeros(len(X))


def fit(table, student=None, *, X=None, y=None, **parameters):
    ranker = DistilledRanker(Expensive(), student or LinearRanker(max_iter=1), **parameters)
    X, y = (table.X if X is None else X), (table.y if y is None else y)
    return ranker.fit(X, y, qid=table.qid)


def test_a_sound_problem_reaches_the_teacher(table):
    with pytest.raises(RuntimeError, match="the teacher was fitted"):
        fit(table)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "listwize"}, "loss must be one of .*got 'listwize'"),
        ({"hard_loss": "listwize"}, "loss must be one of .*got 'listwize'"),
        ({"calibrate": "isotonc"}, "'calibrate' parameter .*Got 'isotonc'"),
        ({"temperature": -1}, "'temperature' parameter .*Got -1"),
        ({"alpha": 1.5}, r"'alpha' parameter .*Got 1\.5"),
        ({"augment": 1.5}, r"'augment' parameter .*Got 1\.5"),
        ({"sampling_rate": 0}, "'sampling_rate' parameter .*Got 0"),
        ({"keep_teacher": "yes"}, "'keep_teacher' parameter .*Got 'yes'"),
        ({"student": MLPRanker((8, 0))}, "hidden_layer_sizes must be positive integers"),
        ({"student": LinearRanker(optimizer="sgd")}, "'optimizer' parameter"),
        ({"student_columns": [99]}, "student_columns"),
        ({"teacher_columns": [99]}, "teacher_columns"),
        ({"loss": "logistic"}, "labels 0 and 1"),
        ({"calibrate": "sigmoid"}, "labels 0 and 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_parameters_do_not_cost_a_teacher(table, parameters, message):
    with pytest.raises(ValueError, match=message):
        fit(table, **parameters)


@pytest.mark.parametrize(
    "student", [LinearRanker(), make_pipeline(StandardScaler(), LinearRanker())], ids=["bare", "in"]
)
def test_a_table_that_the_student_cannot_take_does_not_cost_a_teacher(table, student):
    X = table.X.copy()
    X[3, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        fit(table, student, X=X)


def test_labels_that_a_loss_cannot_take_do_not_cost_a_teacher(table):
    with pytest.raises(ValueError, match="smallest label is -1"):
        fit(table, y=table.y - 1, loss="listwise")
    heads = MultiObjectiveRanker({"click": "logistic", "teacher": "listwise"}, max_iter=1)
    with pytest.raises(ValueError, match="labels 0 and 1"):
        fit(table, heads)


def test_a_table_is_sorted_once(table, monkeypatch):
    calls = []
    sort = ranking_data.sort_by_query

    def counted(*arguments):
        calls.append(1)
        return sort(*arguments)

    monkeypatch.setattr(ranking_data, "sort_by_query", counted)
    ranker = DistilledRanker(None, LinearRanker(max_iter=1))
    ranker.fit(table.X, table.y, qid=table.qid, teacher_scores=table.utility)
    assert len(calls) == 1


def test_preparing_leaves_the_student_that_was_passed_alone(table):
    student = make_pipeline(StandardScaler(), LinearRanker())
    ranker = DistilledRanker(Expensive(), student)
    problem = prepare(ranker, table.X, table.y, table.qid, None, None, {})
    assert problem.asks_teacher
    assert hasattr(problem.student[0], "mean_")
    assert not hasattr(student[0], "mean_")
    assert problem.student_data.X.dtype == np.float32


@pytest.fixture(scope="module")
def funnel():
    data = make_ranking(n_queries=200, n_features=8, random_state=0)
    return data, np.column_stack([data.y > 0, data.y > 2]).astype(float)


def several():
    objectives = {"click": "logistic", "like": "listwise", "teacher": "listwise"}
    return MultiObjectiveRanker(objectives, (16,), max_iter=15)


def test_a_ranker_of_several_objectives_learns_each(funnel, routing):
    data, y = funnel
    teacher = LGBMRanker(n_estimators=10, verbose=-1, random_state=0)
    ranker = DistilledRanker(teacher, several(), random_state=0)
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
    piped = clone(ranker).set_params(student=make_pipeline(StandardScaler(), several()))
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
    ranker = DistilledRanker(frozen, several(), random_state=0).fit(data.X, y, qid=data.qid)
    given = DistilledRanker(None, several(), random_state=0)
    given.fit(data.X, y, qid=data.qid, teacher_scores=frozen.predict(data.X))
    # Rows in another order change last bits, and ranking losses leave it to them what all scores
    # have in common.
    own, expected = ranker.predict(data.X), given.predict(data.X)
    assert_allclose(own - own.mean(), expected - expected.mean(), atol=1e-4)
    with pytest.raises(
        ValueError, match="calibrate='isotonic' applies only to students of one objective"
    ):
        clone(ranker).set_params(calibrate="isotonic").fit(data.X, y, qid=data.qid)
    assert not hasattr(DistilledRanker(frozen, MLPRanker()), "predict_objectives")
