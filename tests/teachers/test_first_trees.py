"""The first trees of a model score as the model does with that many iterations."""

import lightgbm
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill.datasets import make_ranking
from skdistill.teachers import first_trees, score_rows
from skdistill.teachers.first_trees import number_of_trees


@pytest.fixture(scope="module")
def data():
    return make_ranking(n_queries=40, random_state=0)


def test_trees_of_lightgbm(data):
    X, y = np.asarray(data.X), np.asarray(data.y)
    group = np.bincount(data.qid)
    model = lightgbm.LGBMRanker(n_estimators=20, verbose=-1).fit(X, y, group=group)
    for teacher in (model, model.booster_, FrozenEstimator(model)):
        cut = first_trees(teacher, 7)
        assert cut.num_trees() == 7
        assert_allclose(score_rows(cut, X), model.predict(X, num_iteration=7))
    assert first_trees(model, 500).num_trees() == 20
    assert model.booster_.num_trees() == 20
    stopped = lightgbm.LGBMRanker(n_estimators=60, verbose=-1)
    stopped.fit(
        X, y, group=group, eval_set=[(X[::-1], y[::-1])], eval_group=[group[::-1]],
        callbacks=[lightgbm.early_stopping(2, verbose=False)],
    )  # fmt: skip
    assert first_trees(stopped, 500).num_trees() == (stopped.best_iteration_ or 60)


def test_trees_of_xgboost(data):
    xgboost = pytest.importorskip("xgboost")
    X = np.asarray(data.X)
    model = xgboost.XGBRanker(n_estimators=12).fit(X, np.asarray(data.y), qid=data.qid)
    cut = first_trees(model, 5)
    assert_allclose(score_rows(cut, X), model.predict(X, iteration_range=(0, 5)), rtol=1e-5)
    assert first_trees(model, 99).num_boosted_rounds() == 12


def test_trees_behind_steps_stay_behind_them(data):
    X = np.asarray(data.X)
    scaled = StandardScaler().fit(X)
    model = lightgbm.LGBMRegressor(n_estimators=9, verbose=-1).fit(scaled.transform(X), data.y)
    expected = model.predict(scaled.transform(X), num_iteration=4)
    for last in (model, model.booster_, FrozenEstimator(model)):
        cut = first_trees(FrozenEstimator(make_pipeline(scaled, last)), 4)
        assert_allclose(score_rows(cut, X), expected)
    assert number_of_trees(make_pipeline(scaled, model)) == 9
    with pytest.raises(TypeError, match="LightGBM and XGBoost, got StandardScaler"):
        first_trees(make_pipeline("passthrough", scaled), 4)


def test_other_models_have_no_first_trees(data):
    forest = RandomForestRegressor(3).fit(data.X, data.y)
    with pytest.raises(TypeError, match="LightGBM and XGBoost, got RandomForestRegressor"):
        first_trees(forest, 2)


@pytest.mark.parametrize("n_trees", [0, -3, 2.5])
def test_there_is_at_least_one_tree(data, n_trees):
    model = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(data.X, data.y)
    with pytest.raises(ValueError, match="n_trees must be an int of at least 1"):
        first_trees(model, n_trees)
