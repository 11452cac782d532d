"""A validation table stops teacher and student, calibrates, and is never trained on."""

import warnings

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import sklearn
import xgboost
from numpy.testing import assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.datasets import make_ranking
from skdistill.inputs.ranking_data import RankingData
from skdistill.metrics import ndcg_score
from skdistill.students import (
    STUDENTS,
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)
from skdistill.teachers import MLPEnsembleRanker, QidAdapter, RankEnsemble

DATA = make_ranking(n_queries=150, n_features=6, random_state=3)
LATER = DATA.qid >= np.unique(DATA.qid)[100]
X, Y, QID = DATA.X[~LATER], DATA.y[~LATER], DATA.qid[~LATER]
X_VAL, Y_VAL, QID_VAL = DATA.X[LATER], DATA.y[LATER], DATA.qid[LATER]
WEEK = {"X_val": X_VAL, "y_val": Y_VAL, "qid_val": QID_VAL}
SLOW = {"max_iter": 40, "n_iter_no_change": 2, "random_state": 0}


SLOW_STUDENTS = {
    name: kind({"label": "listwise"}, **SLOW) if "Objective" in name else kind(**SLOW)
    for name, kind in STUDENTS.items()
}


@pytest.mark.parametrize("name", SLOW_STUDENTS)
def test_a_student_stops_by_the_validation_table_and_keeps_the_best_epoch(name):
    student = sklearn.clone(SLOW_STUDENTS[name])
    student.fit(X, Y, qid=QID, **WEEK)
    assert len(student.validation_scores_) == student.n_iter_
    best = max(student.validation_scores_)
    assert student.score(X_VAL, Y_VAL, qid=QID_VAL) == pytest.approx(best, abs=student.tol)
    whole = sklearn.clone(student).fit(X, Y, qid=QID)
    assert whole.validation_scores_ == []


def test_training_takes_all_queries_and_none_of_the_validation_table():
    """Labels of the validation table decide when to stop, and nothing else."""
    student = MLPRanker((8,), max_iter=4, random_state=0)
    plain = sklearn.clone(student).fit(X, Y, qid=QID)
    watched = student.set_params(n_iter_no_change=100, tol=0.0).fit(X, Y, qid=QID, **WEEK)
    assert watched.loss_curve_ == plain.loss_curve_
    assert_array_equal(watched.scaler_.shift, plain.scaler_.shift)


def test_weights_of_the_validation_table_weigh_its_queries():
    weight = np.where(QID_VAL[0] == QID_VAL, 1e6, 1e-6)
    student = LinearRanker(max_iter=1).fit(X, Y, qid=QID, **WEEK, sample_weight_val=weight)
    first = QID_VAL[0] == QID_VAL
    assert student.validation_scores_[0] == pytest.approx(
        ndcg_score(Y_VAL[first], student.predict(X_VAL[first]), QID_VAL[first], k=10), abs=1e-4
    )


def test_without_labels_the_teachers_scores_are_the_measure():
    rules = X[:, 0], X_VAL[:, 0]
    student = LinearRanker(**SLOW).fit(
        X, qid=QID, teacher_scores=rules[0], X_val=X_VAL, qid_val=QID_VAL,
        teacher_scores_val=rules[1],
    )  # fmt: skip
    assert max(student.validation_scores_) > 0.95
    by_ranker = DistilledRanker(lambda X: X[:, 0], LinearRanker(**SLOW), alpha=1.0)
    by_ranker.fit(X, qid=QID, X_val=X_VAL, qid_val=QID_VAL)
    assert max(by_ranker.student_.validation_scores_) > 0.95


