"""All public metrics: in range, independent of the order of rows, equal to the plain definition."""

import inspect
import warnings
from fractions import Fraction
from inspect import signature
from itertools import pairwise
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning

from skdistill import metrics

GAINS = {"exponential": lambda y: 2 ** Fraction(y) - 1, "linear": Fraction}
DISCOUNTS = [Fraction(1 / log2(2 + rank)) for rank in range(64)]


# The definitions, in exact arithmetic, for one query: a list of (label, score), ties by averaging
# over the places that the tied rows share, or with the least relevant row first.


def ndcg(rows, k=None, gain="exponential"):
    ideal = dcg([(y, y) for y, _ in rows], k, gain)
    return dcg(rows, k, gain) / ideal if ideal else None


def dcg(rows, k=None, gain="exponential"):
    discounts = DISCOUNTS[: len(rows)] if k is None else DISCOUNTS[: min(k, len(rows))]
    discounts = discounts + [Fraction(0)] * (len(rows) - len(discounts))
    gains = [GAINS[gain](int(y)) for y, _ in rows]
    achieved = Fraction(0)
    for score in {s for _, s in rows}:
        places = [
            sum(s > score for _, s in rows) + i for i in range(sum(s == score for _, s in rows))
        ]
        mean = sum(discounts[p] for p in places) / len(places)
        achieved += mean * sum(g for g, (_, s) in zip(gains, rows, strict=True) if s == score)
    return achieved


def worst_first(rows):
    return [y > 0 for y, _ in sorted(rows, key=lambda row: (-row[1], row[0] > 0))]


def mrr(rows, k=None):
    hits = worst_first(rows)
    if not any(hits):
        return None
    first = hits.index(True)
    return Fraction(1, first + 1) if k is None or first < k else Fraction(0)


def average_precision(rows, k=None):
    hits = worst_first(rows)
    if not any(hits):
        return None
    places = range(len(hits) if k is None else min(k, len(hits)))
    precisions = [Fraction(sum(hits[: i + 1]), i + 1) for i in places if hits[i]]
    return Fraction(sum(precisions)) / sum(hits)


def precision(rows, k):
    hits = worst_first(rows)
    return Fraction(sum(hits[:k]), k) if any(hits) else None


def recall(rows, k):
    hits = worst_first(rows)
    return Fraction(sum(hits[:k]), sum(hits)) if any(hits) else None


def auc(rows):
    pairs = [(a, b) for y, a in rows for z, b in rows if y > 0 >= z]
    if not pairs:
        return None
    return sum(Fraction((a > b) + (a >= b), 2) for a, b in pairs) / len(pairs)


def tau(rows):
    pairs = [(a, b) for i, a in enumerate(rows) for b in rows[:i]]
    x = [np.sign(a[0] - b[0]) for a, b in pairs]
    y = [np.sign(a[1] - b[1]) for a, b in pairs]
    scale = np.sqrt(float(np.dot(x, x)) * float(np.dot(y, y))) if pairs else 0
    return Fraction(float(np.dot(x, y) / scale)) if scale else None


def overlap(rows, p=Fraction(9, 10)):
    p, n = Fraction(p), len(rows)
    total = Fraction(0)
    for depth in range(1, n + 1):
        begins = [
            {i for i in range(n) if sum(b[side] > rows[i][side] for b in rows) < depth}
            for side in (0, 1)
        ]
        agreement = Fraction(2 * len(begins[0] & begins[1]), len(begins[0]) + len(begins[1]))
        total += agreement * p**depth
    return (1 - p) / p * total + p**n


ROWWISE = {
    "ndcg_score": (ndcg, [{}, {"k": 2}, {"gain": "linear"}]),
    "mrr_score": (mrr, [{}, {"k": 2}]),
    "average_precision_score": (average_precision, [{}, {"k": 2}]),
    "precision_at_k": (precision, [{"k": 1}, {"k": 3}]),
    "recall_at_k": (recall, [{"k": 1}, {"k": 3}]),
    "grouped_auc": (auc, [{}]),
    "kendall_tau": (tau, [{}]),
    "rank_biased_overlap": (overlap, [{}, {"p": 0.5}]),
}
RANGES = {"kendall_tau": (-1, 1)}


