"""Rows without queries: a loss that compares no rows takes each row by itself."""

import warnings

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRanker
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV

from skdistill import DistilledRanker
from skdistill.dask_training import fit_student_dask
from skdistill.datasets import make_clicks
from skdistill.inspection import ranking_importance
from skdistill.metrics import grouped_auc_scorer, ndcg_score
from skdistill.recipe import follow, read_recipe
from skdistill.streaming import fit_from_files
from skdistill.students import (
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)
from skdistill.teachers import MLPEnsembleRanker
from skdistill.teachers.comparing import compares_rows

STUDENTS = (LinearRanker, FactorizationMachineRanker, MLPRanker)
N_TRAIN = 3000


@pytest.fixture(scope="module")
def log():
    data = make_clicks(
        4000, n_users=300, n_ads=30, n_sites=10, spread=3.0, click_rate=0.2, random_state=0
    )
    return data.X[:N_TRAIN], data.y[:N_TRAIN], data.X[N_TRAIN:], data.y[N_TRAIN:]


@pytest.fixture
def _strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def no_qid():
    return pytest.warns(UserWarning, match="got no qid: all .* rows are taken as one query")


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("loss", ["logistic", "pointwise"])
def test_a_row_is_a_row_for_a_loss_of_single_rows(log, student, loss):
    X, y, X_test, y_test = log
    fitted = student(loss=loss, max_iter=3, random_state=0).fit(X, y)
    assert fitted.score(X_test, y_test) == pytest.approx(
        roc_auc_score(y_test, fitted.predict(X_test))
    )
    assert fitted.score(X_test, y_test) > 0.7


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("teacher", [LGBMClassifier, LGBMRanker])
def test_a_classifier_teaches_rows_without_queries(log, teacher):
    X, y, X_test, y_test = log
    objective = {"objective": "binary", "n_estimators": 40, "verbose": -1, "n_jobs": 1}
    ranker = DistilledRanker(
        teacher(**objective), MLPRanker((16,), max_iter=8), loss="logistic", random_state=0
    ).fit(X, y)
    probability = ranker.predict_proba(X_test)[:, 1]
    assert ranker.score(X_test, y_test) == pytest.approx(roc_auc_score(y_test, probability))
    chance = np.full(len(y_test), y.mean())
    assert log_loss(y_test, probability) < 0.92 * log_loss(y_test, chance)


