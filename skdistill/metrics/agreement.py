"""How far a student ranks as its teacher does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.queries import Queries
from skdistill.metrics.ordering import Ranking, TieGroups, check_k


def teacher_recall(
    teacher_scores: ArrayLike,
    student_scores: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int = 10,
    m: int = 50,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean over queries of the share of the teacher's first k rows among the student's first m.

    What is lost by returning m items of a cheap stage to a strong one that shows k. The teacher's
    ties are broken by the order of the table, the student's against it: a row of the teacher's top
    comes last among its equals, so that a constant score earns nothing.

    Parameters
    ----------
    teacher_scores, student_scores : array-like of shape (n_rows,)
    qid : array-like of shape (n_rows,) or None
    k, m : int, default=10, 50
        A query of fewer rows counts with what it has.
    sample_weight : array-like of shape (n_rows,), optional
        A query counts with the mean weight of its rows.
    """
    check_k(k)
    check_k(m, "m")
    ranking = Ranking.check(teacher_scores, student_scores, qid, sample_weight)
    queries = ranking.queries
    wanted = (queries.rank_descending(ranking.y_true) < k).astype(np.float64)
    by_student = Ranking(queries, wanted, ranking.y_score, ranking.weight)
    returned = by_student.order("pessimistic")
    found = queries.sum(wanted[returned] * (queries.position < m))
    return ranking.mean(
        found / np.minimum(queries.sizes, k), np.ones(len(found), dtype=bool), "skip", "a row"
    )


def kendall_tau(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    empty: str = "skip",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean over queries of Kendall's tau-b: agreeing less disagreeing pairs, ties discounted.

    O(n log n) for a list of n rows.

    Parameters
    ----------
    y_true, y_score : array-like of shape (n_rows,)
    qid : array-like of shape (n_rows,) or None
    empty : {"skip", "zero", "one"}, default="skip"
        What a query counts in which either side is constant.
    sample_weight : array-like of shape (n_rows,), optional
        A query counts with the mean weight of its rows.

    References
    ----------
    Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 1945.
    """
    ranking = Ranking.check(y_true, y_score, qid, sample_weight)
    queries = ranking.queries
    x, y = ranking.y_true, ranking.y_score
    by_y = np.lexsort((y, queries.segment))
    y_ties = TieGroups.of(queries, y[by_y])
    y_rank = np.empty(queries.n_rows, dtype=np.int64)
    y_rank[by_y] = y_ties.queries.segment - queries.spread(y_ties.queries.segment[queries.starts])
    by_x = np.lexsort((y, x, queries.segment))
    x_ties = TieGroups.of(queries, x[by_x])
    both_ties = TieGroups.of(queries, x[by_x], y[by_x])
    discordant = _inversions(y_rank[by_x], queries)
    pairs = queries.sizes * (queries.sizes - 1) / 2.0
    x_tied, y_tied = x_ties.tied_pairs(queries), y_ties.tied_pairs(queries)
    untied = pairs - x_tied - y_tied + both_ties.tied_pairs(queries)
    scale = np.sqrt((pairs - x_tied) * (pairs - y_tied))
    values = np.divide(untied - 2 * discordant, scale, out=np.zeros_like(scale), where=scale > 0)
    return ranking.mean(values, scale > 0, empty, "two different values on both sides")


def _inversions(rank: NDArray[np.int64], queries: Queries) -> NDArray[np.float64]:
    """Pairs of each query that stand in descending order of rank.

    Two ranks compare by the highest bit in which they differ. Bit by bit, from the top: in each
    run that shares the higher bits, every 0 is inverted with the 1s before it; then the run is
    split by the bit, order kept. All runs of all queries at once.
    """
    total = np.zeros(queries.n_queries)
    segment = queries.segment
    rows = np.arange(len(rank))
    for bit in range(int(rank.max()).bit_length() - 1, -1, -1):
        ordered = rank[rows]
        runs = TieGroups.of(queries, ordered >> (bit + 1)).queries
        ones = (ordered >> bit) & 1
        before = np.cumsum(ones)
        before -= runs.spread(before[runs.starts] - ones[runs.starts])
        total += np.bincount(
            segment, weights=np.where(ones == 0, before, 0), minlength=queries.n_queries
        )
        rows = rows[np.lexsort((ones, runs.segment))]
    return total
