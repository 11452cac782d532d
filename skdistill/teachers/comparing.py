"""Whether a teacher compares the rows of a query, or takes each row by itself."""

from __future__ import annotations

from typing import Any

from skdistill.base import RankingEstimator
from skdistill.teachers.asking import predicts_by_query
from skdistill.teachers.fit_arguments import query_parameter
from skdistill.teachers.limits import RANKING_OBJECTIVES, library_of
from skdistill.teachers.routing import find_learners, is_prefit


def compares_rows(teacher: Any) -> bool:
    """Check whether a teacher's fit or scores depend on which rows form a query.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        The teacher, unfitted or prefit.

    Returns
    -------
    bool
        False for classifiers and regressors, and for a ranker of LightGBM whose objective is one of
        theirs, such as ``LGBMRanker(objective="binary")``.
    """
    if predicts_by_query(teacher):
        return True
    return not is_prefit(teacher) and any(map(_learns_order, dict(find_learners(teacher)).values()))


def _learns_order(learner: Any) -> bool:
    """Whether a learner is fitted on comparisons of rows."""
    if is_prefit(learner):
        return predicts_by_query(learner)
    if isinstance(learner, RankingEstimator):
        return learner.needs_queries
    if query_parameter(learner) is None:
        return False
    objective = learner.get_params().get("objective")
    is_named = objective is None or isinstance(objective, str)
    knows = library_of(learner) == "lightgbm" and is_named
    return not knows or objective in RANKING_OBJECTIVES["lightgbm"]