def test_what_compares_rows_still_says_that_they_are_one_query(log):
    X, y, X_test, y_test = log
    with no_qid():
        student = LinearRanker(max_iter=1).fit(X, y)
    assert student.score(X_test, y_test) == pytest.approx(
        ndcg_score(y_test, student.predict(X_test), None, k=10)
    )
    with no_qid():
        LinearRanker(loss="logistic", hard_loss="listwise", max_iter=1).fit(X, y)
    with no_qid():
        LinearRanker(loss="listwise", hard_loss="logistic", max_iter=1, alpha=0.5).fit(X, y)
    numbers = X[["hour", "position"]]
    with no_qid():
        DistilledRanker(
            LGBMRanker(n_estimators=3, verbose=-1, n_jobs=1), LinearRanker(), loss="pointwise"
        ).fit(numbers, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A loss without a weight compares nothing.
        student = LinearRanker(loss="listwise", hard_loss="logistic", max_iter=5, random_state=0)
        student.set_params(alpha=0.0).fit(X, y)


@pytest.mark.parametrize(
    ("teacher", "expected"),
    [
        (LGBMClassifier(), False),
        (LGBMRanker(), True),
        (LGBMRanker(objective="rank_xendcg"), True),
        (LGBMRanker(objective="binary"), False),
        (FrozenEstimator(LGBMRanker()), False),
        (GridSearchCV(LGBMRanker(), {"n_estimators": [3]}), True),
        (LinearRanker(loss="logistic"), False),
        (LinearRanker(), True),
        (MLPEnsembleRanker(), True),
        (FrozenEstimator(MLPEnsembleRanker()), True),
        (lambda X: X[:, 0], False),
        (lambda X, qid: X[:, 0], True),
    ],
)
def test_teachers_that_compare_rows_are_known(teacher, expected):
    assert compares_rows(teacher) is expected


@pytest.mark.parametrize(
    ("loss", "batch_size", "ids", "n_steps"),
    [
        ("logistic", "auto", None, 12),  # 3000 / 256
        ("logistic", "auto", np.arange(N_TRAIN), 12),
        ("logistic", "auto", np.arange(N_TRAIN) // 10, 19),  # 300 / 16
        ("listwise", "auto", np.arange(N_TRAIN) // 10, 19),
        ("logistic", 100, None, 30),
    ],
)
def test_a_step_has_so_many_rows_or_queries(log, loss, batch_size, ids, n_steps):
    X, y, *_ = log
    student = LinearRanker(loss=loss, batch_size=batch_size).partial_fit(X, y, qid=ids)
    assert student.optimizer_.n_steps == n_steps


@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping_measures_the_log_loss(log, weighted):
    X, y, X_val, y_val = log
    weight = np.random.default_rng(0).random(len(y_val)) if weighted else None
    student = LinearRanker(loss="logistic", max_iter=1, random_state=0)
    student.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    expected = -log_loss(y_val, student.predict_proba(X_val)[:, 1], sample_weight=weight)
    assert student.validation_scores_ == [pytest.approx(expected, rel=1e-5)]


def test_a_distilled_student_stops_by_the_log_loss(log):
    X, y, X_val, y_val = log
    teacher = LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=1), loss="logistic", random_state=0)
    ranker.fit(X, y, X_val=X_val, y_val=y_val)
    expected = -log_loss(y_val, ranker.predict_proba(X_val)[:, 1])
    assert ranker.student_.validation_scores_ == [pytest.approx(expected, rel=1e-5)]


def test_without_labels_the_teacher_is_the_measure(log):
    X, y, X_val, _ = log
    probability = np.random.default_rng(0).random(len(X_val))
    student = LinearRanker(loss="logistic", max_iter=1, random_state=0)
    student.fit(X, y, teacher_scores=y, X_val=X_val, teacher_scores_val=probability)
    predicted = student.predict_proba(X_val)[:, 1]
    cross_entropy = probability * np.log(predicted) + (1 - probability) * np.log(1 - predicted)
    assert student.validation_scores_ == [pytest.approx(cross_entropy.mean(), rel=1e-5)]


def test_rows_without_a_label_are_left_out_of_the_measure(log):
    X, y, X_val, y_val = log
    labels = np.where(np.arange(len(y_val)) % 3, y_val, np.nan)
    student = LinearRanker(loss="logistic", max_iter=1, random_state=0)
    student.fit(X, y, X_val=X_val, y_val=labels)
    known = ~np.isnan(labels)
    expected = -log_loss(labels[known], student.predict_proba(X_val[known])[:, 1])
    assert student.validation_scores_ == [pytest.approx(expected, rel=1e-5)]


def test_rows_are_held_out_and_a_long_log_stops_by_itself():
    data = make_clicks(10_000, n_users=1000, random_state=0)
    student = MLPRanker((32,), loss="logistic", random_state=0)
    student.fit(data.X, data.y)
    assert student.n_iter_ < 30
    assert len(student.validation_scores_) == student.n_iter_
    short = student.set_params(max_iter=2).fit(data.X[:-1], data.y[:-1])
    assert short.validation_scores_ == []
    few = np.where(np.arange(10_000) < 5000, data.y, np.nan)
    assert student.fit(data.X, few).validation_scores_ == []
    both = MultiObjectiveRanker({"a": "logistic", "b": "logistic"}, max_iter=1)
    assert both.fit(data.X, np.column_stack([data.y, few])).validation_scores_ == []
    student.set_params(early_stopping=True).fit(data.X[:1000], data.y[:1000])
    assert len(student.validation_scores_) == 2


def test_a_shuffled_log_gives_the_same_student(log):
    X, y, X_test, _ = log
    distinct = ~X.duplicated(keep=False)
    X, y = X[distinct], y[distinct]
    order = np.random.default_rng(0).permutation(len(y))
    student = MLPRanker((8,), loss="logistic", max_iter=2, early_stopping=True, random_state=0)
    one = student.fit(X, y).predict(X_test)
    assert_array_equal(student.fit(X.iloc[order], y[order]).predict(X_test), one)


@pytest.mark.usefixtures("_strict")
def test_several_objectives_take_rows_if_all_their_losses_do(log):
    X, y, X_test, y_test = log
    labels = np.column_stack([y, np.roll(y, 1)])
    student = MultiObjectiveRanker(
        {"click": "logistic", "buy": "logistic"}, max_iter=1, random_state=0
    )
    of_test = np.column_stack([y_test, np.roll(y_test, 1)])
    student.fit(X, labels, X_val=X_test, y_val=of_test)
    found = student.predict_objectives(X_test)
    expected = [
        log_loss(of_test[:, column], found[name].astype(float))
        for column, name in enumerate(("click", "buy"))
    ]
    assert student.validation_scores_ == [pytest.approx(-np.mean(expected), rel=1e-5)]
    scores = student.predict(X_test)
    assert student.score(X_test, of_test) == pytest.approx(
        np.mean([roc_auc_score(column, scores) for column in of_test.T])
    )
    mixed = MultiObjectiveRanker({"click": "logistic", "buy": "listwise"}, max_iter=1)
    with no_qid():
        mixed.fit(X, labels)


@pytest.mark.usefixtures("_strict")
def test_folds_and_calibration_take_rows(log):
    X, y, X_test, y_test = log
    ranker = DistilledRanker(
        LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1),
        LinearRanker(max_iter=3),
        loss="pointwise",
        teacher_cv=3,
        calibrate="sigmoid",
        random_state=0,
    ).fit(X, y)
    assert log_loss(y_test, ranker.predict_proba(X_test)[:, 1]) < 0.5
    assert ranker.score(X_test, y_test) > 0.7


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("scoring", [None, "neg_log_loss", "roc_auc"])
def test_a_search_compares_students_of_rows(log, scoring):
    X, y, *_ = log
    student = LinearRanker(loss="logistic", random_state=0)
    search = GridSearchCV(
        student, {"max_iter": [1, 10]}, scoring=scoring, cv=3, error_score="raise"
    ).fit(X, y)
    assert search.best_params_ == {"max_iter": 10}


