"""An ensemble of neural networks as a teacher."""

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skdistill.datasets import make_ranking
from skdistill.metrics import kendall_tau, ndcg_score
from skdistill.teachers import MLPEnsembleRanker

QUICK = {"max_iter": 5}


def test_mlp_ensemble_is_better_than_a_member_and_repeats(table):
    test = make_ranking(n_queries=60, n_features=8, random_state=0)
    shape = [(16,), (8, 8)]
    ensemble = MLPEnsembleRanker(
        4,
        hidden_layer_sizes=shape,
        loss=["listwise", "pairwise"],
        mlp_parameters=QUICK,
        random_state=0,
    )
    ensemble.fit(table.X, table.y, qid=table.qid)
    assert [m.hidden_layer_sizes for m in ensemble.estimators_] == shape * 2
    assert [m.loss for m in ensemble.estimators_] == ["listwise", "pairwise"] * 2
    again = clone(ensemble).set_params(n_jobs=2).fit(table.X, table.y, qid=table.qid)
    scores = ensemble.predict(test.X, qid=test.qid)
    assert_array_equal(again.predict(test.X, qid=test.qid), scores)
    single = [ndcg_score(test.y, m.predict(test.X), test.qid, k=10) for m in ensemble.estimators_]
    assert ndcg_score(test.y, scores, test.qid, k=10) > np.mean(single)
    # Without the queries nearly the same order: members are divided by their mean deviation.
    assert kendall_tau(scores, ensemble.predict(test.X), test.qid) > 0.8
