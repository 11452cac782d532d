"""Queries, weights and metadata reach a teacher row by row, or an error says so before any fit."""

import functools

import catboost
import lightgbm
import numpy as np
import pytest
import sklearn
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    ShuffleSplit,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tests.metadata_routing_common import ConsumingRegressor, NonConsumingRegressor
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from skdistill import DistilledRanker, MultiObjectiveRetriever, TwoTowerRetriever
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.metrics import ndcg_scorer
from skdistill.serving import load, save
from skdistill.students import LinearRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble, fit_and_score
from skdistill.teachers.qid_adapter import QidAdapter

WAYS_OUT = "Fit it yourself and pass it in a FrozenEstimator, or pass its scores as teacher_scores"
TREES = {"n_estimators": 3, "min_child_samples": 2, "verbose": -1, "n_jobs": 1, "random_state": 0}
N_ROWS = 200


class Plain(RegressorMixin, BaseEstimator):
    """A ranker of scikit-learn's kind, with queries and weights."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, qid=None):
        self.n_features_in_ = X.shape[1]
        self.coef_ = np.ones(X.shape[1])
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0]


class PlainClassifier(ClassifierMixin, Plain):
    def fit(self, X, y, sample_weight=None, qid=None):
        self.classes_ = np.unique(y)
        return super().fit(X, y)

    def predict_proba(self, X):
        positive = 1 / (1 + np.exp(-np.asarray(X)[:, 0]))
        return np.column_stack([1 - positive, positive])


@pytest.fixture
def rows():
    """Shuffled rows whose columns 1 and 2 tell the query and the weight."""
    rng = np.random.default_rng(0)
    X, qid = rng.normal(size=(N_ROWS, 3)), rng.integers(0, 20, N_ROWS)
    X[:, 1], X[:, 2] = qid, rng.uniform(0.1, 2, N_ROWS)
    return {"X": X, "y": (X[:, 0] > 0).astype(float), "qid": qid, "sample_weight": X[:, 2]}


@pytest.fixture
def fits(monkeypatch):
    """Arguments of each fit of a learner, recorded on the way to the real one."""
    recorded = []
    for kind in (
        *(Plain, PlainClassifier, lightgbm.LGBMRanker, lightgbm.LGBMRegressor),
        *(MLPEnsembleRanker, xgboost.XGBRanker, catboost.CatBoostRanker),
    ):

        def recording(self, X, y, _fit=kind.fit, _kind=kind, **arguments):
            if type(self) is _kind:
                recorded.append((np.asarray(X), arguments))
            return _fit(self, X, y, **arguments)

        monkeypatch.setattr(kind, "fit", functools.wraps(kind.fit)(recording))
    return recorded


def parameter_grid(learner):
    return {"random_state": [0]} if "random_state" in learner.get_params() else {}


LEARNERS = {
    "recording": Plain(),
    "LGBMRegressor": lightgbm.LGBMRegressor(**TREES),
    "LGBMRanker": lightgbm.LGBMRanker(**TREES),
    "XGBRanker": xgboost.XGBRanker(n_estimators=2, n_jobs=1, random_state=0),
    "CatBoostRanker": catboost.CatBoostRanker(
        iterations=2, verbose=0, thread_count=1, allow_writing_files=False
    ),
    "MLPEnsembleRanker": MLPEnsembleRanker(
        2, hidden_layer_sizes=(4,), mlp_parameters={"max_iter": 2}
    ),
}
META_ESTIMATORS = {
    "none": lambda learner: learner,
    "Pipeline": lambda learner: make_pipeline(FunctionTransformer(), learner),
    "Pipeline in a Pipeline": lambda learner: make_pipeline(
        FunctionTransformer(), make_pipeline(FunctionTransformer(), learner)
    ),
    "GridSearchCV": lambda learner: GridSearchCV(
        learner, parameter_grid(learner), scoring="r2", cv=3, error_score="raise"
    ),
    "GridSearchCV over queries": lambda learner: GridSearchCV(
        learner, {}, scoring=ndcg_scorer(k=5), cv=GroupKFold(3), error_score="raise"
    ),
    "GridSearchCV of a Pipeline, shuffled": lambda learner: GridSearchCV(
        make_pipeline(FunctionTransformer(), learner),
        {},
        scoring="r2",
        cv=ShuffleSplit(3, random_state=0),
        error_score="raise",
    ),
    "RandomizedSearchCV": lambda learner: RandomizedSearchCV(
        learner, parameter_grid(learner), n_iter=1, scoring=["r2"], refit="r2", cv=3
    ),
    "TransformedTargetRegressor": TransformedTargetRegressor,
    "RFE": lambda learner: RFE(learner, n_features_to_select=3),
    "VotingRegressor": lambda learner: VotingRegressor([("one", learner)]),
    "StackingRegressor": lambda learner: StackingRegressor(
        [("one", learner)], final_estimator=Ridge(), cv=3
    ),
    "AdaBoostRegressor": lambda learner: AdaBoostRegressor(learner, n_estimators=2),
    "RankEnsemble": lambda learner: RankEnsemble(
        [("one", learner), ("two", learner)], weights="learn", random_state=0
    ),
    "DistilledRanker": lambda learner: DistilledRanker(learner, LinearRanker(max_iter=1)),
}
RANKERS = {"LGBMRanker", "XGBRanker", "CatBoostRanker", "MLPEnsembleRanker"}
# scikit-learn's own refusals ("should be a regressor", which CatBoost's ranker and ours say they
# are), and AdaBoost, which passes no metadata on.
REFUSED = {
    *(
        (meta, learner)
        for meta in ("VotingRegressor", "StackingRegressor")
        for learner in RANKERS - {"CatBoostRanker", "MLPEnsembleRanker"}
    ),
    *(("AdaBoostRegressor", learner) for learner in RANKERS | {"recording"}),
}


def check_arrivals(fits, learner, weighted):
    assert fits
    for X, arguments in fits:
        weight = arguments.get("sample_weight")
        if not weighted:
            assert weight is None
        elif learner == "XGBRanker":
            qid = arguments["qid"]
            per_query = [X[qid == query, 2].mean() for query in np.unique(qid)]
            assert_allclose(weight, per_query)
        else:
            assert_allclose(weight, X[:, 2])
        if learner == "LGBMRegressor":
            continue
        ids = arguments.get("qid", arguments.get("group_id"))
        if learner == "LGBMRanker":
            ids = Queries.from_sizes(arguments["group"]).segment
        assert len(ids) == len(X)
        # Rows share an id exactly if they share a query.
        pairs = np.unique(np.column_stack([ids, X[:, 1]]), axis=0)
        assert len(pairs) == len(np.unique(ids)) == len(np.unique(X[:, 1]))


@pytest.mark.parametrize("enabled", [False, True], ids=["routing off", "routing on"])
@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("meta", META_ESTIMATORS)
def test_weights_and_queries_arrive_or_nothing_is_fitted(meta, learner, enabled, rows, fits):
    if meta == "AdaBoostRegressor" and learner == "LGBMRegressor":
        pytest.skip("AdaBoost draws its rows by their weights")
    with sklearn.config_context(enable_metadata_routing=enabled):
        teacher = META_ESTIMATORS[meta](clone(LEARNERS[learner]))
        ranker = DistilledRanker(teacher, LinearRanker(max_iter=1), random_state=0)
        if (meta, learner) in REFUSED:
            with pytest.raises((ValueError, TypeError)):
                ranker.fit(**rows)
            assert not fits
            return
        ranker.fit(**rows)
    check_arrivals(fits, learner, weighted=True)


@pytest.mark.parametrize("learner", LEARNERS)
def test_queries_arrive_without_weights_and_in_folds(learner, rows, fits):
    teacher = make_pipeline(make_pipeline(clone(LEARNERS[learner])))
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=1), teacher_cv=3, random_state=0)
    ranker.fit(rows["X"], rows["y"], qid=rows["qid"])
    assert len(fits) == 4
    check_arrivals(fits, learner, weighted=False)


def test_weights_and_queries_reach_a_calibrated_classifier(rows, fits):
    teacher = CalibratedClassifierCV(PlainClassifier(), cv=2)
    DistilledRanker(teacher, LinearRanker(max_iter=1)).fit(**rows)
    assert len(fits) == 2
    check_arrivals(fits, "recording", weighted=True)


def test_a_bagged_ranker_gets_its_queries(rows, fits):
    """Bagging draws rows by their weights, and passes counts as weights."""
    teacher = BaggingRegressor(lightgbm.LGBMRanker(**TREES), n_estimators=2, random_state=0)
    DistilledRanker(teacher, LinearRanker(max_iter=1)).fit(**rows)
    assert len(fits) == 2
    for X, arguments in fits:
        ids = Queries.from_sizes(arguments["group"]).segment
        assert len(np.unique(np.column_stack([ids, X[:, 1]]), axis=0)) == 20
        assert arguments["sample_weight"].sum() == N_ROWS


def test_a_search_is_the_one_that_is_fitted_by_hand(rows):
    search = GridSearchCV(
        lightgbm.LGBMRegressor(**TREES), {"num_leaves": [3, 7]}, scoring="r2", cv=3
    )
    ours = DistilledRanker(search, LinearRanker(max_iter=1)).fit(**rows).teacher_
    data = RankingData.sort(rows["qid"], rows["X"], rows["y"], sample_weight=rows["sample_weight"])
    by_hand = clone(search).fit(data.X, data.labels, sample_weight=data.sample_weight)
    unweighted = clone(search).fit(data.X, data.labels)
    key = "mean_test_score"
    assert_allclose(ours.cv_results_[key], by_hand.cv_results_[key])
    assert not np.allclose(ours.cv_results_[key], unweighted.cv_results_[key])
    assert_array_equal(ours.predict(data.X), by_hand.predict(data.X))
    # What was changed for the fit is undone.
    assert ours.get_params()["scoring"] == "r2"
    assert type(ours.best_estimator_) is lightgbm.LGBMRegressor


def test_a_search_over_a_ranker_holds_an_adapter_that_behaves_like_it(rows):
    search = GridSearchCV(
        lightgbm.LGBMRanker(**TREES),
        {"num_leaves": [3, 7]},
        scoring=ndcg_scorer(),
        cv=GroupKFold(2),
    )
    teacher = DistilledRanker(search, LinearRanker(max_iter=1)).fit(**rows).teacher_
    best = teacher.best_estimator_
    assert isinstance(best, QidAdapter)
    assert type(teacher.estimator) is lightgbm.LGBMRanker
    data = RankingData.sort(rows["qid"], rows["X"], rows["y"], sample_weight=rows["sample_weight"])
    by_hand = lightgbm.LGBMRanker(**{**TREES, **teacher.best_params_}).fit(
        data.X, data.labels, group=data.queries.sizes, sample_weight=data.sample_weight
    )
    assert best.booster_.model_to_string() == by_hand.booster_.model_to_string()
    own = {"estimator": best.estimator, "enable_metadata_routing": False}
    assert best.get_params() == by_hand.get_params() | own
    with pytest.raises(ValueError, match="LGBMRanker takes queries"):
        QidAdapter(lightgbm.LGBMRanker(**TREES)).fit(rows["X"], rows["y"])


def test_transformers_decline_weights_by_default_and_get_them_on_request(rows, routing):
    def mean_of(scaler):
        pipeline = make_pipeline(scaler, Ridge())
        fitted = DistilledRanker(pipeline, LinearRanker(max_iter=1)).fit(**rows).teacher_
        return fitted[0].mean_

    X, weight = rows["X"], rows["sample_weight"]
    assert_allclose(mean_of(StandardScaler()), X.mean(axis=0))
    requesting = StandardScaler().set_fit_request(sample_weight=True)
    assert_allclose(mean_of(requesting), np.average(X, axis=0, weights=weight))


def test_learners_that_route_by_themselves_get_weights(rows):
    teacher = make_pipeline(StandardScaler(), RidgeCV([0.1, 100]))
    ours = DistilledRanker(teacher, LinearRanker(max_iter=1)).fit(**rows).teacher_
    data = RankingData.sort(rows["qid"], rows["X"], rows["y"], sample_weight=rows["sample_weight"])
    by_hand = clone(teacher).fit(data.X, data.labels, ridgecv__sample_weight=data.sample_weight)
    assert_allclose(ours.predict(data.X), by_hand.predict(data.X))
    assert type(ours[-1]) is RidgeCV


@pytest.mark.parametrize("meta", ["none", "Pipeline", "GridSearchCV", "RankEnsemble"])
def test_a_teacher_may_decline_weights(meta, rows, fits, routing):
    learner = Plain().set_fit_request(sample_weight=False)
    teacher = META_ESTIMATORS[meta](learner)
    student = LinearRanker(max_iter=3, random_state=0)
    ranker = DistilledRanker(teacher, student).fit(**rows)
    check_arrivals(fits, "recording", weighted=False)
    unweighted = {name: rows[name] for name in ("X", "y", "qid")}
    without = DistilledRanker(teacher, student).fit(**unweighted)
    assert not np.array_equal(ranker.predict(rows["X"]), without.predict(rows["X"]))
    declining = clone(student).set_fit_request(sample_weight=False)
    both = DistilledRanker(teacher, declining).fit(**rows)
    assert_array_equal(both.predict(rows["X"]), without.predict(rows["X"]))


def test_a_meta_estimator_may_decline_weights(rows, fits, routing):
    teacher = CalibratedClassifierCV(PlainClassifier(), cv=2).set_fit_request(sample_weight=False)
    DistilledRanker(teacher, LinearRanker(max_iter=1)).fit(**rows)
    check_arrivals(fits, "recording", weighted=False)


def test_a_request_that_cannot_be_met_is_an_error(rows, fits, routing):
    scaler = StandardScaler().set_fit_request(sample_weight=True)
    student = make_pipeline(scaler, LinearRanker(max_iter=1))
    further = make_pipeline(FunctionTransformer(), scaler, LinearRanker(max_iter=1))
    message = (
        "^A step before the student requests sample_weight, but only the student gets it. "
        r"Call set_fit_request\(sample_weight=False\) on the step, or fit it beforehand.$"
    )
    for refused in (student, further):
        with pytest.raises(ValueError, match=message):
            DistilledRanker(Plain(), refused).fit(**rows)

    class Forgetful(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
        """Routes scores' metadata but not those of fit."""

        def __init__(self, estimator):
            self.estimator = estimator

        def get_metadata_routing(self):
            mapping = MethodMapping().add(caller="score", callee="score")
            return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)

        def fit(self, X, y):
            self.estimator.fit(X, y)
            return self

        def predict(self, X):
            return self.estimator.predict(X)

    weight = rows.pop("sample_weight")
    message = f"^Forgetful passes no qid on to what it fits. {WAYS_OUT}.$"
    with pytest.raises(ValueError, match=message):
        DistilledRanker(Forgetful(Plain()), LinearRanker(max_iter=1)).fit(**rows)
    trees = Forgetful(lightgbm.LGBMRegressor(**TREES))
    with pytest.raises(ValueError, match=message.replace("qid", "sample_weight")):
        DistilledRanker(trees, LinearRanker(max_iter=1)).fit(**rows, sample_weight=weight)
    assert not fits