def test_importances_are_losses_of_auc(log):
    X, y, X_test, y_test = log
    student = LinearRanker(loss="logistic", random_state=0).fit(X, y)
    found = ranking_importance(student, X_test, y_test, n_repeats=2, random_state=0)
    by_auc = ranking_importance(
        student, X_test, y_test, scoring=grouped_auc_scorer(), n_repeats=2, random_state=0
    )
    assert_array_equal(found.importances, by_auc.importances)


@pytest.mark.usefixtures("_strict")
def test_queries_that_are_passed_count(log):
    X, y, X_test, y_test = log
    student = LinearRanker(loss="logistic", max_iter=2, random_state=0).fit(X, y)
    qid = np.arange(len(y_test)) // 20
    assert student.score(X_test, y_test, qid=qid) == pytest.approx(
        ndcg_score(y_test, student.predict(X_test), qid, k=10)
    )
    student.fit(X, y, qid=np.arange(len(y)) // 20)
    with pytest.raises(ValueError, match="was fitted with qid, so scoring needs qid too"):
        student.score(X_test, y_test)


def numbers_of(log):
    X, y, *_ = log
    frame = X[["hour", "position"]].copy()
    frame["click"] = y
    return frame


def test_files_need_no_query_column(log, tmp_path):
    frame = numbers_of(log)
    frame.to_parquet(tmp_path / "log.parquet")
    options = {"label_column": "click", "n_epochs": 2, "random_state": 0}
    student = LinearRanker(loss="logistic", random_state=0)
    student = fit_from_files(student, tmp_path / "log.parquet", **options)
    assert student.optimizer_.n_steps == 2 * 12
    expected = LinearRanker(loss="logistic", random_state=0)
    for _ in range(2):
        expected.partial_fit(frame[["hour", "position"]], frame["click"])
    assert_array_equal(student.params_["weights_0"], expected.params_["weights_0"])
    with pytest.raises(ValueError, match=r"query_column=None .* a loss of LinearRanker compares"):
        fit_from_files(LinearRanker(), tmp_path / "log.parquet", **options)


def test_dask_needs_no_query_column(log):
    dataframe = pytest.importorskip("dask.dataframe")
    frame = numbers_of(log)
    table = dataframe.from_pandas(frame, npartitions=2)
    options = {"features": ["hour", "position"], "label_column": "click", "n_rounds": 2}
    student = fit_student_dask(LinearRanker(loss="logistic", random_state=0), table, **options)
    assert student.score(frame[["hour", "position"]], frame["click"]) > 0.5
    with pytest.raises(ValueError, match="Pass query_column"):
        fit_student_dask(LinearRanker(), table, **options)


@pytest.mark.usefixtures("_strict")
def test_a_recipe_needs_no_query_column(log, tmp_path):
    frame = numbers_of(log)
    frame.to_parquet(tmp_path / "log.parquet")
    (tmp_path / "recipe.toml").write_text(
        '[data]\ntrain = "log.parquet"\ntest = "log.parquet"\nlabel_column = "click"\n'
        '[teacher]\nestimator = "LGBMClassifier"\nn_estimators = 5\n'
        '[student]\nestimator = "LinearRanker"\nmax_iter = 3\n'
        '[distillation]\nloss = "logistic"\n'
    )
    ranker, report = follow(read_recipe(tmp_path / "recipe.toml"))
    table = frame[["hour", "position"]]
    assert report == {
        "training rows": N_TRAIN,
        "student auc": pytest.approx(roc_auc_score(frame["click"], ranker.predict(table))),
        "teacher auc": pytest.approx(
            roc_auc_score(frame["click"], ranker.teacher_.predict_proba(table)[:, 1])
        ),
    }


def test_a_validation_table_of_rows_may_lack_clicks(log):
    X, y, X_val, y_val = log
    quiet = y_val == 0
    student = LinearRanker(loss="logistic", max_iter=1, random_state=0)
    student.fit(X, y, X_val=X_val[quiet], y_val=y_val[quiet])
    assert len(student.validation_scores_) == 1
    with pytest.raises(ValueError, match="y_val has no label"):
        student.fit(X, y, X_val=X_val, y_val=pd.Series(np.full(len(y_val), np.nan)))
