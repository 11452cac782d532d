"""Which outputs a DistilledRanker has, besides its scores."""

from __future__ import annotations

from typing import Any

from skdistill.inputs.pipelines import last_step
from skdistill.losses import get_loss
from skdistill.multi_objective import WithObjectives
from skdistill.students.base import has_log_odds


def has_objectives(ranker: Any) -> bool:
    """Check whether the student has several objectives."""
    return isinstance(last_step(getattr(ranker, "student_", ranker.student)), WithObjectives)


def has_probabilities(ranker: Any) -> bool:
    """Check whether scores can be turned into probabilities; see ``has_log_odds``."""
    if ranker.calibrate is not None:
        return True
    has_log_odds(ranker)
    # A loss without weight teaches nothing.
    hard_loss = ranker.loss if ranker.hard_loss is None else ranker.hard_loss
    losses = [ranker.loss] * (ranker.alpha > 0) + [hard_loss] * (ranker.alpha < 1)
    if any(get_loss(loss).is_log_odds for loss in losses):
        return True
    raise AttributeError(
        f"predict_proba needs scores that are log-odds, but alpha={ranker.alpha!r} leaves the "
        "logistic loss without weight."
    )