def test_teacher_and_student_may_take_weights_by_other_names(rows, fits, routing):
    """Each column arrives where it is requested, although the rows are sorted."""
    weight = rows.pop("sample_weight")
    teacher = make_pipeline(Plain().set_fit_request(sample_weight="propensity"))
    student = LinearRanker(max_iter=3, random_state=0)
    ranker = DistilledRanker(teacher, student).fit(**rows, propensity=weight)
    check_arrivals(fits, "recording", weighted=True)
    without = DistilledRanker(Plain(), student).fit(**rows)
    assert_array_equal(ranker.predict(rows["X"]), without.predict(rows["X"]))
    swapped = DistilledRanker(
        Plain(), clone(student).set_fit_request(sample_weight="propensity")
    ).fit(**rows, propensity=weight)
    both = DistilledRanker(Plain(), student).fit(**rows, sample_weight=weight)
    assert_array_equal(swapped.predict(rows["X"]), both.predict(rows["X"]))


def test_what_a_teacher_cannot_take_is_an_error_before_any_fit(rows, fits):
    def refused(teacher, match, **further):
        for fit in (
            DistilledRanker(teacher, LinearRanker(max_iter=1)).fit,
            RankEnsemble([("first", Plain()), ("second", teacher)]).fit,
            TwoTowerRetriever(teacher, query_columns=[1], item_columns=[0, 2], max_iter=1).fit,
        ):
            with pytest.raises(ValueError, match=match):
                fit(**rows, **further)
        assert not fits

    lost = (
        "^KNeighborsRegressor takes no sample_weight, so that the row weights would be lost on "
        f"the way to the teacher. {WAYS_OUT}, or leave out sample_weight.$"
    )
    hidden = f"^GridSearchCV would pass no %s in its parameter param_grid. {WAYS_OUT}.$"
    refused(KNeighborsRegressor(), lost)
    refused(make_pipeline(StandardScaler(), KNeighborsRegressor()), lost)
    refused(RankEnsemble([("a", Plain()), ("b", KNeighborsRegressor())]), lost)
    refused(VotingRegressor([("a", Plain()), ("b", KNeighborsRegressor())]), lost)
    grid = {"ridge": [lightgbm.LGBMRanker(**TREES)]}
    refused(GridSearchCV(make_pipeline(Ridge()), grid), hidden % "queries to the LGBMRanker")
    grid["ridge"].insert(0, FrozenEstimator(Ridge()))
    search = GridSearchCV(make_pipeline(Ridge()), grid)
    for teacher in (search, make_pipeline(StandardScaler(), search)):
        refused(teacher, hidden % "queries to the LGBMRanker")
    grid = {"ridge": [Ridge(), Ridge(2)]}
    refused(GridSearchCV(make_pipeline(Ridge()), grid), hidden % "row weights to the Ridge")
    with sklearn.config_context(enable_metadata_routing=True):
        alias = lightgbm.LGBMRanker(**TREES).set_fit_request(group="sizes")
    refused(
        alias,
        "^LGBMRanker requests group as 'sizes', but a teacher's queries are those of qid. "
        r"Call set_fit_request\(group=True\) instead, and pass qid.$",
    )
    with pytest.raises(ValueError, match=lost):
        fit_and_score(
            KNeighborsRegressor(),
            rows["X"],
            rows["y"],
            Queries.single(N_ROWS),
            sample_weight=rows["sample_weight"],
        )


