"""Students: small rankers, estimators in their own right."""

from skdistill.students.factorization_machine import FactorizationMachineRanker
from skdistill.students.linear import LinearRanker
from skdistill.students.mlp import MLPRanker
from skdistill.students.multi_objective import MultiObjectiveRanker

__all__ = ["FactorizationMachineRanker", "LinearRanker", "MLPRanker", "MultiObjectiveRanker"]
