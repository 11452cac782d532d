"""Inputs of a model: queries, rows, pairs and columns of tables, checked and scaled."""

from skdistill.inputs.category_codes import CategoryCodes
from skdistill.inputs.code_rows import CodeRows, FoldsCodes
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import RowGradient, Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.public_names import publish

__all__ = [
    "CategoryCodes",
    "CodeRows",
    "ColumnScaler",
    "FoldsCodes",
    "MixedTable",
    "Queries",
    "RowGradient",
    "Rows",
    "TableEncoder",
]

publish(__name__)