def test_a_frozen_teacher_needs_no_weights(rows):
    frozen = FrozenEstimator(KNeighborsRegressor().fit(rows["X"], rows["y"]))
    for teacher in (frozen, RankEnsemble([("a", frozen), ("b", Plain())])):
        DistilledRanker(teacher, LinearRanker(max_iter=1)).fit(**rows)


def routers(teacher):
    towers = {"query_columns": [1], "item_columns": [0, 2], "max_iter": 1, "embedding_dim": 2}
    objectives = {"label": "listwise", "teacher": "listwise"}
    return [
        DistilledRanker(teacher, LinearRanker(max_iter=1)),
        RankEnsemble([("one", teacher)]),
        TwoTowerRetriever(teacher, **towers),
        MultiObjectiveRetriever(teacher, objectives=objectives, **towers),
    ]


@pytest.mark.parametrize("number", range(4))
def test_scikit_learns_checks_of_meta_estimators(number, rows, routing):
    """The pattern of scikit-learn's test_metaestimators_metadata_routing."""
    metadata = rows["X"][:, 0]
    router = routers(ConsumingRegressor())[number]
    assert isinstance(router.get_metadata_routing(), MetadataRouter)
    message = rf"\[metadata\] are passed but are not .* within {type(router).__name__}\.fit"
    with pytest.raises(UnsetMetadataPassedError, match=message):
        router.fit(**rows, metadata=metadata)
    declining = ConsumingRegressor().set_fit_request(metadata=False)
    with pytest.raises(TypeError, match="got unexpected argument"):
        routers(declining)[number].fit(**rows, metadata=metadata)
    with pytest.raises(TypeError, match="got unexpected argument"):
        routers(NonConsumingRegressor())[number].fit(**rows, metadata=metadata)
    del rows["sample_weight"]
    routers(NonConsumingRegressor())[number].fit(**rows)  # no request is needed
    with (
        sklearn.config_context(enable_metadata_routing=False),
        pytest.raises(ValueError, match="only supported if enable_metadata_routing=True"),
    ):
        router.fit(**rows, metadata=metadata)


