"""Metrics of binary relevance against brute force, and what all metrics have in common."""

import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.exceptions import UndefinedMetricWarning

from skdistill import metrics
from skdistill.metrics.ordering import BLOCK_ROWS
from tests.numeric import by_query, ragged, worst_order


@given(ragged(), st.sampled_from([1, 3, 20]))
def test_binary_metrics_by_brute_force(data, k):
    reciprocal, precision, recall = [], [], []
    for y, score in by_query(*data):
        relevant = (y > 0)[worst_order(y, score)]
        if not relevant.any():
            continue
        first = np.flatnonzero(relevant)[0]
        reciprocal.append(1 / (1 + first) if first < k else 0)
        places = np.flatnonzero(relevant)
        precision.append(np.mean([(i + 1) / (p + 1) for i, p in enumerate(places)]))
        recall.append(relevant[:k].sum() / relevant.sum())
    assume(reciprocal)
    assert_allclose(metrics.mrr_score(*data, k=k), np.mean(reciprocal))
    assert_allclose(metrics.average_precision_score(*data), np.mean(precision))
    assert_allclose(metrics.recall_at_k(*data, k=k), np.mean(recall))


@given(ragged())
def test_shuffling_rows_changes_nothing(data):
    y, score, qid = data
    order = np.random.default_rng(0).permutation(len(y))
    for metric in (
        metrics.ndcg_score,
        metrics.mrr_score,
        metrics.average_precision_score,
        metrics.grouped_auc,
        metrics.kendall_tau,
    ):
        kwargs = {"empty": "zero"}
        assert_allclose(
            metric(y, score, qid, **kwargs),
            metric(y[order], score[order], qid[order], **kwargs),
            atol=1e-12,
        )


def test_ties_and_queries_without_a_relevant_row_count_as_told():
    y, flat, qid = [0, 0, 1, 0, 0], np.zeros(5), [1, 1, 1, 2, 2]
    assert metrics.mrr_score(y, flat, qid) == pytest.approx(1 / 3)
    assert metrics.mrr_score(y, flat, qid, ties="optimistic") == 1
    assert metrics.mrr_score(y, flat, qid, ties="order") == pytest.approx(1 / 3)
    assert metrics.mrr_score(y, flat, qid, ties="reverse") == 1
    assert metrics.mrr_score(y, flat, qid, empty="one") == pytest.approx((1 / 3 + 1) / 2)
    assert metrics.mrr_score(y, flat, qid, empty="zero") == pytest.approx(1 / 6)
    weighted = metrics.mrr_score(y, flat, qid, empty="one", sample_weight=[3, 3, 3, 1, 1])
    assert weighted == pytest.approx((3 / 3 + 1) / 4)


def test_nothing_relevant_is_no_silent_nan():
    with pytest.warns(UndefinedMetricWarning, match="No query has a row of positive relevance"):
        assert metrics.ndcg_score([0, 0], [1, 2], [1, 1]) == 0
    with pytest.warns(UndefinedMetricWarning):
        assert metrics.grouped_auc([1, 1], [1, 2], None) == 0


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (metrics.ndcg_score, "No query has a row of positive relevance"),
        (metrics.mrr_score, "No query has a relevant row"),
        (metrics.average_precision_score, "No query has a relevant row"),
        (partial(metrics.recall_at_k, k=1), "No query has a relevant row"),
        (metrics.grouped_auc, "No query has both a relevant and an irrelevant row"),
        (metrics.kendall_tau, "No query has two different values on both sides"),
    ],
)
def test_a_warning_says_what_no_query_has(metric, reason):
    """Where all scores are equal and nothing is relevant; nothing is divided by 0 meanwhile."""
    with np.errstate(all="raise"), pytest.warns(UndefinedMetricWarning) as caught:
        assert metric([0, 0, 0], [1, 1, 1], [1, 1, 2]) == 0
    assert str(caught[0].message) == f"{reason}: the metric is undefined and set to 0."
    with pytest.warns(UndefinedMetricWarning, match="^All queries that count have the weight 0: "):
        assert metric([1, 0, 0], [2, 1, 1], [1, 1, 2], sample_weight=[0, 0, 1]) == 0


