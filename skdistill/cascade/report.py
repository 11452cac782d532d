"""cascade_report: where a cascade loses what it should return, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skdistill.cascade.blocks import query_blocks, stack_padded
from skdistill.cascade.candidates import Candidates
from skdistill.cascade.cuts import Cut
from skdistill.cascade.fitted import FittedCascade
from skdistill.cascade.funnel import Funnel
from skdistill.cascade.gains import ceilings, ndcg_of_lists
from skdistill.cascade.report_tables import CascadeReport, RivalReport, StageReport
from skdistill.cascade.restrictions import hidden_pairs
from skdistill.cascade.survival import StageLists, contains, first_loss, run_stages
from skdistill.cascade.wanted import best_of, teacher_grid
from skdistill.inputs.columns import row_codes, take_rows
from skdistill.metrics import RatioInterval, bootstrap_ratio, kendall_tau, rank_biased_overlap
from skdistill.public_names import set_module

# Queries whose candidates are scored by all stages at once.
QUERY_BLOCK = 64
# Queries that are timed one by one.
TIMED_QUERIES = 100


@set_module("skdistill.cascade")
def cascade_report(
    cascade: FittedCascade,
    X: Any,
    y: ArrayLike | None = None,
    *,
    qid: ArrayLike | None = None,
    k: int | None = None,
    exclude: Any = None,
    mask: Any = None,
    rivals: Mapping[str, FittedCascade] | None = None,
    random_state: Any = 0,
) -> CascadeReport:
    """Report what each stage of a cascade keeps, loses and costs.

    Parameters
    ----------
    cascade : RankingCascade
        Fitted, and with its teacher.
    X : table
        Without ``y``: queries, of shape (n_queries, n_query_columns). With ``y``: a log with the
        columns of ``fit``. Its queries were preferably not in ``fit``.
    y : array-like of shape (n_rows,), optional
        Labels of the log, the truth of NDCG with the gain :math:`2^y - 1`, times ``exp(offset)`` if
        the cascade was fitted with an offset. By default, the truth is the teacher's order: its
        best item gains 1, and the gain falls evenly to 0 after the k-th.
    qid : array-like of shape (n_rows,), optional
        Query of each row of the log.
    k : int, optional
        Number of items that count; the size of the last stage by default.
    exclude : sparse matrix of shape (n_queries, n_items), optional
        Items that may not be returned. With a log, the queries are in the order of the sorted
        query ids.
    mask : array-like of shape (n_items,), bool, or sparse (n_queries, n_items), optional
        Items that may be returned, such as those in the city of a search; all by default.
    rivals : dict of str to RankingCascade, optional
        Fitted cascades to compare with, by name; see :func:`fit_rivals`.
    random_state : int, RandomState or None, default=0
        Seeds the bootstrap.

    Returns
    -------
    CascadeReport

    Raises
    ------
    NotFittedError
        If the cascade is not fitted.
    ValueError
        If the cascade has no teacher, there are no queries, or an argument is invalid.

    Notes
    -----
    The teacher's order is that of its scores plus offset, if there is one, like that of the stages.
    A wanted item, one of the teacher's best k, is lost where the first stage does not pass it on:
    the parts sum to the whole loss. What a stage loses is not what it would cost to improve it;
    ``as_teacher`` tells what the cascade would reach if this stage alone were perfect.
    """
    k = cascade.check_places(k)
    for name, rival in (rivals or {}).items():
        _check_catalogue(name, rival, cascade)
    if y is None:
        labels = None
        queries = cascade.pair_columns_.check(X, "query", keeps_numbers=True)
    else:
        log = cascade.read_labelled(X, y, qid)
        queries, labels = log.table, log.gains
    if not queries.shape[0]:
        raise ValueError("There are no queries to report on.")
    hidden = hidden_pairs(exclude, mask, queries.shape[0], cascade.n_items)
    grid = teacher_grid(cascade, queries, hidden)
    wanted = best_of(grid, k)
    if (wanted < 0).all():
        raise ValueError("Every item is excluded for every query: there is nothing to report on.")
    gains = _gains_of_order(wanted, k, cascade.n_items) if labels is None else labels
    case = _Case(queries, hidden, grid, wanted, gains, k)
    ours = _outcome(cascade, case)
    stages = _stage_reports(cascade, case, ours)
    by_rival = {name: (rival, _outcome(rival, case)) for name, rival in (rivals or {}).items()}
    return CascadeReport(
        stages,
        [
            _rival_report(name, ours, outcome, random_state, rival)
            for name, (rival, outcome) in by_rival.items()
        ],
        float(np.nanmean(ours.ndcg)),
        float(np.nanmean(ours.recall)),
        float(np.nanmean(ndcg_of_lists(wanted, gains, k))),
        k,
        queries.shape[0],
        "the teacher's order" if labels is None else "labels",
    )


def _check_catalogue(name: str, rival: FittedCascade, cascade: FittedCascade) -> None:
    """Check that a rival ranks the same catalogue, in the same order."""
    rival.check_fitted()
    same = rival.n_items == cascade.n_items
    if same:
        its, ours = row_codes(rival.funnel_.items, cascade.funnel_.items)
        same = bool((its == ours).all())
    if not same:
        raise ValueError(
            f"The rival {name!r} ranks another catalogue, or the same in another order. Call its "
            "index(items) with the catalogue of the cascade."
        )


@dataclass(frozen=True)
class _Case:
    """Queries, and what should be returned for them."""

    queries: Any
    hidden: Any
    grid: NDArray[np.float64]
    wanted: NDArray[np.int64]
    gains: Any
    k: int

    def cuts_of(self, cascade: FittedCascade) -> list[Cut]:
        """What the stages of a cascade pass on, if the last one returns k items."""
        *cuts, last = cascade.stage_cuts()
        return [*cuts, replace(last, size=self.k)]


@dataclass(frozen=True)
class _Outcome:
    """What a cascade returned, with its measures by query."""

    stages: list[StageLists]
    ndcg: NDArray[np.float64]
    recall: NDArray[np.float64]
    agreement: list[float]


def _outcome(cascade: FittedCascade, case: _Case) -> _Outcome:
    """Run a cascade on the queries, and measure what it returns."""
    cuts = case.cuts_of(cascade)
    stages = run_stages(cascade.funnel_, case.queries, cuts, case.hidden)
    found = contains(stages[-1].passed, case.wanted, cascade.n_items)
    n_wanted = (case.wanted >= 0).sum(axis=1)
    # As in a plan, queries without a wanted item do not count.
    recall = np.divide(
        found.sum(axis=1), n_wanted, out=np.full(len(found), np.nan), where=n_wanted > 0
    )
    ndcg = ndcg_of_lists(stages[-1].passed, case.gains, case.k)
    return _Outcome(stages, ndcg, recall, _agreement(stages))


def _stage_reports(cascade: FittedCascade, case: _Case, ours: _Outcome) -> list[StageReport]:
    """Report each stage."""
    n_items, stages = cascade.n_items, ours.stages
    lost_at = first_loss(stages, case.wanted, n_items)
    n_wanted = (case.wanted >= 0).sum(axis=1)
    has_wanted = n_wanted > 0
    times = _times(cascade, case)
    swapped = _swaps(cascade, case)
    reports = []
    reached = 1.0
    for number, (name, lists) in enumerate(zip(cascade.stage_names(), stages, strict=True)):
        lost = ((lost_at == number).sum(axis=1)[has_wanted] / n_wanted[has_wanted]).mean()
        left = reached - lost
        tau, overlap = _agreement_with_next(number, stages, case)
        reports.append(
            StageReport(
                name,
                lists.size,
                float(left),
                float(left / reached) if reached > 0 else float("nan"),
                float(lost),
                float(np.nanmean(ceilings(lists.passed, case.gains, case.k))),
                float(np.nanmean(ndcg_of_lists(swapped[number], case.gains, case.k))),
                tau,
                overlap,
                ours.agreement[number],
                float(np.quantile(times[name], 0.5)),
                float(np.quantile(times[name], 0.99)),
                _curve(lists.item, case.wanted, n_items),
            )
        )
        reached = left
    return reports


def _agreement(stages: list[StageLists]) -> list[float]:
    """Fraction of pairs of what the last stage gets that each stage orders as it does."""
    last = stages[-1]
    agreements = []
    for lists in stages[:-1]:
        tau = _compared(lists, last, kendall_tau)
        agreements.append((1 + tau) / 2)
    return [*agreements, 1.0]


def _agreement_with_next(number: int, stages: list[StageLists], case: _Case) -> tuple[float, float]:
    """Kendall's tau and rank-biased overlap of a stage with the next one, or the teacher."""
    lists = stages[number]
    if number + 1 < len(stages):
        other = stages[number + 1]
    else:
        taught = np.take_along_axis(case.grid, np.maximum(lists.item, 0), axis=1)
        other = replace(lists, score=np.where(lists.item >= 0, taught, -np.inf))
    return _compared(lists, other, kendall_tau), _compared(lists, other, rank_biased_overlap)


