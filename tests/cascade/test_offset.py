"""A cascade with offsets orders by bid x probability at every stage, and is measured by it."""

import pickle
import warnings

import lightgbm
import numpy as np
import pytest
import sklearn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import kendalltau
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skdistill import DistilledRanker, RankingGroupKFold, TeacherWarning
from skdistill.cascade import (
    Cut,
    FirstTrees,
    PopularityRetriever,
    StageCost,
    cascade_report,
    fit_rivals,
    plan_cascade,
)
from skdistill.cascade.spec import read_stages
from skdistill.cascade.wanted import teachers_best
from skdistill.serving import compile_cascade
from skdistill.students import LinearRanker, MLPRanker
from tests.cascade import conftest
from tests.cascade.test_planning import copy_of, ranked_recall
from tests.cascade.test_ranking import naive_rank

N_ITEMS = 120
EVERY_ITEM = np.arange(N_ITEMS)


@pytest.fixture(scope="module")
def log_bid():
    return np.random.default_rng(3).normal(size=N_ITEMS)


def make_towers(data, **parameters):
    return conftest.make_towers(data, **{"loss": "listwise", **parameters})


def make_cascade(data, stages=None, **parameters):
    cascade = conftest.make_cascade(data, stages, **parameters)
    return cascade if stages else cascade.set_params(retrieve__loss="listwise")


def make_bidding(data, stages=None, **parameters):
    teacher = lightgbm.LGBMClassifier(n_estimators=15, num_leaves=15, verbose=-1, n_jobs=1)
    return make_cascade(data, stages, **{"teacher": teacher, **parameters})


