"""Early stopping: which queries are held out, what is measured on them, when training stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import Queries
from skdistill.metrics.ndcg import ndcg_by_query
from skdistill.metrics.ordering import Ranking
from skdistill.metrics.retrieval import fraction_of_top
from skdistill.protocols import Array, Parameters, TrainableModel

# Score of parameters on held-out queries, higher is better.
Validate = Callable[[Parameters], float]


@dataclass
class EarlyStopping:
    """Stops when the validation score no longer improves, and restores the best epoch.

    Parameters
    ----------
    validate : callable
        Score of the parameters, higher is better.
    n_iter_no_change : int
        Epochs without improvement after which to stop.
    tol : float
        Least gain that counts as an improvement.
    """

    validate: Validate
    n_iter_no_change: int
    tol: float
    _best_score: float = field(init=False, default=-np.inf)
    _best_params: Parameters | None = field(init=False, default=None)
    _epochs_since_best: int = field(init=False, default=0)

    def update(self, params: Parameters) -> tuple[float, bool]:
        """Look at the parameters after an epoch.

        Returns
        -------
        score : float
        should_stop : bool
        """
        score = self.validate(params)
        self._epochs_since_best += 1
        if self._best_params is None or score > self._best_score + self.tol:
            self._best_score, self._epochs_since_best = score, 0
            self._best_params = {name: array.copy() for name, array in params.items()}
        return score, self._epochs_since_best >= self.n_iter_no_change

    def restore_best(self, params: Parameters) -> None:
        """Overwrite the parameters by those of the best epoch."""
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
    fraction : float
    rng : Generator
    parameter : str
        What asked for it, for the message.

    Returns
    -------
    train_queries, eval_queries : ndarray of int64
        Both ascending.

    Raises
    ------
    ValueError
        If there are fewer than two queries.
    """
    if n_queries < 2:
        raise ValueError(
            f"{parameter} holds out whole queries and needs at least 2, got {n_queries}. Pass "
            "qid=, or do without it."
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
) -> Validate:
    """NDCG@10 of held-out rows: against labels, or if there are none, the teacher.

    Raises
    ------
    ValueError
        When there are labels, and none on the held-out rows.
    """
    kept = None
    if labels is not None:
        relevance = labels
        if np.isnan(relevance).any():
            kept = ~np.isnan(relevance)
            if not kept.any():
                raise ValueError(
                    "early_stopping drew held-out queries without a single label; raise "
                    "validation_fraction."
                )
            queries, relevance = queries.subset(kept), relevance[kept]
    else:
        assert teacher_scores is not None
        # The teacher's order as relevance: its scores have no unit, and may be negative.
        rank = queries.rank_descending(teacher_scores)
        relevance = np.maximum(1 - rank / 10, 0.0)

    def validate(params: Parameters) -> float:
        scores = model.forward(params, inputs)[0].astype(np.float64)
        ranking = Ranking(queries, relevance, scores if kept is None else scores[kept], None)
        values, defined = ndcg_by_query(ranking, 10, "exponential", "average")
        return ranking.mean(values, defined, "skip", "a relevant row")

    return validate


def teacher_recall_on(
    model: TrainableModel, inputs: Any, teacher_scores: Array, k: int = 10, m: int = 50
) -> Validate:
    """Fraction of the teacher's top k among the student's top m of held-out queries.

    Parameters
    ----------
    model : TrainableModel
    inputs : Pairs
        Held-out queries, each with all columns of ``teacher_scores``.
    teacher_scores : ndarray of shape (n_queries, n_items)
    """

    def validate(params: Parameters) -> float:
        scores = model.forward(params, inputs)[0].reshape(teacher_scores.shape)
        return float(fraction_of_top(teacher_scores, scores, k, m).mean())

    return validate


def mean_of(validators: list[Validate]) -> Validate:
    """Mean score over several measures."""
    return lambda params: float(np.mean([validate(params) for validate in validators]))