@st.composite
def rankings(draw):
    """Labels up to 3000, scores with ties, queries of text, and weights of any size."""
    n = draw(st.integers(1, 20))
    grades = draw(
        st.sampled_from([st.integers(0, 3), st.integers(0, 3000), st.integers(1022, 1026)])
    )
    y = draw(st.lists(grades, min_size=n, max_size=n))
    score = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    qid = draw(st.lists(st.sampled_from("abcd"), min_size=n, max_size=n))
    unit = draw(st.sampled_from([1.0, 1e-320, 1e38]))
    weight = draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=n, max_size=n))
    return y, score, qid, [w * unit for w in weight]


def weighted_mean(definition, y, score, qid, weight, **options):
    """Mean of a definition over queries, by the mean weight of their rows; 0 if none counts."""
    total, sum_of_weights = Fraction(0), Fraction(0)
    for query in sorted(set(qid)):
        rows = [(a, b) for a, b, q in zip(y, score, qid, strict=True) if q == query]
        weights = [Fraction(w) for w, q in zip(weight, qid, strict=True) if q == query]
        value = definition(rows, **options)
        if value is not None:
            total += value * sum(weights) / len(weights)
            sum_of_weights += sum(weights) / len(weights)
    return float(total / sum_of_weights) if sum_of_weights else 0.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("name", ROWWISE)
