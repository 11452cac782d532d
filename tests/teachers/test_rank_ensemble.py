"""Ensembles as teachers: members, weights, scales, cached labels."""

import joblib
import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skdistill import DistilledRanker
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.metrics import kendall_tau
from skdistill.students import LinearRanker, MLPRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble
from skdistill.teachers.ensemble import standardize_by_query
from skdistill.training.early_stopping import hold_out

QUICK = {"max_iter": 5}


class Column(RegressorMixin, BaseEstimator):
    """Scores by one column; counts its fits where all can see."""

    fits = 0

    def __init__(self, column=0, sign=1.0):
        self.column = column
        self.sign = sign

    def fit(self, X, y):
        Column.fits += 1
        return self

    def predict(self, X):
        return self.sign * np.asarray(X)[:, self.column]


def test_score_and_rank_averaging_by_hand():
    """A member of a hundred times the scale weighs no more than the other."""
    X = np.array([[1.0, 200], [2, 100], [4, 0], [7, 1], [5, 2]])
    queries = Queries.from_sizes([3, 2])
    members = [("a", Column(0)), ("b", Column(1))]
    y = np.array([0.0, 1, 2, 1, 0])
    ensemble = RankEnsemble(members, weights=[3, 1]).fit(X, y, qid=queries.segment)
    assert_allclose(ensemble.weights_, [0.75, 0.25])

    def standard(v):
        return (v - v.mean()) / v.std()

    expected = np.concatenate(
        [
            0.75 * standard(X[rows, 0]) + 0.25 * standard(X[rows, 1])
            for rows in (slice(0, 3), slice(3, 5))
        ]
    )
    order = np.array([4, 0, 3, 2, 1])
    scores = ensemble.predict(X[order], qid=queries.segment[order])
    assert_allclose(scores, expected[order])
    ranks = clone(ensemble).set_params(averaging="rank").fit(X, y, qid=queries.segment)
    share = [(rankdata(X[:3, c]) - 1) / 2 for c in (0, 1)]
    assert_allclose(ranks.predict(X, qid=queries.segment)[:3], 0.75 * share[0] + 0.25 * share[1])
    with pytest.raises(ValueError, match="predict needs qid"):
        ranks.predict(X)


def test_learnt_weights_find_the_good_member(table):
    members = [
        ("good", Ridge()),
        ("noise", Column(7)),
        ("wrong", Column(0, -1.0)),
    ]
    ensemble = RankEnsemble(members, weights="learn", random_state=0)
    ensemble.fit(table.X, table.y, qid=table.qid)
    assert ensemble.weights_.sum() == pytest.approx(1)
    assert ensemble.weights_.argmax() == 0
    equal = clone(ensemble).set_params(weights=None).fit(table.X, table.y, qid=table.qid)
    assert ensemble.score(table.X, table.y, qid=table.qid) > equal.score(
        table.X, table.y, qid=table.qid
    )


