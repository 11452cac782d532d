"""plan_cascade: how many items each stage must pass on, computed from held-out queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skdistill.cascade.costs import StageCost, measure_costs
from skdistill.cascade.counting import StageOrders, recall_alone, recall_slabs
from skdistill.cascade.fitted import FittedCascade
from skdistill.cascade.plan import CascadePlan, Combinations, PlanWithout
from skdistill.cascade.restrictions import hidden_pairs
from skdistill.cascade.spec import StageSpec, read_stages
from skdistill.cascade.wanted import items_of, stage_orders, teachers_best
from skdistill.public_names import set_module

# A size is at most so many times the present one, unless sizes= says otherwise.
LARGEST_GROWTH = 5
# Ratio of neighbouring sizes that are tried; below 1 / (ratio - 1) every size is.
RATIO = 1.02
N_BOOTSTRAP = 500


@set_module("skdistill.cascade")
def plan_cascade(
    cascade: FittedCascade,
    queries: Any,
    k: int | None = None,
    *,
    target_recall: float | None = None,
    budget: float | None = None,
    wanted: Any = None,
    exclude: Any = None,
    mask: Any = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    costs: Mapping[str, StageCost] | None = None,
    confidence: float = 0.9,
    random_state: Any = None,
) -> CascadePlan:
    """Compute how many items each stage of a cascade must pass on.

    The recall of every combination of sizes is counted exactly, by one pass of the queries through
    all stages. Of the combinations whose lower confidence bound reaches ``target_recall``, the
    cheapest is chosen; within a ``budget``, the one with the highest bound.

    Parameters
    ----------
    cascade : RankingCascade
        Fitted. It is not changed, see :meth:`CascadePlan.apply`.
    queries : table of shape (n_queries, n_query_columns)
        Queries that the cascade was preferably not fitted on.
    k : int, optional
        Number of items that the last stage returns; its size by default.
    target_recall : float, optional
        Fraction of the wanted items that must come through. This or ``budget``.
    budget : float, optional
        Microseconds per query. This or ``target_recall``.
    wanted : sparse matrix of shape (n_queries, n_items), optional
        Non-zero entries mark the items that should come through, such as clicks. By default, the k
        items of the catalogue that the teacher scores highest, offset included.
    exclude : sparse matrix of shape (n_queries, n_items), optional
        Items that may not be returned.
    mask : array-like of shape (n_items,), bool, or sparse (n_queries, n_items), optional
        Items that may be returned, such as those in the city of a search; all by default.
    sizes : dict of str to sequence of int, optional
        Sizes to try, by name of the stage. By default, up to five times the present size, in steps
        of two per cent.
    costs : dict of str to StageCost, optional
        Cost of stages, in microseconds per query; other stages are measured.
    confidence : float, default=0.9
        Confidence of the lower bound, by the bootstrap over queries.
    random_state : int, RandomState or None, default=None
        Seeds the bootstrap.

    Returns
    -------
    CascadePlan

    Raises
    ------
    ValueError
        If neither or both of target and budget are given, no combination meets it, a stage limits
        scores, or an argument is invalid.

    Notes
    -----
    The recall of a cascade is not the product of the recalls of its stages, which are taught by one
    teacher and err on the same items. Nor need it grow with a size: more items may outrank a wanted
    one at the next stage.
    """
    if (target_recall is None) == (budget is None):
        raise ValueError("Pass either target_recall= or budget=.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}.")
    specs = read_stages(cascade.stages)
    k = cascade.check_places(k)
    tried = _sizes(specs, k, cascade.n_items, sizes)
    names = [spec.name for spec in specs]
    table = cascade.pair_columns_.check(queries, "query", keeps_numbers=True)
    if not table.shape[0]:
        raise ValueError("There are no queries to plan for.")
    hidden = hidden_pairs(exclude, mask, table.shape[0], cascade.n_items)
    if wanted is None:
        items = teachers_best(cascade, table, k, hidden)
    else:
        items = items_of(wanted, table.shape[0], cascade.n_items)
    orders = stage_orders(cascade, table, int(tried[0].max()), hidden, items)
    orders = orders.take(np.flatnonzero((orders.wanted >= 0).any(axis=1)))
    if not len(orders.item):
        raise ValueError("No query has a wanted item, so that there is nothing to plan for.")
    given = _costs(cascade, table, names, tried, costs)
    every = _count(orders, tried, [given[name] for name in names], confidence, random_state)
    chosen = _choose(every, every.lower, target_recall, budget)
    if chosen is None:
        raise ValueError(_reason(every, names, target_recall, budget, confidence))
    by_teacher = next((spec.name for spec in specs if spec.is_teacher), None)
    product = _choose(every, every.product, target_recall, budget)
    return CascadePlan(
        every.named(chosen, names),
        float(every.recall[chosen]),
        float(every.lower[chosen]),
        float(every.cost[chosen]),
        confidence,
        None if product is None else every.named(product, names),
        float("nan") if product is None else float(every.recall[product]),
        float("nan") if product is None else float(every.cost[product]),
        float("nan") if by_teacher is None else float(given[by_teacher].of(cascade.n_items)),
        _without_a_stage(every, chosen, given, target_recall, budget),
        given,
        every,
        cascade,
    )


def _reason(
    every: Combinations,
    names: list[str],
    target_recall: float | None,
    budget: float | None,
    confidence: float,
) -> str:
    """Say why no combination meets what is asked for, and what does the most."""
    if budget is not None:
        return f"No sizes cost {budget:g} us or less: the cheapest cost {every.cost.min():.0f} us."
    best = int(np.argmax(every.lower))
    largest = dict(zip(names, every.sizes.max(axis=0).tolist(), strict=True))
    return (
        f"No sizes up to {largest} reach a recall of {target_recall:g} with {confidence:.0%} "
        f"confidence: the best are {every.named(best, names)}, with {every.recall[best]:.4f} and "
        f"at least {every.lower[best]:.4f}. Pass larger sizes=, or improve the stage that loses "
        "most (cascade_report)."
    )


def _costs(
    cascade: FittedCascade,
    queries: Any,
    names: list[str],
    tried: list[NDArray[np.int64]],
    costs: Mapping[str, StageCost] | None,
) -> dict[str, StageCost]:
    """Return the given costs, and measure those that are not given."""
    given = dict(costs or {})
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"costs names {unknown}, which are no stages: {names}.")
    if set(names) != set(given):
        widths = dict(zip(names, [int(s.max()) for s in (tried[0], *tried[:-1])], strict=True))
        given = measure_costs(cascade.funnel_, queries, widths) | given
    return {name: given[name] for name in names}


def _choose(
    every: Combinations,
    measure: NDArray[np.float64],
    target_recall: float | None,
    budget: float | None,
) -> int | None:
    """Return the cheapest combination that reaches the target, or the best within the budget."""
    if target_recall is not None:
        meets = np.flatnonzero(measure >= target_recall)
    else:
        assert budget is not None
        meets = np.flatnonzero(every.cost <= budget)
    first, second = _keys(every, measure, target_recall)
    return int(meets[np.lexsort((second[meets], first[meets]))[0]]) if len(meets) else None


def _keys(
    every: Combinations, measure: NDArray[np.float64], target_recall: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What combinations are chosen by, the less the better: cost first if there is a target."""
    return (every.cost, -measure) if target_recall is not None else (-measure, every.cost)