class WithMetadata(Plain):
    """Records what it gets in a list that clones share."""

    seen: list = []

    def fit(self, X, y, sample_weight=None, metadata=None):
        self.seen.append((np.asarray(X), metadata))
        return super().fit(X, y)


@pytest.mark.parametrize("alias", [True, "other"])
@pytest.mark.parametrize("wrap", [lambda learner: learner, make_pipeline])
@pytest.mark.parametrize("number", range(4))
def test_requested_metadata_arrives_row_by_row(number, wrap, alias, rows, routing):
    WithMetadata.seen.clear()
    teacher = wrap(WithMetadata().set_fit_request(metadata=alias))
    name = "metadata" if alias is True else alias
    unlabelled = np.where(np.arange(N_ROWS) % 7 == 0, np.nan, rows["y"])
    # As in a search, an outer router asks by get_metadata_routing what it may pass.
    router = routers(teacher)[number].set_fit_request(sample_weight=True)
    outer = make_pipeline(FunctionTransformer(), router)
    outer.fit(
        rows["X"],
        unlabelled,
        **{n: rows[n] for n in ("qid", "sample_weight")},
        **{name: rows["X"][:, 0]},
    )
    assert WithMetadata.seen
    for X, metadata in WithMetadata.seen:
        # The towers' teacher reads query columns, then item columns, in the order of X.
        assert_array_equal(metadata, X[:, 0])


