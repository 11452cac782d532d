"""skdistill: distil a strong, slow ranker into small, fast ones, with the scikit-learn API."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skdistill.model_selection import RankingGroupKFold
    from skdistill.multi_objective_retriever import MultiObjectiveRetriever
    from skdistill.ranker import DistilledRanker
    from skdistill.retriever import TwoTowerRetriever

__version__ = "0.1.0"

__all__ = [
    "DistilledRanker",
    "MultiObjectiveRetriever",
    "RankingGroupKFold",
    "TwoTowerRetriever",
    "__version__",
]

# Resolved at first use, so that `import skdistill` costs next to nothing.
_HOMES = {
    "DistilledRanker": "skdistill.ranker",
    "MultiObjectiveRetriever": "skdistill.multi_objective_retriever",
    "RankingGroupKFold": "skdistill.model_selection",
    "TwoTowerRetriever": "skdistill.retriever",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'skdistill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
