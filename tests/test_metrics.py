"""Every metric against an independent implementation, on random ragged data with ties."""

import time

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.exceptions import UndefinedMetricWarning

from skdistill import metrics


@st.composite
def ragged(draw, min_size=1):
    """Labels, scores with many ties, and query ids in random order of rows."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    sizes = rng.integers(min_size, 12, size=draw(st.integers(1, 6)))
    qid = np.repeat(rng.permutation(100)[: len(sizes)], sizes)
    n = len(qid)
    y = rng.integers(0, draw(st.integers(2, 5)), n).astype(float)
    score = rng.integers(0, draw(st.integers(1, 8)), n).astype(float)
    order = rng.permutation(n)
    return y[order], score[order], qid[order]


def by_query(y, score, qid):
    for query in np.unique(qid):
        yield y[qid == query], score[qid == query]


def worst_order(y, score):
    return sorted(range(len(y)), key=lambda i: (-score[i], y[i]))


@given(ragged(min_size=2), st.sampled_from([None, 1, 3, 10]))
def test_ndcg_is_scikit_learns(data, k):
    y, score, qid = data
    expected = np.mean([sklearn.metrics.ndcg_score([a], [b], k=k) for a, b in by_query(*data)])
    assert_allclose(
        metrics.ndcg_score(y, score, qid, k=k, convention="sklearn"), expected, atol=1e-9
    )


@settings(deadline=None, max_examples=40)
@given(ragged(), st.sampled_from([1, 3, 5]))
def test_ndcg_is_trec_evals(data, k):
    import pytrec_eval

    y, score, qid = data
    place = {}
    qrel, run = {}, {}
    for label, value, query in zip(y, score, qid, strict=True):
        place[query] = place.get(query, -1) + 1
        document = f"d{place[query]:04d}"
        qrel.setdefault(str(query), {})[document] = int(label)
        run.setdefault(str(query), {})[document] = float(value)
    result = pytrec_eval.RelevanceEvaluator(qrel, {f"ndcg_cut.{k}"}).evaluate(run)
    expected = np.mean([values[f"ndcg_cut_{k}"] for values in result.values()])
    assert_allclose(metrics.ndcg_score(y, score, qid, k=k, convention="trec"), expected, atol=1e-9)


def test_ndcg_is_lightgbms():
    import lightgbm

    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 30, 60)
    qid = np.repeat(np.arange(60), sizes)
    X = rng.integers(0, 4, (len(qid), 3)).astype(float)  # few distinct rows: many ties
    y = rng.integers(0, 4, len(qid))
    y[qid < 10] = 0
    model = lightgbm.LGBMRanker(n_estimators=5, min_child_samples=5, verbose=-1, n_jobs=1)
    model.fit(X, y, group=sizes, eval_X=X, eval_y=y, eval_group=[sizes], eval_at=[1, 5, 10])
    (results,) = model.evals_result_.values()
    for k in (1, 5, 10):
        reported = results[f"ndcg@{k}"][-1]
        ours = metrics.ndcg_score(y, model.predict(X), qid, k=k, convention="lightgbm")
        assert_allclose(ours, reported, atol=1e-9)


@given(ragged(), st.sampled_from([None, 1, 4]), st.sampled_from(["exponential", "linear"]))
def test_ndcg_by_brute_force(data, k, gain):
    values = []
    for y, score in by_query(*data):
        gains = 2**y - 1 if gain == "exponential" else y
        if not gains.any():
            continue
        cut = len(y) if k is None else k
        discount = [1 / np.log2(2 + r) if r < cut else 0.0 for r in range(len(y))]
        dcg = np.dot(gains[worst_order(y, score)], discount)
        values.append(dcg / np.dot(np.sort(gains)[::-1], discount))
    if values:
        ours = metrics.ndcg_score(*data, k=k, gain=gain, ties="pessimistic")
        assert_allclose(ours, np.mean(values))


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
    if reciprocal:
        assert_allclose(metrics.mrr_score(*data, k=k), np.mean(reciprocal))
        assert_allclose(metrics.average_precision_score(*data), np.mean(precision))
        assert_allclose(metrics.recall_at_k(*data, k=k), np.mean(recall))


@given(ragged())
def test_grouped_auc_is_the_mean_of_scikit_learns(data):
    values = [
        (sklearn.metrics.roc_auc_score(y > 0, score), len(y))
        for y, score in by_query(*data)
        if 0 < (y > 0).sum() < len(y)
    ]
    if values:
        auc, size = np.array(values).T
        assert_allclose(metrics.grouped_auc(*data), auc.mean(), atol=1e-12)
        weighted = metrics.grouped_auc(*data, weighted=True)
        assert_allclose(weighted, np.average(auc, weights=size), atol=1e-12)


@given(ragged())
def test_kendall_tau_is_scipys(data):
    values = [
        scipy.stats.kendalltau(y, score).statistic
        for y, score in by_query(*data)
        if len(set(y)) > 1 and len(set(score)) > 1
    ]
    if values:
        assert_allclose(metrics.kendall_tau(*data), np.mean(values), atol=1e-12)


@given(ragged(), st.integers(1, 4), st.integers(1, 6))
def test_teacher_recall_by_brute_force(data, k, m):
    values = []
    for teacher, student in by_query(*data):
        n = len(teacher)
        top = sorted(range(n), key=lambda i: -teacher[i])[:k]
        returned = sorted(range(n), key=lambda i: (-student[i], i in top))[:m]
        values.append(len(set(top) & set(returned)) / len(top))
    assert_allclose(metrics.teacher_recall(*data, k=k, m=m), np.mean(values))


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


def test_ties_orders_and_empties():
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
    ("arguments", "message"),
    [
        (([1, -2], [0, 1], [0, 0]), "relevance of 0 or more: y_true holds -2"),
        (([1, 2, 3], [0, 1], [0, 0]), "got 3 and 2"),
        (([1, 2], [0, 1], [0, 0, 1]), r"expected shape \(2,\), got \(3,\)"),
        (([1, 2], [0, np.nan], [0, 0]), "y_score must be finite: row 1 holds nan"),
        (([1, 2], [0, 1], ["a", None]), "row 1 holds None"),
        (([1, 2], [0, 1], [0.0, np.nan]), "row 1 holds .*nan"),
        (([], [], []), "at least one row"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.ndcg_score(*arguments)


def test_bad_choices():
    with pytest.raises(ValueError, match="gain must be one of"):
        metrics.ndcg_score([1], [1], None, gain="cubic")
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        metrics.ndcg_score([1], [1], None, k=0)
    with pytest.raises(ValueError, match="convention must be one of"):
        metrics.ndcg_score([1], [1], None, convention="yahoo")
    with pytest.raises(TypeError):
        metrics.ndcg_score([1, 0], [1, 2])  # the queries are never silently one


def test_a_million_rows_in_under_a_second():
    rng = np.random.default_rng(0)
    qid = np.repeat(np.arange(100_000), 10)
    y, score = rng.integers(0, 3, 1_000_000), rng.standard_normal(1_000_000)
    for metric, kwargs in [
        (metrics.ndcg_score, {"k": 10}),
        (metrics.mrr_score, {}),
        (metrics.average_precision_score, {}),
        (metrics.recall_at_k, {"k": 5}),
        (metrics.grouped_auc, {}),
        (metrics.teacher_recall, {"k": 3, "m": 5}),
    ]:
        # Processor time: other tenants of the machine are none of the metric's business.
        start = time.process_time()
        metric(y, score, qid, **kwargs)
        assert time.process_time() - start < 1, metric.__name__