@settings(deadline=None, max_examples=60)
@given(data=rankings(), seed=st.integers(0, 99))
def test_rowwise_metrics(name, data, seed):
    definition, settings_of_metric = ROWWISE[name]
    metric = getattr(metrics, name)
    y, score, qid, weight = (np.array(column) for column in data)
    order = np.random.default_rng(seed).permutation(len(y))
    low, high = RANGES.get(name, (0, 1))
    for options in settings_of_metric:
        value = metric(y, score, qid, sample_weight=weight, **options)
        assert low <= value <= high
        assert value == pytest.approx(weighted_mean(definition, *data, **options), abs=1e-12)
        shuffled = metric(
            y[order], score[order], qid[order], sample_weight=weight[order], **options
        )
        assert shuffled == pytest.approx(value, abs=1e-12)
        unweighted = weighted_mean(definition, *data[:3], [1.0] * len(y), **options)
        assert metric(y, score, qid, **options) == pytest.approx(unweighted, abs=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@settings(deadline=None, max_examples=60)
@given(data=rankings(), k=st.sampled_from([None, 1, 3]), gain=st.sampled_from(list(GAINS)))
def test_dcg(data, k, gain):
    y, score, qid, weight = data
    y = [min(label, 1000) for label in y]
    found = metrics.dcg_score(y, score, qid, k=k, gain=gain, sample_weight=weight)
    expected = weighted_mean(dcg, y, score, qid, weight, k=k, gain=gain)
    assert found == pytest.approx(expected, rel=1e-9)


def test_an_infinite_gain_is_refused():
    with pytest.raises(ValueError, match=r"gain of the label 1025 is not finite.*'linear'"):
        metrics.dcg_score([1025, 1], [1, 2], None)
    assert metrics.dcg_score([1025], [1], None, gain="linear") == 1025


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("name", ROWWISE)
@settings(deadline=None, max_examples=40)
@given(data=rankings(), empty=st.sampled_from([None, "skip", "zero", "one"]))
def test_rowwise_metrics_per_query(name, data, empty):
    definition, settings_of_metric = ROWWISE[name]
    y, score, qid, _ = data
    for options in settings_of_metric:
        has_empty = "empty" in signature(getattr(metrics, name)).parameters
        chosen = options | {"empty": empty} if has_empty and empty is not None else options
        found = metrics.per_query(getattr(metrics, name), y, score, qid, **chosen)
        assert len(found) == len(set(qid))
        for query, value in zip(sorted(set(qid)), found, strict=True):
            rows = [(a, b) for a, b, q in zip(y, score, qid, strict=True) if q == query]
            expected = definition(rows, **options)
            if expected is None:
                expected = {"zero": 0.0, "one": 1.0}.get(empty, np.nan)
            assert value == pytest.approx(float(expected), abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(data=rankings(), k=st.integers(1, 4), m=st.integers(1, 6))
def test_teacher_recall(data, k, m):
    _, student, qid, _ = data
    teacher = np.random.default_rng(len(qid)).permutation(len(qid))  # no ties
    fractions = []
    for query in set(qid):
        rows = [(t, s) for t, s, q in zip(teacher, student, qid, strict=True) if q == query]
        best = sorted((t for t, _ in rows), reverse=True)[:k]
        returned = sorted(rows, key=lambda row: (-row[1], row[0] in best))[:m]
        fractions.append(Fraction(sum(t in best for t, _ in returned), len(best)))
    by_query = metrics.per_query(metrics.teacher_recall, teacher, student, qid, k=k, m=m)
    assert sorted(by_query) == pytest.approx(sorted(map(float, fractions)))
    found = metrics.teacher_recall(teacher, student, qid, k=k, m=m)
    assert found == pytest.approx(float(sum(fractions) / len(fractions)))
    assert 0 <= found <= 1


@settings(deadline=None, max_examples=60)
@given(data=rankings(), k=st.sampled_from([None, 1, 3]))
def test_ndcg_per_query(data, k):
    y, score, qid, _ = data
    found = metrics.ndcg_per_query(y, score, qid, k=k)
    for query, value in zip(sorted(set(qid)), found, strict=True):
        rows = [(a, b) for a, b, q in zip(y, score, qid, strict=True) if q == query]
        expected = ndcg(rows, k=k)
        assert np.isnan(value) if expected is None else value == pytest.approx(float(expected))


# Retrieval: each query has a set of wanted items and a list of returned ones, with padding and
# repetitions. A repetition takes a place, but counts at the first only.


def found_at(wanted, returned, k):
    places = range(min(k, len(returned)))
    return [p for p in places if returned[p] in wanted and returned[p] not in returned[:p]]


def found_gain(wanted, returned, k, gain):
    best = sorted((gain(y) for y in wanted.values()), reverse=True)[:k]
    ideal = sum(g * d for g, d in zip(best, DISCOUNTS, strict=False))
    found = [gain(wanted[returned[p]]) * DISCOUNTS[p] for p in found_at(wanted, returned, k)]
    return Fraction(sum(found)) / ideal


def found_precision(wanted, returned, k):
    places = found_at(wanted, returned, k)
    return Fraction(sum(Fraction(i + 1, p + 1) for i, p in enumerate(places)), len(wanted))


# Of the relevance of each wanted item, what is returned, and k.
RETRIEVAL = {
    "retrieval_recall": (lambda w, r, k: Fraction(len(found_at(w, r, k)), len(w)), {}),
    "retrieval_precision": (lambda w, r, k: Fraction(len(found_at(w, r, k)), k), {}),
    "hit_rate": (lambda w, r, k: Fraction(bool(found_at(w, r, k))), {}),
    "retrieval_mrr": (
        lambda w, r, k: Fraction(1, min(found_at(w, r, k), default=10**9) + 1),
        {},
    ),
    "retrieval_average_precision": (found_precision, {}),
    "retrieval_ndcg": (lambda w, r, k: found_gain(w, r, k, lambda y: Fraction(1)), {}),
    "retrieval_ndcg, linear": (
        lambda w, r, k: found_gain(w, r, k, Fraction),
        {"gain": "linear"},
    ),
    "retrieval_ndcg, exponential": (
        lambda w, r, k: found_gain(w, r, k, lambda y: Fraction(2**y - 1)),
        {"gain": "exponential"},
    ),
}
N_ITEMS = 6
POSITIONS = st.integers(-1, N_ITEMS - 1)


@st.composite
def retrievals(draw):
    n_queries, width = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    lists = st.lists(POSITIONS, min_size=width, max_size=width)
    retrieved = draw(st.lists(lists, min_size=n_queries, max_size=n_queries))
    sets = st.lists(POSITIONS, min_size=3, max_size=3)
    wanted = draw(st.lists(sets, min_size=n_queries, max_size=n_queries))
    return wanted, retrieved


def mean_over(pairs, definition):
    values = [definition(wanted, returned) for wanted, returned in pairs if wanted]
    return float(sum(values) / len(values)) if values else 0.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@settings(deadline=None, max_examples=100)
@given(retrievals(), st.sampled_from([1, 2, 5, 10**9]), st.integers(0, 99))
def test_retrieval_metrics(data, k, seed):
    wanted, retrieved = data
    # The relevance of an item is its place among those wanted, from 1 on.
    sets = [{item: 1 + row.index(item) for item in set(row) - {-1}} for row in wanted]
    relevant = sparse.lil_array((len(sets), N_ITEMS))
    for query, items in enumerate(sets):
        for item, relevance in items.items():
            relevant[query, item] = relevance
    relevant = sparse.csr_array(relevant)
    order = np.random.default_rng(seed).permutation(len(sets))
    pairs = list(zip(sets, retrieved, strict=True))
    for name, (definition, options) in RETRIEVAL.items():
        metric = getattr(metrics, name.split(",")[0])
        value = metric(relevant, retrieved, k=k, **options)
        expected = mean_over(pairs, lambda w, r, d=definition: d(w, r, k))
        assert 0 <= value <= 1
        assert value == pytest.approx(expected, abs=1e-8)
        shuffled = metric(relevant[order], np.array(retrieved)[order], k=k, **options)
        assert shuffled == pytest.approx(value)
        by_query = metrics.per_query(metric, relevant, retrieved, k=k, **options)
        expected = [float(definition(w, r, k)) if w else np.nan for w, r in pairs]
        assert by_query == pytest.approx(expected, abs=1e-8, nan_ok=True)
    found = {item for row in retrieved for item in row} - {-1}
    assert metrics.catalogue_coverage(retrieved, N_ITEMS) == len(found) / N_ITEMS
    popularity = [3, 1, 1, 4, 9, 2]
    ranks = [
        (sum(b < a for b in popularity) + (popularity.count(a) - 1) / 2) / (N_ITEMS - 1)
        for a in popularity
    ]
    shown = [ranks[item] for row in retrieved for item in row if item >= 0]
    expected = np.mean(shown) if shown else 0
    assert metrics.mean_popularity(retrieved, popularity) == pytest.approx(expected)


NAMES = np.array([*"uvwxyz", None], dtype=object)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize(
    "ids_of",
    [
        np.asarray,
        lambda table: NAMES[np.asarray(table)],
        lambda table: np.where(np.asarray(table) < 0, np.nan, np.asarray(table, float)),
    ],
    ids=["numbers", "text and None", "numbers and NaN"],
)
@settings(deadline=None, max_examples=60)
@given(data=retrievals())
def test_retrieval_curve(ids_of, data):
    wanted, retrieved = data
    curve = metrics.retrieval_curve(ids_of(wanted), ids_of(retrieved))
    assert isinstance(curve, metrics.RetrievalCurve)
    pairs = [(set(w) - {-1}, r) for w, r in zip(wanted, retrieved, strict=True)]
    for m, value in zip(curve.m, curve.recall, strict=True):
        expected = mean_over(pairs, lambda w, r, m=m: Fraction(len(found_at(w, r, m)), len(w)))
        assert 0 <= value <= 1
        assert value == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 3)), min_size=1),
    st.integers(1, 7),
    st.integers(0, 99),
)
def test_calibration_error(rows, n_bins, seed):
    y, fortieths, weight = (np.array(column) for column in zip(*rows, strict=True))
    probability, weight = fortieths / 40, weight + 1
    edges = np.linspace(0, 1, n_bins + 1)
    total = 0.0
    for lower, upper in pairwise(edges):
        member = (probability >= lower) & ((probability < upper) | (upper == 1))
        total += abs(weight[member] @ (probability - y)[member])
    found = metrics.expected_calibration_error(
        y, probability, n_bins=n_bins, sample_weight=weight * 1e37
    )
    assert 0 <= found <= 1
    assert found == pytest.approx(total / weight.sum(), abs=1e-9)
    order = np.random.default_rng(seed).permutation(len(y))
    shuffled = metrics.expected_calibration_error(
        y[order], probability[order], n_bins=n_bins, sample_weight=weight[order]
    )
    assert shuffled == pytest.approx(found, abs=1e-12)


