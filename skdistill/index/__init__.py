"""Indexes of embeddings: exact in plain NumPy, approximate with other libraries."""

from skdistill.index.approximate import (
    ENGINES,
    FaissIndex,
    HnswlibIndex,
    UsearchIndex,
    make_index,
)
from skdistill.index.exact import ExactIndex
from skdistill.public_names import publish

__all__ = ["ENGINES", "ExactIndex", "FaissIndex", "HnswlibIndex", "UsearchIndex", "make_index"]

publish(__name__)
