"""Cascades: stages that are trained, planned, explained and served as one."""

from skdistill.cascade.cuts import Cut
from skdistill.cascade.estimator import RankingCascade
from skdistill.cascade.fitted import DeadlineWarning, RankingTrace
from skdistill.cascade.funnel import Funnel, Stage
from skdistill.cascade.pair_tables import ChosenColumns, StageTable
from skdistill.cascade.popularity import PopularityRetriever
from skdistill.cascade.retrieval import Retrieval
from skdistill.cascade.spec import FirstTrees
from skdistill.public_names import publish

__all__ = [
    "ChosenColumns",
    "Cut",
    "DeadlineWarning",
    "FirstTrees",
    "Funnel",
    "PopularityRetriever",
    "RankingCascade",
    "RankingTrace",
    "Retrieval",
    "Stage",
    "StageTable",
]

publish(__name__)