@pytest.mark.filterwarnings("ignore::scipy.stats.DegenerateDataWarning")
@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.25, 0.5, 1.0])),
        min_size=2,
        max_size=8,
    )
)
def test_bootstrap_ratio(pairs):
    values, baseline = map(list, zip(*pairs, strict=True))
    found = metrics.bootstrap_ratio(values, baseline, n_resamples=99, random_state=0)
    assert isinstance(found, metrics.RatioInterval)
    assert np.isfinite(found).all()
    assert found.low <= found.high
    assert found.ratio == pytest.approx(sum(values) / sum(baseline))


class Scores:
    """An estimator whose predictions are its column."""

    def predict(self, X):
        return np.asarray(X)[:, 0]

    def teacher_recall(self, X, *, qid, k, m):
        return metrics.teacher_recall(X[:, 1], X[:, 0], qid, k=k, m=m)


SCORERS = {
    "ndcg_scorer": (metrics.ndcg_score, {"k": 2}),
    "mrr_scorer": (metrics.mrr_score, {"k": 2}),
    "average_precision_scorer": (metrics.average_precision_score, {}),
    "precision_scorer": (metrics.precision_at_k, {"k": 2}),
    "recall_scorer": (metrics.recall_at_k, {"k": 2}),
    "grouped_auc_scorer": (metrics.grouped_auc, {}),
    "retrieval_scorer": (metrics.teacher_recall, {"k": 1, "m": 2}),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("name", SCORERS)
@settings(deadline=None, max_examples=30)
@given(data=rankings())
def test_scorers(name, data):
    y, score, qid, _ = (np.array(column) for column in data)
    metric, options = SCORERS[name]
    scorer = getattr(metrics, name)(**options)
    found = scorer(Scores(), np.column_stack([score, y]), y, qid=qid)
    assert found == metric(y, score, qid, **options)
    if name != "retrieval_scorer":
        broken = np.column_stack([np.where(np.arange(len(y)) == 0, np.nan, score), y])
        with pytest.raises(ValueError, match=rf"y_score must be finite.*\(query {qid[0]}\)"):
            scorer(Scores(), broken, y, qid=qid)


COVERED = {
    *ROWWISE, *(name.split(",")[0] for name in RETRIEVAL), *SCORERS, "teacher_recall",
    "dcg_score", "dcg_scorer", "per_query", "ndcg_per_query", "retrieval_curve",
    "RetrievalCurve", "catalogue_coverage", "mean_popularity", "expected_calibration_error",
    "bootstrap_ratio", "RatioInterval",
}  # fmt: skip


def test_every_public_metric_is_in_this_family():
    assert set(metrics.__all__) == COVERED


@pytest.mark.parametrize("name", [*ROWWISE, "teacher_recall", "dcg_score"])
def test_weights_that_leave_the_range_are_refused(name):
    metric = getattr(metrics, name)
    options = {"k": 1} if name in ("recall_at_k", "precision_at_k") else {}
    for wrong, message in (
        ([1.0, -1.0], "0 or more: row 1 holds -1"),
        ([1.0, np.nan], "finite: row 1 holds nan"),
        ([1e308, 1.0], "float32: row 0 holds 1e\\+308. Divide"),
        ([1.0], "one value per row"),
    ):
        with pytest.raises(ValueError, match=f"sample_weight must .*{message}"):
            metric([1, 0], [1, 0], [7, 7], sample_weight=wrong, **options)
    with pytest.warns(UndefinedMetricWarning, match="have the weight 0"):
        metric([1, 0], [1, 0], [7, 7], sample_weight=[0, 0], **options)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in metrics.__all__
        if name in {*ROWWISE, *RETRIEVAL, "teacher_recall", "ndcg_per_query", "dcg_score"}
    ],
)
def test_a_number_of_places_is_checked(name):
    metric = getattr(metrics, name)
    parameter = inspect.signature(metric).parameters.get("k")
    if parameter is None:
        pytest.skip("no k")
    arguments = (
        (sparse.csr_array([[1, 0]]), [[0, 1]]) if name in RETRIEVAL else ([1, 0], [1, 0], [7, 7])
    )
    wrong = [0, -1, 1.5, "3", *([] if parameter.default is None else [None])]
    for k in wrong:
        with pytest.raises(ValueError, match="k must be an integer of at least 1"):
            metric(*arguments, k=k)