def test_lightgbm_gets_evaluation_sets_and_initial_scores(rows, routing):
    X, y, qid = rows["X"], rows["y"], rows["qid"]
    start = np.sin(X[:, 0] * 9)
    teacher = lightgbm.LGBMRegressor(**TREES).set_fit_request(eval_set=True, init_score=True)
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=1))
    ours = ranker.fit(X, y, qid=qid, eval_set=[(X, y)], init_score=start).teacher_
    assert list(ours.evals_result_) == ["valid_0"]
    order = RankingData.sort(qid, X).order
    by_hand = lightgbm.LGBMRegressor(**TREES).fit(X[order], y[order], init_score=start[order])
    assert ours.booster_.model_to_string() == by_hand.booster_.model_to_string()
    without = lightgbm.LGBMRegressor(**TREES).fit(X[order], y[order])
    assert ours.booster_.model_to_string() != without.booster_.model_to_string()
    with pytest.raises(UnsetMetadataPassedError, match="eval_set"):
        DistilledRanker(lightgbm.LGBMRegressor(**TREES)).fit(X, y, qid=qid, eval_set=[(X, y)])


def test_learnt_weights_of_members_use_row_weights(rows):
    """Each half of the queries agrees with another member; the weights choose between them."""
    X, qid = rows["X"], rows["qid"]
    rng = np.random.default_rng(1)
    X[:, 2] = rng.normal(size=N_ROWS)
    first = qid < 10
    y = np.where(first, X[:, 0], X[:, 2]) > 0

    class Column(RegressorMixin, BaseEstimator):
        def __init__(self, column=0):
            self.column = column

        def fit(self, X, y, sample_weight=None):
            return self

        def predict(self, X):
            return np.asarray(X)[:, self.column]

    members = [("a", Column(0)), ("b", Column(2))]
    for heavy, expected in ((first, 0), (~first, 1)):
        weight = np.where(heavy, 1.0, 1e-3)
        ensemble = RankEnsemble(
            members, weights="learn", validation_fraction=0.8, random_state=0
        ).fit(X, y, qid=qid, sample_weight=weight)
        assert ensemble.weights_[expected] > 0.9


