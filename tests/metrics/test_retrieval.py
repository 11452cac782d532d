"""Retrieval metrics against trec_eval's and against the definitions."""

import numpy as np
import pytest
import pytrec_eval
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning

from skdistill.metrics import (
    catalogue_coverage,
    hit_rate,
    mean_popularity,
    per_query,
    retrieval_average_precision,
    retrieval_curve,
    retrieval_mrr,
    retrieval_ndcg,
    retrieval_precision,
    retrieval_recall,
)
from skdistill.metrics.agreement import fraction_of_top


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    relevant = sparse.random_array((40, 100), density=0.05, rng=rng, format="csr")
    relevant.data[:] = rng.integers(1, 5, relevant.nnz)
    retrieved = np.array([rng.permutation(100)[:30] for _ in range(40)])
    return relevant, retrieved


@pytest.mark.parametrize("k", [5, 20])
def test_the_metrics_agree_with_trec_eval(results, k):
    relevant, retrieved = results
    rows = relevant.tocoo()
    qrel = {}
    for q, i in zip(rows.row, rows.col, strict=True):
        qrel.setdefault(str(q), {})[str(i)] = int(relevant[q, i])
    run = {
        str(q): {str(i): float(-rank) for rank, i in enumerate(row)}
        for q, row in enumerate(retrieved)
    }
    measures = {
        *(f"{name}.{k}" for name in ("recall", "ndcg_cut", "success", "P", "map_cut")),
        *("recip_rank", "map", "ndcg"),
    }
    found = pytrec_eval.RelevanceEvaluator(qrel, measures).evaluate(run)

    def mean(name):
        return np.mean([values[name] for values in found.values()])

    for metric, options, name in (
        (retrieval_precision, {"k": k}, f"P_{k}"),
        (retrieval_average_precision, {"k": k}, f"map_cut_{k}"),
        (retrieval_average_precision, {"k": 30}, "map"),
        (retrieval_ndcg, {"k": k, "gain": "linear"}, f"ndcg_cut_{k}"),
    ):
        assert metric(relevant, retrieved, **options) == pytest.approx(mean(name))
        values = per_query(metric, relevant, retrieved, **options)
        known = [found[str(q)][name] if str(q) in found else np.nan for q in range(40)]
        assert_allclose(values, known, atol=1e-9)
    assert retrieval_recall(relevant, retrieved, k=k) == pytest.approx(mean(f"recall_{k}"))
    assert hit_rate(relevant, retrieved, k=k) == pytest.approx(mean(f"success_{k}"))
    assert retrieval_mrr(relevant, retrieved, k=30) == pytest.approx(mean("recip_rank"))


def test_places_without_an_item_are_no_hits(results):
    relevant, retrieved = results
    short = retrieved.copy()
    short[:, 10:] = -1
    assert retrieval_recall(relevant, short, k=30) == retrieval_recall(relevant, retrieved, k=10)


def test_a_curve_says_how_many_items_are_needed(results):
    _, retrieved = results
    wanted = np.array([row[[0, 4, 29]] for row in retrieved])
    curve = retrieval_curve(wanted, retrieved)
    assert_allclose(curve.recall[[0, 3, 4, 28, 29]], [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])
    assert curve.items_needed(0.5) == 5
    missing = np.column_stack([wanted, np.full(40, -1)])
    assert_allclose(retrieval_curve(missing, retrieved).recall, curve.recall)
    with pytest.raises(ValueError, match="not reached: 10 items have"):
        retrieval_curve(wanted, retrieved[:, :10]).items_needed(0.9)


def test_coverage_and_popularity_by_hand():
    retrieved = np.array([[0, 1, -1], [1, 2, 0]])
    assert catalogue_coverage(retrieved, 6) == 0.5
    assert mean_popularity(retrieved, [9, 7, 5, 0, 0]) == pytest.approx(
        (1 + 0.75 + 0.75 + 0.5 + 1) / 5
    )
    assert mean_popularity(retrieved, [1, 1, 1]) == 0.5


def test_bad_input_is_refused(results):
    relevant, retrieved = results
    with pytest.raises(ValueError, match="sparse"):
        retrieval_recall(relevant.toarray(), retrieved, k=3)
    with pytest.raises(ValueError, match="retrieved must hold positions"):
        retrieval_recall(relevant, retrieved[:3], k=3)
    with pytest.raises(ValueError, match="names item 100"):
        retrieval_recall(relevant, retrieved + 1 * (retrieved == 99), k=30)
    with pytest.warns(UndefinedMetricWarning):
        assert hit_rate(sparse.csr_array((40, 100)), retrieved, k=3) == 0


