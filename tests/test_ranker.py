"""DistilledRanker as its users meet it: any teacher, any student, tables of any kind."""

import catboost
import lightgbm
import numpy as np
import pandas
import polars
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.metrics import kendall_tau
from skdistill.students import LinearRanker, MLPRanker
from skdistill.teachers import score_rows

QUICK = {"n_estimators": 30, "min_child_samples": 5, "verbose": -1, "n_jobs": 1, "random_state": 0}


def student():
    return MLPRanker((32,), max_iter=80, random_state=0)


def fit(ranker, table, **metadata):
    return ranker.fit(table.X, table.y, qid=table.qid, **metadata)


@pytest.mark.parametrize(
    ("teacher", "binary"),
    [
        (lightgbm.LGBMRanker(**QUICK), False),
        (lightgbm.LGBMRegressor(**QUICK), False),
        (lightgbm.LGBMClassifier(**QUICK), True),
        (lightgbm.LGBMClassifier(**QUICK), False),
        (HistGradientBoostingRegressor(max_iter=30, random_state=0), False),
        (HistGradientBoostingClassifier(max_iter=30, random_state=0), True),
        (make_pipeline(StandardScaler(), lightgbm.LGBMRanker(**QUICK)), False),
        (make_pipeline(SelectKBest(f_regression, k=6), Ridge()), False),
        (GaussianNB(), True),
        (LinearSVC(), True),
        (MLPRanker((32,), max_iter=20, random_state=0), False),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bool) else str(value),
)
def test_any_estimator_teaches(teacher, binary, table):
    y = (table.y > 1).astype(float) if binary else table.y
    ranker = DistilledRanker(teacher, student()).fit(table.X, y, qid=table.qid)
    taught = score_rows(ranker.teacher_, table.X)
    assert kendall_tau(taught, ranker.predict(table.X), table.qid) > 0.5
    assert ranker.score(table.X, y, qid=table.qid) > 0.7
    assert not hasattr(teacher, "n_features_in_")  # the one that was passed in is left alone


@pytest.mark.parametrize(
    "teacher",
    [
        xgboost.XGBRanker(n_estimators=30, n_jobs=1),
        catboost.CatBoostRanker(
            iterations=30, verbose=0, thread_count=1, allow_writing_files=False
        ),
    ],
    ids=lambda teacher: type(teacher).__name__,
)
def test_rankers_of_other_libraries_teach(teacher, table):
    ranker = fit(DistilledRanker(teacher, student()), table)
    assert ranker.score(table.X, table.y, qid=table.qid) > 0.75
    by_folds = DistilledRanker(teacher, LinearRanker(max_iter=2), teacher_cv=2, random_state=0)
    assert fit(by_folds, table).score(table.X, table.y, qid=table.qid) > 0.65


def test_frozen_teacher_and_booster_are_used_as_they_are(table, tmp_path):
    sizes = np.unique(table.qid, return_counts=True)[1]
    teacher = lightgbm.LGBMRanker(**QUICK).fit(table.X, table.y, group=sizes)
    path = tmp_path / "model.txt"
    teacher.booster_.save_model(path)
    booster = lightgbm.Booster(model_file=path)
    unlabelled = np.full(len(table.y), np.nan)
    predictions = []
    for ready in (FrozenEstimator(teacher), booster):
        ranker = clone(DistilledRanker(ready, student()))
        ranker.fit(table.X, unlabelled, qid=table.qid)
        assert_array_equal(score_rows(ranker.teacher_, table.X), teacher.predict(table.X))
        predictions.append(ranker.predict(table.X))
        with pytest.raises(ValueError, match="teacher_cv=3 fits the teacher once per fold"):
            ranker.set_params(teacher_cv=3).fit(table.X, table.y, qid=table.qid)
    assert_array_equal(*predictions)


def test_precomputed_scores_need_no_teacher(table):
    a = fit(DistilledRanker(None, student()), table, teacher_scores=table.utility)
    same = student().set_params(loss="plackett_luce", alpha=0.5)
    alone = fit(same, table, teacher_scores=table.utility)
    assert a.teacher_ is None
    assert_array_equal(a.predict(table.X), alone.predict(table.X))


