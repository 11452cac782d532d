"""Agreement between the rankings of a student and its teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.checks import check_k
from skdistill.inputs.offsets import log_unless_logs
from skdistill.inputs.queries import Queries
from skdistill.metrics.averaging import QueryValues, averaged
from skdistill.metrics.ordering import Ranking


@averaged
def teacher_recall(
    teacher_scores: ArrayLike,
    student_scores: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int = 10,
    m: int = 50,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> QueryValues:
    """Compute the mean fraction of the teacher's top k rows in the student's top m.

    It measures how much is lost if a cheap stage passes m items to a strong stage that shows k.
    Ties of the teacher are broken by the order of the table. Ties of the student are broken to its
    disadvantage, so that a constant score earns nothing.

    Parameters
    ----------
    teacher_scores : array-like of shape (n_rows,)
        The teacher's score of each row.
    student_scores : array-like of shape (n_rows,)
        The student's score of each row.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    k : int, default=10
        Size of the teacher's top; at most the number of rows of the query.
    m : int, default=50
        Number of rows that the student returns per query.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.
    offset : array-like of shape (n_rows,), optional
        Added to the scores of both before rows are ranked, such as a log bid. If all of the
        teacher's scores lie between 0 and 1, they are taken as probabilities, and the offset is
        added to their logarithms.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query counts.

    Raises
    ------
    ValueError
        If the arrays are empty, not finite or of different lengths, if a weight is negative, or if
        an option is invalid.

    Examples
    --------
    >>> from skdistill.metrics import teacher_recall
    >>> teacher_recall([3.0, 2.0, 1.0, 0.0], [0.3, 0.1, 0.2, 0.0], [7, 7, 7, 7], k=2, m=2)
    0.5
    """
    check_k(k)
    check_k(m, "m")
    ranking = Ranking.check(teacher_scores, student_scores, qid, sample_weight, offset)
    if ranking.offset is not None:
        ranking = replace(ranking, y_true=log_unless_logs(ranking.y_true) + ranking.offset)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        queries = block.queries
        wanted = (queries.rank_descending(block.y_true) < k).astype(np.float64)
        returned = replace(block, y_true=wanted).order("pessimistic")
        found = queries.sum(wanted[returned] * (queries.position < m))
        return found / np.minimum(queries.sizes, k), np.ones(len(found), dtype=bool)

    return ranking.by_query(measure, "skip", "a row")


def fraction_of_top(
    teacher_scores: NDArray[Any], student_scores: NDArray[Any], k: int, m: int
) -> NDArray[np.float64]:
    """Return the fraction of the teacher's top k columns in the student's top m, for each row.

    Ties are broken as in :func:`teacher_recall`.

    Raises
    ------
    ValueError
        If a score is not finite, because it would be ranked arbitrarily.
    """
    for name, scores in (("teacher", teacher_scores), ("student", student_scores)):
        if not np.isfinite(scores).all():
            query = int(np.argmin(np.isfinite(scores).all(axis=1)))
            raise ValueError(
                f"The scores of the {name} must be finite, but those of query number {query} (in "
                "sorted order) are not."
            )
    n_items = teacher_scores.shape[1]
    k, m = min(k, n_items), min(m, n_items)
    wanted = _first_columns(teacher_scores, k)
    # Ties with the m-th score count against the student, so that a constant score earns nothing.
    bar = np.partition(student_scores, n_items - m, axis=1)[:, [n_items - m]]
    above, at_bar = student_scores > bar, student_scores == bar
    wanted_at_bar = (at_bar & wanted).sum(axis=1)
    others_at_bar = at_bar.sum(axis=1) - wanted_at_bar
    places = m - above.sum(axis=1)
    return ((above & wanted).sum(axis=1) + np.clip(places - others_at_bar, 0, wanted_at_bar)) / k


def _first_columns(scores: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """Whether each column is among the k best of its row; ties go to the earlier column."""
    bar = np.partition(scores, scores.shape[1] - k, axis=1)[:, [scores.shape[1] - k]]
    above, at_bar = scores > bar, scores == bar
    places = k - above.sum(axis=1, keepdims=True)
    return above | (at_bar & (np.cumsum(at_bar, axis=1) <= places))


@averaged
def kendall_tau(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    empty: str = "skip",
    sample_weight: ArrayLike | None = None,
) -> QueryValues:
    r"""Compute the mean over queries of Kendall's tau-b.

    :math:`\tau_b = (P - Q) / \sqrt{(N - T_x) (N - T_y)}`, where P pairs of rows are in the same
    order by both scores, Q pairs are in opposite order, and :math:`T_x` and :math:`T_y` of the N
    pairs are tied on either side. It is computed in O(n log n).

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels, or scores to compare with.
    y_score : array-like of shape (n_rows,)
        Score of each row.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    empty : {"skip", "zero", "one"}, default="skip"
        How a query counts if either side is constant: not at all, as 0, or as 1.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.

    Returns
    -------
    float
        Between -1 and 1; 0 with an ``UndefinedMetricWarning`` if no query counts.

    Raises
    ------
    ValueError
        If the arrays are empty, not finite or of different lengths, if a weight is negative, or if
        an option is invalid.


    References
    ----------
    Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 1945.

    Examples
    --------
    >>> from skdistill.metrics import kendall_tau
    >>> kendall_tau([1, 2, 3, 4], [0.1, 0.2, 0.4, 0.3], [7, 7, 7, 7])
    0.6666666666666666
    """
    ranking = Ranking.check(y_true, y_score, qid, sample_weight)
    return ranking.by_query(_kendall_tau, empty, "two different values on both sides")


def _kendall_tau(ranking: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return Kendall's tau-b of each query, and whether neither side is constant."""
    queries, x, y = ranking.queries, ranking.y_true, ranking.y_score
    by_y = queries.sort_descending(y)
    y_ties = queries.ties(y[by_y])
    # Sorting is stable, so that rows with equal x stay in the order of y.
    by_x = by_y[queries.sort_descending(x[by_y])]
    x, y = x[by_x], y[by_x]
    pairs = queries.sizes * (queries.sizes - 1) / 2.0
    x_tied, y_tied, both_tied = (
        _tied_pairs(queries, blocks) for blocks in (queries.ties(x), y_ties, queries.ties(x, y))
    )
    untied = pairs - x_tied - y_tied + both_tied
    scale = np.sqrt((pairs - x_tied) * (pairs - y_tied))
    difference = untied - 2 * _inversions(y, queries)
    return np.divide(difference, scale, out=np.zeros_like(scale), where=scale > 0), scale > 0


