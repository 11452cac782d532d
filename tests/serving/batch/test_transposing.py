"""Columns of a batch become rows, whatever the number of rows and the type."""

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from skdistill.serving.batch.table_scorer import _matrix

PAGE_BYTES = 4096


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [0, 1, 1000, 1008, 1024, 16_368, 16_384])
def test_columns_do_not_lie_whole_pages_apart(n_rows, dtype):
    """Else the cells of a row share a few lines of the cache."""
    X = np.random.default_rng(0).standard_normal((n_rows, 3)).astype(dtype)
    record = pa.RecordBatch.from_arrays([pa.array(column) for column in X.T], names=list("abc"))
    matrix, text = _matrix(record, dtype)
    assert text is None
    assert_array_equal(matrix, X)
    assert matrix.dtype == dtype
    assert 0 < matrix.strides[1] % PAGE_BYTES < 1024