def test_fraction_of_top_is_pessimistic_about_ties():
    teacher = np.array([[3.0, 2, 1, 0]])
    assert fraction_of_top(teacher, np.zeros((1, 4)), 2, 2)[0] == 0
    assert fraction_of_top(teacher, np.array([[1.0, 1, 1, 0]]), 2, 2)[0] == 0.5
    assert fraction_of_top(teacher, np.array([[0.0, 3, 2, 1]]), 2, 3)[0] == 0.5
    assert fraction_of_top(teacher, teacher, 2, 2)[0] == 1


def test_a_recall_is_reached_where_it_is_equalled():
    curve = retrieval_curve([[1, 2]], [[2, 5, 1]])
    assert [curve.items_needed(recall) for recall in (0.5, 0.51, 1.0)] == [1, 3, 3]
    for wanted in ([1, 2], [[1], [2]]):
        with pytest.raises(ValueError, match="one row per query"):
            retrieval_curve(wanted, [[2, 5, 1]])


def test_the_whole_range_of_recalls_can_be_asked_for():
    curve = retrieval_curve([[1, 2]], [[5, 1]])
    assert curve.items_needed(0) == 1
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match="^recall must lie between 0 and 1"):
            curve.items_needed(wrong)
    with pytest.raises(ValueError, match=r"not reached: 2 items have 0\.5000\. Retrieve more\.$"):
        curve.items_needed(1)


def test_queries_without_a_wanted_item_are_left_out_of_a_curve():
    curve = retrieval_curve([[1], [-1], [3]], [[1, 2], [1, 2], [2, 3]])
    assert curve.recall.tolist() == [1 / 2, 2 / 2]
    assert curve.m.tolist() == [1, 2]


def test_shapes_of_a_curve_are_checked_on_either_side():
    for wanted, retrieved in (([[1, 2]], [1]), ([1], [[1, 2]]), ([[1]], [[1], [2]])):
        with pytest.raises(ValueError, match="^wanted and retrieved must have one row"):
            retrieval_curve(wanted, retrieved)


def test_objects_may_hold_ids_of_any_kind():
    wanted = np.array([["a", 3]], dtype=object)
    assert retrieval_curve(wanted, [[3, 4]]).recall.tolist() == [1 / 2, 1 / 2]
    assert retrieval_curve([["b"]], wanted[:, ::-1]).recall.tolist() == [0, 0]


@pytest.mark.parametrize("metric", [retrieval_recall, hit_rate, retrieval_mrr, retrieval_ndcg])
def test_nothing_returned_counts_0(metric):
    assert metric(sparse.csr_array([[1, 0], [1, 1]]), np.empty((2, 0), int), k=3) == 0


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: retrieval_recall(sparse.csr_array((1, 3)), [[0]], k=1), "relevant"),
        (lambda: retrieval_curve([[-1]], [[3]]), "wanted"),
        (lambda: mean_popularity([[-1]], [1, 2]), "returned"),
    ],
)
def test_a_warning_says_what_no_query_has(call, what):
    with pytest.warns(UndefinedMetricWarning, match=f"^No query has a {what} item: the metric is"):
        call()


def test_sizes_and_kinds_of_arguments_are_named():
    with pytest.raises(ValueError, match="^n_items must be an integer of at least 1, got 0"):
        catalogue_coverage([[0]], 0)
    with pytest.raises(ValueError, match="^relevant must be a sparse matrix .* got list"):
        hit_rate([[1]], [[0]], k=1)


def test_the_popularity_of_a_catalogue_of_two():
    assert mean_popularity([[0, 1, 1]], [5, 9]) == pytest.approx((0 + 1 + 1) / 3)


def test_items_of_two_queries_are_never_one():
    """Item 0 of query 1 and item 2 of query 0, among two, three or four items."""
    relevant = sparse.csr_array([[1, 0, 1, 0], [1, 1, 0, 1], [1, 1, 1, 1]])
    retrieved = [[2, 0, 2], [0, 1, 3], [3, 2, 0]]
    assert retrieval_recall(relevant, retrieved, k=3) == pytest.approx((2 / 2 + 3 / 3 + 3 / 4) / 3)
    tall = sparse.csr_array([[0, 1], [0, 1], [1, 0]])  # more queries than items
    assert retrieval_recall(tall, [[1, 0], [1, 0], [0, 1]], k=1) == 1
