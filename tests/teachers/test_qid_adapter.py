"""Queries in the form that each library takes, and the adapter that sorts rows for it."""

import copy
import pickle

import lightgbm
import numpy as np
import pytest
import sklearn
import xgboost
from catboost import CatBoostRanker
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import AdaBoostRegressor
from sklearn.feature_selection import RFE
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skdistill import DistilledRanker
from skdistill.inputs.queries import Queries
from skdistill.students import LinearRanker
from skdistill.teachers.qid_adapter import (
    QidAdapter,
    clone_or_deepcopy,
    default_request,
    query_parameter,
    with_queries,
)
from skdistill.teachers.routing import find_learners

QUERIES = Queries.from_sizes([2, 3])
WEIGHT = np.array([1.0, 5, 2, 3, 4])


class Ranker(RegressorMixin, BaseEstimator):
    """Takes queries in any form, and remembers the arguments of its fit."""

    def __init__(self, depth=1):
        self.depth = depth

    def fit(self, X, y, sample_weight=None, qid=None, group=None, start=None):
        self.routing_ = sklearn.get_config()["enable_metadata_routing"]
        self.seen_ = X, y, sample_weight, qid, group, start
        return self

    def predict(self, X):
        return X[:, 0]


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (lightgbm.LGBMRanker(), "group"),
        (xgboost.XGBRanker(), "qid"),
        (CatBoostRanker(), "group_id"),
        (Ridge(), None),
        (Ranker(), "qid"),
    ],
)
def test_the_signature_of_fit_tells_how_queries_are_taken(estimator, name):
    assert query_parameter(estimator) == name


def test_requests_of_the_user_decide_between_parameters(routing):
    assert query_parameter(Ranker().set_fit_request(group=True)) == "group"
    assert query_parameter(Ranker().set_fit_request(qid=False)) == "group"
    assert query_parameter(lightgbm.LGBMRanker().set_fit_request(group=False)) is None


def test_queries_are_passed_as_ids_or_sizes_and_weights_per_row_or_query():
    given = {"sample_weight": WEIGHT}
    ids = with_queries(Ranker(), QUERIES, given)
    assert ids["qid"].tolist() == [0, 0, 1, 1, 1]
    assert ids["sample_weight"] is WEIGHT
    assert with_queries(lightgbm.LGBMRanker(), QUERIES, {})["group"].tolist() == [2, 3]
    per_query = with_queries(xgboost.XGBRanker(), QUERIES, {"sample_weight": [1, 5, 2, 3, 4]})
    assert_allclose(per_query["sample_weight"], [(1 + 5) / 2, (2 + 3 + 4) / 3])
    used = {"sample_weight": [True, False, True, True, False]}
    per_query = with_queries(xgboost.XGBRanker(), QUERIES, used)
    assert_allclose(per_query["sample_weight"], [1 / 2, 2 / 3])
    assert set(with_queries(xgboost.XGBRanker(), QUERIES, {})) == {"qid"}
    assert with_queries(Ridge(), QUERIES, given) == given
    assert given == {"sample_weight": WEIGHT}


def test_weights_are_requested_unless_declined_and_queries_never(routing):
    requests = default_request(Ranker()).fit.requests
    assert requests["sample_weight"] is True
    assert requests.keys() & {"qid", "group"} == set()
    declined = default_request(Ranker().set_fit_request(sample_weight=False)).fit.requests
    assert declined["sample_weight"] is False
    named = default_request(Ranker().set_fit_request(sample_weight="w").set_score_request())
    assert named.fit.requests["sample_weight"] == "w"
    assert named.score.requests["sample_weight"] is True


def test_the_adapter_sorts_rows_and_all_that_belongs_to_them():
    X, y = np.arange(10.0).reshape(5, 2), np.arange(5.0)
    qid = np.array(["b", "a", "b", "a", "b"])
    order = [1, 3, 0, 2, 4]
    ranker = Ranker()
    adapter = QidAdapter(ranker)
    assert adapter.fit(X, y, sample_weight=WEIGHT, qid=qid, start=-y, unknown=3) is adapter
    table, labels, weight, ids, group, start = ranker.seen_
    assert_array_equal(table, X[order])
    assert_array_equal(labels, y[order])
    assert_array_equal(weight, WEIGHT[order])
    assert_array_equal(start, -y[order])
    assert ids.tolist() == [0, 0, 1, 1, 1]
    assert group is None
    message = r"^Ranker takes queries, but the estimator around it passed no qid\.$"
    with pytest.raises(ValueError, match=message):
        adapter.fit(X, y)


def test_an_estimator_without_queries_gets_rows_as_they_are():
    class Plain(Ranker):
        def fit(self, X, y, sample_weight=None):
            self.seen_ = X, y, sample_weight
            return self

    X, y = np.zeros((3, 1)), np.arange(3.0)
    plain = Plain()
    QidAdapter(plain).fit(X, y, qid=[2, 1, 1], sample_weight=WEIGHT[:3])
    assert plain.seen_[0] is X
    assert plain.seen_[1] is y
    assert_array_equal(plain.seen_[2], WEIGHT[:3])