def test_several_objectives_are_measured_as_far_as_there_are_targets():
    objectives = {"click": "logistic", "like": "listwise", "teacher": "listwise"}
    y, y_val = (np.column_stack([labels > 0, labels]) for labels in (Y, Y_VAL))
    student = MultiObjectiveRanker(objectives, (8,), max_iter=2, random_state=0)
    scores = {"qid": QID, "teacher_scores": X[:, 0]}
    week = {"X_val": X_VAL, "qid_val": QID_VAL}
    labels = student.fit(X, y, **scores, **week, y_val=y_val).validation_scores_
    teacher = student.fit(X, y, **scores, **week, teacher_scores_val=X_VAL[:, 0])
    teacher = teacher.validation_scores_
    both = student.fit(X, y, **scores, **week, y_val=y_val, teacher_scores_val=X_VAL[:, 0])
    mean = np.average([labels, teacher], axis=0, weights=[2, 1])
    np.testing.assert_allclose(both.validation_scores_, mean)
    ranker = DistilledRanker(
        lightgbm.LGBMRanker(n_estimators=5, verbose=-1), student, teacher_target="like"
    )
    ranker.fit(X, y, qid=QID, **week, y_val=y_val)
    assert len(ranker.student_.validation_scores_) == 2


WRONG = {
    "labels without rows": ({"y_val": Y_VAL}, "X_val is None"),
    "no queries": ({"X_val": X_VAL, "y_val": Y_VAL}, "qid_val is None"),
    "no target": ({"X_val": X_VAL, "qid_val": QID_VAL}, "y_val has no label"),
    "a column is missing": ({**WEEK, "X_val": X_VAL[:, 1:]}, "validation table.*5 features"),
    "a row is missing": ({**WEEK, "y_val": Y_VAL[1:]}, "validation table.*one value per row"),
    "negative": ({**WEEK, "y_val": Y_VAL - 1}, "y_val must be 0 or more"),
    "irrelevant": ({**WEEK, "y_val": Y_VAL * 0}, "y_val is 0 in every row"),
    "weights": ({**WEEK, "sample_weight_val": -Y_VAL}, "validation table.*0 or more"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("estimator", ["student", "ranker", "ensemble", "nets"])
def test_a_wrong_validation_table_is_refused_before_anything_is_fitted(name, estimator):
    class Never(Ridge):
        def fit(self, X, y):
            raise AssertionError("fitted")

    arguments, message = WRONG[name]
    model = {
        "student": LinearRanker(),
        "ranker": DistilledRanker(None, LinearRanker(), alpha=0.0),
        "ensemble": RankEnsemble([("never", Never())]),
        "nets": MLPEnsembleRanker(1),
    }[estimator]
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, qid=QID, **arguments)


def test_early_stopping_false_refuses_a_table_without_a_use():
    with pytest.raises(ValueError, match="early_stopping=False leaves X_val without a use"):
        LinearRanker(early_stopping=False).fit(X, Y, qid=QID, **WEEK)
    student = LinearRanker(early_stopping=False, max_iter=3)
    teacher = lightgbm.LGBMRanker(early_stopping_rounds=2, verbose=-1)
    ranker = DistilledRanker(teacher, student).fit(X, Y, qid=QID, **WEEK)
    assert ranker.student_.validation_scores_ == []
    assert ranker.teacher_.best_iteration_ < 100
    # A calibrator is a use too, and a teacher that is fitted already is none.
    frozen = FrozenEstimator(ranker.teacher_)
    binary = {**WEEK, "y_val": 1 * (Y_VAL > 0)}
    DistilledRanker(frozen, student, calibrate="sigmoid").fit(X, 1 * (Y > 0), qid=QID, **binary)
    with pytest.raises(ValueError, match="early_stopping=False leaves X_val without a use"):
        DistilledRanker(frozen, student).fit(X, Y, qid=QID, **WEEK)


def test_the_query_column_holds_the_queries_of_the_validation_table():
    tables = [pd.DataFrame(X).add_prefix("x").assign(query=QID)]
    tables.append(pd.DataFrame(X_VAL).add_prefix("x").assign(query=QID_VAL))
    by_column = DistilledRanker(
        None, LinearRanker(max_iter=3), alpha=0.0, query_column="query", random_state=0
    ).fit(tables[0], Y, X_val=tables[1], y_val=Y_VAL)
    by_qid = sklearn.clone(by_column).set_params(query_column=None)
    by_qid.fit(tables[0].drop(columns="query"), Y, qid=QID, X_val=tables[1].drop(columns="query"),
               y_val=Y_VAL, qid_val=QID_VAL)  # fmt: skip
    assert by_column.student_.validation_scores_ == by_qid.student_.validation_scores_
    with pytest.raises(ValueError, match="given twice"):
        by_column.fit(tables[0], Y, X_val=tables[1], y_val=Y_VAL, qid_val=QID_VAL)


# The teachers' own early stopping, each with its fit by hand.

TREES = {"verbose": -1, "n_jobs": 1, "random_state": 0, "num_leaves": 7, "n_estimators": 300}
XGB = {"n_estimators": 300, "n_jobs": 1, "early_stopping_rounds": 3, "max_depth": 3}
CAT = {"iterations": 300, "verbose": 0, "allow_writing_files": False, "thread_count": 1,
       "random_seed": 0, "early_stopping_rounds": 3}  # fmt: skip


@pytest.fixture
def sorted_tables():
    """Both tables in the canonical order, with weights."""
    weights = [np.random.default_rng(0).uniform(0.5, 2, len(y)) for y in (Y, Y_VAL)]
    return (
        RankingData.sort(QID, X, Y, sample_weight=weights[0]),
        RankingData.sort(QID_VAL, X_VAL, Y_VAL, sample_weight=weights[1]),
        weights,
    )


def by_hand_lightgbm(kind):
    def fit(model, train, week):
        groups = {}
        if kind == "ranker":
            groups = {"group": train.queries.sizes, "eval_group": [week.queries.sizes]}
        return model.fit(train.X, train.labels, sample_weight=train.sample_weight,
                         eval_X=week.X, eval_y=week.labels,
                         eval_sample_weight=[week.sample_weight], **groups)  # fmt: skip

    return fit


def by_hand_xgboost(model, train, week):
    return model.fit(
        train.X, train.labels, qid=train.queries.segment,
        sample_weight=train.queries.mean(train.sample_weight),
        eval_set=[(week.X, week.labels)], eval_qid=[week.queries.segment],
        sample_weight_eval_set=[week.queries.mean(week.sample_weight)],
    )  # fmt: skip


def by_hand_catboost(model, train, week):
    pool = catboost.Pool(
        week.X, week.labels, group_id=week.queries.segment, weight=week.sample_weight
    )
    return model.fit(train.X, train.labels, group_id=train.queries.segment,
                     sample_weight=train.sample_weight, eval_set=pool)  # fmt: skip


TEACHERS = {
    "LGBMRanker": (
        lightgbm.LGBMRanker(**TREES, early_stopping_rounds=3),
        by_hand_lightgbm("ranker"),
        lambda model: model.best_iteration_,
    ),
    "LGBMRegressor": (
        lightgbm.LGBMRegressor(**TREES, early_stopping_rounds=3),
        by_hand_lightgbm("regressor"),
        lambda model: model.best_iteration_,
    ),
    "XGBRanker": (
        xgboost.XGBRanker(**XGB),
        by_hand_xgboost,
        lambda model: model.best_iteration,
    ),
    "CatBoostRanker": (
        catboost.CatBoostRanker(**CAT),
        by_hand_catboost,
        lambda model: model.tree_count_,
    ),
    "HistGradientBoostingRegressor": (
        HistGradientBoostingRegressor(
            max_iter=200, n_iter_no_change=3, early_stopping=True, random_state=0
        ),
        lambda model, train, week: model.fit(
            train.X, train.labels, train.sample_weight, X_val=week.X, y_val=week.labels,
            sample_weight_val=week.sample_weight,
        ),
        lambda model: model.n_iter_,
    ),
    "MLPRanker": (
        MLPRanker((8,), **SLOW),
        lambda model, train, week: model.fit(
            train.X, train.labels, qid=train.queries.segment, sample_weight=train.sample_weight,
            X_val=week.X, y_val=week.labels, qid_val=week.queries.segment,
            sample_weight_val=week.sample_weight,
        ),
        lambda model: model.n_iter_,
    ),
}  # fmt: skip


@pytest.mark.parametrize("inside", ["alone", "pipeline", "search", "ensemble"])
@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_stops_as_by_hand(name, inside, sorted_tables):
    model, fit_by_hand, n_trees = TEACHERS[name]
    train, week, weights = sorted_tables
    by_hand = fit_by_hand(sklearn.clone(model), train, week)
    teacher = {
        "alone": model,
        "pipeline": make_pipeline(FunctionTransformer(), model),
        "search": GridSearchCV(
            make_pipeline(FunctionTransformer(), model),
            {"functiontransformer__validate": [False]},
            cv=RankingGroupKFold(2),
            scoring=lambda estimator, X, y: 0.0,
            error_score="raise",
        ),
        "ensemble": RankEnsemble([("only", model)]),
    }[inside]
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        ranker.fit(X, Y, qid=QID, sample_weight=weights[0], **WEEK, sample_weight_val=weights[1])
    fitted = ranker.teacher_
    if inside == "search":
        fitted = fitted.best_estimator_
    if inside in ("pipeline", "search"):
        assert fitted.transform_input is None
        fitted = fitted[-1]
    if inside == "ensemble":
        fitted = fitted.estimators_[0]
    assert n_trees(fitted) == n_trees(by_hand) < 300
    assert_array_equal(fitted.predict(X_VAL), by_hand.predict(X_VAL))


def test_a_pipeline_transforms_the_validation_table_of_its_teacher():
    scaled = make_pipeline(StandardScaler(), lightgbm.LGBMRanker(**TREES, early_stopping_rounds=3))
    ranker = DistilledRanker(scaled, LinearRanker(max_iter=1))
    ranker.fit(X * 1000, Y, qid=QID, X_val=X_VAL * 1000, y_val=Y_VAL, qid_val=QID_VAL)
    plain = DistilledRanker(scaled[-1], LinearRanker(max_iter=1)).fit(X, Y, qid=QID, **WEEK)
    best = ranker.teacher_[-1].best_score_["valid_0"]["ndcg@5"]
    assert best == pytest.approx(plain.teacher_.best_score_["valid_0"]["ndcg@5"], abs=0.05)


def test_a_transformed_target_keeps_its_teacher_from_stopping_on_another_scale():
    inner = HistGradientBoostingRegressor(max_iter=12, n_iter_no_change=1, tol=0.5)
    teacher = TransformedTargetRegressor(inner, func=np.log1p, inverse_func=np.expm1)
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=1)).fit(X, Y, qid=QID, **WEEK)
    assert ranker.teacher_.regressor_.n_iter_ == 12


