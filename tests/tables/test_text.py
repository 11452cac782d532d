"""Text of CSV files: exact conversions, and what a column of text holds."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from skdistill.tables.text import TextContent, parse, parse_feature
from skdistill.tables.types import common_type, is_number, plain, plain_column


def parsed(cells, type_):
    values, is_unfit = parse(pa.array(cells, pa.string()), type_)
    return values.to_pylist(), np.flatnonzero(is_unfit).tolist()


def test_numbers_may_have_spaces_and_be_missing_by_name():
    cells = ["1", " 2.5", "-1e3", "+.5", "5.", "NA", "nan", "null", None, "007", "1e400"]
    assert parsed(cells, pa.float64())[1] == []
    values = parsed([*cells, "x", "1_0", "0x1", "-", "1e"], pa.float64())
    assert values[1] == [11, 12, 13, 14, 15]
    expected = [1, 2.5, -1000, 0.5, 5, None, None, None, None, 7, np.inf, *[None] * 5]
    assert values[0] == expected
    # What pyarrow itself takes for missing in a column of numbers.
    assert parsed(csv.ConvertOptions().null_values, pa.float64()) == ([None] * 17, [])


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(-(2**64), 2**65).map(str),
            st.sampled_from(["007", "+5", "1.0", "1e3", "NA", "-0", " 1", "", "0x10", "x"]),
            st.none(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_text_is_an_integer_only_if_the_integer_has_this_text(cells):
    def fits(cell):
        try:
            return str(int(cell)) == cell and -(2**63) <= int(cell) < 2**63
        except ValueError:
            return False

    values, unfit = parsed(cells, pa.int64())
    assert unfit == [row for row, one in enumerate(cells) if one is not None and not fits(one)]
    assert values == [int(one) if one is not None and fits(one) else None for one in cells]


def test_other_types_are_parsed_cell_by_cell():
    assert parsed(["true", "False", "yes"], pa.bool_()) == ([True, False, None], [2])
    values, unfit = parsed(["2020-01-01", "soon"], pa.timestamp("us"))
    assert (values[0].year, values[1], unfit) == (2020, None, [1])


def test_models_read_true_as_1_and_times_in_utc():
    def read(cells, type_):
        values, is_unfit = parse_feature(pa.array(cells, pa.string()), type_)
        return values.to_pylist(), np.flatnonzero(is_unfit).tolist()

    cells = ["true", "FALSE", "2.5", "NA", None, "yes", "tRue"]
    assert read(cells, pa.float64()) == ([1, 0, 2.5, None, None, None, None], [5, 6])
    assert read(["7", "true"], pa.int64()) == ([7, None], [1])
    midnight = datetime.datetime(2026, 1, 1)
    half_past = [
        "2026-01-01T00:30:00", "2026-01-01 02:30+02:00", "2025-12-31T22:00:00.0-0230",
        "2026-01-01T00:30:00Z", "2026-01-01T01:30:00.000000999+01",
    ]  # fmt: skip
    times, unfit = read(
        ["2026-01-01", *half_past, None, "2026-01-01-05", "2026-01-01T25:00Z"], pa.timestamp("us")
    )
    expected = [midnight, *[midnight + datetime.timedelta(minutes=30)] * 5, None, None, None]
    assert (times, unfit) == (expected, [7, 8])


@pytest.mark.parametrize(
    ("batches", "type_"),
    [
        ([["1", "2"], ["3"]], pa.int64()),
        ([["1", None], ["-5"]], pa.int64()),
        ([["1", "NA"]], pa.float64()),
        ([["1"], ["2.5", " 3"]], pa.float64()),
        ([["1"], ["x"], ["2"]], pa.string()),
        ([["1", "07"]], pa.string()),
        ([["12345678901234567890123"]], pa.string()),
        ([["NA", "null"], [None]], pa.string()),
        ([["NA"], ["DE"]], pa.string()),
        ([["NA"], ["1"]], pa.float64()),
        ([["true", "False"]], pa.bool_()),
        ([["true"], ["1"]], pa.string()),
        ([["TRUE", "NA"]], pa.float64()),
        ([["true"], ["NA"]], pa.float64()),
        ([[" true"]], pa.string()),
        ([[None]], pa.string()),
        ([], pa.string()),
        ([["0.5", "00.5"]], pa.string()),
    ],
)
def test_the_content_of_a_column_is_that_of_all_its_cells(batches, type_):
    for given_batches in (batches, batches[::-1]):
        content = TextContent()
        for cells in given_batches:
            content.see(pa.array(cells, pa.string()))
        assert content.type == type_
        for cells in given_batches:
            assert (
                not parse_feature(pa.array(cells, pa.string()), type_)[1].any()
                or type_ == pa.string()
            )


def test_the_common_type_holds_the_values_of_both():
    integers = [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)]
    for left in integers:
        for right in integers:
            common = common_type(left, right)
            assert common == common_type(right, left)
            signed = {pa.types.is_signed_integer(one) for one in (left, right)}
            if common is None:
                assert len(signed) == 2
                assert max(left.bit_width, right.bit_width) == 64
                continue
            for one in (left, right):  # a cast raises if a value is out of range
                limits = np.iinfo(one.to_pandas_dtype())
                pa.array([limits.min, limits.max], one).cast(common)
    assert common_type(pa.float32(), pa.float64()) == pa.float64()
    assert common_type(pa.string(), pa.large_string()) == pa.string()
    assert common_type(pa.null(), pa.int8()) == pa.int8()
    assert common_type(pa.int8(), pa.string()) is None
    assert common_type(pa.int64(), pa.float64()) is None


def test_dictionaries_and_views_are_read_as_their_values():
    views = pa.array(["b", None, "a"], pa.string_view())
    dictionary = pa.DictionaryArray.from_arrays(pa.array([0, None, 2], pa.uint32()), views)
    for column in (views, dictionary, views.cast(pa.string())):
        assert plain(column.type) == pa.string()
        assert plain_column(column).type == pa.string()
    assert plain_column(dictionary).to_pylist() == ["b", None, "a"]
    assert is_number(pa.decimal128(5, 2))
    assert not is_number(pa.string())
