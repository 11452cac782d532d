"""Probabilities: students' log-odds, calibrators on held-out queries, down-sampling undone."""

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.metrics import log_loss

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.metrics import expected_calibration_error
from skdistill.students import LinearRanker, MLPRanker

TRAIN, TEST = 500, 300


@pytest.fixture(scope="module")
def clicks():
    """Clicks with a known probability, a fifth of the rows; queries of twenty rows."""
    data = make_ranking(n_queries=TRAIN + TEST, query_size=20, n_features=6, random_state=0)
    probability = expit(1.5 * data.utility - 2)
    y = (np.random.default_rng(1).random(len(probability)) < probability).astype(float)
    train = data.qid < TRAIN
    parts = [(data.X[m], y[m], data.qid[m], probability[m]) for m in (train, ~train)]
    return parts


def teacher():
    return LGBMClassifier(n_estimators=60, num_leaves=8, min_child_samples=50, verbose=-1)


def student():
    return MLPRanker((32,), max_iter=20)


def test_a_logistic_student_is_as_calibrated_as_its_teacher(clicks):
    (X, y, qid, _), (X_test, y_test, _, _) = clicks
    ranker = DistilledRanker(
        teacher(), MLPRanker((64, 32)), loss="logistic", alpha=1.0, random_state=0
    )
    probability = ranker.fit(X, y, qid=qid).predict_proba(X_test)
    assert_allclose(probability.sum(axis=1), 1)
    assert_allclose(ranker.export_student().predict_proba(X_test), probability)
    ranker.set_params(calibrate="sigmoid").fit(X, y, qid=qid)
    positive = ranker.predict_proba(X_test)[:, 1]
    of_teacher = ranker.teacher_.predict_proba(X_test)[:, 1]
    least = expected_calibration_error(y_test, of_teacher)
    assert expected_calibration_error(y_test, positive) <= 1.1 * least
    # Steps in the truth, which trees follow and a small network rounds off.
    for own in (positive, probability[:, 1]):
        assert log_loss(y_test, own) < 1.02 * log_loss(y_test, of_teacher)
    assert not hasattr(DistilledRanker(teacher(), student()), "predict_proba")
    assert hasattr(DistilledRanker(teacher(), student(), hard_loss="logistic"), "predict_proba")
    for unused in ({"hard_loss": "logistic", "alpha": 1.0}, {"loss": "logistic", "alpha": 0.0}):
        options = {"hard_loss": "pairwise", **unused}
        assert not hasattr(DistilledRanker(teacher(), student(), **options), "predict_proba")
    assert not hasattr(LinearRanker(), "predict_proba")


@pytest.mark.parametrize("kind", ["isotonic", "sigmoid"])
def test_scores_of_any_loss_are_calibrated_on_held_out_queries(clicks, kind):
    """Listwise scores have no unit; a tenth of the queries gives them one."""
    (X, y, qid, _), (X_test, y_test, _, _) = clicks
    ranker = DistilledRanker(teacher(), student(), calibrate=kind, random_state=0)
    ranker.fit(X, y, qid=qid)
    probability = ranker.predict_proba(X_test)[:, 1]
    assert expected_calibration_error(y_test, probability) < 0.03
    raw = expit(ranker.predict(X_test).astype(float))
    assert expected_calibration_error(y_test, raw) > 0.1
    # The order stays (isotonic steps may tie neighbours).
    order = np.argsort(ranker.predict(X_test))
    assert (np.diff(probability[order]) >= -1e-12).all()


@pytest.mark.parametrize("parameters", [
    {"loss": "logistic"},
    {"loss": "logistic", "alpha": 0.0},
    {"calibrate": "isotonic"},
])  # fmt: skip
def test_down_sampled_negatives_are_made_up_for(clicks, parameters):
    """A tenth of the negatives is kept; probabilities are those among all rows."""
    (X, y, qid, _), (X_test, y_test, _, truth) = clicks
    kept = (y == 1) | (np.random.default_rng(0).random(len(y)) < 0.1)
    kinds = {}
    for rate in (0.1, 1.0):
        ranker = DistilledRanker(
            teacher(), student(), sampling_rate=rate, random_state=0, **parameters
        )
        ranker.fit(X[kept], y[kept], qid=qid[kept])
        kinds[rate] = ranker.predict_proba(X_test)[:, 1]
    assert abs(kinds[0.1].mean() - truth.mean()) < 0.03
    assert kinds[1.0].mean() > truth.mean() + 0.15
    assert expected_calibration_error(y_test, kinds[0.1]) < 0.06


def test_labels_and_rates_that_cannot_be_calibrated_are_refused(clicks):
    (X, y, qid, _), _ = clicks

    def fit(y=y, **parameters):
        return DistilledRanker(teacher(), LinearRanker(max_iter=1), **parameters).fit(X, y, qid=qid)

    with pytest.raises(ValueError, match="'calibrate' parameter of DistilledRanker must be"):
        fit(calibrate="best")
    with pytest.raises(ValueError, match="labels 0 and 1"):
        fit(y=2 * y, calibrate="sigmoid")
    with pytest.raises(
        ValueError,
        match="'sampling_rate' parameter of DistilledRanker must be",
    ):
        fit(sampling_rate=0)
    with pytest.raises(ValueError, match="Use a classifier as teacher"):
        DistilledRanker(None, LinearRanker(max_iter=1), sampling_rate=0.5).fit(
            X, y, qid=qid, teacher_scores=10 * y
        )
