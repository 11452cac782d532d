"""The two-tower retrievers and everything that trains them."""

from skdistill.public_names import publish
from skdistill.towers.multi_objective import MultiObjectiveRetriever
from skdistill.towers.pair_table import PairColumns
from skdistill.towers.retriever import TwoTowerRetriever
from skdistill.towers.teacher_check import TeacherCheck, TeacherWarning

__all__ = [
    "RETRIEVERS",
    "MultiObjectiveRetriever",
    "PairColumns",
    "TeacherCheck",
    "TeacherWarning",
    "TwoTowerRetriever",
]

# Retrievers by name: trusted in model files, and exported to ONNX.
RETRIEVERS: dict[str, type] = {
    "TwoTowerRetriever": TwoTowerRetriever,
    "MultiObjectiveRetriever": MultiObjectiveRetriever,
}

publish(__name__)
