"""The rows by which a student stops early: a validation table, or queries that are held out."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.validation import ValidationTable, check_used
from skdistill.training.early_stopping import hold_out
from skdistill.user_warnings import warn_user

# Least number of single rows of which "auto" holds out some, as for HistGradientBoosting.
ROWS_TO_STOP_BY = 10_000


def read_validation(student: Any, table: ValidationTable) -> RankingData:
    """Check the validation table of a student's fit, and sort its rows by query.

    Raises
    ------
    ValueError
        If it is invalid, or the student never stops early.
    """
    check_used(bool(student.early_stopping))
    return table.read(
        lambda X: student.read_table(X, reset=False),
        student.read_labels,
        query_column=student.query_column,
        has_queries=student.fitted_with_qid_,
        has_offset=student.fitted_with_offset_,
        without_ids=student.queries_without_ids,
    )


def check_stopping_labels(data: RankingData) -> None:
    """Check that held-out queries can be measured by their labels.

    Raises
    ------
    ValueError
        If a label is negative.
    """
    if data.labels is None or not data.queries.has_lists or not (data.labels < 0).any():
        return
    place = tuple(np.argwhere(data.labels < 0)[0])
    row = place[0] if data.order is None else data.order[place[0]]
    raise ValueError(
        "early_stopping measures NDCG, which needs labels of 0 or more: row "
        f"{row} of y holds {data.labels[place]:.6g}. Shift the labels, or leave out "
        "early_stopping."
    )


def split_for_stopping(
    student: Any, data: RankingData, validation: RankingData | None, rng: np.random.Generator
) -> tuple[RankingData, RankingData | None]:
    """Return the rows to train on, and the rows by which to stop or None.

    Without a validation table, ``early_stopping=True`` holds out queries, and so does "auto" of a
    long log: the loss of its rows goes on falling long after that of other rows rises again.
    """
    if not student.early_stopping:
        return data, None
    if validation is not None and validation.has_labels_of(data):
        warn_user(
            "The validation rows (X_val) seem to be the training rows: they have the same queries "
            "and labels. Early stopping by them comes too late. Pass rows that came later."
        )
    if validation is not None or (student.early_stopping == "auto" and not _is_long_log(data)):
        return data, validation
    train_queries, eval_queries = hold_out(data.queries.n_queries, student.validation_fraction, rng)
    return data.take_queries(train_queries), data.take_queries(eval_queries)


def _is_long_log(data: RankingData) -> bool:
    """Whether there are many single rows, with labels for each objective if there are labels."""
    if data.queries.has_lists or data.n_rows < ROWS_TO_STOP_BY:
        return False
    return data.labels is None or bool(
        (np.isfinite(data.labels).sum(axis=0) >= ROWS_TO_STOP_BY).all()
    )
