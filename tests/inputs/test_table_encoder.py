"""Tables of every library are read alike: numbers, times, categories, missing values."""

import datetime
import pickle
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from skdistill.inputs import MixedTable, TableEncoder
from skdistill.inputs.category_codes import MISSING, OTHER, CategoryCodes
from skdistill.inputs.column_kinds import ColumnKindError
from skdistill.inputs.column_reading import FEW_CELLS

DAY = datetime.date(2024, 5, 17)
NOON = datetime.datetime(2024, 5, 17, 12)


def frame():
    """A pandas frame with columns of every type that people have, some cells missing."""
    return pd.DataFrame(
        {
            "float": [1.5, np.nan, 3.0],
            "integer": [1, 2, 3],
            "boolean": [True, False, True],
            "nullable_integer": pd.array([1, None, 3], dtype="Int64"),
            "nullable_boolean": pd.array([True, None, False], dtype="boolean"),
            "arrow_float": pd.array([1.5, None, 2.0], dtype="double[pyarrow]"),
            "object_float": pd.Series([1.5, None, 2.0], dtype=object),
            "decimal": [Decimal("1.5"), None, Decimal(2)],
            "empty": pd.Series([None, None, None], dtype=object),
            "date": [DAY, None, DAY],
            "time": pd.to_datetime([NOON, None, NOON]),
            "time_zone": pd.to_datetime([NOON, None, NOON]).tz_localize("Europe/Berlin"),
            "arrow_time": pd.array([NOON, None, NOON], dtype="timestamp[us][pyarrow]"),
            "duration": pd.to_timedelta([1, None, 2], unit="h"),
            "text": ["b", None, "a"],
            "object_text": pd.Series(["b", None, "a"], dtype=object),
            "arrow_text": pd.array(["b", None, "a"], dtype="string[pyarrow]"),
            "category": pd.Categorical(["y", None, "x"], categories=["z", "y", "x"]),
        }
    )


SECONDS = 1715904000.0  # of the 17th of May 2024
NUMBERS = {
    "float": [1.5, np.nan, 3],
    "integer": [1, 2, 3],
    "boolean": [1, 0, 1],
    "nullable_integer": [1, np.nan, 3],
    "nullable_boolean": [1, np.nan, 0],
    "arrow_float": [1.5, np.nan, 2],
    "object_float": [1.5, np.nan, 2],
    "decimal": [1.5, np.nan, 2],
    "empty": [np.nan] * 3,
    "date": [SECONDS, np.nan, SECONDS],
    "time": [SECONDS + 43200, np.nan, SECONDS + 43200],
    "time_zone": [SECONDS + 36000, np.nan, SECONDS + 36000],
    "arrow_time": [SECONDS + 43200, np.nan, SECONDS + 43200],
    "duration": [3600, np.nan, 7200],
}
# Missing, other, then the known categories in order.
CODES = {
    "text": [3, 0, 2],
    "object_text": [7, 4, 6],
    "arrow_text": [11, 8, 10],
    "category": [15, 12, 14],
}


@pytest.mark.parametrize(
    "convert", [lambda f: f, lambda f: pl.from_pandas(f).with_columns(empty=pl.lit(None)),
                lambda f: pa.Table.from_pandas(f),
                lambda f: pa.Table.from_pandas(f).to_batches()[0]],
    ids=["pandas", "polars", "arrow", "batch"],
)  # fmt: skip
def test_columns_of_every_library_are_read_alike(convert):
    table = convert(frame())
    for encoder in (TableEncoder.fit(table), TableEncoder.fit(frame())):
        read = encoder.transform(table)
        assert isinstance(read, MixedTable)
        assert_array_equal(read.numbers, np.column_stack(list(NUMBERS.values())))
        assert_array_equal(read.codes, np.column_stack(list(CODES.values())))
        assert read.n_codes == encoder.n_codes == 16
        assert read.numbers.flags.c_contiguous
        assert read.codes.flags.c_contiguous
    kinds = dict(zip(NUMBERS | CODES, encoder.column_kinds, strict=True))
    assert kinds["date"] == kinds["time"] == "date"
    assert kinds["text"] == kinds["category"] == "text"
    assert kinds["decimal"] == kinds["boolean"] == "float"


