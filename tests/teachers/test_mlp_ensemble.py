"""An ensemble of neural networks as a teacher."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skdistill.datasets import make_ranking
from skdistill.inputs.ranking_data import RankingData
from skdistill.metrics import kendall_tau, ndcg_score
from skdistill.students import MLPRanker
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


def test_parameters_are_kept_and_have_the_documented_defaults():
    assert MLPEnsembleRanker().get_params() == {
        "n_estimators": 5,
        "hidden_layer_sizes": (64, 32),
        "loss": "listwise",
        "bootstrap": True,
        "averaging": "score",
        "mlp_parameters": None,
        "n_jobs": None,
        "random_state": None,
    }
    others = {
        "n_estimators": 2,
        "hidden_layer_sizes": [(4,), (5,)],
        "loss": ["pairwise"],
        "bootstrap": False,
        "averaging": "rank",
        "mlp_parameters": QUICK,
        "n_jobs": 2,
        "random_state": 3,
    }
    assert MLPEnsembleRanker(**others).get_params() == others


def test_each_member_has_a_seed_of_its_own_that_follows_from_random_state(table):
    def members(**parameters):
        ensemble = MLPEnsembleRanker(3, hidden_layer_sizes=(2,), **parameters)
        return ensemble.fit(table.X, table.y, qid=table.qid).estimators_

    seeds = [member.random_state for member in members(mlp_parameters=QUICK, random_state=5)]
    assert seeds == np.random.RandomState(5).randint(2**31 - 1, size=3).tolist()
    # What mlp_parameters say goes before.
    chosen = QUICK | {"random_state": 7, "loss": "pointwise"}
    for member in members(mlp_parameters=chosen, bootstrap=False, random_state=5):
        assert (member.random_state, member.loss, member.max_iter) == (7, "pointwise", 5)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((3, 2), [(3, 2)] * 2),
        ([(3, 2)], [(3, 2)] * 2),
        ([[3], (2,)], [(3,), (2,)]),
        ((), [()] * 2),
        ([], [()] * 2),
    ],
)
def test_members_take_layer_sizes_in_turn(sizes, expected, table):
    ensemble = MLPEnsembleRanker(2, hidden_layer_sizes=sizes, mlp_parameters={"max_iter": 1})
    ensemble.fit(table.X, table.y, qid=table.qid)
    assert [member.hidden_layer_sizes for member in ensemble.estimators_] == expected


def test_every_loss_is_checked_before_a_member_is_trained(table, monkeypatch):
    monkeypatch.setattr(MLPRanker, "fit", lambda *args, **kwargs: pytest.fail("trained"))
    for loss in ("unknown", ["listwise", "unknown"]):
        with pytest.raises(ValueError, match="unknown"):
            MLPEnsembleRanker(2, loss=loss).fit(table.X, table.y, qid=table.qid)


def test_without_mlp_parameters_members_have_the_defaults_of_mlp_ranker(table):
    rows = table.qid < 5
    X, y, qid = table.X[rows], table.y[rows], table.qid[rows]
    ensemble = MLPEnsembleRanker(1, hidden_layer_sizes=(2,), random_state=0).fit(X, y, qid=qid)
    (member,) = ensemble.estimators_
    assert member.get_params() == MLPRanker((2,), random_state=member.random_state).get_params()
