"""Cascades: stages that are trained, planned, explained and served as one."""

from skdistill.cascade.costs import StageCost
from skdistill.cascade.cuts import Cut
from skdistill.cascade.estimator import RankingCascade
from skdistill.cascade.fitted import DeadlineWarning, RankingTrace
from skdistill.cascade.funnel import Funnel, Stage
from skdistill.cascade.pair_tables import ChosenColumns, StageTable
from skdistill.cascade.plan import CascadePlan
from skdistill.cascade.planning import plan_cascade
from skdistill.cascade.popularity import PopularityRetriever
from skdistill.cascade.report import cascade_report
from skdistill.cascade.report_tables import CascadeReport
from skdistill.cascade.retrieval import Retrieval
from skdistill.cascade.rivals import fit_rivals
from skdistill.cascade.spec import FirstTrees
from skdistill.public_names import publish

__all__ = [
    "CascadePlan",
    "CascadeReport",
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
    "StageCost",
    "StageTable",
    "cascade_report",
    "fit_rivals",
    "plan_cascade",
]

publish(__name__)