def fitted(cascade, data, offset, items=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        items = data.items if items is None else items
        return cascade.fit(data.X, data.y, qid=data.qid, items=items, offset=offset)


@pytest.fixture(scope="module")
def bidding(data, log_bid):
    return fitted(make_bidding(data), data, log_bid)


@pytest.fixture(scope="module")
def student_bidding(data, log_bid):
    """A cascade whose last stage is a student, which loses items too."""
    stages = [
        ("retrieve", make_towers(data), 40),
        ("prerank", LinearRanker(max_iter=4), 15),
        ("rank", MLPRanker((8,), max_iter=8), 5),
    ]
    return fitted(make_bidding(data, stages), data, log_bid)


def probability_grid(cascade, data, queries):
    """The teacher's probability of every item for every query."""
    grid = []
    for row in range(len(queries)):
        table = data.items.assign(**queries.iloc[row])[list(data.X.columns)]
        grid.append(cascade.teacher_.predict_proba(table)[:, 1])
    return np.array(grid)


# The examples are fixed: float32 dot products of the index may round otherwise than naive code.
@settings(
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.tuples(st.integers(1, 130), st.integers(1, 130), st.integers(1, 130)),
    limits=st.booleans(),
    excluded=st.sampled_from([0.0, 0.3, 0.97]),
    masked=st.booleans(),
)
def test_rank_is_what_naive_code_ranks(
    bidding, data, log_bid, seed, sizes, limits, excluded, masked
):
    rng = np.random.default_rng(seed)
    queries = data.queries.iloc[rng.permutation(len(data.queries))[:4]]
    sizes = sorted(sizes, reverse=True)
    cuts = [Cut(size) for size in sizes]
    if limits:
        cuts[0] = Cut(sizes[0], min_score=-1.5)
        cuts[1] = Cut(sizes[1], max_drop=2.0)
        cuts[2] = Cut(sizes[2], min_score=-0.5)
    cut = copy_of(bidding)
    cut.stages = [(n, model, c) for (n, model, _), c in zip(bidding.stages, cuts, strict=True)]
    k = min(int(rng.integers(1, sizes[0] + 1)), N_ITEMS)
    exclude = rng.random((4, N_ITEMS)) < excluded
    mask = rng.random(N_ITEMS) < 0.5 if masked else None
    ids, scores = cut.rank(queries, k, exclude=sparse.csr_array(exclude), mask=mask)
    expected = naive_rank(cut, queries, k, cuts, exclude, mask, log_bid, ("rank_score",))
    assert_array_equal(ids, expected)
    assert_array_equal(ids == -1, np.isneginf(scores))


def test_scores_are_log_bid_plus_log_probability(bidding, data, log_bid):
    queries = data.queries[:10]
    ids, scores = bidding.rank(queries)
    value = np.log(probability_grid(bidding, data, queries)) + log_bid
    assert_allclose(scores, np.take_along_axis(value, ids, axis=1), rtol=1e-5)
    # Places behind the last stage have scores of the stage before.
    ids, scores = bidding.rank(queries, k=40)
    linear = bidding.funnel_.stages[0]
    query = np.repeat(np.arange(10), 25)
    item = ids[:, 15:].ravel()
    towers = bidding.funnel_.retrieval.score_pairs(queries, query, item)
    by_linear = linear.score(queries, data.items, query, item, towers)
    assert_allclose(scores[:, 15:].ravel(), by_linear + log_bid[item], rtol=1e-4, atol=1e-5)


def test_columns_of_later_stages_contain_no_offset(data, log_bid):
    """Those at ranking are those at training; neither contains a bid."""
    stages = [
        ("r", [("towers", make_towers(data), 30), ("popular", PopularityRetriever(), 10)], 40),
        ("prerank", LinearRanker(max_iter=3), 15),
        ("rank", "teacher", 5),
    ]
    cascade = fitted(make_bidding(data, stages), data, log_bid)
    queries = data.queries[:6]
    found = cascade.funnel_.run(queries, cascade.stage_cuts()).lists[-1]
    towers = cascade.funnel_.retrieval.retrievers["towers"]
    popular = cascade.funnel_.retrieval.retrievers["popular"]
    dots = towers.transform_queries(queries) @ towers.transform_items(data.items).T
    columns = found.columns
    assert_allclose(
        columns["towers_score"], np.take_along_axis(dots, found.item, axis=1), atol=1e-5
    )
    assert_array_equal(columns["popular_score"], popular.counts_[found.item])
    pairs = np.repeat(np.arange(6), N_ITEMS), np.tile(EVERY_ITEM, 6)
    scores = cascade.funnel_.score_pairs(queries, data.items, *pairs)
    assert_allclose(scores["towers_score"].reshape(6, -1), dots, atol=1e-5)
    probability = probability_grid(cascade, data, queries)
    assert_allclose(scores["rank_score"].reshape(6, -1), probability)
    # The list of popularity is its own, that of the towers is by score plus offset.
    first, source = (getattr(cascade.funnel_.run(queries, [Cut(40)]).lists[0], name)
                     for name in ("item", "source"))  # fmt: skip
    by_towers = np.argsort(-(dots + log_bid), axis=1)[:, :40]
    by_popular = popular.retrieve(queries, 20)[0]
    for row in range(6):
        assert set(first[row, source[row] == 0]) <= set(by_towers[row])
        assert set(first[row, source[row] == 1]) <= set(by_popular[row])


class RecordingRegressor(RegressorMixin, BaseEstimator):
    """The mean, and what it was taught."""

    def fit(self, X, y):
        self.X_, self.y_ = X, np.asarray(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.y_.mean())


@pytest.mark.parametrize("targets", ["teacher", "next"])
def test_regressors_learn_the_logarithms(data, log_bid, targets):
    stages = [
        ("retrieve", make_towers(data), 40),
        ("prerank", RecordingRegressor(), 15),
        ("rank", "teacher", 5),
    ]
    given = {"targets": targets, "sources": ("passed", "logged", "random"), "stage_scores": False}
    cascade = fitted(make_bidding(data, stages, **given), data, log_bid)
    model = cascade.funnel_.stages[0].model
    table = model.X_[list(data.X.columns)]
    assert_allclose(model.y_, np.log(cascade.teacher_.predict_proba(table)[:, 1]))


def test_students_learn_with_the_offset_of_their_rows(data, log_bid):
    stages = [
        ("retrieve", make_towers(data), 40),
        ("prerank", LinearRanker(max_iter=5), 15),
        ("rank", "teacher", 5),
    ]
    given = {"sources": ("logged",), "stage_scores": False, "exploration": 0.0}
    cascade = fitted(make_bidding(data, stages, **given), data, log_bid)
    # The same by hand: distinct pairs by query and item, each with its largest label.
    item_of = {tuple(row): n for n, row in enumerate(data.items.to_numpy().tolist())}
    item = np.array([item_of[tuple(r)] for r in data.X[data.item_columns].to_numpy().tolist()])
    order = np.lexsort((-data.y, item, data.qid))
    key = data.qid[order] * N_ITEMS + item[order]
    order = order[np.append(True, key[1:] != key[:-1])]
    table = data.X.iloc[order]
    seed = cascade._draw_seeds(read_stages(cascade.stages))["prerank"]
    scores = np.log(cascade.teacher_.predict_proba(table)[:, 1])

    def by_hand(offset):
        student = LinearRanker(max_iter=5, random_state=seed)
        ranker = DistilledRanker(student=student, alpha=1.0, random_state=seed)
        taught = {"qid": data.qid[order], "teacher_scores": scores, "offset": offset}
        return ranker.fit(table, data.y[order], **taught).predict(table)

    of_stage = cascade.funnel_.stages[0].model.predict(table)
    assert_allclose(of_stage, by_hand(log_bid[item[order]]), atol=1e-4)
    assert np.abs(of_stage - by_hand(None)).max() > 0.01


def test_sources_are_compared_by_bid_x_probability(data, log_bid):
    """With bids that drown every probability, whatever the rows, the best bids are kept."""
    cascade = fitted(make_bidding(data), data, 1000 * log_bid)
    (measures,) = cascade.source_scores_.values()
    assert set(measures.values()) == {1.0}
    ids, _ = cascade.rank(data.queries)
    assert (ids == np.argsort(-log_bid)[:5]).all()


@pytest.mark.parametrize(
    "stage",
    [
        FirstTrees(3),
        "frozen",
        lambda table: 1 / (1 + np.exp(-table["i0"].to_numpy(dtype=float))),
        lambda table: table["i0"].to_numpy(dtype=float),
    ],
    ids=["FirstTrees", "frozen classifier", "function of probabilities", "function of scores"],
)
def test_a_model_that_was_not_trained_here_is_ordered_in_its_unit(data, log_bid, stage):
    if isinstance(stage, str):
        stage = FrozenEstimator(LogisticRegression().fit(data.X, data.y))
    stages = [("retrieve", make_towers(data), 30), ("prerank", stage, 10), ("rank", "teacher", 5)]
    cascade = fitted(make_bidding(data, stages), data, log_bid)
    queries = data.queries[:4]
    scores = cascade.funnel_.score_pairs(
        queries, data.items, np.repeat(np.arange(4), N_ITEMS), np.tile(EVERY_ITEM, 4)
    )["prerank_score"]
    is_probability = 0 <= scores.min() <= scores.max() <= 1
    assert (cascade.funnel_.stages[0].log_floor is not None) == is_probability
    logs = ("prerank_score", "rank_score") if is_probability else ("rank_score",)
    ids, _ = cascade.rank(queries, k=30)
    cuts = cascade.stage_cuts()
    assert_array_equal(ids, naive_rank(cascade, queries, 30, cuts, None, None, log_bid, logs))


def test_what_is_a_probability_is_decided_on_the_whole_log(data, log_bid):
    """One unit for all batches: probabilities of one query may all be 0 or far below the log's."""
    wide = np.random.default_rng(0).random(len(data.X)) < 0.5
    teacher = FrozenEstimator(LogisticRegression(C=1e-6).fit(data.X, wide))
    # Scores beyond [0, 1] for some logged rows alone.
    scale = data.X["i0"].abs().max()

    def score(table):
        i0 = table["i0"].to_numpy(dtype=float)
        return np.where(np.abs(i0) > scale * 0.9, 3.0, teacher.predict_proba(table)[:, 1])

    cascade = fitted(make_bidding(data, teacher=score), data, log_bid)
    assert cascade.teacher_log_floor_ is None
    ids, scores = cascade.rank(data.queries[:3])
    taught = np.array([score(data.items.assign(**data.queries.iloc[row])[list(data.X.columns)])
                       for row in range(3)])  # fmt: skip
    expected = np.take_along_axis(taught + log_bid, ids, axis=1)
    assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("named", [False, True])
def test_set_offset_is_the_same_as_indexing_again(bidding, data, log_bid, named):
    names = [f"ad {number}" for number in range(N_ITEMS)] if named else None
    changed = np.array([7, 3, 50, 119])
    other = log_bid.copy()
    other[changed] = [9.0, -9.0, 2.5, 8.0]
    again = copy_of(bidding).index(data.items, names, offset=other)
    given = log_bid.copy()
    cascade = copy_of(bidding).index(data.items, names, offset=given)
    given[:] = 0  # the cascade has its own
    shared = copy_of(cascade)
    before = cascade.rank(data.queries)[0]
    assert (
        cascade.set_offset(np.array(names)[changed] if named else changed, other[changed]) is None
    )
    for k in (5, 40):
        ids, scores = cascade.rank(data.queries, k=k)
        assert_array_equal(ids, again.rank(data.queries, k=k)[0])
        assert_array_equal(scores, again.rank(data.queries, k=k)[1])
    assert not np.array_equal(before, cascade.rank(data.queries)[0])
    assert_array_equal(cascade.funnel_.offset, other)
    # A shallow copy has the same bids, another cascade has its own.
    assert_array_equal(shared.rank(data.queries, k=40)[1], scores)
    assert not given.any()
    assert_array_equal(bidding.funnel_.offset, log_bid)
    loaded = pickle.loads(pickle.dumps(cascade))
    loaded.set_offset(*((["ad 7"], [0.0]) if named else ([7], [0.0])))
    assert loaded.funnel_.offset[7] == 0
    assert_array_equal(cascade.rank(data.queries)[1], again.rank(data.queries)[1])


@pytest.mark.parametrize("compiles", [False, True])
def test_one_call_ranks_by_other_offsets(bidding, data, log_bid, compiles):
    other = np.random.default_rng(1).permutation(log_bid)
    again = copy_of(bidding).index(data.items, offset=other)
    cascade = compile_cascade(bidding) if compiles else bidding
    for k in (5, 40):
        before = cascade.rank(data.queries, k=k)
        ids, scores = cascade.rank(data.queries, k=k, offset=other)
        expected, expected_scores = again.rank(data.queries, k=k)
        assert_array_equal(ids, expected)
        assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-5)
        assert not np.array_equal(ids, before[0])
        for found, former in zip(cascade.rank(data.queries, k=k), before, strict=True):
            assert_array_equal(found, former)
    with pytest.raises(ValueError, match="one number per item of the catalogue"):
        cascade.rank(data.queries, offset=other[:5])
    with pytest.raises(ValueError, match="A bid of 0 has no logarithm"):
        cascade.rank(data.queries, offset=np.full(N_ITEMS, -np.inf))


