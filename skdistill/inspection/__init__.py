"""What a ranker has learnt and what it is worth: reports, pictures, importances."""

from skdistill.inspection.agreement import AgreementDisplay
from skdistill.inspection.cascade import CascadeDisplay
from skdistill.inspection.explanation.build import Explanation, explain
from skdistill.inspection.importance import ranking_importance
from skdistill.inspection.loss_curve import LossCurveDisplay
from skdistill.inspection.pareto import ParetoDisplay
from skdistill.inspection.points import ParetoPoint
from skdistill.inspection.report.build import distillation_report
from skdistill.inspection.report.document import DistillationReport
from skdistill.inspection.report.files import report_table
from skdistill.inspection.retrieval_curve import RetrievalCurveDisplay
from skdistill.inspection.row_costs import RowCost, row_costs
from skdistill.inspection.small_trees import fit_small_trees
from skdistill.inspection.suggestion import suggest_student
from skdistill.inspection.suggestion_table import StudentSuggestion
from skdistill.public_names import publish

__all__ = [
    "AgreementDisplay",
    "CascadeDisplay",
    "DistillationReport",
    "Explanation",
    "LossCurveDisplay",
    "ParetoDisplay",
    "ParetoPoint",
    "RetrievalCurveDisplay",
    "RowCost",
    "StudentSuggestion",
    "distillation_report",
    "explain",
    "fit_small_trees",
    "ranking_importance",
    "report_table",
    "row_costs",
    "suggest_student",
]

publish(__name__)