def test_unlabelled_queries_are_labelled_by_the_teacher(table):
    """The teacher learns from 20 queries; the student from its view of all 60, which helps."""
    data = make_ranking(120, n_features=8, random_state=2)
    seen, rest = data.qid < 60, data.qid >= 60
    X, y, qid = data.X[seen], np.where(data.qid < 20, data.y, np.nan)[seen], data.qid[seen]
    for cv in (None, 3):
        ranker = DistilledRanker(
            lightgbm.LGBMRanker(**QUICK), student(), teacher_cv=cv, alpha=0.7, random_state=0
        )
        ranker.fit(X, y, qid=qid)
        alone = student().fit(X, y, qid=qid)
        taught = ranker.score(data.X[rest], data.y[rest], qid=data.qid[rest])
        assert taught > alone.score(data.X[rest], data.y[rest], qid=data.qid[rest])


def test_the_teacher_sees_privileged_columns(table):
    """The teacher sees all columns, the student two."""
    ranker = DistilledRanker(
        lightgbm.LGBMRanker(**QUICK),
        student(),
        teacher_columns=slice(0, 8),
        student_columns=[0, -1],
    )
    fit(ranker, table)
    assert ranker.teacher_.n_features_in_ == 8
    assert ranker.export_student().n_features_in_ == 2
    assert_array_equal(
        ranker.export_student().predict(table.X[:, [0, -1]]), ranker.predict(table.X)
    )


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_a_slice_without_ends_is_all_columns(kind, table):
    X = pandas.DataFrame(table.X).add_prefix("f") if kind == "frame" else table.X
    ranker = DistilledRanker(
        lightgbm.LGBMRegressor(**QUICK), LinearRanker(max_iter=1), student_columns=slice(None)
    )
    ranker.fit(X, table.y, qid=table.qid)
    assert ranker.student_.n_features_in_ == table.X.shape[1]


@pytest.mark.parametrize("frames", [pandas, polars], ids=["pandas", "polars"])
def test_columns_are_named_by_lists_slices_and_callables(frames, table):
    names = [f"f{i}" for i in range(8)]
    X = frames.DataFrame({name: table.X[:, i] for i, name in enumerate(names)})
    expected = None
    for columns in (["f0", "f1"], slice("f0", "f1"), lambda X: ["f0", "f1"], [0, 1]):
        ranker = DistilledRanker(
            lightgbm.LGBMRegressor(**QUICK),
            LinearRanker(max_iter=3, random_state=0),
            student_columns=columns,
        ).fit(X, table.y, qid=table.qid)
        assert list(ranker.feature_names_in_) == names
        assert list(ranker.student_.feature_names_in_) == ["f0", "f1"]
        if expected is not None:
            assert_array_equal(ranker.predict(X), expected)
        expected = ranker.predict(X)
    with pytest.raises(ValueError, match=r"student_columns=\['f9'\] names a column that is not"):
        ranker.set_params(student_columns=["f9"]).fit(X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match=r"names a column that is not in X \('f9'\),"):
        ranker.set_params(student_columns=["f9", "f0"]).fit(X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="teacher_columns=.* names a column that is not in X"):
        ranker.set_params(student_columns=None, teacher_columns=[0, 99]).fit(
            X, table.y, qid=table.qid
        )


def test_a_callable_chooses_the_columns_in_fit_alone(table):
    """By type: the column of a table that is scored later may happen to be empty."""
    frame = pandas.DataFrame(table.X[:, :3], columns=["a", "b", "c"])
    frame["b"] = frame["b"].astype(object)
    ranker = DistilledRanker(
        student=LinearRanker(max_iter=3, random_state=0),
        alpha=0.0,
        student_columns=lambda X: list(X.select_dtypes("number").columns),
    ).fit(frame, table.y, qid=table.qid)
    numbers = frame.astype({"b": float})
    assert_array_equal(ranker.predict(numbers), ranker.predict(frame))


def test_tables_of_every_kind_give_the_same_ranker(table):
    names = [f"f{i}" for i in range(8)]
    by_name = {name: table.X[:, i] for i, name in enumerate(names)}
    tables = {
        "numpy": table.X,
        "float64": table.X.astype(np.float64),
        "list": table.X.tolist(),
        "pandas": pandas.DataFrame(by_name),
        "polars": polars.DataFrame(by_name),
        "csr": sparse.csr_array(table.X),
    }
    predictions = {}
    for kind, X in tables.items():
        last = student().set_params(standardize=kind != "csr")
        ranker = DistilledRanker(lightgbm.LGBMRegressor(**QUICK), last, random_state=0)
        predictions[kind] = ranker.fit(X, table.y, qid=table.qid).predict(X)
    for kind in ("float64", "list", "pandas", "polars"):
        assert_allclose(predictions[kind], predictions["numpy"], atol=1e-3, err_msg=kind)
    # CSR columns are scaled without being centred: another fit, as good.
    assert kendall_tau(predictions["numpy"], predictions["csr"], table.qid) > 0.8