def test_teachers_of_folds_stop_too_and_never_see_the_validation_table():
    sizes = []

    class Recorder(lightgbm.LGBMRanker):
        def fit(self, X, y, group=None, eval_set=None, eval_group=None):
            sizes.append((len(X), len(eval_set[0][0])))
            return super().fit(X, y, group=group)

    teacher = Recorder(n_estimators=3, verbose=-1)
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=2), teacher_cv=2, keep_teacher=False)
    ranker.fit(X, Y, qid=QID, **WEEK)
    n_train, n_val = zip(*sizes, strict=True)
    assert len(sizes) == 3  # the third one scores the validation table
    assert sum(n_train[:2]) == n_train[2] == len(X)
    assert set(n_val) == {len(X_VAL)}


def test_unlabelled_validation_rows_do_not_reach_the_teacher():
    y_val = np.where(np.arange(len(Y_VAL)) % 2, Y_VAL, np.nan)
    model = lightgbm.LGBMRegressor(**TREES, early_stopping_rounds=3)
    ranker = DistilledRanker(model, LinearRanker(max_iter=1))
    ranker.fit(X, Y, qid=QID, X_val=X_VAL, y_val=y_val, qid_val=QID_VAL)
    assert np.isfinite(ranker.teacher_.best_score_["valid_0"]["l2"])