def test_agreement_turns_away_from_the_one_that_is_lost():
    """Two members agree, the third is upside down in the second query only."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(40)
    flip = np.r_[np.ones(20), -np.ones(20)]
    X = np.column_stack([truth, truth + 0.1 * rng.standard_normal(40), truth * flip])
    qid = np.repeat([0, 1], 20)
    members = [(str(c), Column(c)) for c in range(3)]
    agreement = RankEnsemble(members, weights="agreement").fit(X, truth - truth.min(), qid=qid)
    equal = RankEnsemble(members).fit(X, truth - truth.min(), qid=qid)
    lost = qid == 1

    def error(scores):
        return 1 - np.corrcoef(scores[lost], truth[lost])[0, 1]

    assert error(agreement.predict(X, qid=qid)) < error(equal.predict(X, qid=qid)) / 2


def test_distilled_with_grid_search_into_the_members(table, routing):
    ensemble = RankEnsemble(
        [
            ("trees", LGBMRanker(n_estimators=5, min_child_samples=5, verbose=-1)),
            ("classifier", LGBMClassifier(n_estimators=5, min_child_samples=5, verbose=-1)),
            ("frozen", FrozenEstimator(Ridge().fit(table.X, table.y))),
            ("nets", MLPEnsembleRanker(2, mlp_parameters=QUICK)),
        ]
    )
    ranker = DistilledRanker(ensemble, MLPRanker((8,), max_iter=5), random_state=0)
    search = GridSearchCV(
        ranker,
        {"teacher__trees__num_leaves": [3, 7], "teacher__nets__n_estimators": [1, 2]},
        cv=GroupKFold(2).set_split_request(groups="qid"),
        error_score="raise",
    ).fit(table.X, table.y, qid=table.qid)
    assert search.best_score_ > 0.5
    best = search.best_estimator_
    expected = best.teacher_.predict(table.X, qid=table.qid)
    assert kendall_tau(expected, best.predict(table.X), table.qid) > 0.15
    with_folds = DistilledRanker(ensemble, LinearRanker(), teacher_cv=2, random_state=0)
    assert (
        with_folds.fit(table.X, table.y, qid=table.qid).score(table.X, table.y, qid=table.qid) > 0.5
    )


def test_a_grid_over_the_student_fits_each_teacher_once(table, tmp_path, routing):
    Column.fits = 0
    search = GridSearchCV(
        DistilledRanker(
            Column(),
            LinearRanker(max_iter=2),
            memory=joblib.Memory(tmp_path, verbose=0),
            random_state=0,
        ),
        {
            "alpha": [0.5, 1.0],
            "temperature": [0.5, 1.0],
            "student__learning_rate_init": [0.01, 0.02, 0.03],
        },
        cv=GroupKFold(3).set_split_request(groups="qid"),
        error_score="raise",
    )
    search.fit(table.X, table.y, qid=table.qid)
    assert Column.fits == 3 + 1  # one a fold, one for the final fit
    search.fit(table.X, table.y, qid=table.qid)
    assert Column.fits == 4
    best = search.best_params_
    search.set_params(n_jobs=2).fit(table.X, table.y, qid=table.qid)
    assert search.best_params_ == best
    without = DistilledRanker(Column(), LinearRanker(max_iter=2), random_state=0)
    cached = clone(without).set_params(memory=str(tmp_path))
    for ranker in (without, cached):
        ranker.fit(table.X, table.y, qid=table.qid)
    assert_array_equal(without.predict(table.X), cached.predict(table.X))


def test_a_teacher_that_predicts_by_query_is_told_the_queries(table):
    """The student learns what the ensemble says of the rows of each query, not of all rows."""
    ensemble = RankEnsemble([("a", Ridge()), ("b", Column(1))], averaging="rank")
    student = LinearRanker(max_iter=2, random_state=0)
    ranker = DistilledRanker(ensemble, student, alpha=1.0, random_state=0)
    ranker.fit(table.X, table.y, qid=table.qid)
    scores = ranker.teacher_.predict(table.X, qid=table.qid)
    frozen = DistilledRanker(FrozenEstimator(ranker.teacher_), student, alpha=1.0)
    frozen.fit(table.X, table.y, qid=table.qid)
    given = DistilledRanker(None, student, alpha=1.0)
    given.fit(table.X, table.y, qid=table.qid, teacher_scores=scores)
    assert_array_equal(ranker.predict(table.X), given.predict(table.X))
    assert_array_equal(frozen.predict(table.X), given.predict(table.X))


def test_ensembles_that_make_no_sense_are_refused(table):
    with pytest.raises(ValueError, match="empty list"):
        RankEnsemble([]).fit(table.X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="weights must be 2 numbers"):
        RankEnsemble([("a", Ridge()), ("b", Ridge())], weights=[1, -1]).fit(
            table.X, table.y, qid=table.qid
        )
    with pytest.raises(ValueError, match="weights='learn' holds out whole queries"):
        RankEnsemble([("a", Ridge())], weights="learn").fit(
            table.X, table.y, qid=np.zeros(len(table.y))
        )
    with pytest.raises(ValueError, match="loss must be one of"):
        MLPEnsembleRanker(1, loss="best").fit(table.X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="not unique"):
        RankEnsemble([("a", Ridge()), ("a", Ridge())]).fit(table.X, table.y, qid=table.qid)


def test_members_get_queries_and_weights(table):
    weight = np.random.default_rng(0).uniform(0.1, 10, len(table.y))
    settings = {"n_estimators": 5, "min_child_samples": 5, "verbose": -1}
    ensemble = RankEnsemble(
        [("ranker", LGBMRanker(**settings)), ("regressor", LGBMRegressor(**settings))]
    ).fit(table.X, table.y, qid=table.qid, sample_weight=weight)
    data = RankingData.sort(table.qid, table.X, table.y, sample_weight=weight)
    by_hand = [
        LGBMRanker(**settings).fit(
            data.X, data.labels, group=data.queries.sizes, sample_weight=data.sample_weight
        ),
        LGBMRegressor(**settings).fit(data.X, data.labels, sample_weight=data.sample_weight),
    ]
    for own, expected in zip(ensemble.estimators_, by_hand, strict=True):
        assert_array_equal(own.predict(table.X), expected.predict(table.X))


def test_weights_by_agreement_by_hand():
    """All agree in query 1, one is upside down in query 2, and nobody agrees in query 3."""
    a = np.array([-1.0, 0, 1])
    b = np.array([1.0, -2, 1])  # uncorrelated with a
    X = np.vstack([np.column_stack(columns) for columns in ((a, a, a), (a, a, -a), (a, b, -a))])
    qid = np.repeat([1, 2, 3], 3)
    members = [(str(column), Column(column)) for column in range(3)]
    ensemble = RankEnsemble(members, weights="agreement").fit(X, np.zeros(9), qid=qid)
    assert_allclose(ensemble.weights_, [1 / 3] * 3)
    unit_a, unit_b = a / a.std(), b / b.std()
    expected = [unit_a, (unit_a + unit_a) / 2, (unit_a + unit_b - unit_a) / 3]
    assert_allclose(ensemble.predict(X, qid=qid), np.concatenate(expected), atol=1e-5)
    with pytest.raises(ValueError, match="^averaging='score' with weights='agreement' compares"):
        ensemble.predict(X)


def test_without_queries_weights_apply_to_scores_by_their_deviation():
    X = np.array([[1.0, 10], [3, 30], [0, 7], [4, 7]])
    ensemble = RankEnsemble([("a", Column(0)), ("b", Column(1))], weights=[3, 1])
    ensemble.fit(X, np.zeros(4), qid=[5, 5, 6, 6])
    expected = 0.75 * X[:, 0] / ((1 + 2) / 2) + 0.25 * X[:, 1] / ((10 + 0) / 2)
    assert_allclose(ensemble.predict(X), expected)
    assert list(ensemble.named_estimators_) == ["a", "b"]
    assert ensemble.named_estimators_["b"] is ensemble.estimators_[1]


@pytest.mark.parametrize("weights", [[1, -1], [0, 0], [1], [1, 1, 1], [np.nan, 1]])
def test_weights_that_are_no_weights_are_refused(weights, table):
    ensemble = RankEnsemble([("a", Column(0)), ("b", Column(1))], weights=weights)
    with pytest.raises(ValueError, match="^weights must be 2 numbers of at least 0"):
        ensemble.fit(table.X, table.y, qid=table.qid)
    zero = clone(ensemble).set_params(weights=[0, 2]).fit(table.X, table.y, qid=table.qid)
    assert zero.weights_.tolist() == [0, 1]


def test_members_that_are_all_wrong_are_weighted_equally(table):
    members = [("a", Column(0, -1.0)), ("b", Column(0, -2.0))]
    ensemble = RankEnsemble(members, weights="learn", random_state=0)
    ensemble.fit(table.X, table.X[:, 0] - table.X[:, 0].min(), qid=table.qid)
    assert ensemble.weights_.tolist() == [1 / 2, 1 / 2]


def test_a_member_that_remembers_its_rows_gains_nothing_by_it(table):
    """Weights are learnt on queries that the members were not fitted on."""
    noise = FunctionTransformer(lambda X: np.sin(1e6 * X[:, :1]))
    members = [("ridge", Ridge()), ("nearest", make_pipeline(noise, KNeighborsRegressor(1)))]
    ensemble = RankEnsemble(members, weights="learn", random_state=0)
    ensemble.fit(table.X, table.y, qid=table.qid)
    ridge, nearest = ensemble.weights_
    assert ridge > 2 * nearest
    # With the weights, scores are averaged that are standardised within each query.
    scores = [member.predict(table.X) for member in ensemble.estimators_]
    expected = np.empty(len(table.y))
    for query in np.unique(table.qid):
        rows = table.qid == query
        expected[rows] = sum(
            weight * (s[rows] - s[rows].mean()) / (s[rows].std() or 1)
            for weight, s in zip(ensemble.weights_, scores, strict=True)
        )
    assert_allclose(ensemble.predict(table.X, qid=table.qid), expected, atol=1e-5)
    again = clone(ensemble).fit(table.X, table.y, qid=table.qid)
    assert_array_equal(again.weights_, ensemble.weights_)


def test_learnt_weights_are_those_of_a_linear_ranker_fitted_by_hand(table):
    """On standardised scores of the held-out queries, with the weights of their rows."""
    weight = np.random.default_rng(0).uniform(0.1, 10, len(table.y))
    members = [(str(column), FrozenEstimator(Column(column))) for column in range(3)]
    ensemble = RankEnsemble(members, weights="learn", validation_fraction=0.4, random_state=5)
    ensemble.fit(table.X, table.y, qid=table.qid, sample_weight=weight)
    _, evaluation = hold_out(60, 0.4, ensemble.generator(), "")
    data = RankingData.sort(table.qid, table.X, table.y, sample_weight=weight)
    held_out = data.take_queries(evaluation)
    scores = [standardize_by_query(held_out.X[:, c], held_out.queries) for c in range(3)]
    linear = LinearRanker(squash=False, standardize=False, max_iter=100, random_state=0)
    linear.fit(
        np.column_stack(scores),
        held_out.labels,
        qid=held_out.queries.segment,
        sample_weight=held_out.sample_weight,
    )
    learnt = np.maximum(linear.params_["weights_0"][:, 0].astype(np.float64), 0)
    assert_allclose(ensemble.weights_, learnt / learnt.sum(), rtol=1e-6)


def test_parameters_of_members_are_reached_by_name():
    ensemble = RankEnsemble([("a", Column(0)), ("b", Column(1))])
    assert ensemble.get_params()["b__column"] == 1
    assert "b__column" not in ensemble.get_params(deep=False)
    assert ensemble.set_params(b__column=2, weights=[1, 2]) is ensemble
    assert ensemble.estimators[1][1].column == 2
    assert ensemble.weights == [1, 2]
    assert ensemble.validation_fraction == 0.2


def test_a_prefit_member_of_another_table_is_refused_before_any_fit(table):
    frozen = FrozenEstimator(Ridge().fit(table.X[:, :3], table.y))
    Column.fits = 0
    with pytest.raises(ValueError, match="fitted on 3 columns, but the table has 8"):
        RankEnsemble([("a", Column()), ("b", frozen)]).fit(table.X, table.y, qid=table.qid)
    with pytest.raises(TypeError, match="^teacher must be an estimator instance"):
        RankEnsemble([("a", Column()), ("b", "trees")]).fit(table.X, table.y, qid=table.qid)
    assert Column.fits == 0
