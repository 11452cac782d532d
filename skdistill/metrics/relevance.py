"""Metrics of binary relevance: a row is relevant if its label is above 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.checks import check_k
from skdistill.metrics.averaging import QueryValues, averaged
from skdistill.metrics.ordering import Ranking, check_optional_k

NO_RELEVANT = "a relevant row"


@averaged
def mrr_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int | None = None,
    empty: str = "skip",
    ties: str = "pessimistic",
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> QueryValues:
    """Compute the mean over queries of the reciprocal rank of the first relevant row.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance of each row; a row is relevant if this is above 0.
    y_score : array-like of shape (n_rows,)
        Score of each row; the highest ranks first.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    k : int, optional
        Number of top places that count; a first relevant row beyond them counts 0.
    empty : {"skip", "zero", "one"}, default="skip"
        How a query without a relevant row counts: not at all, as 0, or as 1.
    ties : {"pessimistic", "optimistic", "order", "reverse"}, default="pessimistic"
        Order of rows with equal scores. "pessimistic" puts irrelevant rows first, so that a
        constant score earns nothing; "optimistic" puts relevant rows first; "order" keeps the order
        of the table, and "reverse" reverses it.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.
    offset : array-like of shape (n_rows,), optional
        Added to ``y_score`` before rows are ranked, such as a log bid.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query counts.

    Raises
    ------
    ValueError
        If the arrays are empty, not finite or of different lengths, if a weight is negative, or if
        an option is invalid.

    References
    ----------
    Voorhees, "The TREC-8 Question Answering Track Report", TREC 1999.

    Examples
    --------
    >>> from skdistill.metrics import mrr_score
    >>> mrr_score([0, 1, 1, 0], [0.9, 0.5, 0.8, 0.1], [7, 7, 8, 8])
    0.75
    """
    check_optional_k(k)
    ranking = Ranking.check(y_true, y_score, qid, sample_weight, offset)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        queries = block.queries
        relevant = block.y_true[block.order(ties)] > 0
        first = queries.min(np.where(relevant, queries.position, queries.n_rows))
        values = np.where(first < (queries.n_rows if k is None else k), 1 / (1 + first), 0.0)
        return values, first < queries.n_rows

    return ranking.by_query(measure, empty, NO_RELEVANT)


@averaged
def average_precision_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int | None = None,
    empty: str = "skip",
    ties: str = "pessimistic",
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> QueryValues:
    """Compute the mean over queries of the average precision.

    The average precision of a query is the mean of the precision at the rank of each of its
    relevant rows.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance of each row; a row is relevant if this is above 0.
    y_score : array-like of shape (n_rows,)
        Score of each row; the highest ranks first.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    k : int, optional
        Number of top places that count; all by default. As in trec_eval, a relevant row beyond them
        has the precision 0.
    empty : {"skip", "zero", "one"}, default="skip"
        How a query without a relevant row counts: not at all, as 0, or as 1.
    ties : {"pessimistic", "optimistic", "order", "reverse"}, default="pessimistic"
        Order of rows with equal scores. "pessimistic" puts irrelevant rows first, so that a
        constant score earns nothing; "optimistic" puts relevant rows first; "order" keeps the order
        of the table, and "reverse" reverses it.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.
    offset : array-like of shape (n_rows,), optional
        Added to ``y_score`` before rows are ranked, such as a log bid.

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
    >>> from skdistill.metrics import average_precision_score
    >>> average_precision_score([0, 1, 1, 0], [0.9, 0.5, 0.8, 0.1], [7, 7, 8, 8])
    0.75
    """
    check_optional_k(k)
    ranking = Ranking.check(y_true, y_score, qid, sample_weight, offset)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        queries = block.queries
        relevant = (block.y_true[block.order(ties)] > 0).astype(np.float64)
        found = np.cumsum(relevant)
        found -= queries.spread(found[queries.starts] - relevant[queries.starts])
        total = queries.sum(relevant)
        precision = relevant * found / (1 + queries.position)
        if k is not None:
            precision[queries.position >= k] = 0
        precision = queries.sum(precision)
        return np.divide(precision, total, out=np.zeros_like(total), where=total > 0), total > 0

    return ranking.by_query(measure, empty, NO_RELEVANT)


@averaged
def precision_at_k(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int,
    empty: str = "skip",
    ties: str = "pessimistic",
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> QueryValues:
    """Compute the mean over queries of the fraction of the top k places that hold a relevant row.

    Of a query with fewer rows, the other places count as irrelevant.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance of each row; a row is relevant if this is above 0.
    y_score : array-like of shape (n_rows,)
        Score of each row; the highest ranks first.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    k : int
        Number of top places.
    empty : {"skip", "zero", "one"}, default="skip"
        How a query without a relevant row counts: not at all, as 0, or as 1.
    ties : {"pessimistic", "optimistic", "order", "reverse"}, default="pessimistic"
        Order of rows with equal scores. "pessimistic" puts irrelevant rows first, so that a
        constant score earns nothing; "optimistic" puts relevant rows first; "order" keeps the order
        of the table, and "reverse" reverses it.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.
    offset : array-like of shape (n_rows,), optional
        Added to ``y_score`` before rows are ranked, such as a log bid.

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
    >>> from skdistill.metrics import precision_at_k
    >>> precision_at_k([0, 1, 1, 0], [0.9, 0.5, 0.8, 0.1], [7, 7, 8, 8], k=1)
    0.5
    """
    check_k(k)
    ranking = Ranking.check(y_true, y_score, qid, sample_weight, offset)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        found, total = _found_and_total(block, ties, k)
        return found / k, total > 0

    return ranking.by_query(measure, empty, NO_RELEVANT)


@averaged
def recall_at_k(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int,
    empty: str = "skip",
    ties: str = "pessimistic",
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> QueryValues:
    """Compute the mean over queries of the fraction of the relevant rows in the top k places.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance of each row; a row is relevant if this is above 0.
    y_score : array-like of shape (n_rows,)
        Score of each row; the highest ranks first.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    k : int
        Number of top places.
    empty : {"skip", "zero", "one"}, default="skip"
        How a query without a relevant row counts: not at all, as 0, or as 1.
    ties : {"pessimistic", "optimistic", "order", "reverse"}, default="pessimistic"
        Order of rows with equal scores. "pessimistic" puts irrelevant rows first, so that a
        constant score earns nothing; "optimistic" puts relevant rows first; "order" keeps the order
        of the table, and "reverse" reverses it.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.
    offset : array-like of shape (n_rows,), optional
        Added to ``y_score`` before rows are ranked, such as a log bid.

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
    >>> from skdistill.metrics import recall_at_k
    >>> recall_at_k([0, 1, 1, 0], [0.9, 0.5, 0.8, 0.1], [7, 7, 8, 8], k=1)
    0.5
    """
    check_k(k)
    ranking = Ranking.check(y_true, y_score, qid, sample_weight, offset)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        found, total = _found_and_total(block, ties, k)
        return np.divide(found, total, out=np.zeros_like(total), where=total > 0), total > 0

    return ranking.by_query(measure, empty, NO_RELEVANT)


def _found_and_total(
    ranking: Ranking, ties: str, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count the relevant rows of each query in the top k places, and all of them."""
    queries = ranking.queries
    relevant = (ranking.y_true[ranking.order(ties)] > 0).astype(np.float64)
    return queries.sum(relevant * (queries.position < k)), queries.sum(relevant)