def test_the_query_column_is_not_a_feature(table):
    X = pandas.DataFrame(table.X, columns=[f"f{i}" for i in range(8)])
    expected = fit(DistilledRanker(lightgbm.LGBMRanker(**QUICK), student()), table)
    X.insert(3, "session", [f"s{q:03d}" for q in table.qid])
    ranker = DistilledRanker(lightgbm.LGBMRanker(**QUICK), student(), query_column="session")
    ranker.fit(X, table.y)
    assert ranker.teacher_.n_features_in_ == 8
    assert_array_equal(ranker.predict(X), expected.predict(table.X))
    assert ranker.score(X, table.y) == expected.score(table.X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="query_column='nope' names a column"):
        ranker.set_params(query_column="nope").fit(X, table.y)


def test_shuffled_rows_give_the_same_student(table):
    """LambdaRank itself depends on the order of tied rows: ours is canonical."""
    order = np.random.default_rng(1).permutation(len(table.y))
    ranker = DistilledRanker(
        lightgbm.LGBMRanker(**QUICK), student(), teacher_cv=3, alpha=0.5, random_state=0
    )
    a = clone(ranker).fit(table.X, table.y, qid=table.qid)
    b = clone(ranker).fit(table.X[order], table.y[order], qid=table.qid[order])
    assert_array_equal(a.predict(table.X), b.predict(table.X))


def test_missing_values_for_the_teacher_and_a_student_with_and_without_an_imputer(table):
    from sklearn.impute import SimpleImputer

    X = table.X.copy()
    X[::7, 2] = np.nan
    ranker = DistilledRanker(
        lightgbm.LGBMRanker(**QUICK), make_pipeline(SimpleImputer(), student())
    )
    fit(ranker, type(table)(X=X, y=table.y, qid=table.qid))
    assert ranker.score(X, table.y, qid=table.qid) > 0.8
    alone = DistilledRanker(lightgbm.LGBMRanker(**QUICK), student()).fit(X, table.y, qid=table.qid)
    assert alone.score(X, table.y, qid=table.qid) > 0.8


def test_alpha_mixes_and_zero_fits_no_teacher(table):
    ranker = DistilledRanker(lightgbm.LGBMRanker(**QUICK), student(), alpha=0.0)
    fit(ranker, table)
    assert ranker.teacher_ is None
    alone = fit(student().set_params(loss="plackett_luce"), table)
    assert_array_equal(ranker.predict(table.X), alone.predict(table.X))
    hurt = np.full(len(table.y), 0.0)
    hurt[table.y == 0] = 5  # a teacher that is wrong about everything
    score = {}
    for alpha in (0.0, 0.5, 1.0):
        mixed = DistilledRanker(None, student(), alpha=alpha)
        score[alpha] = fit(mixed, table, teacher_scores=hurt).score(table.X, table.y, qid=table.qid)
    assert score[0.0] > score[0.5] > score[1.0]


def test_the_loss_of_labels_may_differ(table):
    ranker = DistilledRanker(
        lightgbm.LGBMRanker(**QUICK), student(), alpha=0.5, loss="margin", hard_loss="lambda"
    )
    assert fit(ranker, table).score(table.X, table.y, qid=table.qid) > 0.8


def test_the_teacher_is_dropped_and_the_seed_reaches_all_steps(table):
    ranker = DistilledRanker(
        lightgbm.LGBMRanker(**{**QUICK, "random_state": None}, subsample=0.5, subsample_freq=1),
        MLPRanker((8,), max_iter=3),
        teacher_cv=2,
        random_state=3,
        keep_teacher=False,
    )
    a, b = fit(clone(ranker), table), fit(clone(ranker), table)
    assert a.teacher_ is None
    assert_array_equal(a.predict(table.X), b.predict(table.X))
    c = fit(clone(ranker).set_params(random_state=4), table)
    assert not np.array_equal(a.predict(table.X), c.predict(table.X))
    assert a.student_.random_state is not None
    assert ranker.student.random_state is None


