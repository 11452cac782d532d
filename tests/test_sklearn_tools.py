"""scikit-learn's tools around an estimator: selection, ensembles, calibration, inspection."""

import matplotlib

matplotlib.use("Agg")

import lightgbm
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.ensemble import StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import PartialDependenceDisplay, partial_dependence
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.datasets import make_ranking
from skdistill.metrics import expected_calibration_error, ndcg_score, ndcg_scorer
from skdistill.students import (
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)
from skdistill.teachers import MLPEnsembleRanker, score_rows

STUDENTS = [
    LinearRanker(random_state=0),
    FactorizationMachineRanker(n_factors=4, learning_rate_init=0.01, max_iter=60, random_state=0),
    MLPRanker((16,), random_state=0),
]
each_student = pytest.mark.parametrize("student", STUDENTS, ids=lambda s: type(s).__name__)
LOGISTIC = LinearRanker(loss="logistic", random_state=0)


@pytest.fixture(scope="module")
def with_noise():
    """A linear truth in three columns, and three columns of noise before them."""
    data = make_ranking(240, n_features=3, truth="linear", noise=0.05, random_state=0)
    noise = np.random.default_rng(1).standard_normal((len(data.y), 3))
    return np.column_stack([noise, data.X]), data.y, data.qid


@pytest.fixture(scope="module")
def clicks():
    """A click for each row, from a known probability."""
    data = make_ranking(200, n_features=4, truth="linear", random_state=0)
    log_odds = 2 * data.utility / data.utility.std() - 1
    y = (np.random.default_rng(0).random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))).astype(int)
    return data.X, y, data.qid


TRUE_COLUMNS = [3, 4, 5]


@each_student
def test_columns_are_selected_by_what_the_student_has_learnt(student, with_noise, routing):
    X, y, qid = with_noise
    for selector in (
        RFE(student, n_features_to_select=3),
        SelectFromModel(student, max_features=3, threshold=-np.inf),
    ):
        selector.fit(X, y, qid=qid)
        assert_array_equal(selector.get_support(indices=True), TRUE_COLUMNS)


def test_selectors_that_score_take_the_queries(with_noise, routing):
    X, y, qid = with_noise
    student = LinearRanker(max_iter=10, learning_rate_init=0.05, random_state=0)
    search = {"cv": RankingGroupKFold(3), "scoring": ndcg_scorer()}
    for selector in (
        RFECV(student, min_features_to_select=3, **search),
        SequentialFeatureSelector(student, n_features_to_select=3, **search),
    ):
        selector.fit(X, y, qid=qid)
        assert set(TRUE_COLUMNS) <= set(selector.get_support(indices=True))


def test_units_of_columns_do_not_matter_to_a_selection_by_importances(with_noise):
    X, y, qid = with_noise
    X = X * [1, 1, 1, 1e4, 1e4, 1e4]  # coefficients of these columns are tiny
    selector = RFE(
        LinearRanker(squash=False, random_state=0),
        n_features_to_select=3,
        importance_getter="feature_importances_",
    )
    selector.fit(X, y, qid=qid)
    assert_array_equal(selector.get_support(indices=True), TRUE_COLUMNS)


def test_ensembles_of_rankers(with_noise, routing):
    X, y, qid = with_noise
    members = [
        ("linear", LinearRanker(random_state=0)),
        ("mlp", MLPRanker((8,), random_state=0)),
    ]
    voting = VotingRegressor(members).fit(X, y, qid=qid)
    mean = np.mean([member.predict(X) for member in voting.estimators_], axis=0)
    assert_allclose(voting.predict(X), mean, rtol=1e-5)
    # The final estimator gets the queries as well, and must take them.
    stacking = StackingRegressor(members, LinearRanker(random_state=0), cv=3).fit(X, y, qid=qid)
    assert ndcg_score(y, stacking.predict(X), qid, k=10) > 0.85


