"""Normalised discounted cumulative gain, in each of the conventions in use."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.queries import Queries
from skdistill.metrics.averaging import QueryValues, averaged
from skdistill.metrics.gains import GAINS, LOG_2
from skdistill.metrics.ordering import TIES, Ranking, check_choice, check_optional_k

CONVENTIONS = {
    "lightgbm": {"gain": "exponential", "empty": "one", "ties": "order"},
    "sklearn": {"gain": "linear", "empty": "zero", "ties": "average"},
    "trec": {"gain": "linear", "empty": "zero", "ties": "reverse"},
}


@averaged
def ndcg_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int | None = None,
    gain: str = "exponential",
    empty: str = "skip",
    ties: str = "average",
    convention: str | None = None,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> QueryValues:
    r"""Compute the mean over queries of the normalised discounted cumulative gain.

    :math:`DCG@k = \sum_{r<k} g(y_{\pi(r)}) / \log_2(2 + r)` in the order of the scores, divided by
    its value in the best possible order.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance of each row, 0 or more.
    y_score : array-like of shape (n_rows,)
        Score of each row; the highest ranks first.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    k : int, optional
        Number of top places that count; all by default.
    gain : {"exponential", "linear"}, default="exponential"
        Gain g of a row of relevance y: :math:`2^y - 1` or :math:`y`.
    empty : {"skip", "zero", "one"}, default="skip"
        How a query without a relevant row counts: not at all, as 0, or as 1.
    ties : {"average", "order", "reverse", "pessimistic", "optimistic"}, default="average"
        How rows with equal scores are ranked. "average" takes the mean over their permutations;
        "order" keeps the order of the table, and "reverse" reverses it; "pessimistic" puts the
        least relevant rows first, "optimistic" the most relevant.
    convention : {"lightgbm", "sklearn", "trec"}, optional
        Sets ``gain``, ``empty`` and ``ties`` as another library does: LightGBM ("exponential",
        "one", "order"), scikit-learn ("linear", "zero", "average") or trec_eval ("linear", "zero",
        "reverse"). As trec_eval breaks ties by descending document id, results agree if the rows
        are in ascending order of id.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.
    offset : array-like of shape (n_rows,), optional
        Logarithm of what a row is worth per unit of gain, such as a log bid. It is added to
        ``y_score``, and the gain of the row is multiplied by its exponential.

    Returns
    -------
    float
        Between 0 and 1; 0 with an ``UndefinedMetricWarning`` if no query counts.

    Raises
    ------
    ValueError
        If a relevance or a weight is negative, if the arrays are empty, not finite or of different
        lengths, or if an option is invalid.

    References
    ----------
    Jarvelin, Kekalainen, "Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002.
    McSherry, Najork, "Computing Information Retrieval Performance Measures Efficiently in the
    Presence of Tied Scores", ECIR 2008.

    Examples
    --------
    >>> from skdistill.metrics import ndcg_score
    >>> ndcg_score([1, 0, 0, 1], [0.2, 0.1, 0.9, 0.3], [7, 7, 8, 8], convention="lightgbm")
    0.8154648767857288
    """
    if convention is not None:
        check_choice("convention", convention, tuple(CONVENTIONS))
        chosen = CONVENTIONS[convention]
        gain, empty, ties = chosen["gain"], chosen["empty"], chosen["ties"]
    ranking = Ranking.check(y_true, y_score, qid, sample_weight, offset)
    return ndcg_by_query(ranking, k, gain, ties, empty)


def ndcg_by_query(
    ranking: Ranking, k: int | None, gain: str, ties: str, empty: str = "skip"
) -> QueryValues:
    """Return the NDCG of each query.

    Raises
    ------
    ValueError
        If a relevance is negative, or an option is invalid.
    """
    check_choice("gain", gain, tuple(GAINS))
    _check_places(k, ties)
    check_relevance(ranking.y_true, ranking.queries)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        queries = block.queries
        gains = GAINS[gain](block.y_true, queries)
        if block.offset is not None:
            # Relative to the largest of the query, as gains are.
            gains = gains * np.exp(block.offset - queries.spread(queries.max(block.offset)))
        discount = _discount(queries, k)
        best = np.empty_like(gains)
        for rows in queries.tables:
            best[rows] = np.sort(gains[rows], axis=1)[:, ::-1]
        ideal = queries.sum(best * discount)
        achieved = _discounted_gain(block, gains, discount, ties)
        defined = ideal > 0
        values = np.divide(achieved, ideal, out=np.zeros_like(ideal), where=defined)
        # The mean of tied discounts is rounded, which may bring a perfect order above 1.
        return np.minimum(values, 1.0), defined

    return ranking.by_query(measure, empty, "a row of positive relevance")


@averaged
def dcg_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    qid: ArrayLike | None,
    *,
    k: int | None = None,
    gain: str = "exponential",
    ties: str = "average",
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> QueryValues:
    r"""Compute the mean over queries of the discounted cumulative gain.

    :math:`DCG@k = \sum_{r<k} g(y_{\pi(r)}) / \log_2(2 + r)` in the order of the scores. A query
    without a relevant row counts as 0.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Relevance of each row, 0 or more.
    y_score : array-like of shape (n_rows,)
        Score of each row; the highest ranks first.
    qid : array-like of shape (n_rows,) or None
        Query of each row. None means that all rows are one query.
    k : int, optional
        Number of top places that count; all by default.
    gain : {"exponential", "linear"}, default="exponential"
        Gain g of a row of relevance y: :math:`2^y - 1` or :math:`y`.
    ties : {"average", "order", "reverse", "pessimistic", "optimistic"}, default="average"
        How rows with equal scores are ranked, as in :func:`ndcg_score`.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights. A query counts with the mean weight of its rows.
    offset : array-like of shape (n_rows,), optional
        Logarithm of what a row is worth per unit of gain, such as a log bid. It is added to
        ``y_score``, and the gain of the row is multiplied by its exponential.

    Returns
    -------
    float
        0 or more; 0 with an ``UndefinedMetricWarning`` if all weights are 0.

    Raises
    ------
    ValueError
        If a relevance or a weight is negative, if a gain is not finite, if the arrays are empty,
        not finite or of different lengths, or if an option is invalid.

    References
    ----------
    Jarvelin, Kekalainen, "Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002.

    Examples
    --------
    >>> from skdistill.metrics import dcg_score
    >>> dcg_score([1, 0, 0, 1], [0.2, 0.1, 0.9, 0.3], [7, 7, 8, 8])
    0.8154648767857288
    """
    ranking = Ranking.check(y_true, y_score, qid, sample_weight, offset)
    check_choice("gain", gain, tuple(GAINS))
    _check_places(k, ties)
    check_relevance(ranking.y_true, ranking.queries)

    def measure(block: Ranking) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        labels = block.y_true
        with np.errstate(over="ignore"):
            gains = labels if gain == "linear" else np.expm1(LOG_2 * labels)
            if block.offset is not None:
                gains = gains * np.exp(block.offset)
        if not np.isfinite(gains).all():
            label = labels[~np.isfinite(gains)].max()
            raise ValueError(
                f"The {gain} gain of the label {label:.6g} is not finite. Use gain='linear', or "
                "ndcg_score, which needs only the ratios of gains."
            )
        values = _discounted_gain(block, gains, _discount(block.queries, k), ties)
        return values, np.ones(len(values), dtype=bool)

    return ranking.by_query(measure, "skip", "a row")


def _check_places(k: int | None, ties: str) -> None:
    """Raise a ValueError if the number of places or the rule for ties is invalid."""
    check_choice("ties", ties, ("average", *TIES))
    check_optional_k(k)


def _discount(queries: Queries, k: int | None) -> NDArray[np.float64]:
    """Return the discount of each place of each query, 0 from place k on."""
    of_place = 1 / np.log2(2.0 + np.arange(queries.sizes.max()))
    if k is not None:
        of_place[k:] = 0.0
    return of_place[queries.position]


def _discounted_gain(
    ranking: Ranking, gains: NDArray[np.float64], discount: NDArray[np.float64], ties: str
) -> NDArray[np.float64]:
    """Return the sum of discounted gains of each query."""
    queries = ranking.queries
    if ties == "average":
        return queries.sum(gains * queries.mean_over_ties(ranking.y_score, discount))
    return queries.sum(gains[ranking.order(ties)] * discount)


def check_relevance(labels: NDArray[np.float64], queries: Queries) -> None:
    """Raise a ValueError that names the query if a relevance is negative."""
    if labels.min() < 0:
        row = int(np.argmin(labels))
        query = int(queries.segment[row])
        raise ValueError(
            "NDCG needs a relevance of 0 or more: y_true holds "
            f"{labels[row]:.6g} in query number {query} (in sorted order)."
        )