def test_dictionaries_are_read_as_the_frame():
    f = frame()
    encoder = TableEncoder.fit(f)
    expected = encoder.transform(f)
    rows = f.astype(object).where(f.notna(), None).to_dict("records")
    read = encoder.read_rows([{**row, "further": 1} for row in rows])
    assert_array_equal(read.numbers, expected.numbers)
    assert_array_equal(read.codes, expected.codes)
    assert read[:0].shape == encoder.read_rows([]).shape
    with pytest.raises(ValueError, match="Row 1 lacks the column 'integer'. Pass None"):
        encoder.read_rows([rows[0], {k: v for k, v in rows[1].items() if k != "integer"}])
    with pytest.raises(ColumnKindError, match="column 'float' held values of type number"):
        encoder.read_rows([rows[0] | {"float": "much"}])
    with pytest.raises(TypeError, match="'text'.*must be a string"):
        encoder.read_rows([rows[0] | {"text": ["a"]}])


def test_dictionaries_of_numbers_alone_take_the_short_way():
    numbers = pd.DataFrame({"a": [1.0, np.nan], "b": [2, 3]})
    encoder = TableEncoder.fit(numbers)
    read = encoder.read_rows([{"b": 2, "a": 1.0}, {"b": True, "a": None}])
    assert_array_equal(read, [[1, 2], [np.nan, 1]])
    with pytest.raises(ColumnKindError, match="'b'"):
        encoder.read_rows([{"b": "two", "a": 1.0}])
    one = TableEncoder.fit(numbers[["a"]])
    assert_array_equal(one.read_rows([{"a": 1.0}, {"a": 4}]), [[1], [4]])
    with pytest.raises(ValueError, match="no names"):
        TableEncoder.fit(np.ones((2, 2))).read_rows([{"a": 1.0}])


def test_columns_of_a_frame_are_found_by_name_and_of_an_array_by_place():
    f = frame()[["float", "text", "integer"]]
    encoder = TableEncoder.fit(f)
    turned = f[["integer", "text", "float"]].assign(more=1)
    assert_array_equal(encoder.transform(turned).numbers, encoder.transform(f).numbers)
    as_array = f.to_numpy(dtype=object)
    assert_array_equal(encoder.transform(as_array).codes, encoder.transform(f).codes)
    assert_array_equal(TableEncoder.fit(as_array).transform(f).codes, encoder.transform(f).codes)


def test_float32_stays_float32_where_no_digits_are_lost():
    f = pd.DataFrame({"a": np.ones(3, np.float32), "b": np.ones(3, np.int8), "c": [True] * 3})
    assert TableEncoder.fit(f).transform(f).dtype == np.float32
    f["d"] = np.arange(3)
    assert TableEncoder.fit(f).transform(f).dtype == np.float64


def test_unknown_and_missing_categories_have_codes_of_their_own():
    codes = CategoryCodes.fit(pd.Series(["b", "a", "b", None]), "c", None, None)
    assert codes.values.tolist() == ["a", "b"]
    assert codes.n_codes == 4
    later = ["a", "b", "new", None, np.nan, float("nan"), pd.NA]
    expected = [2, 3, OTHER, MISSING, MISSING, MISSING, MISSING]
    assert_array_equal(codes.encode(pd.Series(later, dtype=object), "c"), expected)
    # Many more categories than rows: only those that occur are looked up.
    many = pd.Categorical(["b", None, "x9"], categories=[f"x{i}" for i in range(2000)] + ["b"])
    assert_array_equal(codes.encode(pd.Series(many), "c"), [3, MISSING, OTHER])
    # The categories of the last column are remembered, and so must not be those of the next.
    for values, expected in ((["a", "b"], [2, 3]), (["b", "a"], [3, 2]), (["new", "a"], [1, 2])):
        column = pd.Series(pd.Categorical(values, categories=values))
        for _ in range(2):
            assert_array_equal(codes.encode(column, "c"), expected)
    assert_array_equal(
        pickle.loads(pickle.dumps(codes)).encode(pd.Series(later), "c")[:3], [2, 3, 1]
    )


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ((None, None), ["a", "b", "c", "d"]),
        ((2, None), ["a", "b", "c"]),
        ((3, None), ["a", "c"]),
        ((0.35, None), ["c"]),
        ((None, 2), ["a", "c"]),
        ((None, 3), ["a", "b", "c"]),
        ((4, 1), ["c"]),
    ],
)
@pytest.mark.parametrize("kind", ["text", "category", "polars"])
def test_rare_categories_share_a_code(settings, known, kind):
    column = pd.Series(list("aaabbccccd"))
    if kind == "category":
        column = column.astype(pd.CategoricalDtype(list("zdcba")))
    if kind == "polars":
        column = pl.Series(column.tolist())
    codes = CategoryCodes.fit(column, "c", *settings)
    assert codes.values.tolist() == known
    expected = [OTHER if one not in known else 2 + known.index(one) for one in "aaabbccccd"]
    assert_array_equal(codes.encode(column, "c"), expected)