def test_an_ensemble_with_a_query_column_needs_no_routing(with_noise):
    X, y, qid = with_noise
    X = np.column_stack([qid, X])
    student = LinearRanker(query_column=0, max_iter=5)
    stacking = StackingRegressor([("linear", student)], cv=3).fit(X, y)
    assert ndcg_score(y, stacking.predict(X), qid, k=10) > 0.85


@each_student
def test_partial_dependence_shows_the_score(student, with_noise):
    X, y, qid = with_noise
    X = pd.DataFrame(X, columns=list("abcdef"))
    student = clone(student).fit(X, y, qid=qid)
    assert is_regressor(student)
    assert not is_classifier(student)
    flat, steep = (np.ptp(partial_dependence(student, X, [name])["average"]) for name in ("a", "d"))
    assert steep > 2 * flat
    display = PartialDependenceDisplay.from_estimator(student, X, ["d"])
    assert display.pd_results[0]["average"].shape[0] == 1


def test_a_logistic_student_is_a_classifier_to_scikit_learn(clicks):
    X, y, qid = clicks
    assert is_classifier(LOGISTIC)
    assert get_tags(LOGISTIC).regressor_tags is None
    with pytest.raises(NotFittedError):
        _ = LOGISTIC.classes_
    student = clone(LOGISTIC).fit(X, y, qid=qid)
    assert_array_equal(student.classes_, [0, 1])
    display = CalibrationDisplay.from_estimator(student, X, y)
    assert_allclose(display.y_prob, student.predict_proba(X)[:, 1], rtol=1e-6)
    assert np.abs(display.prob_true - display.prob_pred).max() < 0.1
    pipeline = make_pipeline(StandardScaler(), clone(LOGISTIC)).fit(X, y, linearranker__qid=qid)
    assert CalibrationDisplay.from_estimator(pipeline, X, y).y_prob.shape == y.shape
    # A ranker returns scores, whatever its tags.
    positive = 1 / (1 + np.exp(-student.predict(X)))
    assert_allclose(positive, student.predict_proba(X)[:, 1], rtol=1e-6)


def test_other_rankers_have_no_classes(clicks):
    X, y, qid = clicks
    student = LinearRanker(max_iter=1).fit(X, y, qid=qid)
    with pytest.raises(AttributeError, match="predict_proba"):
        _ = student.classes_
    # What is wrong with the parameters is said by fit.
    assert get_tags(LinearRanker(loss="logistik")).estimator_type == "regressor"
    assert get_tags(MultiObjectiveRanker(None)).estimator_type is None


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_probabilities_are_calibrated_by_scikit_learn(clicks, routing, method):
    X, y, qid = clicks
    half = qid < 100
    student = clone(LOGISTIC).fit(X[half], y[half], qid=qid[half])
    calibrated = CalibratedClassifierCV(FrozenEstimator(student), method=method)
    calibrated.fit(X[half], y[half])
    error = expected_calibration_error(y[~half], calibrated.predict_proba(X[~half])[:, 1])
    assert error < 0.05
    folds = list(RankingGroupKFold(2).split(X[half], y[half], qid[half]))
    calibrated = CalibratedClassifierCV(clone(LOGISTIC), cv=folds, method=method)
    calibrated.fit(X[half], y[half], qid=qid[half])
    error = expected_calibration_error(y[~half], calibrated.predict_proba(X[~half])[:, 1])
    assert error < 0.05
    ranker = DistilledRanker(student=LinearRanker(), alpha=0, calibrate="isotonic", random_state=0)
    ranker.fit(X[half], y[half], qid=qid[half])
    assert is_classifier(ranker)
    assert CalibrationDisplay.from_estimator(ranker, X[~half], y[~half]).y_prob.shape


