"""Teachers that are no estimators of scikit-learn, or that a user may have fitted already."""

import warnings
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdistill import DistilledRanker, TwoTowerRetriever
from skdistill.inputs.queries import Queries
from skdistill.students import LinearRanker
from skdistill.teachers import RankEnsemble, fit_and_score, score_rows
from skdistill.teachers.augmentation import split_thresholds

TREES = {"n_estimators": 40, "verbose": -1, "n_jobs": 1, "random_state": 0, "num_leaves": 4}


class Column(BaseEstimator):
    """Answers with a column, as nets of Keras and skorch do."""

    def fit(self, X, y):
        self.weight_ = 2.0
        return self

    def predict(self, X):
        return self.weight_ * np.asarray(X, dtype=np.float32)[:, [0]]


class SigmoidColumn(ClassifierMixin, Column):
    """A classifier with a single output."""

    def predict_proba(self, X):
        return 1 / (1 + np.exp(-self.predict(X)))


def test_a_column_of_scores_is_taken_as_scores(table):
    ranker = DistilledRanker(Column(), LinearRanker(max_iter=2))
    ranker.fit(table.X, table.y, qid=table.qid)
    assert_allclose(score_rows(ranker.teacher_, table.X), 2 * table.X[:, 0], rtol=1e-6)
    fitted = SigmoidColumn().fit(table.X, table.y)
    assert_allclose(score_rows(fitted, table.X), 1 / (1 + np.exp(-2 * table.X[:, 0])), rtol=1e-5)
    ensemble = RankEnsemble([("net", Column()), ("ridge", Ridge())])
    assert ensemble.fit(table.X, table.y, qid=table.qid).predict(table.X).shape == table.y.shape

    class Two(Column):
        def predict(self, X):
            return np.asarray(X)[:, :2]

    with pytest.raises(
        ValueError, match=r"Two must give one score per row.*\(1398, 2\).* lambda X"
    ):
        score_rows(Two(), table.X)


def rule(X):
    return X["age"] * 2 - X["price"]


def rank_of(X, qid):
    """A function that compares the rows of a query."""
    return pd.Series(np.asarray(X)[:, 0]).groupby(np.asarray(qid)).rank().to_numpy()


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_a_function_of_the_table_teaches(table, kind):
    frame = kind({"price": table.X[:, 0], "age": table.X[:, 1], "x": table.X[:, 2]})
    ranker = DistilledRanker(rule, LinearRanker(max_iter=30), alpha=1.0, random_state=0)
    ranker = sklearn.clone(ranker).fit(frame, qid=table.qid)
    expected = table.X[:, 1] * 2 - table.X[:, 0]
    assert np.corrcoef(ranker.predict(frame), expected)[0, 1] > 0.95
    assert ranker.teacher_ is rule
    with pytest.raises(ValueError, match="The teacher <lambda> must give one score per row"):
        score_rows(lambda X: 1.0, frame)


def test_a_function_may_take_the_queries(table):
    order = np.argsort(table.qid, kind="stable")
    queries = Queries.from_sizes(np.unique(table.qid, return_counts=True)[1])
    X = table.X[order]
    assert_array_equal(score_rows(rank_of, X, queries), rank_of(X, table.qid[order]))


def test_what_is_no_teacher_is_refused_with_a_way_out(table):
    for path in ("ranker.txt", Path("ranker.txt")):
        with pytest.raises(TypeError, match=r"lightgbm.Booster\(model_file='ranker.txt'\)"):
            DistilledRanker(path).fit(table.X, table.y, qid=table.qid)
    with pytest.raises(TypeError, match="a class"):
        DistilledRanker(Ridge).fit(table.X, table.y, qid=table.qid)


# Boosters without an estimator around them.


@pytest.fixture(scope="module")
def stopped(table):
    """An XGBoost ranker that has trees after its best iteration, and its frame."""
    frame = pd.DataFrame(table.X, columns=[f"x{n}" for n in range(table.X.shape[1])])
    train = table.qid < np.median(table.qid)
    model = xgboost.XGBRanker(n_estimators=60, n_jobs=1, early_stopping_rounds=8, random_state=0)
    model.fit(frame[train], table.y[train], qid=np.sort(table.qid[train]),
              eval_set=[(frame[~train], table.y[~train])], eval_qid=[np.sort(table.qid[~train])],
              verbose=False)  # fmt: skip
    booster = model.get_booster()
    assert model.best_iteration + 1 < booster.num_boosted_rounds()
    return model, booster, frame


