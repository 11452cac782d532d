"""Query ids of a file as numbers, compared by Arrow and never by a cast of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.types import plain, plain_column


def missing_cells(column: Any) -> NDArray[np.bool_]:
    """Whether each cell of a column is null or NaN, shape (n_rows,)."""
    from pyarrow import compute

    return compute.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)


def tells_queries(type_: Any) -> bool:
    """Whether a column of a type may hold query ids."""
    try:
        query_codes(pyarrow_extra().nulls(0, type_))
    except TableError:
        return False
    return True


def query_codes(column: Any) -> NDArray[np.int64]:
    """Number the queries of a column; equal ids get equal numbers, and missing ones -1.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
        Query ids of any type, which is not changed.

    Returns
    -------
    ndarray of shape (n_rows,), int64

    Raises
    ------
    TableError
        If the column holds lists or the like.
    """
    pyarrow = pyarrow_extra()
    from pyarrow import compute

    if isinstance(column, pyarrow.Array):
        column = pyarrow.chunked_array([column])
    chunks = [plain_column(chunk) for chunk in column.chunks]
    column = pyarrow.chunked_array(chunks, plain(column.type))
    if isinstance(column.type, pyarrow.BaseExtensionType):  # such as UUIDs
        storage = [chunk.storage for chunk in column.chunks]
        column = pyarrow.chunked_array(storage, column.type.storage_type)
    if pyarrow.types.is_floating(column.type):
        column = compute.if_else(compute.is_nan(column), None, column)
        column = compute.add(column, pyarrow.scalar(0, column.type))  # -0.0 becomes 0.0
    try:
        encoded = column.dictionary_encode()
    except pyarrow.ArrowNotImplementedError as error:
        raise TableError(f"Query ids cannot be of type {column.type}.") from error
    indices = [compute.fill_null(chunk.indices, -1).to_numpy() for chunk in encoded.chunks]
    return np.concatenate([np.empty(0, np.int64), *indices]).astype(np.int64)
