"""Every metric against an independent implementation, on random ragged data with ties."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skdistill import metrics
from tests.numeric import by_query, ragged, worst_order


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
    assume(values)
    ours = metrics.ndcg_score(*data, k=k, gain=gain, ties="pessimistic")
    assert_allclose(ours, np.mean(values))


@pytest.mark.parametrize("unit", [1e300, 1.0, 1e-3, 1e-17, 1e-300])
def test_labels_of_any_size_have_their_gain(unit):
    """2^y is infinite from 1024 on, and 1 below 1e-16; the ratio of gains is neither."""
    y = np.array([3.0, 2.0, 0.0]) * unit
    second = metrics.ndcg_score(y[[1, 0, 2]], [3, 2, 1], None)
    if unit > 1:  # the second row gains nothing beside the first
        expected = 1 / np.log2(3)
    else:
        first, next_ = np.expm1(np.log(2) * y[:2]) if unit > 1e-300 else y[:2]
        expected = (next_ + first / np.log2(3)) / (first + next_ / np.log2(3))
    assert_allclose(second, expected, rtol=1e-12)
    assert metrics.ndcg_score(y, [3, 2, 1], None) == 1
    assert metrics.ndcg_score(y, [3, 2, 1], None, gain="linear") == 1


def test_tied_rows_do_not_bring_a_perfect_order_above_1():
    for n in range(2, 60):
        assert metrics.ndcg_score([1] * n, [0] * n, None) <= 1
        assert metrics.ndcg_score([1] * n + [0], [1] * n + [0], None) <= 1
