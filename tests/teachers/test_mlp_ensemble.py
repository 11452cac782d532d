"""An ensemble of neural networks as a teacher."""

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skdistill.datasets import make_ranking
from skdistill.inputs.ranking_data import RankingData
from skdistill.metrics import kendall_tau, ndcg_score
from skdistill.teachers import MLPEnsembleRanker

QUICK = {"max_iter": 5}


def test_an_ensemble_is_better_than_its_members_on_unseen_queries_and_repeats():
    data = make_ranking(n_queries=120, n_features=8, random_state=0)
    seen, unseen = data.qid < 60, data.qid >= 60
    shape = [(16,), (8, 8)]
    ensemble = MLPEnsembleRanker(
        4,
        hidden_layer_sizes=shape,
        loss=["listwise", "pairwise"],
        mlp_parameters=QUICK,
        random_state=0,
    )
    ensemble.fit(data.X[seen], data.y[seen], qid=data.qid[seen])
    assert [m.hidden_layer_sizes for m in ensemble.estimators_] == shape * 2
    assert [m.loss for m in ensemble.estimators_] == ["listwise", "pairwise"] * 2
    again = clone(ensemble).set_params(n_jobs=2)
    again.fit(data.X[seen], data.y[seen], qid=data.qid[seen])
    X, y, qid = data.X[unseen], data.y[unseen], data.qid[unseen]
    scores = ensemble.predict(X, qid=qid)
    assert_array_equal(again.predict(X, qid=qid), scores)
    single = [ndcg_score(y, m.predict(X), qid, k=10) for m in ensemble.estimators_]
    assert ndcg_score(y, scores, qid, k=10) > np.mean(single)
    # Without the queries nearly the same order: members are divided by their mean deviation.
    assert kendall_tau(scores, ensemble.predict(X), qid) > 0.8


def fit_again(member, data):
    """A fresh fit of a member, which has a seed of its own."""
    return clone(member).fit(
        data.X, data.labels, qid=data.queries.segment, sample_weight=data.sample_weight
    )


def test_members_learn_with_the_weights_of_the_rows(table):
    weight = np.random.default_rng(0).uniform(0.1, 10, len(table.y))
    ensemble = MLPEnsembleRanker(
        2, hidden_layer_sizes=(8,), mlp_parameters=QUICK, bootstrap=False, random_state=0
    )
    ensemble.fit(table.X, table.y, qid=table.qid, sample_weight=weight)
    data = RankingData.sort(table.qid, table.X, table.y, sample_weight=weight)
    for member in ensemble.estimators_:
        expected = fit_again(member, data).predict(table.X)
        assert_array_equal(member.predict(table.X), expected)
        unweighted = clone(member).fit(table.X, table.y, qid=table.qid)
        assert not np.array_equal(unweighted.predict(table.X), expected)


def test_with_bootstrap_each_member_sees_as_many_queries_drawn_with_replacement(table):
    ensemble = MLPEnsembleRanker(
        2, hidden_layer_sizes=(8,), mlp_parameters=QUICK, bootstrap=True, random_state=0
    ).fit(table.X, table.y, qid=table.qid)
    data = RankingData.sort(table.qid, table.X, table.y)
    for member in ensemble.estimators_:
        drawn = np.random.default_rng(member.random_state).integers(60, size=60)
        assert 30 < len(set(drawn)) < 45  # about 1 - 1 / e of them
        expected = fit_again(member, data.take_queries(np.sort(drawn)))
        assert_array_equal(member.predict(table.X), expected.predict(table.X))