def _without_a_stage(
    every: Combinations,
    chosen: int,
    costs: Mapping[str, StageCost],
    target_recall: float | None,
    budget: float | None,
) -> PlanWithout | None:
    """Plan without each stage between the first and the last; return the best if it is better.

    A stage that passes on all that it gets changes no recall, and costs only time.
    """
    names = list(costs)
    best, found = [key[chosen] for key in _keys(every, every.lower, target_recall)], None
    for number in range(1, len(names) - 1):
        others = every.without(number, costs[names[number]])
        row = _choose(others, others.lower, target_recall, budget)
        keys = _keys(others, others.lower, target_recall)
        if row is not None and [key[row] for key in keys] < best:
            best = [key[row] for key in keys]
            rest = [name for name in names if name != names[number]]
            found = PlanWithout(
                names[number],
                others.named(row, rest),
                *(float(of[row]) for of in (others.recall, others.lower, others.cost)),
            )
    return found


def _sizes(
    specs: list[StageSpec],
    k: int,
    n_items: int,
    given: Mapping[str, Sequence[int]] | None,
) -> list[NDArray[np.int64]]:
    """Sizes to try for each stage; the last one returns k."""
    given = given or {}
    names = [spec.name for spec in specs[:-1]]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(
            f"sizes names {unknown}; sizes can be tried for {names}, and the last stage returns k."
        )
    for spec in specs[1:]:
        if (spec.cut.min_score, spec.cut.max_drop) != (None, None):
            raise ValueError(
                f"The stage {spec.name!r} limits scores, so that sizes alone do not say what "
                "passes. Set its min_score and max_drop to None to plan."
            )
    tried = []
    for spec in specs[:-1]:
        if spec.name in given:
            of_stage = np.unique(np.asarray(given[spec.name], dtype=np.int64))
            if not len(of_stage) or of_stage[0] < 1:
                raise ValueError(f"sizes of the stage {spec.name!r} must be positive.")
            if of_stage[-1] < k:
                raise ValueError(
                    f"sizes of the stage {spec.name!r} are all below the k={k} items that the last "
                    "stage returns."
                )
        else:
            of_stage = geometric_sizes(k, min(LARGEST_GROWTH * spec.cut.size, n_items))
        tried.append(np.minimum(of_stage, n_items))
    return [*tried, np.array([k])]