@averaged
def rank_biased_overlap(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    p: float = 0.9,
    sample_weight: ArrayLike | None = None,
) -> QueryValues:
    r"""Compute the mean over queries of the rank-biased overlap of two orders.

    With :math:`A_d` the agreement of the first d places of both orders, it is
    :math:`\frac{1 - p}{p} \sum_{d=1}^{n} A_d p^d + A_n p^n`, where the last term stands for the
    places beyond the n rows. Tied rows all stand at the first place of their block, and the
    agreement is twice the number of rows that both beginnings share, divided by the rows of both.
    Unlike :func:`kendall_tau`, it weighs the first places most: the first :math:`1 / (1 - p)`
    places have about 86% of the weight.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Scores to compare with.
    y_score : array-like of shape (n_rows,)
        Score of each row.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    p : float, default=0.9
        Weight of a place relative to the one before, between 0 and 1.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.

    Returns
    -------
    float
        Between 0 and 1; 1 for equal orders.

    Raises
    ------
    ValueError
        If the arrays are empty, not finite or of different lengths, if a weight is negative, or if
        p is not between 0 and 1.

    References
    ----------
    Webber, Moffat, Zobel, "A Similarity Measure for Indefinite Rankings", TOIS 2010.

    Examples
    --------
    >>> from skdistill.metrics import rank_biased_overlap
    >>> round(rank_biased_overlap([3, 2, 1], [2.0, 3.0, 1.0], [7, 7, 7]), 3)
    0.9
    """
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1, both excluded, got {p!r}.")
    ranking = Ranking.check(y_true, y_score, qid, sample_weight)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        queries = block.queries
        by_true, by_score = (_first_places(queries, of) for of in (block.y_true, block.y_score))
        # A row is in both beginnings from the depth of the worse of its two places on.
        shared = _counts_by_depth(queries, np.maximum(by_true, by_score))
        sizes = _counts_by_depth(queries, by_true) + _counts_by_depth(queries, by_score)
        overlap = 2 * shared / sizes
        values = (1 - p) / p * queries.sum(overlap * p ** (queries.position + 1.0))
        # Over all rows, both orders share everything.
        values += p ** queries.sizes.astype(np.float64)
        return values, np.ones(len(values), dtype=bool)

    return ranking.by_query(measure, "skip", "a row")


def _first_places(queries: Queries, values: NDArray[Any]) -> NDArray[np.int64]:
    """Number of rows of the query with a larger value."""
    ranked = queries.sort_descending(values)
    ties = queries.ties(values[ranked])
    places = np.empty(queries.n_rows, dtype=np.int64)
    places[ranked] = ties.spread(queries.position[ties.starts])
    return places


def _counts_by_depth(queries: Queries, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of rows of the query at one of the first 1, 2, ... places."""
    at = queries.starts[queries.segment] + places
    running = np.cumsum(np.bincount(at, minlength=queries.n_rows))
    return running - queries.spread(running[queries.starts - 1] * (queries.starts > 0))


def _tied_pairs(queries: Queries, blocks: Queries) -> NDArray[np.float64]:
    """Count the pairs of each query within blocks of tied rows."""
    sizes = blocks.sizes.astype(np.float64)
    first = np.searchsorted(blocks.offsets, queries.starts)
    return np.add.reduceat(sizes * (sizes - 1) / 2, first)


def _inversions(values: NDArray[Any], queries: Queries) -> NDArray[np.int64]:
    """Count the pairs of rows of each query of which the first has the smaller value.

    Two places are compared by the highest bit in which they differ. The rows stand in descending
    order of their values. From the highest bit down, each row whose bit is 0 is inverted with those
    before it in its run, of equal higher bits, whose bit is 1. Then the run is split by the bit,
    keeping the order. All runs of all queries are processed at once.
    """
    total = np.zeros(queries.n_queries, dtype=np.int64)
    rows = np.arange(queries.n_rows)
    start = queries.spread(queries.starts)
    place = queries.sort_descending(values) - start
    for bit in range(int(queries.sizes.max() - 1).bit_length() - 1, -1, -1):
        run = start + (place >> (bit + 1) << (bit + 1))
        is_one = (place >> bit) & 1
        before = np.cumsum(is_one) - is_one
        before -= before[run]
        total += queries.sum(before * (1 - is_one))
        split = np.empty_like(place)
        split[np.where(is_one, run + (1 << bit) + before, rows - before)] = place
        place = split
    return total