def test_a_teacher_sees_its_columns_of_the_validation_table():
    model = lightgbm.LGBMRanker(**TREES, early_stopping_rounds=3)
    ranker = DistilledRanker(
        model, LinearRanker(max_iter=1), teacher_columns=[0, 1, 2], student_columns=[3, 4]
    ).fit(X, Y, qid=QID, **WEEK)
    assert ranker.teacher_.n_features_in_ == 3
    assert len(ranker.student_.validation_scores_) == 1


def test_a_frozen_teacher_scores_the_validation_table():
    trees = lightgbm.LGBMRegressor(**{**TREES, "n_estimators": 20}).fit(X, Y)
    student = MLPRanker((16,), **SLOW)
    ranker = DistilledRanker(FrozenEstimator(trees), student, alpha=1.0)
    ranker.fit(X, qid=QID, X_val=X_VAL, qid_val=QID_VAL)
    assert ranker.student_.n_iter_ == len(ranker.student_.validation_scores_)


def test_the_memory_takes_a_validation_table(tmp_path):
    model = lightgbm.LGBMRanker(**TREES, early_stopping_rounds=3)
    ranker = DistilledRanker(model, LinearRanker(max_iter=1), memory=tmp_path, random_state=0)
    first = ranker.fit(X, Y, qid=QID, **WEEK).teacher_.best_iteration_
    n_files = len(list(tmp_path.rglob("output.pkl")))
    ranker.fit(X, Y, qid=QID, **WEEK)
    assert len(list(tmp_path.rglob("output.pkl"))) == n_files == 1
    other = ranker.fit(X, Y, qid=QID, X_val=X_VAL, y_val=Y_VAL[::-1], qid_val=QID_VAL)
    assert len(list(tmp_path.rglob("output.pkl"))) == 2
    assert other.teacher_.best_iteration_ != first


