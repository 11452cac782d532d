"""New categories get codes of their own, and start from the weights of unknown ones."""

import datetime

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skdistill.inputs.column_kinds import ColumnKindError
from skdistill.inputs.new_categories import former_codes, with_new_categories
from skdistill.inputs.table_encoder import TableEncoder

CATEGORIES = {
    "text": (["b", "a", "c"], ["long name", "0"]),
    "integer": ([3, 1, 2], [0, 9]),
    "boolean": ([True, True, True], [False, False]),
    "date": (
        [datetime.date(2024, 1, day) for day in (3, 1, 2)],
        [datetime.date(2023, 5, 1), datetime.date(2025, 1, 1)],
    ),
}


@pytest.mark.parametrize("kind", CATEGORIES)
def test_known_categories_keep_their_codes(kind):
    known, new = CATEGORIES[kind]
    before = pd.DataFrame({"c": pd.Series(known, dtype=object), "x": 1.0})
    after = pd.DataFrame({"c": pd.Series([*new, *known], dtype=object), "x": 1.0})
    encoder = TableEncoder.fit(before, [0])
    extended = with_new_categories(encoder, after, None)
    assert_array_equal(extended.transform(before).codes, encoder.transform(before).codes)
    codes = extended.transform(after).codes.ravel()
    assert len(np.unique(codes)) == len(set(new) | set(known))
    assert (codes[: len(new)] >= encoder.n_codes).all()
    again = with_new_categories(extended, after, None)
    assert again.n_codes == extended.n_codes
    assert encoder.transform(after).codes[0, 0] == 1  # the former encoder is as it was


def test_weights_of_several_columns_move_with_their_codes():
    before = pd.DataFrame({"a": ["p", "q"], "x": [0.0, 1.0], "b": ["r", "s"]})
    after = pd.DataFrame({"a": ["t", "p", None], "x": 0.0, "b": ["s", "u", "v"]})
    encoder = TableEncoder.fit(before, [0, 2])
    extended = with_new_categories(encoder, after, None)
    former = former_codes(encoder, extended)
    assert len(former) == extended.n_codes == encoder.n_codes + 3
    for table in (before, after):
        # Codes of a later encoder, read as those of the earlier one, are what that one finds.
        found = former[extended.transform(table).codes]
        assert_array_equal(found, encoder.transform(table).codes)


def test_rare_new_categories_share_a_code_as_in_fit():
    before = pd.DataFrame({"c": ["a", "a", "b", "b"]})
    after = pd.DataFrame({"c": ["new", "new", "rare", "a", "a"]})
    extended = with_new_categories(TableEncoder.fit(before, [0]), after, "repeated")
    assert extended.categories[0].values.tolist() == ["a", "b", "new"]


def test_a_column_that_was_empty_gets_the_kind_of_its_categories():
    before = pd.DataFrame({"c": [None, None]}, dtype=object)
    after = pd.DataFrame({"c": ["a", "b"]}, dtype=object)
    extended = with_new_categories(TableEncoder.fit(before, [0]), after, None)
    assert extended.categories[0].kind == "text"
    assert len(np.unique(extended.transform(after).codes)) == 2


def test_categories_of_another_kind_are_refused():
    encoder = TableEncoder.fit(pd.DataFrame({"c": ["a", "b"]}), [0])
    with pytest.raises(ColumnKindError, match="'c'"):
        with_new_categories(encoder, pd.DataFrame({"c": [1.5, 2.5]}), None)
