"""Teachers of several libraries get rows, queries and weights exactly as one would pass by hand."""

from dataclasses import replace
from types import SimpleNamespace

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.inputs.ranking_data import RankingData
from skdistill.students import LinearRanker
from skdistill.teachers import fit_and_score
from skdistill.teachers.fitting import check_teacher, fit_on_labelled, is_prefit

TREES = {"n_estimators": 10, "min_child_samples": 5, "verbose": -1, "n_jobs": 1, "random_state": 0}
XGBOOST = {"n_estimators": 10, "n_jobs": 1, "random_state": 0}


@pytest.fixture
def shuffled(table):
    """Rows in random order, and row weights between 0.1 and 10."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(table.y))
    weight = np.exp(rng.uniform(np.log(0.1), np.log(10), len(order)))
    return table.X[order], table.y[order], table.qid[order], weight


@pytest.fixture
def data(shuffled):
    """The same rows in the canonical order."""
    X, y, qid, weight = shuffled
    return RankingData.sort(qid, X, y, sample_weight=weight)


def distilled(teacher, shuffled, weighted=True, **parameters):
    X, y, qid, weight = shuffled
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=1), **parameters)
    return ranker.fit(X, y, qid=qid, sample_weight=weight if weighted else None).teacher_


def text_of(model):
    return model.booster_.model_to_string()


# Each with its fit by hand on sorted data, with the weights of the rows or without.
BY_HAND = {
    "LGBMRanker": (
        lightgbm.LGBMRanker(**TREES),
        lambda model, data, weight: model.fit(
            data.X, data.labels, group=data.queries.sizes, sample_weight=weight
        ),
    ),
    "LGBMRegressor": (
        lightgbm.LGBMRegressor(**TREES),
        lambda model, data, weight: model.fit(data.X, data.labels, sample_weight=weight),
    ),
    "LGBMClassifier": (
        lightgbm.LGBMClassifier(**TREES),
        lambda model, data, weight: model.fit(data.X, data.labels, sample_weight=weight),
    ),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", BY_HAND)
def test_trees_are_those_of_lightgbm_fitted_by_hand(name, weighted, shuffled, data):
    teacher, fit = BY_HAND[name]
    ours = distilled(teacher, shuffled, weighted)
    weight = data.sample_weight if weighted else None
    assert text_of(ours) == text_of(fit(type(teacher)(**TREES), data, weight))
    # The weights matter to these trees: a teacher that never gets them would differ.
    other = None if weighted else data.sample_weight
    assert text_of(ours) != text_of(fit(type(teacher)(**TREES), data, other))


def test_the_last_step_of_a_pipeline_gets_queries_and_weights(shuffled, data):
    ours = distilled(make_pipeline(StandardScaler(), lightgbm.LGBMRanker(**TREES)), shuffled)
    scaled = StandardScaler().fit_transform(data.X, data.labels)
    by_hand = lightgbm.LGBMRanker(**TREES).fit(
        scaled, data.labels, group=data.queries.sizes, sample_weight=data.sample_weight
    )
    assert text_of(ours[-1]) == text_of(by_hand)


def test_xgboost_gets_one_weight_per_query(shuffled, data):
    ours = distilled(xgboost.XGBRanker(**XGBOOST), shuffled)
    qid = data.queries.segment
    per_query = [data.sample_weight[qid == query].mean() for query in range(60)]
    by_hand, without = (
        xgboost.XGBRanker(**XGBOOST).fit(data.X, data.labels, qid=qid, sample_weight=weight)
        for weight in (per_query, None)
    )
    assert_array_equal(ours.predict(data.X), by_hand.predict(data.X))
    assert not np.array_equal(ours.predict(data.X), without.predict(data.X))


def test_xgboosts_regressor_gets_one_weight_per_row(shuffled, data):
    ours = distilled(xgboost.XGBRegressor(**XGBOOST), shuffled)
    by_hand = xgboost.XGBRegressor(**XGBOOST)
    by_hand.fit(data.X, data.labels, sample_weight=data.sample_weight)
    assert_array_equal(ours.predict(data.X), by_hand.predict(data.X))


def test_catboost_gets_queries_and_weights(shuffled, data):
    settings = {"iterations": 10, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    ours = distilled(catboost.CatBoostRanker(**settings, random_seed=0), shuffled)
    by_hand, without = (
        catboost.CatBoostRanker(**settings, random_seed=0).fit(
            data.X, data.labels, group_id=data.queries.segment, sample_weight=weight
        )
        for weight in (data.sample_weight, None)
    )
    assert_array_equal(ours.predict(data.X), by_hand.predict(data.X))
    assert not np.array_equal(ours.predict(data.X), without.predict(data.X))


def test_teachers_of_folds_get_their_rows_weights(data):
    """Two folds that are given: each half of the queries is scored by the other half's trees."""
    first = data.queries.segment < 30
    rows = np.flatnonzero(first), np.flatnonzero(~first)
    taught = fit_and_score(
        lightgbm.LGBMRanker(**TREES),
        data.X,
        data.labels,
        data.queries,
        sample_weight=data.sample_weight,
        cv=[(rows[0], rows[1]), (rows[1], rows[0])],
    )
    for train, test in ((first, ~first), (~first, first)):
        by_hand = lightgbm.LGBMRanker(**TREES).fit(
            data.X[train],
            data.labels[train],
            group=data.queries.subset(train).sizes,
            sample_weight=data.sample_weight[train],
        )
        assert_array_equal(taught.scores[test], by_hand.predict(data.X[test]))
    whole = lightgbm.LGBMRanker(**TREES).fit(
        data.X, data.labels, group=data.queries.sizes, sample_weight=data.sample_weight
    )
    assert text_of(taught.teacher) == text_of(whole)


