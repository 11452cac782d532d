"""Metrics of binary relevance: a row is relevant where its label is above 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from skdistill.metrics.ordering import Ranking, TieGroups, check_k

NO_RELEVANT = "a relevant row"


def mrr_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int | None = None,
    empty: str = "skip",
    ties: str = "pessimistic",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean over queries of the reciprocal rank of the first relevant row, 0 beyond place k.

    Parameters
    ----------
    y_true, y_score : array-like of shape (n_rows,)
    qid : array-like of shape (n_rows,) or None
    k : int, optional
    empty : {"skip", "zero", "one"}, default="skip"
        What a query without a relevant row counts.
    ties : {"pessimistic", "optimistic", "order", "reverse"}, default="pessimistic"
        Among rows of equal score the irrelevant ones first, so that a constant score earns nothing;
        the relevant ones first; as they stand in the table; the other way round.
    sample_weight : array-like of shape (n_rows,), optional
        A query counts with the mean weight of its rows.
    """
    check_k(k)
    ranking = Ranking.check(y_true, y_score, qid, sample_weight)
    queries = ranking.queries
    relevant = ranking.y_true[ranking.order(ties)] > 0
    first = queries.min(np.where(relevant, queries.position, queries.n_rows))
    values = np.where(first < (queries.n_rows if k is None else k), 1 / (1 + first), 0.0)
    return ranking.mean(values, first < queries.n_rows, empty, NO_RELEVANT)


def average_precision_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    empty: str = "skip",
    ties: str = "pessimistic",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean over queries of the average precision: of the precision at each relevant row.

    Parameters
    ----------
    y_true, y_score, qid, empty, ties, sample_weight
        As in :func:`mrr_score`.
    """
    ranking = Ranking.check(y_true, y_score, qid, sample_weight)
    queries = ranking.queries
    relevant = (ranking.y_true[ranking.order(ties)] > 0).astype(np.float64)
    found = np.cumsum(relevant)
    found -= queries.spread(found[queries.starts] - relevant[queries.starts])
    total = queries.sum(relevant)
    precision = queries.sum(relevant * found / (1 + queries.position))
    values = np.divide(precision, total, out=np.zeros_like(total), where=total > 0)
    return ranking.mean(values, total > 0, empty, NO_RELEVANT)


def recall_at_k(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int,
    empty: str = "skip",
    ties: str = "pessimistic",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean over queries of the share of the relevant rows that stand in the first k places.

    Parameters
    ----------
    y_true, y_score, qid, empty, ties, sample_weight
        As in :func:`mrr_score`.
    k : int
    """
    check_k(k)
    ranking = Ranking.check(y_true, y_score, qid, sample_weight)
    queries = ranking.queries
    relevant = (ranking.y_true[ranking.order(ties)] > 0).astype(np.float64)
    total = queries.sum(relevant)
    found = queries.sum(relevant * (queries.position < k))
    values = np.divide(found, total, out=np.zeros_like(total), where=total > 0)
    return ranking.mean(values, total > 0, empty, NO_RELEVANT)


def grouped_auc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    empty: str = "skip",
    weighted: bool = False,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean over queries of the area under the ROC curve; a tied pair counts one half.

    Parameters
    ----------
    y_true, y_score, qid, empty, sample_weight
        As in :func:`mrr_score`; "empty" is a query without both a relevant and another row.
    weighted : bool, default=False
        Weigh a query by its number of rows, as GAUC is often reported for clicks.
    """
    ranking = Ranking.check(y_true, y_score, qid, sample_weight)
    queries = ranking.queries
    if weighted:
        weight = queries.sizes.astype(np.float64)
        if ranking.weight is not None:
            weight *= ranking.weight
        ranking = Ranking(queries, ranking.y_true, ranking.y_score, weight)
    order = ranking.order("order")
    relevant = (ranking.y_true[order] > 0).astype(np.float64)
    groups = TieGroups.of(queries, ranking.y_score[order]).queries
    rank = groups.spread(groups.mean(1.0 + queries.position))
    positives = queries.sum(relevant)
    negatives = queries.sizes - positives
    # Ranks run from the best score: a pair is won where the negative's rank is the larger one.
    won = queries.sum((1 - relevant) * rank) - negatives * (negatives + 1) / 2
    pairs = positives * negatives
    values = np.divide(won, pairs, out=np.zeros_like(won), where=pairs > 0)
    return ranking.mean(values, pairs > 0, empty, "both a relevant and another row")
