"""evaluate_table: measure how well a model ranks tables in files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.pipelines import last_step
from skdistill.metrics import (
    average_precision_score,
    bootstrap_ratio,
    grouped_auc,
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
from skdistill.serving.batch.teacher_scores import TeacherOfTables, check_given_once
from skdistill.tables.columns import TableColumns, filled
from skdistill.tables.csv import CsvOptions
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.query_codes import missing_cells, query_codes
from skdistill.tables.reading import Paths, find_files
from skdistill.tables.shard import TableFile
from skdistill.user_warnings import warn_user

SCORE = "_score"


@set_module("skdistill.serving")
def evaluate_table(
    model: Any,
    inputs: Paths,
    *,
    query_column: str | None = None,
    label_column: str,
    teacher: Any = None,
    teacher_column: str | None = None,
    k: int = 10,
    csv_options: CsvOptions | None = None,
) -> dict[str, float]:
    """Evaluate a model on labelled tables in files, and compare it with a teacher.

    Features are streamed; the query, label and scores of every row are held in memory. So are the
    columns that a teacher reads.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A fitted model.
    inputs : path, or sequence of paths
        Files, folders or globs of Parquet, CSV, JSON lines or Arrow tables.
    query_column : str, optional
        Column of query ids, which every row must have. Without it, the rows are compared with all
        others, and a model that was fitted with queries warns.
    label_column : str
        Column of relevance labels, 0 or more, which every row must have. For MRR and average
        precision, labels above 0 are relevant.
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable, optional
        The fitted teacher. It may read columns that the model does not.
    teacher_column : str, optional
        Column of teacher scores, instead of a teacher.
    k : int, default=10
        Cut-off of NDCG and MRR.
    csv_options : CsvOptions, optional
        Delimiter, decimal point and encoding of CSV files.

    Returns
    -------
    dict of str to float
        Without queries, ``rows``, ``auc``, ``average_precision`` and, with a teacher, ``teacher
        auc`` and ``kendall_tau``. With queries, ``rows``, ``queries``, ``ndcg@k``, ``mrr@k`` and
        ``average_precision``. With queries and a teacher, also
        ``teacher ndcg@k``; ``ratio``, the model's NDCG over the teacher's; ``ratio, low`` and
        ``ratio, high``, its 95% interval by bootstrap over queries; ``kendall_tau``; and, if a
        query has more than ``5 * k`` rows, ``teacher_recall``, the fraction of the teacher's top
        ``k`` in the model's top ``5 * k``.

    Raises
    ------
    TableError
        If a table cannot be read or scored, no table has a row, or a query id, label or teacher's
        score is missing. The message names the file and the row.
    ValueError
        If both a teacher and a column of its scores are given.
    NotFittedError
        If the model is not fitted.
    ImportError
        If PyArrow is not installed (extra ``serving``).
    """
    check_given_once(teacher, teacher_column)
    files = find_files(inputs, csv_options)
    scorer = table_scorer(model)
    numbers = [label_column, *([teacher_column] if teacher_column else [])]
    targets = [*([query_column] if query_column else []), *numbers]
    columns = TableColumns.match(
        files,
        features=scorer.features,
        n_features=scorer.n_features,
        targets=targets,
        added=[SCORE],
        kinds=scorer.kinds,
        numbers=numbers,
        parses_text=True,
    )
    scoring = Scoring(
        *(scorer, "", columns, SCORE, None, None), keeps_rejects=False, can_keep_rejects=False
    )
    if query_column is None and getattr(last_step(model), "fitted_with_qid_", False):
        warn_user(
            "The model was fitted with queries, but no query column is given: all rows are "
            "compared with one another, though the model orders the rows of a query. Pass "
            "query_column= (--query-column)."
        )
    of_tables = None
    if teacher is not None:  # what it lacks is told before the rows are scored
        of_tables = TeacherOfTables(teacher, filled(files), scorer, targets)
    qid, table = _read(scoring, files, query_column)
    taught = of_tables.scores(qid) if of_tables else table.get(teacher_column or "")
    labels, scores = table[label_column], table[SCORE]
    figures = (
        _figures_of_rows(labels, scores, taught)
        if qid is None
        else _figures_of_queries(labels, scores, taught, qid, k)
    )
    return {name: float(value) for name, value in figures.items()}


def _figures_of_rows(
    labels: NDArray[np.float64], scores: NDArray[Any], teacher: NDArray[np.float64] | None
) -> dict[str, float]:
    """Measure how well scores order all rows."""
    relevant = (labels > 0).astype(np.float64)
    figures = {
        "rows": len(scores),
        "auc": grouped_auc(relevant, scores, None),
        "average_precision": average_precision_score(relevant, scores, None),
    }
    if teacher is not None:
        figures |= {
            "teacher auc": grouped_auc(relevant, teacher, None),
            "kendall_tau": kendall_tau(teacher, scores, None),
        }
    return figures


def _figures_of_queries(
    labels: NDArray[np.float64],
    scores: NDArray[Any],
    teacher: NDArray[np.float64] | None,
    qid: NDArray[np.int64],
    k: int,
) -> dict[str, float]:
    """Measure how well scores order the rows of each query."""
    relevant = (labels > 0).astype(np.float64)
    figures = {
        "rows": len(scores),
        "queries": len(np.unique(qid)),
        f"ndcg@{k}": ndcg_score(labels, scores, qid, k=k),
        f"mrr@{k}": mrr_score(relevant, scores, qid, k=k),
        "average_precision": average_precision_score(relevant, scores, qid),
    }
    if teacher is not None:
        ndcg = ndcg_per_query(labels, scores, qid, k=k)
        # The same files give the same interval.
        ratio = bootstrap_ratio(ndcg, ndcg_per_query(labels, teacher, qid, k=k), random_state=0)
        figures |= {
            f"teacher ndcg@{k}": ndcg_score(labels, teacher, qid, k=k),
            "ratio": ratio.ratio,
            "ratio, low": ratio.low,
            "ratio, high": ratio.high,
            "kendall_tau": kendall_tau(teacher, scores, qid),
        }
        if np.bincount(qid).max() > 5 * k:  # in shorter lists, nothing can be missed
            figures["teacher_recall"] = teacher_recall(teacher, scores, qid, k=k, m=5 * k)
    return figures


def _read(
    scoring: Scoring, files: list[TableFile], query_column: str | None
) -> tuple[NDArray[np.int64] | None, dict[str, NDArray[Any]]]:
    """Score files; return the number of each row's query or None, and the columns of numbers."""
    queries: list[Any] = []
    numbers: dict[str, list[Any]] = {name: [] for name in (*scoring.columns.numbers, SCORE)}
    for file in files:
        for shard in file.shards():
            first_row = shard.first_row
            for batch in scoring.results(shard, ShardCount()):
                for name in scoring.columns.carried.names:
                    _check_present(batch.column(name), name, file, first_row)
                if query_column:
                    queries.append(batch.column(query_column))
                for name, values in numbers.items():
                    values.append(batch.column(name).to_numpy(zero_copy_only=False))
                first_row += len(batch)
    if not numbers[SCORE]:
        raise TableError(f"{files[0].path}: the tables hold no rows to evaluate the model on.")
    table = {name: np.concatenate(values) for name, values in numbers.items()}
    if not query_column:
        return None, table
    query_type = scoring.columns.carried.field(query_column).type
    return query_codes(pyarrow_extra().chunked_array(queries, query_type)), table


def _check_present(column: Any, name: str, file: TableFile, first_row: int) -> None:
    """Check that no cell is missing.

    Raises
    ------
    TableError
        If one is. The message names it.
    """
    missing = missing_cells(column)
    if missing.any():
        raise TableError(
            f"{file.path}: row {first_row + int(missing.argmax())}: column {name!r} holds nothing, "
            "but rows are evaluated by their query ids and labels. Drop such rows, or fill in a "
            "value."
        )
