"""Tables of different libraries side by side, as queries and a catalogue may be."""

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from skdistill.inputs.columns import side_by_side
from tests.small_cascade import DATA, ITEMS, LOG, QUERIES, fit_cascade, towers

LIBRARIES = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}
LEFT = pd.DataFrame({"n": [1, 2, 3], "c": pd.Categorical(["x", None, "y"])}, index=[7, 8, 9])
RIGHT = pd.DataFrame(
    {
        "f": [1.5, np.nan, 0.1],
        "t": pd.to_datetime(["2026-01-01T00:00:00", None, "2026-01-02T03:04:05"]),
        "s": ["u", None, "w"],
    }
)


def cells(table):
    """Return the cells of a table, None where they are missing."""
    frame = table if isinstance(table, pd.DataFrame) else table.to_pandas()
    frame = frame.reset_index(drop=True).astype(object)
    return frame.where(frame.notna(), None).to_numpy()


@pytest.mark.parametrize(("left", "right"), list(itertools.product(LIBRARIES, LIBRARIES)))
def test_a_joined_table_is_of_the_library_of_the_left_one(left, right):
    joined = side_by_side(LIBRARIES[left](LEFT), LIBRARIES[right](RIGHT))
    assert type(joined) is type(LIBRARIES[left](LEFT))
    assert_array_equal(cells(joined), np.column_stack([cells(LEFT), cells(RIGHT)]))


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_queries_items_and_log_may_be_of_different_libraries(library):
    convert = LIBRARIES[library]
    expected = fit_cascade().rank(QUERIES)[0]
    assert_array_equal(fit_cascade().rank(convert(QUERIES))[0], expected)
    assert_array_equal(fit_cascade(items=convert(ITEMS)).rank(QUERIES)[0], expected)
    assert_array_equal(fit_cascade(log=convert(LOG)).rank(QUERIES)[0], expected)
    retriever = towers(max_iter=1).fit(LOG, DATA.y, qid=DATA.qid, items=ITEMS)
    assert_array_equal(retriever.retrieve(convert(QUERIES))[0], retriever.retrieve(QUERIES)[0])