def test_a_pipeline_of_the_student_transforms_the_validation_table():
    student = make_pipeline(StandardScaler(), MLPRanker((8,), **SLOW))
    ranker = DistilledRanker(None, student, alpha=0.0, random_state=0).fit(X, Y, qid=QID, **WEEK)
    best = max(ranker.student_[-1].validation_scores_)
    assert ranker.score(X_VAL, Y_VAL, qid=QID_VAL) == pytest.approx(best, abs=1e-3)


def test_the_calibrator_is_fitted_on_the_validation_table():
    y, y_val = (Y > 1).astype(int), (Y_VAL > 1).astype(int)
    week = {**WEEK, "y_val": y_val}
    ranker = DistilledRanker(
        None, LinearRanker(max_iter=5), alpha=0.0, calibrate="isotonic", random_state=0
    ).fit(X, y, qid=QID, **week)
    probability = ranker.predict_proba(X_VAL)[:, 1]
    assert probability.mean() == pytest.approx(y_val.mean())  # what isotonic regression keeps
    plain = LinearRanker(**{"loss": "plackett_luce", "max_iter": 5})
    plain.set_params(random_state=ranker.student_.random_state).fit(X, y, qid=QID)
    assert_array_equal(ranker.student_.loss_curve_, plain.loss_curve_)  # nothing was held out
    with pytest.raises(ValueError, match="calibrate='isotonic' needs labels"):
        sklearn.clone(ranker).set_params(teacher=lambda X: X[:, 0], alpha=0.5).fit(
            X, y, qid=QID, X_val=X_VAL, qid_val=QID_VAL
        )


def test_weights_of_an_ensemble_are_learnt_on_the_validation_table():
    noise = FrozenEstimator(Ridge().fit(X, np.random.default_rng(0).normal(size=len(X))))
    members = [("noise", noise), ("trees", lightgbm.LGBMRanker(**TREES, early_stopping_rounds=3))]
    ensemble = RankEnsemble(members, weights="learn").fit(X, Y, qid=QID, **WEEK)
    assert ensemble.weights_[1] > 0.9
    assert ensemble.estimators_[1].best_iteration_ < 300


