"""The rows at the first places are found without sorting whole lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skdistill.inputs.queries import Queries
from skdistill.losses.listwise import first_places


def naive_places(level, counts, places, queries):
    """Sort each query, and cut it after the rows that tie with the last place."""
    found, sizes = [], []
    for start, stop in zip(queries.offsets, queries.offsets[1:], strict=False):
        rows = [row for row in range(start, stop) if counts[row]]
        rows.sort(key=lambda row: -level[row])  # stable
        last = level[rows[min(places, len(rows)) - 1]] if rows else 0
        kept = [row for row in rows if level[row] >= last]
        found += kept
        sizes += [len(kept)] if kept else []
    return found, sizes


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.integers(1, 8),
    st.integers(1, 9),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_they_are_those_of_a_sort(sizes, places, n_values, kept, only_positive, seed):
    """Of whole queries and of parts of them, which are what steps see of very long lists."""
    rng = np.random.default_rng(seed)
    queries = Queries.from_sizes(sizes)
    values = rng.integers(0, n_values, queries.n_rows).astype(float)
    level = queries.level(values).astype(np.float32)
    part = rng.random(queries.n_rows) < kept
    if part.any():
        queries, level, values = queries.subset(part), level[part], values[part]
    counts = values > 0 if only_positive else np.ones(queries.n_rows, dtype=bool)
    if not counts.any():
        return
    rows, top = first_places(level, counts, places, queries)
    expected, expected_sizes = naive_places(level, counts, places, queries)
    assert_array_equal(rows, expected)
    assert_array_equal(top.sizes, expected_sizes)
