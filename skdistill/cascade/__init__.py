"""Cascades: stages that are trained, planned, explained and served as one."""

from skdistill.cascade.cuts import Cut
from skdistill.cascade.estimator import RankingCascade
from skdistill.cascade.fitted import DeadlineWarning, RankingTrace
from skdistill.cascade.popularity import PopularityRetriever
from skdistill.cascade.spec import FirstTrees
from skdistill.public_names import publish

__all__ = [
    "Cut",
    "DeadlineWarning",
    "FirstTrees",
    "PopularityRetriever",
    "RankingCascade",
    "RankingTrace",
]

publish(__name__)
