"""Checks of what a user passes along with a table."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skdistill.inputs.checks import check_labels

MISSING = {
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "Int64": pd.Series([1, None, 0], dtype="Int64"),
    "Float32": pd.Series([1, None, 0], dtype="Float32"),
    "int64[pyarrow]": pd.Series([1, None, 0], dtype="int64[pyarrow]"),
    "bool[pyarrow]": pd.Series([True, None, False], dtype="bool[pyarrow]"),
    "objects": [True, None, 0.0],
    "polars": pl.Series([1, None, 0]),
    "polars, boolean": pl.Series([True, None, False]),
    "a column": pd.DataFrame({"y": pd.Series([1, None, 0], dtype="Int64")}),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_label_is_no_label_in_every_type(name):
    labels = check_labels(MISSING[name], 3)
    assert labels.dtype == np.float64
    np.testing.assert_array_equal(labels, [1, np.nan, 0])


def test_labels_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="y must be numeric"):
        check_labels(["a", None, "b"], 3)