def test_categories_of_other_kinds_are_converted_exactly_or_refused():
    codes = CategoryCodes.fit(np.array([7, 9, 7]), "c", None, None)
    for column in (
        [7, 9, 8],
        [7.0, 9.0, 8.0],
        ["7", "9", "8"],
        [Decimal(7), Decimal(9), Decimal(8)],
    ):
        assert_array_equal(codes.encode(pd.Series(column, dtype=object), "c"), [2, 3, OTHER])
    with pytest.warns(UserWarning, match="'guest' is none"):
        guest = codes.encode(pd.Series(["7", "guest", "9"]), "c")
    assert_array_equal(guest, [2, OTHER, 3])
    with pytest.raises(ColumnKindError, match="row 1: column 'c' held values of type integer"):
        codes.encode(pd.Series(["7", "007", "9"]), "c")
    with pytest.raises(ColumnKindError, match="row 2: column 'c'"):
        codes.encode(
            pd.Series(["007", "8", "x"]).astype("category")[[1, 1, 0]].reset_index(drop=True), "c"
        )
    text = CategoryCodes.fit(pd.Series(["007", "x"]), "c", None, None)
    with pytest.raises(ColumnKindError, match="held values of type text"):
        text.encode(pd.Series([7, 8]), "c")


def test_ids_that_numpy_does_not_hold_are_categories():
    ids = [uuid.UUID(int=5), uuid.UUID(int=3)]
    f = pd.DataFrame({"id": ids, "bytes": [b"a\0", b"a"]})
    encoder = TableEncoder.fit(f)
    assert encoder.kinds == ("category", "category")
    assert_array_equal(encoder.transform(f).codes, [[3, 7], [2, 6]])
    again = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(again.transform(f).codes, [[3, 7], [2, 6]])


def test_named_columns_are_categories_besides_those_of_text():
    f = pd.DataFrame({"a": [1, 2, 1], "b": [0.5, 1.5, np.nan], "c": ["x", "y", "x"]})
    encoder = TableEncoder.fit(f, {0, 2})
    assert encoder.kinds == ("category", "float", "category")
    assert_array_equal(encoder.transform(f).codes, [[2, 6], [3, 7], [2, 6]])
    assert TableEncoder.fit(f, {0}).kinds == ("category", "float", "category")
    with pytest.raises(ValueError, match="'c' of X is not numeric, but there are no"):
        TableEncoder.fit(f, set())
    numbers = TableEncoder.fit(np.array([[1.0, 5], [2, np.nan]]), {1})
    assert_array_equal(
        numbers.transform(np.array([[1.0, 5], [2, np.nan], [3, 6]])).codes, [[2], [0], [1]]
    )


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (
            [1.0, "n/a", 3],
            TypeError,
            r"'a' of X mixes values of the kinds \['float', 'integer', 'text'\]",
        ),
        ([[1], [2], [3]], TypeError, r"'a' of X holds lists or records \(list\)"),
        ([{}, {}, {}], TypeError, r"'a' of X holds lists or records \(dict\)"),
        ([None, *np.zeros((2, 3))], TypeError, r"'a' of X holds lists or records \(ndarray\)"),
        ([b"a", [1], "c"], TypeError, "'a' of X"),
    ],
)
def test_columns_that_cannot_be_read_are_named(column, error, message):
    with pytest.raises(error, match=message):
        TableEncoder.fit(pd.DataFrame({"b": [1, 2, 3], "a": pd.Series(column, dtype=object)}))