def test_models_with_requests_can_be_stored(rows, tmp_path, routing):
    learner = lightgbm.LGBMRanker(**TREES).set_fit_request(sample_weight=False)
    student = LinearRanker(max_iter=1).set_fit_request(sample_weight=False)
    for teacher in (learner, make_pipeline(StandardScaler(), learner)):
        ranker = DistilledRanker(teacher, student).set_fit_request(sample_weight=True).fit(**rows)
        requests = str(ranker.get_metadata_routing())
        save(ranker, tmp_path / "ranker.skd", keep_teacher=True)
        assert str(ranker.get_metadata_routing()) == requests
        loaded = load(tmp_path / "ranker.skd").teacher_
        assert_array_equal(loaded.predict(rows["X"]), ranker.teacher_.predict(rows["X"]))


def test_metadata_of_a_learners_scorer_pass_through_the_learner(rows, routing):
    costs, seen = rows["X"][:, 0], []

    def negated_cost(y, predicted, costs):
        seen.append(costs)
        return -np.mean(costs * (y - predicted) ** 2)

    scorer = make_scorer(negated_cost).set_score_request(costs=True)
    ranker = DistilledRanker(RidgeCV([0.1, 100], scoring=scorer), LinearRanker(max_iter=1))
    ranker.fit(**rows, costs=costs)
    for given in seen:
        assert_array_equal(given, costs[RankingData.sort(rows["qid"], rows["X"]).order])
    assert len(seen) > 1


