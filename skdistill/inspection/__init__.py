"""What a ranker has learnt, measured on a table; reports as pictures."""

from skdistill.inspection.cascade import CascadeDisplay
from skdistill.inspection.importance import ranking_importance
from skdistill.public_names import publish

__all__ = ["CascadeDisplay", "ranking_importance"]

publish(__name__)
