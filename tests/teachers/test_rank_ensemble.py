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

from skdistill import DistilledRanker
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.metrics import kendall_tau
from skdistill.students import LinearRanker, MLPRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble

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
