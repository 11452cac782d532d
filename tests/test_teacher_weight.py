"""alpha="auto": the weight of the teacher, chosen by the labels of held-out queries."""

import io

import joblib
import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRanker
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.datasets import make_clicks, make_ranking
from skdistill.serving import load, save
from skdistill.students import LinearRanker, MLPRanker
from skdistill.teacher_weight import ALPHAS, DEFAULT_ALPHA, best_weight

STUDENT = LinearRanker(max_iter=20)


@pytest.fixture(scope="module")
def log():
    """Labels that a linear student can follow, and the utility that they come from."""
    data = make_ranking(n_queries=90, query_size=(10, 20), n_features=6, random_state=0)
    rng = np.random.default_rng(0)
    data.utility = data.X @ rng.standard_normal(6)
    data.y = np.clip(np.round(data.utility / 1.5 + 1), 0, 3)
    return data


def fit(log, scores=None, student=STUDENT, **parameters):
    ranker = DistilledRanker(None, student, alpha="auto", random_state=0, **parameters)
    return ranker.fit(log.X, log.y, qid=log.qid, teacher_scores=scores)


@pytest.mark.parametrize(
    ("found", "alpha"),
    [
        ([[1, 2, 3], [0, 1, 2], [2, 3, 4]], 0.9),
        ([[2, 3, 4], [0, 1, 2], [1, 2, 3]], 0.1),
        ([[5, 5, 2], [0, 1, 2], [2, 2, 1]], 0.5),  # neither is better in the third part
        ([[5, 5, 2], [0, 1, 2], [1, 2, 3]], 0.9),
        ([[0, 0, 0], [1, 1, 1], [0, 0, 0]], 0.5),
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], 0.5),
    ],
)
def test_another_weight_has_to_be_better_in_every_part(found, alpha):
    assert ALPHAS[best_weight(np.array(found, dtype=float))] == alpha


def test_a_teacher_that_is_wrong_gets_little_weight(log):
    wrong = -log.utility
    ranker = fit(log, wrong)
    assert ranker.alpha_ == 0.1
    assert list(ranker.alpha_scores_) == list(ALPHAS)
    assert ranker.alpha_scores_[0.1] > 0.9 > ranker.alpha_scores_[0.5]


def test_a_teacher_that_knows_more_than_labels_gets_most_of_the_weight(log):
    rng = np.random.default_rng(1)
    is_lost = rng.random(len(log.y)) < 0.8
    noisy = clone_bunch(log, y=np.where(is_lost, rng.permutation(log.y), log.y))
    student = MLPRanker((8,), max_iter=20)
    assert fit(noisy, log.utility, student, loss="pointwise").alpha_ == 0.9


def clone_bunch(log, **changes):
    return type(log)(**{**log, **changes})


def test_the_student_is_that_of_the_chosen_weight(log):
    wrong = -log.utility
    ranker = fit(log, wrong)
    given = clone(ranker).set_params(alpha=0.1)
    given.fit(log.X, log.y, qid=log.qid, teacher_scores=wrong)
    assert given.alpha_ == 0.1
    assert given.alpha_scores_ is None
    assert_array_equal(ranker.predict(log.X), given.predict(log.X))
    assert ranker.student_.alpha == 0.1
    assert ranker.alpha == "auto"


def test_a_fit_is_repeatable_and_the_order_of_rows_does_not_matter(log):
    order = np.random.default_rng(2).permutation(len(log.y))
    shuffled = clone_bunch(log, X=log.X[order], y=log.y[order], qid=log.qid[order])
    first, second = fit(log, log.utility), fit(shuffled, log.utility[order])
    assert first.alpha_scores_ == second.alpha_scores_


def test_too_few_labels_are_told_before_the_teacher_is_fitted(log):
    class Expensive(LGBMRanker):
        def fit(self, *args, **kwargs):
            raise RuntimeError("the teacher was fitted")

    y = np.where(log.qid < np.unique(log.qid)[5], log.y, np.nan)
    ranker = DistilledRanker(Expensive(), STUDENT, alpha="auto")
    with pytest.raises(ValueError, match=r"at least 6 queries whose labels differ, got 5"):
        ranker.fit(log.X, y, qid=log.qid)


