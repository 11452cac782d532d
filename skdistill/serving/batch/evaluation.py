"""evaluate_table: how well a model ranks tables in files."""

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
    """Score tables in files and hold the scores against labels, and against a teacher's.

    Features are streamed; query, label and scores of all rows are held in memory.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
    inputs : path, or sequence of paths
        Files, folders and globs.
    query_column, label_column : str
    teacher_column : str, optional
        Scores of the teacher.
    k : int, default=10
        Of NDCG and MRR.

    Returns
    -------
    dict
        ``rows``, ``queries``, ``ndcg@k``, ``mrr@k``, ``average_precision`` (labels above 0 are
        relevant); with a teacher also ``teacher ndcg@k``, ``ratio`` of both with the ends of its
        95% interval by bootstrap over queries, ``kendall_tau`` and ``teacher_recall`` (of its top
        ``k`` within the model's top ``5 k``).

    Raises
    ------
    TableError
        For input that cannot be read or scored.
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
        raise TableError(f"{files[0]}: column {label_column!r} holds {labels.dtype}, not numbers.")
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
        own = ndcg_per_query(labels, scores, qid, k=k)
        ratio = bootstrap_ratio(own, ndcg_per_query(labels, teacher, qid, k=k))
        figures |= {
            f"teacher ndcg@{k}": ndcg_score(labels, teacher, qid, k=k),
            "ratio": ratio.ratio,
            "ratio, low": ratio.low,
            "ratio, high": ratio.high,
            "kendall_tau": kendall_tau(teacher, scores, qid),
            "teacher_recall": teacher_recall(teacher, scores, qid, k=k, m=5 * k),
        }
    return {name: float(value) for name, value in figures.items()}