def test_columns_that_changed_are_named():
    f = frame()[["float", "time", "text"]]
    encoder = TableEncoder.fit(f)
    with pytest.raises(ColumnKindError, match="row 1: column 'float' held values of type number"):
        encoder.transform(f.assign(float=["1", "much", "2"]))
    # NumPy takes these digits for the years 1767225600000 and 20261127.
    for times in ([1, 2, 3], ["1767225600000"] * 3, ["20261127"] * 3):
        with pytest.raises(
            ColumnKindError,
            match=r"column 'time' held values of type date .* such as '2026-11-27'.*unit='ms'",
        ):
            encoder.transform(f.assign(time=times))
    exact = encoder.transform(
        f.assign(float=["1", None, "2.5"], time=["2024-05-17", None, "2024-05-18"])
    )
    assert_array_equal(exact.numbers, [[1, SECONDS], [np.nan] * 2, [2.5, SECONDS + 86400]])
    with pytest.raises(ValueError, match=r"several columns of the names \['a'\]"):
        TableEncoder.fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_day_is_one_category_in_every_type():
    days = pd.to_datetime(["2024-05-17", "2024-05-18", "2024-05-17", None])
    forms = [
        days,
        days.tz_localize("UTC"),
        pd.Series(days.date, dtype=object),
        days.strftime("%Y-%m-%d"),
        days.strftime("%Y-%m-%dT00:00:00"),
        pl.Series([*days.date.tolist()[:3], None], dtype=pl.Date),
        pa.chunked_array([pa.array([*days.date.tolist()[:3], None], pa.date32())]),
        pd.Categorical(days),
    ]
    for fitted in (forms[0], forms[1], forms[2], forms[5]):
        codes = CategoryCodes.fit(fitted, "day", None, None)
        for form in forms:
            column = form if not isinstance(form, pd.Index | pd.Categorical) else pd.Series(form)
            assert_array_equal(codes.encode(column, "day"), [2, 3, 2, MISSING])


@pytest.mark.parametrize("value", ["1_000", "nan", "inf", [1.0]])
def test_dictionaries_are_read_as_strictly_as_frames(value):
    encoder = TableEncoder.fit(pd.DataFrame({"a": [1.0, np.nan], "b": [2, 3]}))
    with pytest.raises((ColumnKindError, TypeError), match="column 'a'|Column 'a'"):
        encoder.read_rows([{"a": value, "b": 1}])
    assert_array_equal(encoder.read_rows([{"a": "1.5", "b": np.int64(3)}]), [[1.5, 3]])
    with pytest.raises(
        ColumnKindError, match="Pass booleans themselves, or 1 and 0, and not the w"
    ):
        encoder.read_rows([{"a": "True", "b": 1}])
    assert_array_equal(encoder.read_rows([{"a": True, "b": 1}]), [[1, 1]])
    row = {"a": 1.0, "b": 2}
    for wrong, kind in ((None, "NoneType"), ([1.0, 2], "list")):
        with pytest.raises(TypeError, match=f"Row 1 is a {kind}, but a row is a dictionary"):
            encoder.read_rows([row, wrong])
    for wrong in (row, pd.DataFrame([row]), '[{"a": 1, "b": 2}]', (row for _ in range(2))):
        with pytest.raises(TypeError, match="Expected a list of dictionaries"):
            encoder.read_rows(wrong)


def test_columns_of_lists_and_complex_numbers_are_refused():
    for table in (pl.DataFrame({"a": [[1.0], [2.0]]}), pa.table({"a": [[1.0, 2], [2.0, 3]]})):
        with pytest.raises(TypeError, match="Column 'a' of X holds lists or records"):
            TableEncoder.fit(table)
    with pytest.raises(ValueError, match="Complex data not supported: column 'a'"):
        TableEncoder.fit(pd.DataFrame({"a": [1j, 2j]}))


def dictionary(places, categories):
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array(categories))