def test_labelled_validation_rows_are_the_held_out_ones(log):
    train, later = log.qid < 60, log.qid >= 60
    ranker = DistilledRanker(None, STUDENT, alpha="auto", random_state=0)
    rows = {"y": log.y[train], "qid": log.qid[train], "teacher_scores": -log.utility[train]}
    assert ranker.fit(log.X[train], **rows).alpha_ == 0.1
    # The later labels are reversed, as the teacher's scores are, and say the opposite.
    reversed_labels = {"y_val": 3 - log.y[later], "qid_val": log.qid[later]}
    ranker.fit(log.X[train], **rows, X_val=log.X[later], **reversed_labels)
    assert ranker.alpha_ > 0.1
    assert ranker.alpha_scores_[0.1] < ranker.alpha_scores_[ranker.alpha_]


def test_few_labels_of_validation_rows_leave_the_folds(log):
    train, later = log.qid < 86, log.qid >= 86
    ranker = DistilledRanker(None, STUDENT, alpha="auto", random_state=0)
    validation = {"X_val": log.X[later], "y_val": log.y[later], "qid_val": log.qid[later]}
    ranker.fit(
        log.X[train], log.y[train], qid=log.qid[train], teacher_scores=-log.utility[train],
        **validation,
    )  # fmt: skip
    assert ranker.alpha_ == 0.1


def test_without_labels_there_is_nothing_to_choose(log):
    ranker = DistilledRanker(None, STUDENT, alpha="auto")
    ranker.fit(log.X, qid=log.qid, teacher_scores=log.utility)
    assert ranker.alpha_ == DEFAULT_ALPHA
    assert ranker.alpha_scores_ is None


def test_unlabelled_queries_are_not_held_out(log):
    y = np.where(log.qid < np.unique(log.qid)[30], log.y, np.nan)
    scores = fit(clone_bunch(log, y=y), log.utility).alpha_scores_
    assert all(0 < score <= 1 for score in scores.values())


def test_rows_without_queries_are_compared_by_their_loss():
    data = make_clicks(n_rows=3000, random_state=0)
    teacher = LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, random_state=0)
    ranker = DistilledRanker(
        teacher, LinearRanker(max_iter=3), loss="logistic", alpha="auto", random_state=0
    ).fit(data.X, data.y)
    assert all(score < 0 for score in ranker.alpha_scores_.values())
    assert ranker.predict_proba(data.X[:2]).shape == (2, 2)


def test_everything_else_goes_along(log):
    train, later = log.qid < 70, log.qid >= 70
    binary = (log.y > 1).astype(float)
    ranker = DistilledRanker(
        LGBMRanker(n_estimators=5, verbose=-1, n_jobs=1),
        make_pipeline(StandardScaler(), MLPRanker((4,), max_iter=3)),
        alpha="auto", teacher_cv=2, augment=0.2, calibrate="sigmoid", random_state=0,
    ).fit(
        log.X[train], binary[train], qid=log.qid[train],
        sample_weight=np.linspace(1, 2, train.sum()),
        X_val=log.X[later], y_val=binary[later], qid_val=log.qid[later],
    )  # fmt: skip
    assert ranker.alpha_ in ALPHAS
    assert ranker.predict_proba(log.X[later]).shape == (later.sum(), 2)


def test_files_keep_the_choice(log, tmp_path):
    ranker = fit(log, log.utility)
    buffer = io.BytesIO()
    joblib.dump(ranker, buffer)
    save(ranker, tmp_path / "ranker.skd")
    for loaded in (joblib.load(io.BytesIO(buffer.getvalue())), load(tmp_path / "ranker.skd")):
        assert loaded.alpha == "auto"
        assert loaded.alpha_ == ranker.alpha_
        assert loaded.alpha_scores_ == ranker.alpha_scores_
        assert_array_equal(loaded.predict(log.X), ranker.predict(log.X))


def test_it_says_what_it_chose(log, capsys):
    ranker = fit(log, log.utility, verbose=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if "alpha=" in line]
    assert lines == [
        f"DistilledRanker: alpha={ranker.alpha_} of "
        + ", ".join(f"{alpha}: {score:.4f}" for alpha, score in ranker.alpha_scores_.items())
    ]


def test_a_fitted_teacher_is_used_as_it_is(log):
    teacher = LGBMRanker(n_estimators=5, verbose=-1, n_jobs=1, random_state=0)
    teacher.fit(log.X, log.y.astype(int), group=np.unique(log.qid, return_counts=True)[1])
    ranker = DistilledRanker(FrozenEstimator(teacher), STUDENT, alpha="auto", random_state=0)
    assert ranker.fit(log.X, log.y, qid=log.qid).alpha_ in ALPHAS
