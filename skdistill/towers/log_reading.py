"""Read the log of a fit and its validation table: what towers learn from and are measured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from skdistill.inputs.checks import check_finite, check_sample_weight
from skdistill.inputs.columns import as_table, take_rows, take_values, without_query_column
from skdistill.inputs.query_ids import check_qid
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.row_errors import rows_of_user
from skdistill.inputs.validation import ValidationTable, check_used, in_validation_table
from skdistill.teachers.pair_scores import check_pair_scores
from skdistill.teachers.routing import is_prefit
from skdistill.towers.catalogue_match import warn_of_catalogue
from skdistill.towers.catalogue_supervision import CatalogueSupervision
from skdistill.towers.pair_table import PairColumns, PairTable
from skdistill.towers.supervision import LogSupervision, PairSupervision


def read_log(
    retriever: Any,
    X: Any,
    y: Any,
    qid: Any,
    items: Any,
    sample_weight: Any,
    teacher_scores: Any,
    metadata: Mapping[str, Any],
    *,
    reset: bool,
) -> PairSupervision:
    """Check the input of a fit, sort the log by query, and split it into queries and items.

    Parameters
    ----------
    retriever : TowerEstimator
        It remembers the columns.
    X, y, qid, items, sample_weight, teacher_scores, metadata
        Arguments of ``fit``.
    reset : bool
        Whether to remember the columns, or to bring them to those of an earlier fit.

    Returns
    -------
    PairSupervision

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or there is nothing to learn from.
    """
    X = as_table(X)
    retriever.check_columns(X, reset=reset)
    n_rows = X.shape[0]
    if y is None and teacher_scores is None and retriever.teacher is None:
        raise ValueError(
            f"{type(retriever).__name__} requires y to be passed, but the target y is None, and "
            "there is neither a teacher nor teacher_scores to learn from."
        )
    asks_teacher = (
        retriever.wants_teacher and retriever.teacher is not None and teacher_scores is None
    )
    labels = None if y is None else retriever.read_labels(y, n_rows)
    labels, objective_labels = retriever.split_labels(labels, asks_teacher)
    weight = check_sample_weight(sample_weight, n_rows)
    if reset:
        columns = PairColumns.find(X, retriever.query_columns, retriever.item_columns)
        retriever.pair_columns_ = columns
    ids = check_qid(retriever.resolve_qid(X, qid), n_rows)
    table = without_query_column(X, retriever.query_column)
    data = RankingData.sort(ids, table, labels, sample_weight=weight, metadata=metadata)
    # A second copy of the log is not made without need.
    in_order = data.X if table is X else take_rows(X, data.order)
    if items is not None:
        items = retriever.check_table(as_table(items), "item")
    columns = retriever.pair_columns_
    sides = columns.queries(in_order), columns.items(in_order)
    if not reset:
        sides = _checked(retriever, *sides)
    with rows_of_user(data.order):
        pairs = PairTable.split(*sides, data.queries.segment, items)
    if items is not None:
        warn_of_catalogue(pairs, sides[1], items)
    objective_labels = take_values(objective_labels, data.order)
    scores = teacher_scores if retriever.wants_teacher else None
    if items is None and scores is not None:
        scores = take_values(check_finite("teacher_scores", scores, n_rows), data.order)
    return _supervision(data, pairs, objective_labels, items is not None, scores)


def read_validation(
    retriever: Any, table: ValidationTable, supervision: PairSupervision
) -> PairSupervision:
    """Check the validation table of a fit, and split it like the log.

    Parameters
    ----------
    retriever : TowerEstimator
        It has read the log.
    table : ValidationTable
        The validation arguments of ``fit``.
    supervision : PairSupervision
        The log, whose catalogue the queries of the table rank.

    Returns
    -------
    PairSupervision
        Of the kind of the log's.

    Raises
    ------
    ValueError
        If an argument is invalid, or nobody uses the table.
    """
    asks_teacher = retriever.asks_teacher(supervision)
    fits_teacher = asks_teacher and not is_prefit(retriever.teacher)
    check_used(bool(retriever.early_stopping) or fits_teacher)
    catalogue, columns = supervision.catalogue, retriever.pair_columns_
    scores = table.teacher_scores if retriever.wants_teacher else None
    with in_validation_table():
        X = as_table(table.X)
        retriever.check_columns(X, reset=False)
        ids = table.qid
        if retriever.query_column is None:
            ids = retriever.resolve_qid(X, ids)
        queries, items = _checked(retriever, columns.queries(X), columns.items(X))
    # The scores of a catalogue are not one per row.
    by_row = scores if catalogue is None else None
    data = replace(table, X=X, qid=ids, teacher_scores=by_row).read(
        lambda X: without_query_column(X, retriever.query_column),
        retriever.read_labels,
        query_column=retriever.query_column,
        has_queries=True,
        scores_follow=asks_teacher or scores is not None,
    )
    with in_validation_table():
        labels, objective_labels = retriever.split_labels(data.labels, asks_teacher)
        sides = take_rows(queries, data.order), take_rows(items, data.order)
        with rows_of_user(data.order):
            pairs = PairTable.split(*sides, data.queries.segment, catalogue)
        data = replace(data, labels=labels)
        has_catalogue = catalogue is not None
        scores = scores if has_catalogue else data.teacher_scores
        return _supervision(data, pairs, objective_labels, has_catalogue, scores)


def _checked(retriever: Any, queries: Any, items: Any) -> tuple[Any, Any]:
    """Bring the queries and the items of a further log to the kinds of ``fit``."""
    return retriever.check_table(queries, "query"), retriever.check_table(items, "item")


def _supervision(
    data: RankingData, pairs: PairTable, objective_labels: Any, has_catalogue: bool, scores: Any
) -> PairSupervision:
    """Join a log, split into pairs, with a teacher's scores of its rows or of the catalogue."""
    if not has_catalogue:
        return LogSupervision(replace(data, teacher_scores=scores), pairs, objective_labels)
    if scores is not None:
        scores = check_pair_scores(
            scores, pairs.n_queries, pairs.n_catalogue, pairs.queries, pairs.items
        )
    return CatalogueSupervision(data, pairs, objective_labels, pair_scores=scores)