@pytest.mark.parametrize("kind", ["pandas", "polars", "array", "other order"])
def test_an_xgboost_booster_scores_as_its_estimator(stopped, kind):
    model, booster, frame = stopped
    expected = model.predict(frame)
    given = {
        "pandas": frame,
        "polars": pl.from_pandas(frame),
        "array": frame.to_numpy(),
        "other order": frame[frame.columns[::-1]].assign(day=1),
    }[kind]
    assert_array_equal(score_rows(booster, given), expected)
    assert len(np.unique(expected)) > 10


def test_an_xgboost_booster_teaches_as_it_is(stopped, table, tmp_path):
    model, booster, frame = stopped
    booster.save_model(tmp_path / "ranker.json")
    read = xgboost.Booster(model_file=tmp_path / "ranker.json")
    ranker = DistilledRanker(read, LinearRanker(max_iter=2), augment=0.2, random_state=0)
    ranker.fit(frame, qid=table.qid)
    assert ranker.teacher_ is read
    assert_array_equal(score_rows(read, frame), model.predict(frame))
    with pytest.raises(ValueError, match=r"lacks: \['x0'\]"):
        score_rows(booster, frame.drop(columns="x0"))
    with pytest.raises(ValueError, match="fitted on 8 columns, but the table has 7"):
        score_rows(booster, frame.to_numpy()[:, 1:])
    plain = xgboost.XGBRegressor(n_estimators=3, n_jobs=1).fit(table.X, table.y)
    assert_array_equal(score_rows(plain.get_booster(), table.X), plain.predict(table.X))


def test_thresholds_of_trees_after_the_best_iteration_are_left_out(stopped):
    model, booster, _ = stopped
    best = booster[: model.best_iteration + 1]
    for found, expected in zip(
        split_thresholds(booster, 8), split_thresholds(best, 8), strict=True
    ):
        assert_array_equal(found, expected)


def test_the_best_iteration_of_lightgbm_scores(table, tmp_path):
    train = table.qid < np.median(table.qid)
    rows, held_out = (lightgbm.Dataset(table.X[m], table.y[m]) for m in (train, ~train))
    booster = lightgbm.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1, "early_stopping_round": 5},
        rows,
        300,
        valid_sets=[held_out],
        keep_training_booster=True,
    )
    assert booster.best_iteration < booster.num_trees() < 300
    best = booster.predict(table.X, num_iteration=booster.best_iteration)
    assert not np.array_equal(booster.predict(table.X, num_iteration=-1), best)
    booster.save_model(tmp_path / "ranker.txt")
    read = lightgbm.Booster(model_file=tmp_path / "ranker.txt")
    for teacher in (booster, read):
        assert_array_equal(score_rows(teacher, table.X), best)
        assert len(np.concatenate(split_thresholds(teacher, 8))) == len(
            np.concatenate(split_thresholds(read, 8))
        )


# A fitted teacher that is not frozen

FITTED = {
    "lightgbm": lightgbm.LGBMRegressor(**TREES),
    "xgboost": xgboost.XGBRegressor(n_estimators=3, n_jobs=1),
    "catboost": catboost.CatBoostRegressor(iterations=3, verbose=0, allow_writing_files=False),
    "pipeline": make_pipeline(StandardScaler(), Ridge()),
    "search": GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2),
    "student": LinearRanker(max_iter=2),
}


@pytest.mark.parametrize("name", FITTED)
def test_a_fitted_teacher_that_is_not_frozen_is_fitted_again_with_a_warning(name, table):
    teacher = FITTED[name].fit(table.X, table.y)
    name = type(teacher).__name__
    message = rf"{name} is fitted already.* freeze the fitted {name}: FrozenEstimator\(teacher\),"
    with pytest.warns(UserWarning, match=message) as w:
        DistilledRanker(teacher, LinearRanker(max_iter=1)).fit(table.X, table.y, qid=table.qid)
    assert [one.filename for one in w if "fitted already" in str(one.message)] == [__file__]
    with pytest.warns(UserWarning, match="fitted already"):
        RankEnsemble([("one", teacher)]).fit(table.X, table.y, qid=table.qid)