def _compared(left: StageLists, right: StageLists, metric: Any) -> float:
    """Compare two stages on the items that the second one gets."""
    query, place = np.nonzero(right.item >= 0)
    counts = np.bincount(query, minlength=len(right.item))
    n_items = int(max(left.item.max(), right.item.max())) + 1
    # Padding, -1, writes into a last column of its own.
    by_left = np.full((len(left.item), n_items + 1), -np.inf)
    by_left[np.arange(len(left.item))[:, None], left.item] = left.score
    scores = by_left[query, right.item[query, place]]
    kept = np.isfinite(scores) & (counts[query] > 1)
    if not kept.any():
        return float("nan")
    return metric(right.score[query, place][kept], scores[kept], query[kept])


def _curve(item: NDArray[np.int64], wanted: NDArray[np.int64], n_items: int) -> NDArray[np.float64]:
    """Fraction of the wanted items among the first 1, 2, ... items."""
    n_wanted = (wanted >= 0).sum(axis=1)
    asked = n_wanted > 0
    is_wanted = contains(wanted[asked], item[asked], n_items)
    return (np.cumsum(is_wanted, axis=1) / n_wanted[asked, None]).mean(axis=0)


def _times(cascade: FittedCascade, case: _Case) -> dict[str, list[float]]:
    """Microseconds of each stage in requests of one query."""
    n = case.queries.shape[0]
    times: dict[str, list[float]] = {name: [] for name in cascade.stage_names()}
    asked = np.unique(np.linspace(0, n - 1, min(n, TIMED_QUERIES)).astype(np.int64))
    for request, query in enumerate([int(asked[0]), *asked.tolist()]):
        hidden = None if case.hidden is None else case.hidden[[query]]
        one = take_rows(case.queries, np.array([query]))
        trace = cascade.rank(one, exclude=hidden, return_stages=True)[2]
        if request:  # the first one warms up
            for name, seconds in trace.seconds.items():
                times[name].append(1e6 * seconds)
    return times