class Unscored(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None, qid=None):
        self.classes_ = np.unique(y)
        self.seen_ = np.asarray(X), {"sample_weight": sample_weight, "qid": qid}
        return self


class Decides(Unscored):
    def decision_function(self, X):
        return np.asarray(X)[:, 0]


class Estimates(Unscored):
    def predict_proba(self, X):
        return np.column_stack([np.zeros(len(X)), np.asarray(X)[:, 0]])


@pytest.mark.parametrize("kind", [Decides, Estimates])
def test_learners_need_no_predict(kind, rows):
    ranker = DistilledRanker(make_pipeline(FunctionTransformer(), kind()), LinearRanker(max_iter=1))
    check_arrivals([ranker.fit(**rows).teacher_[-1].seen_], "recording", weighted=True)


def test_rankers_of_this_package_need_no_adapter(rows):
    search = GridSearchCV(LinearRanker(max_iter=1), {}, scoring=ndcg_scorer(), cv=GroupKFold(2))
    teacher = DistilledRanker(search, LinearRanker(max_iter=1)).fit(**rows).teacher_
    assert type(teacher.best_estimator_) is LinearRanker


def test_scorers_of_several_measures_get_weights_and_stay_as_they_are(rows):
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    search = GridSearchCV(
        lightgbm.LGBMRegressor(**TREES),
        {"num_leaves": [3, 7]},
        scoring={"own": scorer, "named": "neg_mean_absolute_error"},
        refit="own",
        cv=3,
    )
    ours = DistilledRanker(search, LinearRanker(max_iter=1)).fit(**rows).teacher_
    data = RankingData.sort(rows["qid"], rows["X"], rows["y"], sample_weight=rows["sample_weight"])
    by_hand = clone(search).set_params(scoring="neg_mean_absolute_error", refit=True)
    by_hand.fit(data.X, data.labels, sample_weight=data.sample_weight)
    for name in ("own", "named"):
        scores = ours.cv_results_[f"mean_test_{name}"]
        assert_allclose(scores, by_hand.cv_results_["mean_test_score"])
    assert ours.scoring["named"] == "neg_mean_absolute_error"
    with sklearn.config_context(enable_metadata_routing=True):
        assert scorer.get_metadata_routing().score.requests.get("sample_weight") is None


