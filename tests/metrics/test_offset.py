"""Offsets, such as log bids, in metrics and scorers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator

from skdistill.datasets import make_ranking
from skdistill.inspection import ranking_importance
from skdistill.metrics import (
    average_precision_score,
    dcg_score,
    dcg_scorer,
    grouped_auc,
    mrr_score,
    mrr_scorer,
    ndcg_score,
    ndcg_scorer,
    per_query,
    precision_at_k,
    recall_at_k,
    teacher_recall,
)

RNG = np.random.default_rng(0)
QID = RNG.permutation(np.repeat(np.arange(8), 6))
SCORES, OFFSET = RNG.standard_normal((2, 48))
CLICKS = RNG.integers(0, 2, 48).astype(float)
GRADES = RNG.integers(0, 4, 48).astype(float)


@pytest.mark.parametrize("metric", [mrr_score, average_precision_score, grouped_auc])
def test_an_offset_is_added_before_rows_are_ranked(metric):
    found = metric(CLICKS, SCORES, QID, offset=OFFSET)
    assert found == metric(CLICKS, SCORES + OFFSET, QID)
    assert found != metric(CLICKS, SCORES, QID)


@pytest.mark.parametrize("metric", [precision_at_k, recall_at_k])
def test_an_offset_decides_which_rows_are_at_the_top(metric):
    found = metric(CLICKS, SCORES, QID, k=2, offset=OFFSET)
    assert found == metric(CLICKS, SCORES + OFFSET, QID, k=2)
    by_query = [per_query(metric, CLICKS, SCORES, QID, k=2, offset=o) for o in (None, OFFSET)]
    assert not np.array_equal(*by_query, equal_nan=True)


@pytest.mark.parametrize("metric", [ndcg_score, dcg_score])
@pytest.mark.parametrize("gain", ["linear", "exponential"])
def test_a_gain_counts_with_its_bid(metric, gain):
    gains = GRADES if gain == "linear" else 2**GRADES - 1
    found = metric(GRADES, SCORES, QID, k=3, gain=gain, offset=OFFSET)
    value = gains * np.exp(OFFSET)
    assert found == pytest.approx(metric(value, SCORES + OFFSET, QID, k=3, gain="linear"))


def test_the_best_order_of_values_has_ndcg_1():
    """Large offsets neither overflow nor change what is best."""
    offset = OFFSET + 1000.0
    found = per_query(ndcg_score, GRADES + 1, np.log(2 ** (GRADES + 1) - 1), QID, offset=offset)
    assert_allclose(found, 1)
    with pytest.raises(ValueError, match="gain of the label 1 is not finite"):
        dcg_score(np.ones(48), SCORES, QID, offset=offset)


def test_both_sides_of_a_recall_have_the_offset():
    log_p = -np.exp(SCORES)
    found = teacher_recall(log_p, SCORES, QID, k=2, m=3, offset=OFFSET)
    assert found == teacher_recall(log_p + OFFSET, SCORES + OFFSET, QID, k=2, m=3)
    # Probabilities are brought to the unit of the offset.
    assert found == teacher_recall(np.exp(log_p), SCORES, QID, k=2, m=3, offset=OFFSET)
    assert found != teacher_recall(log_p, SCORES, QID, k=2, m=3)


def test_an_offset_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"A bid of 0 has no logarithm"):
        mrr_score(CLICKS, SCORES, QID, offset=np.where(QID == 0, -np.inf, 0))


class First(BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return X[:, 0]


@pytest.mark.parametrize(
    ("scorer", "metric", "options"),
    [
        (ndcg_scorer(k=3), ndcg_score, {"k": 3}),
        (dcg_scorer(k=3), dcg_score, {"k": 3}),
        (mrr_scorer(), mrr_score, {}),
    ],
)
def test_scorers_take_an_offset_and_leave_out_the_rows_without_a_label(scorer, metric, options):
    labels = np.where(np.arange(48) % 5 == 0, np.nan, CLICKS)
    known = ~np.isnan(labels)
    found = scorer(First(), SCORES[:, None], labels, qid=QID, offset=OFFSET)
    arrays = labels[known], SCORES[known], QID[known]
    assert found == metric(*arrays, offset=OFFSET[known], **options)


def test_importances_are_measured_by_the_order_with_bids():
    data = make_ranking(20, n_features=2, truth="linear", random_state=0)
    bids = {"offset": 100 * np.arange(len(data.y))}
    found = ranking_importance(First(), data.X, data.y, qid=data.qid, random_state=0, **bids)
    assert_allclose(found.importances_mean, 0)
