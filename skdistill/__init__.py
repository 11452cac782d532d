"""skdistill: distil strong, slow rankers into small, fast ones, with the scikit-learn API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skdistill.public_names import FormerModules, lazy_names

if TYPE_CHECKING:
    from skdistill.cascade.estimator import RankingCascade
    from skdistill.model_selection import RankingGroupKFold, RankingTimeSeriesSplit
    from skdistill.ranker import DistilledRanker
    from skdistill.towers.multi_objective import MultiObjectiveRetriever
    from skdistill.towers.retriever import TwoTowerRetriever
    from skdistill.towers.teacher_check import TeacherCheck, TeacherWarning

__version__ = "0.2.0.dev0"

__all__ = [
    "DistilledRanker",
    "MultiObjectiveRetriever",
    "RankingCascade",
    "RankingGroupKFold",
    "RankingTimeSeriesSplit",
    "TeacherCheck",
    "TeacherWarning",
    "TwoTowerRetriever",
    "__version__",
]

# Resolved at first use, so that `import skdistill` is fast.
__getattr__ = lazy_names(
    __name__,
    {
        "DistilledRanker": "skdistill.ranker",
        "MultiObjectiveRetriever": "skdistill.towers.multi_objective",
        "RankingCascade": "skdistill.cascade.estimator",
        "RankingGroupKFold": "skdistill.model_selection",
        "RankingTimeSeriesSplit": "skdistill.model_selection",
        "TeacherCheck": "skdistill.towers.teacher_check",
        "TeacherWarning": "skdistill.towers.teacher_check",
        "TwoTowerRetriever": "skdistill.towers.retriever",
    },
)

FormerModules().install()


def __dir__() -> list[str]:
    return sorted(__all__)
