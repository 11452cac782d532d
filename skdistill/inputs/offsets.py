"""Offsets of scores, such as log bids: what is ordered is then bid x probability.

An offset is added to the logarithm of a probability, so that scores that are compared with one have
to be in that unit. A score that differs from it by a constant per query is in that unit too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.checks import check_finite
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData

WAY_OUT = "Leave out offset, and add it to what predict returns"
COMPARE_OTHERWISE = (
    "choose a loss that compares rows in the unit of the scores, such as 'listwise', to which "
    "hard_loss='logistic' may be added"
)
# Scores of standard deviation 2: a loss that standardises them has another unit than 1.
SPREAD_SCORES = np.array([-4.0, 0.0])
# A probability whose logarithm is finite, and below those of all events that anybody bids for.
NEGLIGIBLE = 1e-9


def check_offset(
    offset: ArrayLike | None, n_rows: int, name: str = "offset"
) -> NDArray[np.float64] | None:
    """Check that there is one finite offset per row and return them as float64; None stays None.

    Raises
    ------
    ValueError
        If an offset is NaN or infinite, or if there is not one per row.
    """
    if offset is None:
        return None
    values = np.asarray(offset, dtype=np.float64)
    if np.isneginf(values).any():
        row = int(np.argwhere(np.isneginf(values))[0][0])
        raise ValueError(
            f"{name} must be finite: row {row} holds -inf. A bid of 0 has no logarithm. Leave out "
            "the rows that nobody bids for."
        )
    return check_finite(name, offset, n_rows)


def check_compares_offset(loss: Any) -> None:
    """Check that training has a comparison into which an offset enters.

    Parameters
    ----------
    loss : Loss or None
        The loss on the teacher's scores; None if there are none, or if it has no weight.

    Raises
    ------
    ValueError
        If there is no loss, it standardises the scores, or it compares no rows.
    """
    if loss is None:
        raise ValueError(
            "offset is added to the student's and the teacher's scores where both are compared, "
            "but the teacher's scores have no weight here. Labels contain no bid, and what is "
            f"learnt from them takes no offset. {WAY_OUT}; or learn from a teacher."
        )
    name = f"the loss on the teacher's scores, {type(loss).__name__},"
    if loss.score_unit(SPREAD_SCORES) != 1:
        raise ValueError(
            f"offset has the unit of a log-probability, but {name} divides scores by their "
            f"standard deviation. Leave out offset, or {COMPARE_OTHERWISE}."
        )
    if not loss.compares_rows:
        raise ValueError(
            f"offset changes how rows of a query compare, but {name} looks at single rows: the "
            f"offset would not matter. {WAY_OUT}, or {COMPARE_OTHERWISE}."
        )


def check_keeps_unit(loss: Any) -> None:
    """Check that scores learnt from log-probabilities are log-probabilities, up to a constant.

    Training needs no offset for that: the offset is added when the scores are compared.

    Parameters
    ----------
    loss : Loss
        The loss on the teacher's scores.

    Raises
    ------
    ValueError
        If the loss looks at the order of the teacher's scores alone, or divides them by their
        deviation.
    """
    one, two = (
        loss.soft_target(spread, Queries.single(len(SPREAD_SCORES)))
        for spread in (SPREAD_SCORES, SPREAD_SCORES * 2)
    )
    if np.array_equal(one, two):
        raise ValueError(
            "offset has the unit of a log-probability, but the loss on the teacher's scores, "
            f"{type(loss).__name__}, learns their order alone, so that what is learnt has no unit. "
            "Leave out offset, or pass loss='listwise'."
        )


def are_probabilities(scores: NDArray[np.float64]) -> bool:
    """Whether a teacher's scores are taken for probabilities: all of them lie in [0, 1]."""
    return bool(scores.size) and scores.min() >= 0 and scores.max() <= 1


def log_of_probabilities(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of probabilities; that of 0 is that of the smallest other one."""
    return log_above(probability, smallest_positive(probability))


def smallest_positive(probability: NDArray[np.float64]) -> float:
    """Return the smallest probability that is not 0; 1 if there is none."""
    return float(probability.min(where=probability > 0, initial=1.0))


def log_above(scores: NDArray[np.float64], floor: float | None) -> NDArray[np.float64]:
    """Return the logarithm of probabilities, of which none counts as less than a floor.

    Scores for which there is no floor are logarithms already.
    """
    return scores if floor is None else np.log(np.maximum(scores, floor))


def log_floor(scores: NDArray[np.float64]) -> float | None:
    """Choose the floor of :func:`log_above` for all scores of a model, from some of them.

    Parameters
    ----------
    scores : ndarray, float64
        Scores of many rows.

    Returns
    -------
    float or None
        None if the scores are no probabilities. If some are 0, the smallest other one. Otherwise
        other rows may have smaller probabilities than these, which are kept.
    """
    if not are_probabilities(scores):
        return None
    smallest = smallest_positive(scores)
    return smallest if (scores == 0).any() else min(smallest, NEGLIGIBLE)


def log_unless_logs(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a teacher's scores in the unit of offsets: the logarithms of probabilities."""
    return log_of_probabilities(scores) if are_probabilities(scores) else scores


def in_unit_of_offset(
    data: RankingData, validation: RankingData | None = None
) -> tuple[RankingData, RankingData | None]:
    """Replace a teacher's probabilities by their logarithms, to which offsets can be added.

    Scores that are not all between 0 and 1 are taken as log-probabilities or log-odds, and returned
    as they are. The validation rows follow the training rows.
    """
    if data.offset is None or data.teacher_scores is None:
        return data, validation
    if not are_probabilities(data.teacher_scores):
        return data, validation
    if validation is not None and validation.teacher_scores is not None:
        if not are_probabilities(validation.teacher_scores):
            raise ValueError(
                "The teacher's scores of the training rows are probabilities, but those of the "
                "validation rows do not all lie in [0, 1]. Pass scores of one kind."
            )
        scores = log_of_probabilities(validation.teacher_scores)
        validation = replace(validation, teacher_scores=scores)
    return replace(data, teacher_scores=log_of_probabilities(data.teacher_scores)), validation