def test_equal_arrow_dictionaries_are_looked_up_once(monkeypatch):
    codes = CategoryCodes.fit(pd.Series(["a", "b", "a", "b"]), "c", None, None)
    looked_up, codes_of = [], CategoryCodes.codes_of

    def counting(self, values, name):
        looked_up.append(list(values))
        return codes_of(self, values, name)

    monkeypatch.setattr(CategoryCodes, "codes_of", counting)
    batches = [([0, 1, None], ["a", "b", "x"]), ([2, 2], ["a", "b", "x"]), ([0], ["b", "a", "x"])]
    found = [codes.encode(dictionary(*batch), "c").tolist() for batch in batches]
    a, b = codes.encode(np.array(["a", "b"], dtype=object), "c").tolist()
    assert found == [[a, b, MISSING], [OTHER, OTHER], [b]]
    assert looked_up[:2] == [["a", "b", "x"], ["b", "a", "x"]]


def test_categories_of_another_kind_are_not_taken_for_those_before():
    codes = CategoryCodes.fit(pd.Series([1, 2, 1], dtype=object), "c", None, None)
    integers, floats, text = ([1, 2], [1.5, 2.0], ["1", "2"])
    known = codes.encode(np.array([1, 2]), "c").tolist()
    assert codes.encode(dictionary([0, 1], integers), "c").tolist() == known
    assert codes.encode(dictionary([0, 1], floats), "c").tolist() == [OTHER, known[1]]
    assert codes.encode(dictionary([0, 1], text), "c").tolist() == known
    for categories in (pd.Index([1, 2]), pd.Index([1.0, 2.0])):
        column = pd.Series(pd.Categorical.from_codes([0, 1], categories))
        assert codes.encode(column, "c").tolist() == known


@pytest.mark.parametrize("library", ["arrow", "pandas"])
def test_of_many_categories_only_those_that_occur_are_looked_up(library):
    names = [f"item {number}" for number in range(5000)]
    codes = CategoryCodes.fit(pd.Series(names), "c", None, None)
    places = [4999, -1, 7, 4999, 0]
    if library == "arrow":
        column = dictionary([None if place < 0 else place for place in places], names)
    else:
        column = pd.Series(pd.Categorical.from_codes(places, names))
    cells = np.array([None if place < 0 else names[place] for place in places], dtype=object)
    assert_array_equal(codes.encode(column, "c"), codes.encode(cells, "c"))
    without_missing = column[[0, 2]] if library == "pandas" else column.take(pa.array([0, 2]))
    assert_array_equal(codes.encode(without_missing, "c"), codes.encode(cells[[0, 2]], "c"))


@pytest.mark.parametrize("n_rows", [1, 7, FEW_CELLS, FEW_CELLS + 1, 700])
def test_text_of_pandas_is_the_same_in_all_of_its_storages(n_rows):
    """Arrow finds the cells that are the same; few cells are looked up one by one."""
    rng = np.random.default_rng(n_rows)
    cells = rng.choice(np.array(["a", "b", "c", "new", None], dtype=object), n_rows)
    known = CategoryCodes.fit(np.array(["a", "b", "c"] * 5, dtype=object), "x", 1, None)
    expected = known.encode(cells, "x")
    assert set(expected.tolist()) <= {0, 1, 2, 3, 4}
    python = pd.Series(cells, dtype=pd.StringDtype("python"))
    arrow = pd.Series(cells, dtype=pd.StringDtype("pyarrow"))
    joined = pd.concat([arrow[: n_rows // 2], arrow[n_rows // 2 :]])
    for column in (pd.Series(cells), python, arrow, joined, arrow.iloc[::-1].iloc[::-1]):
        assert_array_equal(known.encode(column, "x"), expected)
    assert_array_equal(known.encode(arrow.iloc[::2], "x"), expected[::2])
    every = CategoryCodes.fit(arrow, "x", 1, None)
    assert_array_equal(every.values, CategoryCodes.fit(cells, "x", 1, None).values)


@pytest.mark.parametrize("dtype", ["str", "string", "string[pyarrow]", "category"])
def test_a_column_without_a_value_in_fit_takes_what_comes_later(dtype):
    """Text that is missing in all rows of fit is unknown later, and no error."""
    frame = pd.DataFrame({"a": [1.0, 2.0], "city": pd.Series([None, None], dtype=dtype)})
    encoder = TableEncoder.fit(frame)
    for later in ("paris", None):
        codes = encoder.transform(frame.assign(city=later)).codes[:, 0]
        assert (codes == (MISSING if later is None else OTHER)).all()