@pytest.mark.parametrize("enabled", [False, True])
def test_the_ranker_is_fitted_under_the_routing_of_the_user(enabled, routing):
    ranker = Ranker()
    QidAdapter(ranker, enabled).fit(np.zeros((2, 1)), np.zeros(2), qid=[1, 1])
    assert ranker.routing_ is enabled


def test_in_all_else_the_adapter_is_the_ranker():
    ranker = Ranker(depth=3)
    adapter = QidAdapter(ranker, enable_metadata_routing=True)
    own = {"estimator": ranker, "enable_metadata_routing": True}
    assert adapter.get_params() == {"depth": 3} | own
    assert adapter.set_params(depth=4) is adapter
    assert adapter.depth == 4
    again = clone(adapter)
    assert (again.estimator.depth, again.enable_metadata_routing) == (4, True)
    assert again.estimator is not adapter.estimator
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(adapter)
    check_is_fitted(adapter.fit(np.zeros((2, 1)), np.zeros(2), qid=[1, 1]))
    adapter.estimator._private = 1  # only what is public shows through
    with pytest.raises(AttributeError, match=r"^QidAdapter has no attribute '_private'\.$"):
        _ = adapter._private
    with pytest.raises(AttributeError, match="'Ranker' object has no attribute 'unknown'"):
        _ = adapter.unknown
    assert sklearn.base.is_regressor(adapter)


def test_the_adapter_requests_queries_only_if_they_are_taken(routing):
    assert QidAdapter(Ranker()).get_metadata_routing().fit.requests["qid"] is True
    assert "qid" not in QidAdapter(Ridge()).get_metadata_routing().fit.requests


def test_what_cannot_be_cloned_is_copied():
    """Its constructor changes a parameter, which ``clone`` refuses."""

    class Stubborn(BaseEstimator):
        def __init__(self, values=()):
            self.values = list(values)

    stubborn = Stubborn([1, 2])
    copied = clone_or_deepcopy(stubborn)
    assert copied is not stubborn
    assert copied.values == [1, 2]
    assert copied.values is not stubborn.values


def test_an_adapter_can_be_stored_and_copied_before_and_after_its_fit():
    adapter = QidAdapter(Ranker(depth=3))
    assert adapter.enable_metadata_routing is False
    for again in (pickle.loads(pickle.dumps(adapter)), copy.copy(adapter), copy.deepcopy(adapter)):
        own = {"estimator": again.estimator, "enable_metadata_routing": False}
        assert again.get_params() == {"depth": 3} | own
    adapter.fit(np.zeros((2, 1)), np.zeros(2), qid=[1, 1])
    assert pickle.loads(pickle.dumps(adapter)).seen_[3].tolist() == [0, 0]
    # As while it is unpickled.
    with pytest.raises(AttributeError, match="QidAdapter has no attribute 'estimator'"):
        _ = QidAdapter.__new__(QidAdapter).depth


def test_parameters_inside_of_the_ranker_are_reached():
    adapter = QidAdapter(TransformedTargetRegressor(Ranker(depth=3)))
    assert adapter.get_params()["regressor__depth"] == 3
    assert "regressor__depth" not in adapter.get_params(deep=False)
    assert adapter.set_params(regressor__depth=4).estimator.regressor.depth == 4


def test_a_name_that_both_have_is_the_parameter_of_the_ranker():
    inner = LinearRegression()
    adapter = QidAdapter(RFE(inner))
    assert adapter.get_params()["estimator"] is inner
    adapter.set_params(estimator=Ridge(), n_features_to_select=1, enable_metadata_routing=True)
    assert isinstance(adapter.estimator, RFE)
    assert isinstance(adapter.estimator.estimator, Ridge)
    assert adapter.enable_metadata_routing is True


def test_the_ranker_can_be_replaced_together_with_its_parameters():
    adapter = QidAdapter(Ranker(depth=3)).set_params(estimator=Ridge(), alpha=2.0)
    assert adapter.get_params()["alpha"] == 2.0
    with pytest.raises(
        ValueError, match=r"must be a ranker, got None, .* no parameters \['alpha'\]"
    ):
        adapter.set_params(estimator=None, alpha=3.0)
    assert adapter.get_params()["alpha"] == 2.0  # nothing was changed


def test_an_adapter_of_the_user_is_not_adapted_again(table, routing):
    """It has a parameter that is a learner, as meta-estimators have."""
    adapter = QidAdapter(lightgbm.LGBMRanker(n_estimators=3, verbose=-1, n_jobs=1))
    teacher = make_pipeline(StandardScaler(), adapter)
    assert [path for path, _ in find_learners(teacher)] == ["qidadapter"]
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=2)).fit(table.X, table.y, qid=table.qid)
    assert type(ranker.teacher_.steps[-1][1].estimator) is lightgbm.LGBMRanker


def test_a_ranker_that_an_adapted_estimator_hides_is_refused(table, routing):
    """The adapter passes queries to the estimator, which does not pass them on."""
    hidden = AdaBoostRegressor(lightgbm.LGBMRanker(n_estimators=3, verbose=-1, n_jobs=1))
    teacher = make_pipeline(StandardScaler(), QidAdapter(hidden))
    with pytest.raises(ValueError, match="would pass no queries to the LGBMRanker"):
        DistilledRanker(teacher, LinearRanker(max_iter=2)).fit(table.X, table.y, qid=table.qid)
