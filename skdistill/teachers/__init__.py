"""Teachers: how any estimator is fitted with queries and asked for scores."""

from skdistill.teachers.labelling import (
    fresh_copy,
    is_fitted_for_good,
    label,
    score_rows,
)

__all__ = ["fresh_copy", "is_fitted_for_good", "label", "score_rows"]
