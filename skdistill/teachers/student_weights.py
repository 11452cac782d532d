"""The row weights of a student, which requests them as a teacher does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from skdistill.inputs.checks import check_sample_weight
from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.fit_arguments import default_request
from skdistill.teachers.routing import requested_by


def with_students_weights(data: RankingData, student: Any) -> RankingData:
    """Replace the row weights by those that the student requests; by default, the same."""
    head = student[:-1] if isinstance(student, Pipeline) and len(student) > 1 else None
    requested = get_routing_for_object(head).consumes("fit_transform", ["sample_weight"])
    if requested and data.sample_weight is not None:
        raise ValueError(
            "A step before the student requests sample_weight, but only the student gets it. "
            "Call set_fit_request(sample_weight=False) on the step, or fit it beforehand."
        )
    given = {**data.metadata, "sample_weight": data.sample_weight}
    weight = requested_by(
        default_request(student[-1] if isinstance(student, Pipeline) else student), given
    ).get("sample_weight")
    return replace(data, sample_weight=check_sample_weight(weight, data.n_rows))
