"""plan_cascade against a brute force that ranks by every combination of sizes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from skdistill.cascade import StageCost, cascade_report, plan_cascade
from skdistill.cascade.planning import geometric_sizes
from skdistill.cascade.wanted import best_of, teacher_grid, teachers_best
from skdistill.serving import load, save

COSTS = {
    "retrieve": StageCost(100.0, 0.5),
    "prerank": StageCost(50.0, 1.0, 20.0, 0.5),
    "rank": StageCost(80.0, 10.0),
}


def copy_of(cascade):
    copied = clone(cascade)
    copied.__dict__.update(vars(cascade), stages=list(cascade.stages))
    return copied


def ranked_recall(cascade, queries, sizes, wanted, k):
    """The recall of the cascade itself, run with these sizes."""
    sized = copy_of(cascade).set_params(retrieve__size=sizes[0], prerank__size=sizes[1])
    ids, _ = sized.rank(queries, k)
    found = [len(set(a) & set(b)) / k for a, b in zip(ids.tolist(), wanted.tolist(), strict=True)]
    return float(np.mean(found))


def test_the_plan_is_the_cheapest_of_all_combinations(cascade, data):
    """Every combination is run through ``rank``; its recall is that of the plan, and its cost."""
    queries = data.queries[:25]
    k = 5
    wanted = teachers_best(cascade, queries, k)
    sizes = {"retrieve": [5, 9, 20, 40, 80, 120], "prerank": [5, 6, 10, 15, 30]}
    plan = plan_cascade(
        cascade, queries, k, target_recall=0.7, sizes=sizes, costs=COSTS, random_state=0
    )
    every = plan.combinations
    cheapest = np.inf
    for (first, second, last), recall, bound, cost in zip(
        every.sizes.tolist(), every.recall, every.lower, every.cost, strict=True
    ):
        assert last == k
        assert recall == pytest.approx(
            ranked_recall(cascade, queries, (first, second), wanted, k), abs=1e-6
        )
        assert cost == pytest.approx(100 + 0.5 * first + 70 + 1.5 * first + 80 + 10 * second)
        assert bound <= recall + 1e-6
        if bound >= 0.7:
            cheapest = min(cheapest, cost)
    assert len(every.cost) == sum(b <= a for a in sizes["retrieve"] for b in sizes["prerank"])
    assert plan.cost == pytest.approx(cheapest)
    assert plan.lower >= 0.7
    assert set(plan.sizes) == {"retrieve", "prerank", "rank"}


def test_the_default_sizes_cost_at_most_two_per_cent_more_than_all(cascade, data):
    everything = {"retrieve": range(5, 121), "prerank": range(5, 121)}
    given = {"target_recall": 0.8, "costs": COSTS, "random_state": 0}
    exact = plan_cascade(cascade, data.queries, 5, sizes=everything, **given)
    plan = plan_cascade(cascade, data.queries, 5, **given)
    assert exact.cost <= plan.cost <= 1.02 * exact.cost


def test_a_budget_buys_the_best_bound(cascade, data):
    plan = plan_cascade(cascade, data.queries[:50], 5, budget=500, costs=COSTS, random_state=0)
    every = plan.combinations
    assert plan.cost <= 500
    assert plan.lower == every.lower[every.cost <= 500].max()


def test_the_frontier_has_neither_a_cheaper_nor_a_better_neighbour(cascade, data):
    plan = plan_cascade(cascade, data.queries[:50], 5, budget=500, costs=COSTS)
    frame = plan.frame()
    assert (np.diff(frame["cost"]) > 0).all()
    assert (np.diff(frame["recall"]) > 0).all()
    every = plan.combinations
    for cost, recall in zip(frame["cost"], frame["recall"], strict=True):
        assert every.recall[every.cost <= cost].max() == recall


def test_the_bound_holds_for_other_queries(cascade, data):
    """Plans on half of the queries, their recall on the other half.

    The other half has a sampling error of its own, so that a bound of 95% lies below its recall in
    88% of all splits: in at least 6 of 10 independent ones, but for a chance of 1 in 250.
    """
    rng = np.random.default_rng(0)
    half = len(data.queries) // 2
    n_held = 0
    for split in range(10):
        shuffled = data.queries.iloc[rng.permutation(len(data.queries))]
        planned, others = shuffled[:half], shuffled[half:]
        plan = plan_cascade(
            cascade, planned, 5, target_recall=0.8, confidence=0.95, costs=COSTS, random_state=split
        )
        sizes = plan.sizes["retrieve"], plan.sizes["prerank"]
        recall = ranked_recall(cascade, others, sizes, teachers_best(cascade, others, 5), 5)
        n_held += recall >= plan.lower
    assert n_held >= 6, n_held


def test_a_plan_is_applied_without_a_fit(cascade, data):
    copied = copy_of(cascade)
    plan = plan_cascade(copied, data.queries[:50], 5, target_recall=0.7, costs=COSTS)
    assert copied.stages[0][2] == 40
    assert plan.apply() is copied
    assert [entry[2] for entry in copied.stages] == list(plan.sizes.values())
    assert copied.rank(data.queries[:2])[0].shape == (2, 5)


def test_labels_may_be_wanted_and_items_excluded(cascade, data):
    queries = data.queries[:30]
    rng = np.random.default_rng(0)
    seen = sparse.csr_array(rng.random((30, 120)) < 0.3)
    wanted = sparse.csr_array(rng.random((30, 120)) < 0.05)
    wanted = wanted - wanted.multiply(seen)
    plan = plan_cascade(
        cascade, queries, 5, budget=1e9, wanted=wanted, exclude=seen, costs=COSTS,
        sizes={"retrieve": [30], "prerank": [10]},
    )  # fmt: skip
    sized = copy_of(cascade).set_params(retrieve__size=30, prerank__size=10)
    ids, _ = sized.rank(queries, exclude=seen)
    marked = wanted.toarray() > 0
    asked = marked.any(axis=1)
    found = [marked[q, ids[q]].sum() / marked[q].sum() for q in np.flatnonzero(asked)]
    assert plan.recall == pytest.approx(np.mean(found))


@pytest.mark.parametrize("mask", ["of all queries", "of each query"])
@pytest.mark.parametrize("with_seen", [False, True])
def test_plans_and_reports_look_at_what_a_mask_allows(cascade, data, mask, with_seen):
    queries, rng = data.queries[:30], np.random.default_rng(0)
    allowed = rng.random((30, 120)) < 0.4
    if mask == "of all queries":
        allowed[:] = allowed[0]
    given = allowed[0] if mask == "of all queries" else sparse.csr_array(allowed)
    seen = sparse.csr_array(rng.random((30, 120)) < 0.2) if with_seen else None
    plan = plan_cascade(
        cascade, queries, 5, budget=1e9, mask=given, exclude=seen, costs=COSTS,
        sizes={"retrieve": [20], "prerank": [8]},
    )  # fmt: skip
    report = cascade_report(
        copy_of(cascade).set_params(retrieve__size=20, prerank__size=8), queries, k=5, mask=given,
        exclude=seen,
    )  # fmt: skip
    sized = copy_of(cascade).set_params(retrieve__size=20, prerank__size=8)
    ids, _ = sized.rank(queries, mask=given, exclude=seen)
    grid = teacher_grid(cascade, queries)
    hidden = ~allowed if seen is None else ~allowed | (seen.toarray() != 0)
    wanted = best_of(np.where(hidden, -np.inf, grid), 5)
    found = [len(set(a) & set(b)) / 5 for a, b in zip(ids.tolist(), wanted.tolist(), strict=True)]
    assert 0.3 < np.mean(found) < 1
    assert plan.recall == pytest.approx(np.mean(found))
    assert report.recall == pytest.approx(np.mean(found))
    assert report.stages[-1].recall == pytest.approx(np.mean(found))


def test_masks_of_other_shapes_are_refused(cascade, data):
    for given in (np.ones(119, dtype=bool), np.ones(120), sparse.csr_array((4, 120))):
        with pytest.raises(ValueError, match="mask must be"):
            plan_cascade(cascade, data.queries[:5], 5, budget=1e9, mask=given)
        with pytest.raises(ValueError, match="mask must be"):
            cascade_report(cascade, data.queries[:5], mask=given)


def test_costs_are_measured(cascade, data):
    plan = plan_cascade(cascade, data.queries[:30], 5, target_recall=0.5)
    assert set(plan.costs) == {"retrieve", "prerank", "rank"}
    for cost in plan.costs.values():
        assert cost.of(100) > 0
    assert plan.cost > 0
    assert "recall" in str(plan)


def test_a_stage_that_drops_nothing_is_named(cascade, data):
    sizes = {"retrieve": [40], "prerank": [40]}
    plan = plan_cascade(cascade, data.queries[:30], 5, budget=1e9, sizes=sizes, costs=COSTS)
    assert plan.without.stage == "prerank"
    assert plan.without.lower == plan.lower
    assert plan.cost - plan.without.cost == 130
    assert "Without the stage 'prerank': retrieve 40 -> rank 5" in str(plan)


def test_a_plan_tells_the_teacher_alone_and_what_each_stage_takes(cascade, data):
    sizes = {"retrieve": [40], "prerank": [39]}
    plan = plan_cascade(cascade, data.queries[:30], 5, budget=1e9, sizes=sizes, costs=COSTS)
    assert plan.teacher_cost == 80 + 10 * len(data.items)
    assert "on the whole catalogue: 1280 us" in str(plan)
    assert plan.rows() == [
        ["stage", "gets", "returns", "us", "of these features"],
        ["retrieve", "", 40, "120", "0"],
        ["prerank", 40, 39, "130", "40"],
        ["rank", 39, 5, "470", "0"],
    ]
    assert sum(float(row[3]) for row in plan.rows()[1:]) == plan.cost
    assert repr(plan) == str(plan)
    assert plan.without is None
    assert "Without" not in str(plan)


@pytest.mark.parametrize(("per_row", "target", "is_dear"), [(8, 0.7, True), (0.01, 0.9, False)])
def test_a_stage_that_costs_more_than_it_spares_is_named(cascade, data, per_row, target, is_dear):
    """By brute force: a cascade of two stages is planned beside that of three."""
    queries, sizes = data.queries[:30], np.arange(5, 71)
    costs = COSTS | {"prerank": StageCost(1.0, per_row)}
    given = {"costs": costs, "random_state": 0}
    tried = {"retrieve": sizes, "prerank": sizes}
    every = plan_cascade(cascade, queries, 5, budget=1e9, sizes=tried, **given).combinations
    idle = every.sizes[:, 0] == every.sizes[:, 1]
    two = every.cost[idle] - 1 - per_row * every.sizes[idle, 0]
    expected = 100 + 0.5 * every.sizes[idle, 0] + 80 + 10 * every.sizes[idle, 0]
    assert_allclose(two, expected)

    plan = plan_cascade(cascade, queries, 5, target_recall=target, sizes=tried, **given)
    cheapest = two[every.lower[idle] >= target].min()
    assert (cheapest < plan.cost) == is_dear
    if is_dear:
        assert plan.without.stage == "prerank"
        assert list(plan.without.sizes) == ["retrieve", "rank"]
        assert plan.without.cost == pytest.approx(cheapest)
        assert plan.without.lower >= target
        assert "Without the stage 'prerank': retrieve" in str(plan)
    else:
        assert plan.without is None

    budget = plan.cost
    plan = plan_cascade(cascade, queries, 5, budget=budget, sizes=tried, **given)
    best = every.lower[idle][two <= budget].max()
    assert (best > plan.lower) == is_dear
    assert (plan.without is not None) == is_dear
    if is_dear:
        assert plan.without.lower == best
        assert plan.without.cost <= budget


def test_bounds_are_recalls(cascade, data):
    """The weights of the bootstrap are float32, and do not sum to 1 exactly."""
    n_items = len(data.items)
    whole = copy_of(cascade).set_params(retrieve__size=n_items, prerank__size=n_items)
    plan = plan_cascade(
        whole, data.queries[:70], n_items, budget=1e9, costs=COSTS, confidence=0.01,
        sizes={"retrieve": [n_items], "prerank": [n_items]},
    )  # fmt: skip
    assert plan.recall == 1
    assert plan.lower <= 1


def test_a_stored_cascade_is_planned_by_the_stage_that_is_its_teacher(cascade, data, tmp_path):
    save(cascade, tmp_path / "cascade.skd")
    stored = load(tmp_path / "cascade.skd")
    assert stored.teacher_ is None
    given = {"target_recall": 0.7, "costs": COSTS, "random_state": 0}
    plans = [plan_cascade(one, data.queries[:30], 5, **given) for one in (cascade, stored)]
    assert plans[0].sizes == plans[1].sizes
    assert plans[0].lower == plans[1].lower


def test_steps_are_of_two_per_cent():
    sizes = geometric_sizes(10, 1000)
    assert sizes[0] == 10
    assert sizes[-1] == 1000
    assert (np.diff(sizes) <= np.maximum(1, 0.02 * sizes[:-1])).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either target_recall= or budget="),
        ({"target_recall": 0.9, "budget": 1.0}, "either target_recall= or budget="),
        ({"budget": 1.0}, "No sizes cost 1 us or less: the cheapest cost"),
        (
            {"target_recall": 1.01},
            r"reach a recall of 1.01 with 90% confidence: the best are \{'retrieve'",
        ),
        ({"budget": 1e9, "sizes": {"rank": [1]}}, r"sizes names \['rank'\]"),
        ({"budget": 1e9, "sizes": {"prerank": [0]}}, "must be positive"),
        ({"budget": 1e9, "costs": {"x": COSTS["rank"]}}, r"costs names \['x'\]"),
        ({"budget": 1e9, "wanted": sparse.csr_array((2, 3))}, r"shape \(20, 120\), got \(2, 3\)"),
        ({"budget": 1e9, "wanted": sparse.csr_array((20, 120))}, "No query has a wanted item"),
        ({"budget": 1e9, "confidence": 90}, "confidence must lie between 0 and 1, got 90"),
        ({"budget": 1e9, "sizes": {"retrieve": [4]}}, "all below the k=5 items"),
        ({"budget": 1e9, "exclude": sparse.csr_array((3, 120))}, r"exclude must be .*\(20, 120\)"),
    ],
)
def test_bad_arguments_are_refused(cascade, data, arguments, message):
    given = {"costs": COSTS, **arguments}
    with pytest.raises(ValueError, match=message):
        plan_cascade(cascade, data.queries[:20], 5, **given)


def test_limits_on_scores_cannot_be_planned(cascade, data):
    limited = copy_of(cascade).set_params(prerank__min_score=0.0)
    with pytest.raises(ValueError, match="'prerank' limits scores"):
        plan_cascade(limited, data.queries[:20], 5, budget=1e9, costs=COSTS)


def test_there_is_nothing_to_plan_for(cascade, data):
    with pytest.raises(ValueError, match="no queries to plan for"):
        plan_cascade(cascade, data.queries[:0], 5, budget=1e9, costs=COSTS)
    with pytest.raises(ValueError, match="k=16 items cannot come through"):
        plan_cascade(cascade, data.queries[:5], 16, budget=1e9, costs=COSTS)


def test_a_catalogue_may_be_smaller_than_the_sizes(cascade, data):
    small = copy_of(cascade).index(data.items[:4])
    plan = plan_cascade(small, data.queries[:20], 5, target_recall=0.5, costs=COSTS)
    assert plan.sizes == {"retrieve": 4, "prerank": 4, "rank": 4}
    assert plan.recall == 1