def test_approximate_engines_rank_by_offset_and_refuse_to_change_it(bidding, data, log_bid):
    pytest.importorskip("faiss")
    cascade = copy_of(bidding).index(data.items, offset=log_bid, engine="faiss", factory="Flat")
    ids, scores = cascade.rank(data.queries[:5])
    assert_array_equal(ids, bidding.rank(data.queries[:5])[0])
    with pytest.raises(TypeError, match="cannot be changed. Index the items again"):
        cascade.set_offset([0], [9.0])
    with pytest.raises(TypeError, match="cannot be changed. Index the items again"):
        cascade.rank(data.queries[:5], offset=log_bid)
    assert_array_equal(cascade.rank(data.queries[:5])[1], scores)
    stages = [
        ("r", [("one", make_towers(data), 20), ("two", make_towers(data), 20)], 40),
        ("rank", "teacher", 5),
    ]
    two = fitted(make_bidding(data, stages), data, log_bid)
    retrievers = two.funnel_.retrieval.retrievers
    exact, queries = retrievers["one"].index_, data.queries[:5]
    retrievers["two"].index(data.items, offset=log_bid, engine="faiss", factory="Flat")
    before = exact.embeddings.copy()
    with pytest.raises(TypeError, match="cannot be changed"):
        two.set_offset([0], [9.0])
    assert_array_equal(exact.embeddings, before)
    assert two.rank(queries)[0].shape == (5, 5)


