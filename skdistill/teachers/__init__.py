"""Teachers: how any estimator is fitted with queries and asked for scores."""

from skdistill.teachers.labelling import label, score_rows

__all__ = ["label", "score_rows"]