def test_the_members_of_an_ensemble_of_nets_stop():
    nets = MLPEnsembleRanker(2, hidden_layer_sizes=(8,), mlp_parameters={**SLOW})
    nets.fit(X, Y, qid=QID, **WEEK)
    assert all(len(net.validation_scores_) == net.n_iter_ for net in nets.estimators_)


# Metadata routing


def test_one_call_reaches_students_in_searches_and_pipelines(routing):
    pipeline = make_pipeline(StandardScaler(), MLPRanker((8,), **SLOW), transform_input=["X_val"])
    search = GridSearchCV(
        pipeline, {"mlpranker__alpha": [0.5, 1.0]}, cv=RankingGroupKFold(2), error_score="raise"
    )
    search.fit(X, Y, qid=QID, **WEEK)
    best = search.best_estimator_
    assert best[-1].validation_scores_
    expected = max(best[-1].validation_scores_)
    assert best.score(X_VAL, Y_VAL, qid=QID_VAL) == pytest.approx(expected, abs=1e-3)


def test_one_call_reaches_a_ranker_in_a_search(routing):
    teacher = lightgbm.LGBMRanker(**TREES, early_stopping_rounds=3)
    ranker = DistilledRanker(teacher, LinearRanker(**SLOW))
    search = GridSearchCV(ranker, {"alpha": [0.5]}, cv=RankingGroupKFold(2), error_score="raise")
    search.fit(X, Y, qid=QID, **WEEK)
    assert search.best_estimator_.teacher_.best_iteration_ < 300
    assert search.best_estimator_.student_.validation_scores_


def test_a_users_own_eval_set_stays(routing):
    teacher = lightgbm.LGBMRanker(**TREES, early_stopping_rounds=3)
    teacher.set_fit_request(eval_set=True, eval_group=True)
    own = {"eval_set": [(X_VAL[:50], Y_VAL[:50])], "eval_group": [[50]]}
    fit = DistilledRanker(teacher, LinearRanker(max_iter=1)).fit
    with pytest.warns(lightgbm.basic.LGBMDeprecationWarning):
        both = fit(X, Y, qid=QID, **own, **WEEK)
    with pytest.warns(lightgbm.basic.LGBMDeprecationWarning):
        alone = fit(X, Y, qid=QID, **own)
    assert both.teacher_.best_score_ == alone.teacher_.best_score_


def test_the_adapter_takes_a_validation_table_in_any_order():
    order = np.random.default_rng(0).permutation(len(Y_VAL))
    shuffled = {name: values[order] for name, values in WEEK.items()}
    model = lightgbm.LGBMRanker(**TREES, early_stopping_rounds=3)
    fits = [
        QidAdapter(sklearn.clone(model)).fit(X, Y, qid=QID, **week) for week in (WEEK, shuffled)
    ]
    assert fits[0].best_iteration_ == fits[1].best_iteration_ < 300
    with pytest.raises(ValueError, match="qid_val is None"):
        QidAdapter(sklearn.clone(model)).fit(X, Y, qid=QID, X_val=X_VAL, y_val=Y_VAL)


def test_callbacks_see_the_validation_table():
    from sklearn.callback import FitCallback

    seen = []

    class Watch(FitCallback):
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None):
            seen.append((len(X), len(y), len(metadata["qid"])))

    FactorizationMachineRanker(max_iter=2).set_callbacks(Watch()).fit(X, Y, qid=QID, **WEEK)
    assert set(seen) == {(len(X_VAL),) * 3}


def test_the_training_rows_as_validation_table_are_told():
    data = make_ranking(n_queries=30, n_features=4, random_state=0)
    rows = {"X_val": data.X, "y_val": data.y, "qid_val": data.qid}
    student = LinearRanker(max_iter=2, random_state=0)
    for ranker in (student, DistilledRanker(None, student, alpha=0)):
        with pytest.warns(UserWarning, match=r"\(X_val\) seem to be the training rows"):
            ranker.fit(data.X, data.y, qid=data.qid, **rows)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ranker.fit(data.X, data.y, qid=data.qid, **rows | {"y_val": data.y[::-1]})