COSTS = {name: StageCost(1.0, 1.0) for name in ("retrieve", "prerank", "rank")}


def test_the_plan_counts_what_rank_returns(student_bidding, data, log_bid):
    queries = data.queries[:25]
    value = probability_grid(student_bidding, data, queries) * np.exp(log_bid)
    wanted = np.argsort(-value, axis=1)[:, :5]
    assert_array_equal(teachers_best(student_bidding, queries, 5), wanted)
    sizes = {"retrieve": [5, 8, 12, 40, 120], "prerank": [5, 6, 8, 12, 30]}
    plan = plan_cascade(
        student_bidding, queries, 5, budget=1e9, sizes=sizes, costs=COSTS, random_state=0
    )
    every = plan.combinations
    assert len(np.unique(every.recall)) > 3
    for (first, second, _), recall in zip(every.sizes.tolist(), every.recall, strict=True):
        ranked = ranked_recall(student_bidding, queries, (first, second), wanted, 5)
        assert recall == pytest.approx(ranked, abs=1e-6)


def naive_values(cascade, data, log_bid):
    """Per query: what each stage passes on, and what each stage orders all items by."""
    funnel, cuts = cascade.funnel_, cascade.stage_cuts()
    for number in range(len(data.queries)):
        everything = np.zeros(N_ITEMS, dtype=int), EVERY_ITEM
        scores = funnel.score_pairs(data.queries.iloc[[number]], funnel.items, *everything)
        values = [np.float32(scores[column] + log_bid) for column in funnel.columns]
        items, passed = EVERY_ITEM, []
        for by, cut in zip(values, cuts, strict=True):
            items = sorted(items, key=lambda i, by=by: -by[i])[: cut.size]
            passed.append(items)
        yield passed, values