@pytest.mark.filterwarnings("ignore::scipy.stats.DegenerateDataWarning")
def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"averages over queries, got <function.*k=5\)"):
        metrics.per_query(metrics.bootstrap_ratio, [1, 2], [1, 2])
    calibration, bootstrap = metrics.expected_calibration_error, metrics.bootstrap_ratio
    for call, message in (
        (lambda: calibration([0, np.nan], [0.5, 0.5]), "y_true must lie in .* row 1 holds nan"),
        (lambda: calibration([0, 3], [0.5, 0.5]), "y_true must lie in .* row 1 holds 3"),
        (lambda: calibration([0], [0.5], sample_weight=[0]), "zero in every row"),
        (lambda: calibration([0], [0.5], sample_weight=[-1]), "0 or more"),
        (lambda: calibration([0], [0.5], n_bins=0), "n_bins must be an integer of at least 1"),
        (lambda: bootstrap([1, np.inf], [1, 1]), "values must be finite.* query number 1"),
        (lambda: bootstrap([1, 2], [0, 0]), "mean of 0, and is 0 in 2 of 2 queries"),
        (lambda: bootstrap([0, 0, 1], [0, 0, 1]), "is 0 in 2 of 3 queries"),
        (lambda: bootstrap([1, 2], [1, 2], confidence_level=95), "between 0 and 1, got 95"),
        (lambda: bootstrap([1, 2], [1, 2], n_resamples=0), "n_resamples must be an integer"),
        (lambda: metrics.retrieval_curve([["1"]], [[1]]), "ids of the same kind"),
        (lambda: metrics.retrieval_curve([[1]], [[1]]).items_needed(np.nan), "between 0 and 1"),
        (lambda: metrics.catalogue_coverage([[4]], 4), "names item 4"),
        (lambda: metrics.catalogue_coverage([[-2]], 4), "-1 for padding: got -2"),
        (lambda: metrics.catalogue_coverage([0], 4), "expected integers of shape"),
        (lambda: metrics.mean_popularity([[0]], [np.nan]), "popularity must be finite"),
        (lambda: metrics.ndcg_per_query([1], [1], None, gain="square"), "gain must be one of"),
        (
            lambda: metrics.hit_rate(sparse.csr_array([[np.nan]]), [[0]], k=1),
            "some entries are NaN",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_nothing_returned_is_no_error():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert metrics.mean_popularity([[-1]], [1, 2]) == 0
        assert metrics.retrieval_curve([[-1]], [[3]]).recall.tolist() == [0]
    assert [warning.category for warning in caught] == [UndefinedMetricWarning] * 2
    empty = metrics.retrieval_curve([[1]], np.empty((1, 0), int))
    with pytest.raises(ValueError, match="0 items have 0.0000"):
        empty.items_needed(0.5)
