"""Probabilities of compiled scorers, against predict_proba and scikit-learn's calibrators."""

import pickle

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from numpy.testing import assert_allclose
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.calibration import probability_map
from skdistill.datasets import make_ranking
from skdistill.serving import compile_scorer, load, save
from skdistill.students import LinearRanker, MLPRanker

TEACHER = LGBMClassifier(n_estimators=20, verbose=-1)
STUDENT = MLPRanker((8,), max_iter=5)
MODELS = {
    "logistic student": MLPRanker((8,), loss="logistic", max_iter=5, random_state=0),
    "logistic ranker": DistilledRanker(TEACHER, STUDENT, loss="logistic", random_state=0),
    "logistic on labels": DistilledRanker(
        TEACHER, STUDENT, loss="listwise", hard_loss="logistic", random_state=0
    ),
    "sigmoid": DistilledRanker(TEACHER, STUDENT, calibrate="sigmoid", random_state=0),
    "isotonic": DistilledRanker(TEACHER, STUDENT, calibrate="isotonic", random_state=0),
}


@pytest.fixture(scope="module")
def data():
    return make_ranking(n_queries=150, random_state=0)


@pytest.mark.parametrize("in_front", [False, True], ids=["alone", "in a Pipeline"])
@pytest.mark.parametrize("name", MODELS)
def test_a_scorer_has_the_probabilities_of_its_model(data, name, in_front):
    model, y = MODELS[name], (data.y > 0).astype(float)
    if in_front:
        model = make_pipeline(StandardScaler(), model)
        last = model.steps[-1][0]
        model.fit(data.X, y, **{f"{last}__qid": data.qid})
    else:
        model.fit(data.X, y, qid=data.qid)
    scorer = compile_scorer(model)
    expected = model.predict_proba(data.X)[:, 1]
    rows = np.ascontiguousarray(data.X, dtype=np.float32)
    found = scorer.probabilities(scorer(rows))
    assert found.dtype == np.float64
    # A step of the isotonic map may be steep where the two engines round differently.
    assert_allclose(found, expected, atol=1e-3 if name == "isotonic" else 1e-5)
    again = pickle.loads(pickle.dumps(scorer))
    assert_allclose(again.probabilities(scorer(rows)), found)


def test_a_loaded_ranker_keeps_its_calibrator_and_the_exported_student_has_none(data, tmp_path):
    y = (data.y > 0).astype(float)
    ranker = MODELS["sigmoid"].fit(data.X, y, qid=data.qid)
    save(ranker, tmp_path / "ranker.skd")
    scorer = compile_scorer(load(tmp_path / "ranker.skd"))
    rows = np.ascontiguousarray(data.X, dtype=np.float32)
    expected = ranker.predict_proba(data.X)[:, 1]
    assert_allclose(scorer.probabilities(scorer(rows)), expected, atol=1e-5)
    exported = compile_scorer(ranker.export_student())
    with pytest.raises(TypeError, match="not probabilities.*serve the ranker"):
        exported.probabilities(exported(rows))


def test_rows_are_no_scores(data):
    y = (data.y > 0).astype(float)
    rows = np.ascontiguousarray(data.X, dtype=np.float32)
    scorer = compile_scorer(MODELS["logistic student"].fit(data.X, y, qid=data.qid))
    for given in (rows, data.X, [{"a": 1}]):
        with pytest.raises(TypeError, match=r"probabilities takes scores.*scorer\(X\)"):
            scorer.probabilities(given)


def test_scores_that_are_no_log_odds_have_no_probabilities(data):
    scorer = compile_scorer(LinearRanker(max_iter=2).fit(data.X, data.y, qid=data.qid))
    with pytest.raises(TypeError, match="loss='logistic'"):
        scorer.probabilities(np.zeros(3, dtype=np.float32))


@pytest.mark.parametrize("n_levels", [1, 2, 50])
def test_maps_are_those_of_the_calibrators(n_levels):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, n_levels, 400) / 7.0
    labels = (rng.random(400) < 0.2 + 0.5 * scores / scores.max(initial=1)).astype(float)
    # Some lie between the scores of the fit, some beyond them.
    asked = np.concatenate([rng.uniform(-2, 9, 1000), np.unique(scores), [-1e6, 1e6]])
    isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)
    assert_allclose(probability_map(isotonic)(asked), isotonic.predict(asked), atol=1e-12)
    sigmoid = LogisticRegression(C=np.inf).fit(scores[:, None], labels)
    expected = sigmoid.predict_proba(asked[:, None])[:, 1]
    assert_allclose(probability_map(sigmoid)(asked), expected, atol=1e-12)