def test_the_report_of_what_is_lost_and_what_a_swap_would_bring(student_bidding, data, log_bid):
    report = cascade_report(student_bidding, data.queries)
    taught = np.log(probability_grid(student_bidding, data, data.queries)) + log_bid
    wanted = np.argsort(-taught, axis=1)[:, :5]
    cuts = student_bidding.stage_cuts()
    discount, gains = 1 / np.log2(np.arange(2, 7)), np.array([1, 0.8, 0.6, 0.4, 0.2])
    lost, swapped, taus = np.zeros(3), np.zeros((len(wanted), 3)), []
    for number, (passed, values) in enumerate(naive_values(student_bidding, data, log_bid)):
        for item in wanted[number]:
            dropped = [item not in items for items in passed]
            if any(dropped):
                lost[dropped.index(True)] += 1
        gain = dict(zip(wanted[number].tolist(), gains, strict=True))
        for stage in range(3):
            items = EVERY_ITEM
            for other, cut in enumerate(cuts):
                by = taught[number] if other == stage else values[other]
                items = sorted(items, key=lambda i, by=by: -by[i])[: cut.size]
            got = np.array([gain.get(item, 0.0) for item in items])
            swapped[number, stage] = got @ discount / (gains @ discount)
        first, second, last = values
        taus.append(
            [
                kendalltau(first[passed[0]], second[passed[0]]).statistic,
                kendalltau(second[passed[1]], last[passed[1]]).statistic,
                kendalltau(last[passed[1]], taught[number][passed[1]]).statistic,
            ]
        )
    assert_allclose([stage.lost for stage in report.stages], lost / wanted.size)
    assert sum(stage.lost for stage in report.stages) + report.recall == pytest.approx(1)
    assert_allclose([s.as_teacher for s in report.stages], swapped.mean(axis=0), atol=2e-3)
    assert_allclose([stage.tau for stage in report.stages], np.mean(taus, axis=0), atol=1e-3)
    assert report.teacher_ndcg == pytest.approx(1)