def test_a_teacher_learns_from_labelled_rows_alone(shuffled, data):
    """Half of the rows have no label; queries and weights are those of the others."""
    X, y, qid, weight = shuffled
    unknown = np.where(X[:, 0] > 0, y, np.nan)
    ours = distilled(lightgbm.LGBMRanker(**TREES), (X, unknown, qid, weight))
    known = data.X[:, 0] > 0
    by_hand = lightgbm.LGBMRanker(**TREES).fit(
        data.X[known],
        data.labels[known],
        group=data.queries.subset(known).sizes,
        sample_weight=data.sample_weight[known],
    )
    assert text_of(ours) == text_of(by_hand)


def test_a_teacher_that_is_fitted_already_is_not_fitted_again(data):
    fitted = lightgbm.LGBMRegressor(**TREES).fit(data.X, data.labels)
    for ready in (FrozenEstimator(fitted), fitted.booster_):
        assert is_prefit(ready)
        assert fit_on_labelled(ready, data) is ready
    assert not is_prefit(fitted)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_one_method_that_scores_is_enough(method):
    check_teacher(SimpleNamespace(**{method: len}))


@pytest.mark.parametrize(
    ("teacher", "shown"),
    [
        (lightgbm.LGBMRanker, r"LGBMRanker \(a class\). Create one: LGBMRanker\(\)"),
        ([1], r"\[1\]"),
    ],
)
def test_what_cannot_score_is_no_teacher(teacher, shown):
    message = (
        r"^teacher must be an estimator instance with predict, predict_proba or "
        rf"decision_function, or a function of the table, got {shown}\.$"
    )
    with pytest.raises(TypeError, match=message):
        check_teacher(teacher)


def test_without_labels_there_is_nothing_to_fit(data):
    unlabelled = replace(data, labels=np.full(data.n_rows, np.nan))
    message = (
        rf"^y is NaN in all {data.n_rows} rows, .* the teacher LGBMRanker on\. Pass labels, "
        r".* or teacher_scores\.$"
    )
    with pytest.raises(ValueError, match=message):
        fit_on_labelled(lightgbm.LGBMRanker(**TREES), unlabelled)
    with pytest.raises(TypeError, match="got Ridge"):
        fit_on_labelled(Ridge, unlabelled)
