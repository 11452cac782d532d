"""What turns the scores of a model into probabilities, for all who serve scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skdistill.calibration import ProbabilityMap, probability_map
from skdistill.inputs.pipelines import last_step

NO_PROBABILITIES = (
    "The scores of this model are not probabilities. Fit it with loss='logistic', or a "
    "DistilledRanker with calibrate='sigmoid' or 'isotonic', and serve the ranker itself, because "
    "export_student() leaves the calibrator out."
)


def probability_map_of(model: Any) -> ProbabilityMap | None:
    """Return what turns scores of a fitted model into probabilities; None if it has none."""
    ranker = last_step(model)
    if not getattr(ranker, "has_probabilities", False):
        return None
    return probability_map(getattr(ranker, "calibrator_", None))


@dataclass(frozen=True)
class ProbabilityColumn:
    """A column of probabilities beside a column of scores.

    Parameters
    ----------
    name : str
        Name of the column.
    of_scores : callable
        Turns scores of shape (n_rows,) into as many probabilities, float64.
    """

    name: str
    of_scores: ProbabilityMap


def probability_column_of(
    model: Any, name: str | None, score_column: str
) -> ProbabilityColumn | None:
    """Return the column of probabilities that is asked for; None if there is no name.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A fitted model.
    name : str or None
        Name of the column.
    score_column : str
        Name of the column with the scores.

    Returns
    -------
    ProbabilityColumn or None

    Raises
    ------
    TypeError
        If the model has no probabilities.
    ValueError
        If both columns have one name.
    """
    if name is None:
        return None
    if name == score_column:
        raise ValueError(
            f"score_column and probability_column are both {name!r}. Scores and probabilities need "
            "a column each."
        )
    of_scores = probability_map_of(model)
    if of_scores is None:
        raise TypeError(NO_PROBABILITIES)
    return ProbabilityColumn(name, of_scores)