def test_a_click_counts_with_its_bid(student_bidding, data, log_bid):
    """``score``, and the report with labels, have the gain 2^y - 1 times the bid."""
    item_of = {tuple(row): n for n, row in enumerate(data.items.to_numpy().tolist())}
    clicks = np.zeros((len(data.queries), N_ITEMS))
    rows = data.X[data.item_columns].to_numpy().tolist()
    for query, row, label in zip(data.qid, rows, data.y, strict=True):
        clicks[query, item_of[tuple(row)]] = max(label, clicks[query, item_of[tuple(row)]])
    gains = (2**clicks - 1) * np.exp(log_bid)
    discount = 1 / np.log2(np.arange(2, 7))
    ids, _ = student_bidding.rank(data.queries)
    got = np.take_along_axis(gains, ids, axis=1) @ discount
    ideal = -np.sort(-gains, axis=1)[:, :5] @ discount
    expected = np.mean(got[ideal > 0] / ideal[ideal > 0])
    assert student_bidding.score(data.X, data.y, qid=data.qid) == pytest.approx(expected)
    report = cascade_report(student_bidding, data.X, data.y, qid=data.qid)
    assert report.ndcg == pytest.approx(expected)


def test_rivals_rank_by_the_same_bids(bidding, data, log_bid):
    given = {"qid": data.qid, "items": data.items}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        rivals = fit_rivals(bidding, data.X, data.y, **given, offset=log_bid)
    assert list(rivals) == ["trained on labels", "logged rows only", "popularity", "first trees"]
    for rival in rivals.values():
        assert_array_equal(rival.funnel_.offset, log_bid)
    with pytest.raises(ValueError, match="if and only if the cascade was fitted with one"):
        fit_rivals(bidding, data.X, data.y, **given)


def test_bids_at_every_stage_keep_the_revenue(bidding, data, log_bid):
    """Against the same cascade without bids, to whose last scores they are added at the end."""
    value = probability_grid(bidding, data, data.queries) * np.exp(log_bid)
    best = np.sort(value, axis=1)[:, -5:].sum()
    ids, _ = bidding.rank(data.queries)
    kept = np.take_along_axis(value, ids, axis=1).sum() / best
    stages = [(*entry[:2], 15 if entry[0] == "rank" else entry[2]) for entry in bidding.stages]
    plain = fitted(make_bidding(data, stages), data, None)
    ids, probability = plain.rank(data.queries)
    order = np.argsort(-(np.log(probability) + log_bid[ids]), axis=1)[:, :5]
    ids = np.take_along_axis(ids, order, axis=1)
    at_end = np.take_along_axis(value, ids, axis=1).sum() / best
    assert kept > at_end + 0.1


def test_a_grid_search_passes_the_offset_to_fit_alone(data, log_bid):
    search = GridSearchCV(
        make_bidding(data, sources=("passed", "logged")),
        {"prerank__size": [5, 15]},
        cv=RankingGroupKFold(2),
        error_score="raise",
    )
    given = {"qid": data.qid, "items": data.items, "offset": log_bid}
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        search.fit(data.X, data.y, **given)
    assert_array_equal(search.best_estimator_.funnel_.offset, log_bid)


def test_a_ranker_as_teacher_is_warned_of(data, log_bid):
    with pytest.warns(UserWarning, match="scores of a ranker have another unit"):
        fitted(make_cascade(data), data, log_bid)