def _swaps(cascade: FittedCascade, case: _Case) -> list[NDArray[np.int64]]:
    """What the cascade would return if one stage ranked by the teacher's scores."""
    cuts, funnel = case.cuts_of(cascade), cascade.funnel_
    results: list[list[NDArray[np.int64]]] = [[] for _ in cuts]
    for block, queries, hidden in query_blocks(case.queries, QUERY_BLOCK, case.hidden):
        grid = case.grid[block]
        found = funnel.retrieval.retrieve(queries, cuts[0].size, hidden, None).limited(cuts[0])
        usual = _scored(funnel, queries, found)
        best = best_of(grid, cuts[0].size)
        found = Candidates(best, np.take_along_axis(grid, np.maximum(best, 0), axis=1))
        perfect = _scored(funnel, queries, found)
        for number in range(len(cuts)):
            start = perfect if number == 0 else usual
            results[number].append(_run_swapped(funnel, cuts, start, number, grid))
    return [stack_padded(parts, -1, case.k) for parts in results]


def _scored(funnel: Funnel, queries: Any, found: Candidates) -> Candidates:
    """Add the scores of all stages to candidates."""
    columns = funnel.score_pairs(queries, funnel.items, *found.pairs())
    return replace(found, columns={name: found.matrix(values) for name, values in columns.items()})


def _run_swapped(
    funnel: Funnel,
    cuts: Sequence[Cut],
    found: Candidates,
    swapped: int,
    grid: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Let candidates pass through the later stages, one of which has the teacher's scores.

    Later stages still get the scores of the stage itself as a column, as they are used to.
    """
    for number, stage in enumerate(funnel.stages, 1):
        found = found.head(cuts[number - 1])
        query, item = found.pairs()
        if number == swapped:
            scores = grid[query, item]
        else:
            scores = funnel.comparable(stage, found.flat_columns()[stage.column], item)
        found = found.sorted_by(scores)
        if number != swapped:
            found = found.limited(cuts[number])
    return found.head(cuts[-1]).item


def _gains_of_order(wanted: NDArray[np.int64], k: int, n_items: int) -> Any:
    """Gains from the teacher's order: 1 for its best item, evenly down to 0 after the k-th."""
    query, place = np.nonzero(wanted >= 0)
    gains = 1 - place / k
    return sparse.csr_array((gains, (query, wanted[query, place])), shape=(len(wanted), n_items))


def _rival_report(
    name: str, ours: _Outcome, its: _Outcome, random_state: Any, rival: FittedCascade
) -> RivalReport:
    """Compare the measures of two cascades, query by query."""

    def ratio(left: NDArray[np.float64], right: NDArray[np.float64]) -> RatioInterval:
        defined = np.isfinite(left) & np.isfinite(right)
        if not right[defined].any():
            return RatioInterval(float("nan"), float("nan"), float("nan"))
        return bootstrap_ratio(left[defined], right[defined], random_state=random_state)

    return RivalReport(
        name,
        float(np.nanmean(its.ndcg)),
        float(np.nanmean(its.recall)),
        ratio(ours.ndcg, its.ndcg),
        ratio(ours.recall, its.recall),
        dict(zip(rival.stage_names()[:-1], its.agreement, strict=False)),
    )