def geometric_sizes(low: int, high: int) -> NDArray[np.int64]:
    """Return sizes of which each is at most two per cent, or one item, larger than the one before.

    Parameters
    ----------
    low, high : int
        The smallest and the largest size.

    Returns
    -------
    ndarray of int64
        Ascending and distinct.
    """
    low = min(low, high)
    sizes = [low]
    while sizes[-1] < high:
        sizes.append(min(max(sizes[-1] + 1, int(sizes[-1] * RATIO)), high))
    return np.array(sizes, dtype=np.int64)


def _count(
    orders: StageOrders,
    tried: list[NDArray[np.int64]],
    costs: list[StageCost],
    confidence: float,
    random_state: Any,
) -> Combinations:
    """Count recall, bound, cost and product of all combinations that do not grow."""
    n_queries = len(orders.item)
    rng = check_random_state(random_state)
    draws = rng.multinomial(n_queries, np.full(n_queries, 1 / n_queries), size=N_BOOTSTRAP)
    weights = (draws / n_queries).astype(np.float32)
    alone = recall_alone(orders, tried)
    parts: list[tuple[Any, ...]] = []
    for first, slab in recall_slabs(orders, tried):
        grid = np.stack(np.meshgrid(tried[-2], tried[-1], indexing="ij"), axis=-1).reshape(-1, 2)
        sizes = np.column_stack([np.tile(first, (len(grid), 1)).astype(np.int64), grid])
        fits = (np.diff(sizes, axis=1) <= 0).all(axis=1)
        flat = slab.reshape(n_queries, -1)[:, fits]
        # Float32 weights do not sum to 1 exactly.
        bound = np.clip(np.quantile(weights @ flat, 1 - confidence, axis=0), 0.0, 1.0)
        parts.append((sizes[fits], flat.mean(axis=0, dtype=np.float64), bound))
    sizes = np.concatenate([part[0] for part in parts])
    rows = np.column_stack([sizes[:, :1], sizes[:, :-1]])
    cost = sum(one.of(rows[:, number]) for number, one in enumerate(costs))
    product = np.ones(len(sizes))
    for number, of_stage in enumerate(tried):
        product *= alone[number][np.searchsorted(of_stage, sizes[:, number])]
    recall = np.concatenate([part[1] for part in parts])
    lower = np.concatenate([part[2] for part in parts]).astype(np.float64)
    return Combinations(sizes, recall, lower, np.asarray(cost), product)
