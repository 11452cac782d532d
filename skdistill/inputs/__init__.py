"""Inputs of a model: queries, rows, pairs and columns of tables, checked and scaled."""

from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import RowGradient, Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.public_names import publish

__all__ = ["ColumnScaler", "Queries", "RowGradient", "Rows"]

publish(__name__)
