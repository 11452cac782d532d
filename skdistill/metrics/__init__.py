"""Ranking metrics by query, vectorised over ragged queries, and scorers made of them.

All take ``(y_true, y_score, qid)``, arrays of one value a row in any order of rows.
"""

from skdistill.metrics.agreement import kendall_tau, teacher_recall
from skdistill.metrics.ndcg import ndcg_score
from skdistill.metrics.relevance import (
    average_precision_score,
    grouped_auc,
    mrr_score,
    recall_at_k,
)
from skdistill.metrics.scorers import (
    average_precision_scorer,
    grouped_auc_scorer,
    mrr_scorer,
    ndcg_scorer,
    recall_scorer,
)

__all__ = [
    "average_precision_score",
    "average_precision_scorer",
    "grouped_auc",
    "grouped_auc_scorer",
    "kendall_tau",
    "mrr_score",
    "mrr_scorer",
    "ndcg_score",
    "ndcg_scorer",
    "recall_at_k",
    "recall_scorer",
    "teacher_recall",
]
