"""evaluate_table: measure how well a model ranks tables in files."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdistill.metrics import (
    average_precision_score,
    bootstrap_ratio,
    kendall_tau,
    mrr_score,
    ndcg_per_query,
    ndcg_score,
    teacher_recall,
)
from skdistill.public_names import set_module
from skdistill.serving.batch.runs import ShardCount
from skdistill.serving.batch.scoring import Scoring
from skdistill.serving.batch.table_scorer import table_scorer
from skdistill.tables.columns import TableColumns
from skdistill.tables.errors import TableError
from skdistill.tables.reading import Paths, find_files, shards_of

SCORE = "_score"


@set_module("skdistill.serving")
def evaluate_table(
    model: Any,
    inputs: Paths,
    *,
    query_column: str,
    label_column: str,
    teacher_column: str | None = None,
    k: int = 10,
) -> dict[str, float]:
    """Evaluate a model on labelled tables in files, and compare it with a teacher.

    Features are streamed; the query, label and scores of every row are held in memory.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A fitted model.
    inputs : path, or sequence of paths
        Files, folders or globs of Parquet, CSV or Arrow tables.
    query_column : str
        Column of query ids.
    label_column : str
        Column of relevance labels, 0 or more. For MRR and average precision, labels above 0 are
        relevant.
    teacher_column : str, optional
        Column of teacher scores.
    k : int, default=10
        Cut-off of NDCG and MRR.

    Returns
    -------
    dict of str to float
        ``rows``, ``queries``, ``ndcg@k``, ``mrr@k`` and ``average_precision``. With a teacher, also
        ``teacher ndcg@k``; ``ratio``, the model's NDCG over the teacher's; ``ratio, low`` and
        ``ratio, high``, its 95% interval by bootstrap over queries; ``kendall_tau``; and
        ``teacher_recall``, the fraction of the teacher's top ``k`` in the model's top ``5 * k``.

    Raises
    ------
    TableError
        If a table cannot be read or scored, or its labels are not numbers.
    NotFittedError
        If the model is not fitted.
    ImportError
        If PyArrow is not installed (extra ``serving``).
    """
    files = find_files(inputs)
    scorer = table_scorer(model)
    others = [query_column, label_column, *([teacher_column] if teacher_column else [])]
    columns = TableColumns.match(
        files,
        features=scorer.features,
        n_features=scorer.n_features,
        ids=others,
        carries_rest=False,
        added=[SCORE],
        wants_numbers=scorer.wants_numbers,
    )
    scoring = Scoring(scorer, "", columns, SCORE, None, None, keeps_rejects=False)
    parts: dict[str, list[Any]] = {name: [] for name in [*others, SCORE]}
    for file in files:
        for shard in shards_of(file):
            for batch in scoring.results(shard, ShardCount()):
                for name, values in parts.items():
                    values.append(batch.column(name).to_numpy(zero_copy_only=False))
    table = {name: np.concatenate(values) for name, values in parts.items()}
    qid, labels, scores = table[query_column], table[label_column], table[SCORE]
    if not np.issubdtype(labels.dtype, np.number):
        raise TableError(
            f"{files[0]}: label column {label_column!r} holds {labels.dtype}, expected numbers."
        )
    relevant = (labels > 0).astype(np.float64)
    figures = {
        "rows": len(scores),
        "queries": len(np.unique(qid)),
        f"ndcg@{k}": ndcg_score(labels, scores, qid, k=k),
        f"mrr@{k}": mrr_score(relevant, scores, qid, k=k),
        "average_precision": average_precision_score(relevant, scores, qid),
    }
    if teacher_column:
        teacher = table[teacher_column]
        ndcg = ndcg_per_query(labels, scores, qid, k=k)
        ratio = bootstrap_ratio(ndcg, ndcg_per_query(labels, teacher, qid, k=k))
        figures |= {
            f"teacher ndcg@{k}": ndcg_score(labels, teacher, qid, k=k),
            "ratio": ratio.ratio,
            "ratio, low": ratio.low,
            "ratio, high": ratio.high,
            "kendall_tau": kendall_tau(teacher, scores, qid),
            "teacher_recall": teacher_recall(teacher, scores, qid, k=k, m=5 * k),
        }
    return {name: float(value) for name, value in figures.items()}