def test_no_warning_where_nothing_is_lost(table):
    fitted = Ridge().fit(table.X, table.y)
    teachers = [
        Ridge(),
        FrozenEstimator(fitted),
        sklearn.clone(fitted),
        lightgbm.LGBMRegressor(**TREES),
        catboost.CatBoostRegressor(iterations=3, verbose=0, allow_writing_files=False),
        make_pipeline(FunctionTransformer(), Ridge()),
        lambda X: X[:, 0],
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for teacher in teachers:
            ranker = DistilledRanker(teacher, LinearRanker(max_iter=1))
            ranker.fit(table.X, table.y, qid=table.qid).fit(table.X, table.y, qid=table.qid)


def test_a_retriever_warns_too(table):
    fitted = Ridge().fit(table.X[:, :4], table.y)
    X = np.column_stack([table.qid, table.qid % 7, table.X[:, 2:4]])
    towers = TwoTowerRetriever(fitted, query_columns=[0, 1], item_columns=[2, 3], max_iter=1)
    with pytest.warns(UserWarning, match="Ridge is fitted already"):
        towers.fit(X, table.y, qid=table.qid)


# Limits of the libraries


@pytest.fixture(scope="module")
def long_lists():
    """Three queries, one of which is longer than LightGBM takes."""
    rng = np.random.default_rng(0)
    sizes = [25_003, 10_000, 20]
    X = rng.normal(size=(sum(sizes), 2))
    y = np.digitize(X[:, 0] + rng.normal(size=len(X)), [1.5, 2.5])
    return X, y, np.repeat([0, 1, 2], sizes)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_queries_beyond_the_limit_of_lightgbm_are_split(long_lists):
    X, y, qid = long_lists
    y = np.sort(y)[::-1]  # in the order of the labels, cut lists would have no two labels
    X = np.column_stack([y + np.random.default_rng(0).normal(size=len(y)), X[:, 1]])
    seen = []

    class Recorder(lightgbm.LGBMRanker):
        def fit(self, X, y, group=None, eval_X=None, eval_y=None, eval_group=None):
            seen.append((np.asarray(y), group, eval_group[0]))
            return super().fit(
                X, y, group=group, eval_X=eval_X, eval_y=eval_y, eval_group=eval_group
            )

    teacher = Recorder(n_estimators=3, verbose=-1, n_jobs=1)
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=1))
    with pytest.warns(UserWarning, match="1 queries with up to 25003 rows are split into lists"):
        ranker.fit(X, y, qid=qid, X_val=X, y_val=y, qid_val=qid)
    labels, group, eval_group = seen[0]
    assert list(group) == list(eval_group) == [8334, 8334, 8335, 10_000, 20]
    parts = np.split(labels[:25_003], np.cumsum(group[:2]))
    means = [part.mean() for part in parts]
    assert max(means) - min(means) < 0.05  # each part is a random sample of the query


def test_labels_that_a_ranker_does_not_take_are_explained_before_the_fit(table):
    class Never(lightgbm.LGBMRanker):
        def fit(self, *args, **kwargs):
            raise AssertionError("fitted")

    fit = {"qid": table.qid}
    many = np.where(np.arange(len(table.y)) == 5, 57, table.y)
    for teacher in (Never(), make_pipeline(StandardScaler(), Never())):
        ranker = DistilledRanker(RankEnsemble([("ridge", Ridge()), ("trees", teacher)]))
        for one in (DistilledRanker(teacher), ranker, RankEnsemble([("trees", teacher)])):
            with pytest.raises(ValueError, match=r"up to 30, but y holds 57.*label_gain=list\(ra"):
                one.fit(table.X, many, **fit)
            with pytest.raises(ValueError, match=r"integer labels of 0 or more, but y holds \d.5"):
                one.fit(table.X, table.y + 0.5, **fit)
    with pytest.raises(ValueError, match="up to 30, but y holds 57"):
        DistilledRanker(Never()).fit(
            table.X, table.y, **fit, X_val=table.X, y_val=many, qid_val=table.qid
        )
    with pytest.raises(ValueError, match="up to 31, but y holds 57.*ndcg_exp_gain=False"):
        DistilledRanker(xgboost.XGBRanker()).fit(table.X, many, **fit)


def test_labels_that_a_ranker_takes_are_fitted(table):
    many = np.where(np.arange(len(table.y)) == 5, 57, table.y)
    for teacher in (
        lightgbm.LGBMRanker(**TREES, label_gain=list(range(58))),
        lightgbm.LGBMRegressor(**TREES),
        xgboost.XGBRanker(n_estimators=2, n_jobs=1, ndcg_exp_gain=False),
    ):
        ranker = DistilledRanker(teacher, LinearRanker(max_iter=1))
        ranker.fit(table.X, many, qid=table.qid)


@pytest.mark.parametrize(
    "teacher",
    [
        lightgbm.LGBMRanker(**TREES, early_stopping_round=3),
        lightgbm.LGBMRanker(**TREES, n_iter_no_change=3),
        make_pipeline(StandardScaler(), xgboost.XGBRanker(early_stopping_rounds=3)),
    ],
)
def test_early_stopping_without_a_table_is_explained(teacher, table):
    with pytest.raises(ValueError, match="Pass X_val, y_val and qid_val to fit, or leave out"):
        DistilledRanker(teacher).fit(table.X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="Pass X_val"):
        fit_and_score(teacher, table.X, table.y, Queries.single(len(table.y)))
