"""Batches of the training rows, with rows that a teacher has scored beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skdistill.inputs.checks import check_finite
from skdistill.inputs.ranking_data import RankingData, SyntheticRows
from skdistill.inputs.rows import Rows
from skdistill.training.loop import TrainingSettings
from skdistill.training.query_batches import AugmentedBatches, QueryBatches


def batches_of(
    student: Any,
    data: RankingData,
    inputs: Rows,
    synthetic: SyntheticRows | None,
    settings: TrainingSettings,
) -> QueryBatches | AugmentedBatches:
    """Make batches of the training data, with synthetic rows if there are any."""
    batches = QueryBatches(inputs, data.queries, student.make_objective(data), settings)
    if synthetic is None:
        return batches
    if data.teacher_scores is None or sparse.issparse(data.X):
        raise ValueError("Synthetic rows need teacher_scores and a dense table.")
    table = student.read_table(synthetic.X, reset=False)
    scores = check_finite("synthetic scores", synthetic.scores, table.shape[0])
    target = (scores - data.teacher_scores.mean()) / student.score_unit(data.teacher_scores)
    rows = Rows(student.scaler_.transform(table))
    return AugmentedBatches(batches, rows, target.astype(np.float32), synthetic.fraction)
