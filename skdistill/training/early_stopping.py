"""Early stopping: hold out queries, measure on them, and stop when the score stops improving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import take_values
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.metrics.agreement import fraction_of_top
from skdistill.metrics.ndcg import check_relevance, ndcg_by_query
from skdistill.metrics.ordering import Ranking
from skdistill.protocols import Array, Loss, Parameters, TrainableModel
from skdistill.training.objective import Objective

NO_LABEL = (
    "early_stopping held out queries without a single label. Raise validation_fraction, or pass "
    "X_val and y_val."
)

# A function that scores parameters on held-out queries; higher is better.
Validate = Callable[[Parameters], float]


@dataclass
class EarlyStopping:
    """Stops when the validation score no longer improves, and restores the best epoch.

    Parameters
    ----------
    validate : callable
        ``validate(params)`` returns the score of the parameters; higher is better.
    n_iter_no_change : int
        Number of epochs without improvement after which to stop.
    tol : float
        Least gain in the score that counts as an improvement.
    """

    validate: Validate
    n_iter_no_change: int
    tol: float
    _best_score: float = field(init=False, default=-np.inf)
    _best_params: Parameters | None = field(init=False, default=None)
    _epochs_since_best: int = field(init=False, default=0)

    def update(self, params: Parameters) -> tuple[float, bool]:
        """Score the parameters after an epoch.

        Parameters
        ----------
        params : dict of str to ndarray
            Current parameters; those of the best epoch are copied.

        Returns
        -------
        score : float
            Validation score.
        should_stop : bool
            Whether the score has not improved for ``n_iter_no_change`` epochs.

        Raises
        ------
        ValueError
            If the score is NaN, which compares with no other score.
        """
        score = self.validate(params)
        if np.isnan(score):
            raise ValueError(
                "The validation score is NaN, so early stopping cannot tell which epoch is best. "
                "Check the held-out labels and the scores of the model."
            )
        self._epochs_since_best += 1
        if self._best_params is None or score > self._best_score + self.tol:
            self._best_score, self._epochs_since_best = score, 0
            self._best_params = {name: array.copy() for name, array in params.items()}
        return score, self._epochs_since_best >= self.n_iter_no_change

    def restore_best(self, params: Parameters) -> None:
        """Overwrite the parameters with those of the best epoch."""
        for name, array in (self._best_params or {}).items():
            params[name][...] = array


def hold_out(
    n_queries: int,
    fraction: float,
    rng: np.random.Generator,
    parameter: str = "early_stopping=True",
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the queries to hold out.

    Parameters
    ----------
    n_queries : int
        Number of queries to draw from.
    fraction : float
        Fraction of the queries to hold out, at least one and at most all but one.
    rng : numpy.random.Generator
        Source of the draw.
    parameter : str, default="early_stopping=True"
        The setting that requires held-out queries, for the error message.

    Returns
    -------
    train_queries, eval_queries : ndarray of int64
        Query indices, both ascending.

    Raises
    ------
    ValueError
        If there are fewer than two queries.
    """
    if n_queries < 2:
        raise ValueError(
            f"{parameter} holds out whole queries and needs at least 2, got {n_queries}. Pass "
            f"qid=, or leave out {parameter}."
        )
    n_held_out = min(max(round(fraction * n_queries), 1), n_queries - 1)
    shuffled = rng.permutation(n_queries)
    return np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])