@pytest.mark.parametrize("name", ["y_true", "y_score"])
def test_columns_are_refused_under_their_names(name):
    def refused(wrong, message):
        columns = {"y_true": [1.0, 0.0], "y_score": [1.0, 0.0]} | {name: wrong}
        with pytest.raises(ValueError, match=message):
            metrics.mrr_score(**columns, qid=["a", "b"])
        with pytest.raises(ValueError, match=message.partition(r" \(")[0]):
            metrics.mrr_score(**columns, qid=None)

    refused([1, np.inf], rf"^{name} must be finite: row 1 holds inf \(query b\)\.$")
    refused([[1, 0]], rf"^{name} must be one-dimensional, got shape \(1, 2\)\.$")
    masked = np.ma.array([1.0, 0.0], mask=[False, True])
    refused(masked, rf"^{name} must not be masked.* by {name}\.filled.* or leave out their rows\.$")


def test_a_row_without_a_query_is_named_by_its_number_alone():
    with pytest.raises(ValueError, match=r"^y_score must be finite: row 0 holds nan\.$"):
        metrics.mrr_score([1], [np.nan], None)


def test_columns_of_objects_are_numbers():
    y, score = np.array([0, 1], dtype=object), np.array([2, 1], dtype=object)
    assert metrics.mrr_score(y, score, None) == 1 / 2
    assert metrics.ndcg_score(y, score, None) == pytest.approx(1 / np.log2(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 1, -2], [0, 1, 2], [7, 5, 7]), "^NDCG needs .* y_true holds -2 in query number 1 "),
        (([1, 2, 3], [0, 1], [0, 0]), "got 3 and 2"),
        (([1, 2], [0, 1], [0, 0, 1]), r"expected shape \(2,\), got \(3,\)"),
        (([1, 2], [0, np.nan], [0, 0]), "y_score must be finite: row 1 holds nan"),
        (([1, 2], [0, 1], ["a", None]), "row 1 holds None"),
        (([1, 2], [0, 1], [0.0, np.nan]), "row 1 holds .*nan"),
        (([], [], []), "^A metric needs at least one row, got 0"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.ndcg_score(*arguments)


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="gain must be one of"):
        metrics.ndcg_score([1], [1], None, gain="cubic")
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        metrics.ndcg_score([1], [1], None, k=0)
    with pytest.raises(ValueError, match="convention must be one of"):
        metrics.ndcg_score([1], [1], None, convention="yahoo")
    with pytest.raises(TypeError):
        metrics.ndcg_score([1, 0], [1, 2])  # the queries are never silently one
    for metric in (metrics.ndcg_score, metrics.mrr_score):
        with pytest.raises(ValueError, match="^ties must be one of"):
            metric([1], [1], None, ties="random")
        with pytest.raises(ValueError, match="^empty must be one of"):
            metric([1], [1], None, empty="two")


METRICS = {
    "ndcg_score": {"k": 10},
    "mrr_score": {},
    "average_precision_score": {},
    "recall_at_k": {"k": 5},
    "grouped_auc": {},
    "teacher_recall": {"k": 3, "m": 5},
}


def count_calls(function):
    """Number of calls, of Python's and of built-in functions, that a function makes."""
    n_calls = 0

    def count(frame, event, argument):
        nonlocal n_calls
        n_calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return n_calls


@pytest.mark.parametrize("name", METRICS)
def test_no_metric_loops_over_queries_or_rows(name):
    """A block of thousands of queries takes about as many calls as 50: NumPy does all the work.

    The first call of a process makes a few more, and so does garbage collection.
    """
    metric, rng = getattr(metrics, name), np.random.default_rng(0)
    calls = []
    for n_queries in (50, 50_000):
        qid = np.repeat(np.arange(n_queries), 10)
        y, score = rng.integers(0, 3, len(qid)), rng.standard_normal(len(qid))
        calls.append(count_calls(lambda: metric(y, score, qid, **METRICS[name])))  # noqa: B023
    n_blocks = -(-500_000 // BLOCK_ROWS)
    assert 10 < calls[1] < 2 * n_blocks * calls[0] < 50_000
