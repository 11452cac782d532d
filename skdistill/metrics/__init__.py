"""Ranking and retrieval metrics, and scorers based on them.

Ranking metrics take ``(y_true, y_score, qid)``, arrays with one value per row, in any order of
rows. Retrieval metrics take the items that were returned from a catalogue.
"""

from skdistill.metrics.agreement import kendall_tau, rank_biased_overlap, teacher_recall
from skdistill.metrics.averaging import per_query
from skdistill.metrics.calibration import expected_calibration_error
from skdistill.metrics.catalogue import catalogue_coverage, mean_popularity
from skdistill.metrics.comparison import RatioInterval, bootstrap_ratio, ndcg_per_query
from skdistill.metrics.curves import RetrievalCurve, retrieval_curve
from skdistill.metrics.ndcg import dcg_score, ndcg_score
from skdistill.metrics.relevance import (
    average_precision_score,
    grouped_auc,
    mrr_score,
    precision_at_k,
    recall_at_k,
)
from skdistill.metrics.retrieval import (
    hit_rate,
    retrieval_average_precision,
    retrieval_mrr,
    retrieval_ndcg,
    retrieval_precision,
    retrieval_recall,
)
from skdistill.metrics.scorers import (
    average_precision_scorer,
    dcg_scorer,
    grouped_auc_scorer,
    mrr_scorer,
    ndcg_scorer,
    precision_scorer,
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
    "dcg_score",
    "dcg_scorer",
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
    "per_query",
    "precision_at_k",
    "precision_scorer",
    "rank_biased_overlap",
    "recall_at_k",
    "recall_scorer",
    "retrieval_average_precision",
    "retrieval_curve",
    "retrieval_mrr",
    "retrieval_ndcg",
    "retrieval_precision",
    "retrieval_recall",
    "retrieval_scorer",
    "teacher_recall",
]

publish(__name__)
