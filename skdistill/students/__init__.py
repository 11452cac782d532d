"""Students: small rankers, estimators in their own right."""

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

# Every student by its name. Files, ONNX, recipes and the tests take their lists from here: a
# student of your own is entered by ``STUDENTS["MyRanker"] = MyRanker``.
STUDENTS: dict[str, type[BaseStudent]] = {
    "LinearRanker": LinearRanker,
    "FactorizationMachineRanker": FactorizationMachineRanker,
    "MLPRanker": MLPRanker,
    "MultiObjectiveRanker": MultiObjectiveRanker,
}

publish(__name__)
