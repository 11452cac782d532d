"""Students: small, fast rankers that follow the scikit-learn API."""

from skdistill.public_names import publish
from skdistill.students.averaging import mean_student
from skdistill.students.base import BaseStudent
from skdistill.students.factorization_machine import FactorizationMachineRanker
from skdistill.students.linear import LinearRanker
from skdistill.students.mlp import MLPRanker
from skdistill.students.multi_objective import MultiObjectiveRanker

__all__ = [
    "STUDENTS",
    "BaseStudent",
    "FactorizationMachineRanker",
    "LinearRanker",
    "MLPRanker",
    "MultiObjectiveRanker",
    "mean_student",
]

# Every student by name. Files, ONNX, recipes and the tests derive their lists from this one. Enter
# another student with ``STUDENTS["MyRanker"] = MyRanker``.
STUDENTS: dict[str, type[BaseStudent]] = {
    "LinearRanker": LinearRanker,
    "FactorizationMachineRanker": FactorizationMachineRanker,
    "MLPRanker": MLPRanker,
    "MultiObjectiveRanker": MultiObjectiveRanker,
}

publish(__name__)