def ndcg_on(
    model: Any,
    inputs: Any,
    queries: Queries,
    labels: Array | None,
    teacher_scores: Array | None,
    sample_weight: Array | None = None,
    offset: Array | None = None,
) -> Validate:
    """Measure NDCG@10 on held-out rows, against labels or, without labels, the teacher.

    Parameters
    ----------
    model : TrainableModel
        Model with one output.
    inputs : Rows
        Held-out rows, sorted by query.
    queries : Queries
        Segments of the held-out rows.
    labels : ndarray of shape (n_rows,) or None
        Relevance, NaN for unlabelled rows.
    teacher_scores : ndarray of shape (n_rows,) or None
        Used if ``labels`` is None.
    sample_weight : ndarray of shape (n_rows,) or None
        Row weights; a query counts with the mean weight of its rows.
    offset : ndarray of shape (n_rows,) or None
        Added to the scores of model and teacher. The gains of labels are multiplied by its
        exponential.

    Returns
    -------
    callable
        ``validate(params)``, which returns the mean NDCG@10. It raises a ValueError if the model's
        scores are not finite.

    Raises
    ------
    ValueError
        If there are labels, but the held-out rows have none, or one is negative, or no held-out
        row is relevant.
    """
    kept, held_out, log_value = None, queries, offset
    if labels is not None:
        relevance = labels
        if np.isnan(relevance).any():
            kept = ~np.isnan(relevance)
            if not kept.any():
                raise ValueError(NO_LABEL)
            queries, relevance = queries.subset(kept), relevance[kept]
            sample_weight = take_values(sample_weight, kept)
            log_value = take_values(offset, kept)
    else:
        assert teacher_scores is not None
        # Relevance comes from the teacher's order, because its scores have no unit and may be
        # negative. An offset is in the order already.
        taught = teacher_scores if offset is None else teacher_scores + offset
        relevance, log_value = np.maximum(1 - queries.rank_descending(taught) / 10, 0.0), None
    check_relevance(relevance, queries)
    weight = None if sample_weight is None else queries.mean(sample_weight)
    if not relevance.any():
        raise ValueError(
            "early_stopping held out queries without a single relevant row, so that no epoch is "
            "better than another. Raise validation_fraction, pass X_val and y_val, or leave out "
            "early_stopping."
        )

    def validate(params: Parameters) -> float:
        scores = model.forward(params, inputs)[0].astype(np.float64)
        if not np.isfinite(scores).all():
            row = np.flatnonzero(~np.isfinite(scores))[:1]
            raise ValueError(
                "Early stopping cannot compare epochs, because the model scores a row of held-out "
                f"query number {held_out.segment_of(row)[0]} (in sorted order) as "
                f"{scores[row[0]]}. Lower learning_rate_init, or check X for columns with extreme "
                "values."
            )
        if offset is not None:
            scores = scores + offset
        shown = scores if kept is None else scores[kept]
        ranking = Ranking(queries, relevance, shown, weight, log_value)
        return ndcg_by_query(ranking, 10, "exponential", "average").mean()

    return validate


def quality_on(
    model: Any, inputs: Any, held_out: RankingData, loss: Loss, labels: Array | None
) -> Validate:
    """Measure NDCG@10 on held-out rows or, if each row is a query of its own, minus the loss.

    Parameters
    ----------
    model : TrainableModel
        Model with one output.
    inputs : Rows
        Held-out rows, sorted by query.
    held_out : RankingData
        The same rows: their queries, weights, offset and teacher scores.
    loss : Loss
        Loss on the labels or, without labels, on the teacher's scores.
    labels : ndarray of shape (n_rows,) or None
        Relevance, NaN for unlabelled rows.

    Returns
    -------
    callable
        ``validate(params)``, which returns the mean over queries; higher is better.

    Raises
    ------
    ValueError
        If nothing tells one epoch from another; see :func:`ndcg_on`.
    """
    queries, scores, weight = held_out.queries, held_out.teacher_scores, held_out.sample_weight
    if queries.has_lists:
        return ndcg_on(model, inputs, queries, labels, scores, weight, held_out.offset)
    if labels is not None and np.isnan(labels).all():
        raise ValueError(NO_LABEL)
    objective = Objective.mix(
        queries,
        soft=loss,
        hard=loss,
        alpha=1.0 if labels is None else 0.0,
        labels=labels,
        teacher_scores=scores,
        sample_weight=weight,
        dtype=np.float64,
    )
    rows = np.arange(inputs.n_rows)

    def validate(params: Parameters) -> float:
        scores = model.forward(params, inputs)[0].astype(np.float64)
        return -objective.value_and_gradient(scores, rows, queries)[0]

    return validate


def teacher_recall_on(
    model: TrainableModel,
    inputs: Any,
    teacher_scores: Array,
    k: int = 10,
    m: int = 50,
    weight: Array | None = None,
    hidden: Any = None,
) -> Validate:
    """Measure the fraction of the teacher's top k items among the student's top m.

    Parameters
    ----------
    model : TrainableModel
        Model with one output.
    inputs : Pairs
        Every held-out query with every item, in the order of ``teacher_scores``.
    teacher_scores : ndarray of shape (n_queries, n_items)
        Teacher's score of each item for each held-out query.
    k : int, default=10
        Number of items that the student should find per query.
    m : int, default=50
        Number of items that the student returns per query.
    weight : ndarray of shape (n_queries,) or None, default=None
        Weight of each query in the mean; all count the same if no weight is positive.
    hidden : tuple of (rows, columns), default=None
        Pairs of ``teacher_scores`` that belong to neither list.

    Returns
    -------
    callable
        ``validate(params)``, which returns the mean fraction over queries. It raises a ValueError
        if the model's scores are not finite.
    """

    weights = None if weight is None or not weight.any() else weight
    if hidden is not None:
        teacher_scores[hidden] = np.finfo(teacher_scores.dtype).min

    def validate(params: Parameters) -> float:
        scores = model.forward(params, inputs)[0].reshape(teacher_scores.shape)
        if hidden is not None:
            scores[hidden] = np.finfo(scores.dtype).min
        return float(np.average(fraction_of_top(teacher_scores, scores, k, m), weights=weights))

    return validate


def mean_of(validators: list[Validate]) -> Validate:
    """Combine several measures into their mean."""
    return lambda params: float(np.mean([validate(params) for validate in validators]))