def test_bad_input_is_refused(table):
    class Mute:
        def fit(self, X, y):
            return self

    with pytest.raises(
        TypeError,
        match="or a function of the table, got <",
    ):
        fit(DistilledRanker(Mute()), table)
    with pytest.raises(TypeError, match=r"LGBMRanker \(a class\). Create one: LGBMRanker\(\)"):
        fit(DistilledRanker(lightgbm.LGBMRanker), table)
    with pytest.raises(TypeError, match=r"student must be one of skdistill.students .* got Ridge"):
        fit(DistilledRanker(Ridge(), Ridge()), table)
    with pytest.raises(TypeError, match=r"got Ridge, and a student as teacher. The teacher comes"):
        fit(DistilledRanker(MLPRanker(), Ridge()), table)
    with pytest.raises(TypeError, match=r"student must be .* pass an instance, such as MLPR"):
        fit(DistilledRanker(Ridge(), "MLPRanker"), table)
    with pytest.raises(TypeError, match=r"Expected an estimator instance \(MLPRanker\(\)\)"):
        fit(DistilledRanker(Ridge(), MLPRanker), table)
    with pytest.raises(
        ValueError, match=r"alpha=0.5 gives the teacher a weight, but there is no teacher"
    ):
        fit(DistilledRanker(), table)
    nan = np.full(len(table.y), np.nan)
    with pytest.raises(ValueError, match="y is NaN in every row"):
        DistilledRanker().fit(table.X, nan, qid=table.qid)
    with pytest.raises(ValueError, match="there is nothing to fit the teacher LGBMRanker on"):
        DistilledRanker(lightgbm.LGBMRanker()).fit(table.X, nan, qid=table.qid)
    with pytest.raises(ValueError, match="temperature is set by DistilledRanker"):
        fit(DistilledRanker(Ridge(), MLPRanker(temperature=3.0)), table)
    scores = table.utility.copy()
    scores[2] = np.inf
    with pytest.raises(ValueError, match="teacher_scores must be finite: row 2 holds inf"):
        fit(DistilledRanker(), table, teacher_scores=scores)
    with pytest.raises(ValueError, match=r"expected shape \(\d+,\), got \(5,\)"):
        DistilledRanker(Ridge()).fit(table.X, table.y, qid=table.qid[:5])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        DistilledRanker(Ridge()).fit(table.X[:0], table.y[:0], qid=table.qid[:0])
    ranker = fit(DistilledRanker(Ridge(), LinearRanker(max_iter=2)), table)
    with pytest.raises(ValueError, match="X has 3 features, but DistilledRanker is expecting 8"):
        ranker.predict(table.X[:, :3])
    with pytest.raises(ValueError, match=r"only the student's columns uses ranker.export_student"):
        ranker.predict(table.X[:, :3])
    with pytest.raises(NotFittedError):
        DistilledRanker().predict(table.X)


def test_arguments_of_lightgbm_are_told_from_those_of_fit(table):
    ranker = DistilledRanker(lightgbm.LGBMRanker(**QUICK), LinearRanker(max_iter=1))
    sizes = np.bincount(table.qid)
    with pytest.raises(TypeError, match=r"Pass qid=np.repeat\(np.arange\(len\(group\)\), group\)"):
        ranker.fit(table.X, table.y, group=sizes)
    given = {"eval_set": [(table.X, table.y)], "eval_group": [sizes]}
    with pytest.raises(
        TypeError, match=r"X_val, y_val and qid_val, .*\['eval_group', 'eval_set'\]"
    ):
        fit(ranker, table, **given)


def test_parameters_of_an_estimator_that_is_none_cannot_be_set():
    with pytest.raises(ValueError, match=r"student is None. Pass an estimator: DistilledRanker"):
        DistilledRanker(Ridge()).set_params(student__alpha=0.1)
    with pytest.raises(ValueError, match=r"teacher__alpha cannot be set, because teacher is None"):
        DistilledRanker().set_params(teacher__alpha=0.1)
    ranker = DistilledRanker().set_params(student=LinearRanker(), student__max_iter=3)
    assert ranker.student.max_iter == 3
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        ranker.set_params(nothing__alpha=0.1)