def test_scorers_and_ensembles_of_classifiers_take_a_logistic_student(clicks, routing):
    X, y, qid = clicks
    folds = RankingGroupKFold(3)
    kwargs = {"cv": folds, "params": {"qid": qid}, "error_score": "raise"}
    for scoring in ("roc_auc", "neg_log_loss", "neg_brier_score", "average_precision"):
        assert np.isfinite(cross_val_score(clone(LOGISTIC), X, y, scoring=scoring, **kwargs)).all()
    student = clone(LOGISTIC).fit(X, y, qid=qid)
    voting = VotingClassifier([("a", clone(LOGISTIC))], voting="soft").fit(X, y, qid=qid)
    assert_allclose(voting.predict_proba(X), student.predict_proba(X))
    assert roc_auc_score(y, voting.predict_proba(X)[:, 1]) > 0.8
    assert brier_score_loss(y, voting.predict_proba(X)[:, 1]) < 0.2


@pytest.mark.parametrize(
    "wrap", [lambda s: s, FrozenEstimator, make_pipeline], ids=["bare", "frozen", "pipeline"]
)
def test_a_teacher_that_ranks_is_asked_for_scores_even_if_it_has_probabilities(clicks, wrap):
    """Isotonic probabilities tie where scores differ."""
    X, y, qid = clicks
    ranker = DistilledRanker(student=LinearRanker(), alpha=0, calibrate="isotonic", random_state=0)
    ranker.fit(X, y, qid=qid)
    assert_allclose(score_rows(wrap(ranker), X), ranker.predict(X))
    assert len(np.unique(ranker.predict_proba(X))) < len(X) / 2
    classifier = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(X, y)
    assert_allclose(score_rows(wrap(classifier), X), classifier.predict_proba(X)[:, 1])


@pytest.mark.parametrize("as_column", [lambda y: y[:, None], lambda y: pd.DataFrame({"y": y})])
@pytest.mark.parametrize(
    "ranker",
    [
        LinearRanker(max_iter=3, random_state=0),
        DistilledRanker(
            lightgbm.LGBMRanker(n_estimators=3, verbose=-1, n_jobs=1),
            LinearRanker(max_iter=3),
            random_state=0,
        ),
        MLPEnsembleRanker(2, mlp_parameters={"max_iter": 2}, random_state=0),
    ],
    ids=lambda ranker: type(ranker).__name__,
)
def test_a_column_of_labels_is_taken_in_fit_and_in_scores(ranker, as_column, with_noise, routing):
    X, y, qid = with_noise
    y = np.where(np.arange(len(y)) % 7 == 0, np.nan, y)
    column = as_column(y)
    expected = clone(ranker).fit(X, y, qid=qid)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        fitted = clone(ranker).fit(X, column, qid=qid)
    assert_array_equal(fitted.predict(X), expected.predict(X))
    score = expected.score(X, y, qid=qid)
    assert fitted.score(X, column, qid=qid) == score
    found = cross_val_score(
        ranker, X, column, cv=RankingGroupKFold(3), params={"qid": qid}, error_score="raise"
    )
    assert (found > 0.5).all()
    search = GridSearchCV(ranker, {}, cv=RankingGroupKFold(3), error_score="raise")
    assert search.fit(X, column, qid=qid).best_score_ == pytest.approx(found.mean())


def test_a_data_frame_with_numbered_columns_is_read_in_the_order_of_the_objectives(with_noise):
    X, y, qid = with_noise
    labels = np.column_stack([y, y > 2])
    objectives = {"grade": "listwise", "like": "logistic"}
    by_position, by_number = (
        MultiObjectiveRanker(objectives, (4,), max_iter=2, random_state=0).fit(X, table, qid=qid)
        for table in (labels, pd.DataFrame(labels))
    )
    assert_array_equal(by_position.predict(X), by_number.predict(X))
    with pytest.raises(ValueError, match=r"y lacks the objectives \['grade', 'like'\]"):
        by_position.score(X, pd.DataFrame(labels, columns=["a", "b"]), qid=qid)
