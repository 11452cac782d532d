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
from skdistill.metrics import ndcg_score
from skdistill.students import MLPRanker, MultiObjectiveRanker

OBJECTIVES = {"click": "logistic", "like": "listwise", "teacher": "listwise"}


@pytest.fixture(scope="module")
def funnel():
    """Clicks, and likes that are known of clicked rows only; a teacher that knows the utility."""
    data = make_ranking(n_queries=300, n_features=8, random_state=0)
    click = (data.y > 0).astype(float)
    like = np.where(click > 0, (data.y > 2).astype(float), np.nan)
    return data, np.column_stack([click, like])


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


def test_heads_are_combined_by_weights_or_by_a_formula(funnel):
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


def test_scikit_learn_searches_and_stores_a_student_of_several_objectives(
    funnel, routing, tmp_path
):
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


def test_objectives_without_labels_are_named(funnel):
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
