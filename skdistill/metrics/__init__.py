"""Ranking and retrieval metrics, and scorers based on them.

Ranking metrics take ``(y_true, y_score, qid)``, arrays with one value per row, in any order of
rows. Retrieval metrics take the items that were returned from a catalogue.
"""

from skdistill.metrics.agreement import kendall_tau, teacher_recall
from skdistill.metrics.calibration import expected_calibration_error
from skdistill.metrics.comparison import RatioInterval, bootstrap_ratio, ndcg_per_query
from skdistill.metrics.ndcg import ndcg_score
from skdistill.metrics.relevance import (
    average_precision_score,
    grouped_auc,
    mrr_score,
    recall_at_k,
)
from skdistill.metrics.retrieval import (
    RetrievalCurve,
    catalogue_coverage,
    hit_rate,
    mean_popularity,
    retrieval_curve,
    retrieval_mrr,
    retrieval_ndcg,
    retrieval_recall,
)
from skdistill.metrics.scorers import (
    average_precision_scorer,
    grouped_auc_scorer,
    mrr_scorer,
    ndcg_scorer,
    recall_scorer,
    retrieval_scorer,
)
from skdistill.public_names import publish

__all__ = [
    "RatioInterval",
    "RetrievalCurve",
    "average_precision_score",
    "average_precision_scorer",
    "bootstrap_ratio",
    "catalogue_coverage",
    "expected_calibration_error",
    "grouped_auc",
    "grouped_auc_scorer",
    "hit_rate",
    "kendall_tau",
    "mean_popularity",
    "mrr_score",
    "mrr_scorer",
    "ndcg_per_query",
    "ndcg_score",
    "ndcg_scorer",
    "recall_at_k",
    "recall_scorer",
    "retrieval_curve",
    "retrieval_mrr",
    "retrieval_ndcg",
    "retrieval_recall",
    "retrieval_scorer",
    "teacher_recall",
]

publish(__name__)