def test_refusals(bidding, cascade, data, log_bid):
    def refused(message, offset=log_bid, stages=None, error=ValueError):
        with pytest.raises(error, match=message):
            fitted(make_bidding(data, stages), data, offset)

    def stages_with(student):
        return [("retrieve", make_towers(data), 40), ("prerank", student, 5)]

    refused(r"one number per item .* Expected shape \(120,\), got \(1600,\)", np.zeros(1600))
    refused("row 2 holds -inf. A bid of 0 has no logarithm", np.where(EVERY_ITEM == 2, -np.inf, 0))
    refused("must be finite: row 0 holds nan", np.full(N_ITEMS, np.nan))
    refused("stage 'prerank' takes no offset: .* Pointwise, divides scores",
            stages=stages_with(LinearRanker(loss="pointwise")))  # fmt: skip
    refused("stage 'prerank' takes no offset: augment=0.5",
            stages=stages_with(DistilledRanker(student=LinearRanker(), augment=0.5)))  # fmt: skip
    for loss in ("auto", "plackett_luce", "pointwise"):
        towers = make_towers(data, loss=loss)
        refused("retriever 'retrieve' takes no offset: .* their order alone, .* loss='listwise'",
                stages=[("retrieve", towers, 9), ("rank", "teacher", 5)])  # fmt: skip
    with pytest.raises(ValueError, match="was fitted with an offset .* pass offset="):
        copy_of(bidding).index(data.items)
    with pytest.raises(ValueError, match="fitted without an offset, .* Leave out offset"):
        copy_of(cascade).rank(data.queries, offset=log_bid)
    with pytest.raises(ValueError, match="fitted without an offset, .* Leave out offset"):
        copy_of(cascade).index(data.items, offset=log_bid)
    with pytest.raises(ValueError, match=r"Expected shape \(120,\), got \(3,\)"):
        copy_of(bidding).index(data.items, offset=[1, 2, 3])
    with pytest.raises(ValueError, match="fitted without an offset, .* none to change"):
        copy_of(cascade).set_offset([0], [1.0])
    again = copy_of(bidding).index(data.items, offset=log_bid)
    with pytest.raises(KeyError, match="no items .120."):
        again.set_offset([120], [1.0])
    with pytest.raises(ValueError, match="ids must be distinct"):
        again.set_offset([1, 1], [1.0, 2.0])
    with pytest.raises(ValueError, match="one value per row"):
        again.set_offset([1, 2], [1.0])
    with pytest.raises(ValueError, match="takes no offset of rows"):
        bidding.score(data.X, data.y, offset=np.zeros(1600))
    with pytest.raises(ValueError, match="ids must be distinct"):
        again.index(data.items, ["a"] * N_ITEMS, offset=log_bid)
    assert_array_equal(again.rank(data.queries[:2])[0], bidding.rank(data.queries[:2])[0])


def test_losses_of_single_rows_and_of_labels_learn_without_the_offset(data, log_bid):
    """The logistic loss learns the log-probability as it is; labels contain no bid."""
    stages = [("retrieve", make_towers(data), 40), ("prerank", LinearRanker(loss="logistic"), 5)]
    cascade = fitted(make_bidding(data, stages, sources=("logged",)), data, log_bid)
    other = fitted(make_bidding(data, stages, sources=("logged",)), data, log_bid[::-1].copy())
    pairs = np.repeat(np.arange(9), N_ITEMS), np.tile(EVERY_ITEM, 9)
    scores, same = (
        one.funnel_.score_pairs(data.queries[:9], data.items, *pairs) for one in (cascade, other)
    )
    assert_allclose(scores["prerank_score"], same["prerank_score"], atol=1e-5)
    grid = np.log(probability_grid(cascade, data, data.queries[:9]))
    assert abs(scores["prerank_score"].mean() - grid.mean()) < 0.3
    fitted(make_bidding(data, [stages[0], ("p", LinearRanker(), 5)], alpha=0.0), data, log_bid)
