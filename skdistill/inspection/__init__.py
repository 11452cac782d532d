"""What a ranker has learnt, measured on a table."""

from skdistill.inspection.importance import ranking_importance
from skdistill.public_names import publish

__all__ = ["ranking_importance"]

publish(__name__)