def test_transformers_decline_queries_by_default_and_splitters_request_them(rows, fits):
    class PerQuery(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None, qid=None):
            self.qid_ = qid
            return self

        def transform(self, X):
            return X

    class Halves(BaseEstimator):
        def split(self, X, y=None, qid=None):
            first = qid < np.median(qid)
            yield np.flatnonzero(first), np.flatnonzero(~first)

        def get_n_splits(self, X=None, y=None, qid=None):
            return 1

    pipeline = make_pipeline(PerQuery(), lightgbm.LGBMRanker(**TREES))
    search = GridSearchCV(pipeline, {}, scoring=ndcg_scorer(), cv=Halves(), error_score="raise")
    teacher = DistilledRanker(search, LinearRanker(max_iter=1)).fit(**rows).teacher_
    assert teacher.best_estimator_[0].qid_ is None
    check_arrivals(fits, "LGBMRanker", weighted=True)
    assert set(fits[0][0][:, 1]) < set(fits[1][0][:, 1])


def test_a_meta_estimator_may_use_weights_in_place_of_its_learner(rows):
    calibrated = make_pipeline(CalibratedClassifierCV(KNeighborsClassifier(), cv=2))
    DistilledRanker(calibrated, LinearRanker(max_iter=1)).fit(**rows)
    bagged = BaggingRegressor(KNeighborsRegressor(), n_estimators=2, random_state=0)
    rows["sample_weight"] = (rows["y"] > 0).astype(float)

    def scores(teacher):
        fitted = DistilledRanker(teacher, LinearRanker(max_iter=1)).fit(**rows).teacher_
        return fitted.predict(rows["X"])

    assert (scores(bagged) == 1).all()  # rows of weight 0 are never drawn
    # Inside of another meta-estimator, the bag gets no weights.
    with pytest.raises(ValueError, match="KNeighborsRegressor takes no sample_weight"):
        scores(make_pipeline(bagged))
    with sklearn.config_context(enable_metadata_routing=True):
        declining = bagged.set_fit_request(sample_weight=False)
        for teacher in (declining, make_pipeline(declining)):
            assert 0 < scores(teacher).mean() < 1


def test_without_weights_learners_in_a_grid_lose_nothing(rows):
    del rows["sample_weight"]
    search = GridSearchCV(make_pipeline(Ridge()), {"ridge": [Ridge(), Ridge(2)]}, cv=2)
    assert DistilledRanker(search, LinearRanker(max_iter=1)).fit(**rows).teacher_.n_splits_ == 2


@pytest.mark.parametrize("enabled", [False, True])
def test_learners_are_fitted_under_the_routing_of_the_user(enabled, rows):
    class Remembers(Plain):
        def fit(self, X, y, sample_weight=None, qid=None):
            self.routing_ = sklearn.get_config()["enable_metadata_routing"]
            return super().fit(X, y)

    with sklearn.config_context(enable_metadata_routing=enabled):
        ranker = DistilledRanker(make_pipeline(Remembers()), LinearRanker(max_iter=1)).fit(**rows)
    assert ranker.teacher_[-1].routing_ is enabled


def test_a_teacher_that_cannot_be_cloned_is_refused(rows):
    class NoParameters:
        fit, predict = Plain.fit, Plain.predict

    with pytest.raises(TypeError, match="does not implement a 'get_params' method"):
        DistilledRanker(NoParameters(), LinearRanker(max_iter=1)).fit(**rows)