@averaged
def grouped_auc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    empty: str = "skip",
    weighted: bool = False,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> QueryValues:
    """Compute the mean over queries of the area under the ROC curve.

    The area of a query is the fraction of its pairs of a relevant and an irrelevant row in which
    the relevant row has the higher score. A tie counts one half.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance of each row; a row is relevant if this is above 0.
    y_score : array-like of shape (n_rows,)
        Score of each row; the highest ranks first.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    empty : {"skip", "zero", "one"}, default="skip"
        How a query counts if it does not have both relevant and irrelevant rows: not at all, as 0,
        or as 1.
    weighted : bool, default=False
        Weight queries by their number of rows, as is common for clicks (GAUC).
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.
    offset : array-like of shape (n_rows,), optional
        Added to ``y_score`` before rows are ranked, such as a log bid.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query counts.

    Raises
    ------
    ValueError
        If the arrays are empty, not finite or of different lengths, if a weight is negative, or if
        an option is invalid.

    References
    ----------
    Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018.

    Examples
    --------
    >>> from skdistill.metrics import grouped_auc
    >>> grouped_auc([0, 1, 1, 0], [0.9, 0.5, 0.8, 0.1], [7, 7, 8, 8])
    0.5
    """
    ranking = Ranking.check(y_true, y_score, qid, sample_weight, offset)
    queries = ranking.queries
    if weighted:
        weight = queries.sizes.astype(np.float64)
        if ranking.weight is not None:
            weight *= ranking.weight
        ranking = Ranking(queries, ranking.y_true, ranking.y_score, weight)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        queries = block.queries
        relevant = (block.y_true > 0).astype(np.float64)
        rank = queries.mean_over_ties(block.y_score, 1.0 + queries.position)
        positives = queries.sum(relevant)
        negatives = queries.sizes - positives
        # Rank 1 is the best score, so that a pair is won if the negative has the larger rank.
        won = queries.sum((1 - relevant) * rank) - negatives * (negatives + 1) / 2
        pairs = positives * negatives
        return np.divide(won, pairs, out=np.zeros_like(won), where=pairs > 0), pairs > 0

    return ranking.by_query(measure, empty, "both a relevant and an irrelevant row")
