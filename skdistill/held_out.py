"""Rows that a distillation holds out from training: for early stopping and for the calibrator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.calibration import check_binary, fit_calibrator, undo_sampling_in_weights
from skdistill.inputs.columns import select_columns
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.row_errors import rows_of_user
from skdistill.inputs.validation import in_validation_table
from skdistill.students.pipelines import through_head
from skdistill.training.early_stopping import hold_out

# Fraction of the labelled queries that the calibrator is fitted on.
CALIBRATION_FRACTION = 0.1


def students_validation(
    student: Any, validation: RankingData | None, columns: list[int] | None
) -> RankingData | None:
    """Return the validation table as the student sees it; the steps before it are fitted."""
    if validation is None:
        return None
    with in_validation_table(), rows_of_user(validation.order):
        seen_table = through_head(student, select_columns(validation.X, columns))
        return validation.with_table(last_step(student).read_table(seen_table, reset=False))


def split_for_calibration(
    kind: str | None, data: RankingData, validation: RankingData | None, seed: int
) -> tuple[NDArray[np.int64] | None, RankingData, RankingData | None]:
    """Split the rows between the student and the calibrator, which prefers the validation table.

    Returns the positions of the student's rows (None for all), their data, and the labelled data of
    the calibrator.
    """
    if kind is None:
        return None, data, None
    if validation is not None:
        with in_validation_table():
            if validation.labels is None:
                raise ValueError(f"calibrate={kind!r} needs labels, but y_val has none. Pass it.")
            held_out = validation.subset(validation.is_labelled)
            assert held_out.labels is not None
            check_binary(held_out.labels)
        return None, data, held_out
    queries = data.queries
    labelled = np.flatnonzero(queries.sum(data.is_labelled.astype(np.int64)) > 0)
    if len(labelled) < 2:
        raise ValueError(
            f"calibrate={kind!r} holds out labelled queries and needs at least 2, got "
            f"{len(labelled)}. Pass more labels, or set calibrate=None."
        )
    rng = np.random.default_rng(seed)
    eval_queries = labelled[hold_out(len(labelled), CALIBRATION_FRACTION, rng)[1]]
    train_queries = np.setdiff1d(np.arange(queries.n_queries), eval_queries)
    held_out = data.take_queries(eval_queries)
    held_out = held_out.subset(held_out.is_labelled)
    assert held_out.labels is not None  # some queries are labelled
    check_binary(held_out.labels)
    return queries.take(train_queries)[0], data.take_queries(train_queries), held_out


def fit_calibrator_of(
    ranker: Any, data: RankingData | None, student: Any, columns: list[int] | None
) -> Any:
    """Fit a map from the student's scores to probabilities; return None without ``calibrate``."""
    if data is None:
        return None
    assert data.labels is not None  # only labelled rows were held out
    with rows_of_user(data.order):
        scores = student.predict(select_columns(data.X, columns))
    weight = undo_sampling_in_weights(data.sample_weight, data.labels, ranker.sampling_rate)
    return fit_calibrator(ranker.calibrate, scores, data.labels, weight)
