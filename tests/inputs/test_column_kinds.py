"""Kinds of columns: exact conversions to what fit saw, or an error that names the cell."""

import datetime
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from skdistill.inputs.column_kinds import ColumnKindError, column_kinds, kind_of, to_kinds
from skdistill.inputs.encoder_kinds import kinds_of_input
from skdistill.inputs.ids import as_ids
from skdistill.students import LinearRanker

BIG = 2**60 + 1


def test_every_kind_of_column_is_named_in_tables_of_any_library():
    columns = {
        "i": [1, 2], "f": [0.5, 1], "b": [True, False], "t": ["a", "b"],
        "d": [datetime.datetime(2020, 1, 1)] * 2,
    }  # fmt: skip
    expected = ["integer", "float", "boolean", "text", "date"]
    assert column_kinds(pd.DataFrame(columns)) == expected
    assert column_kinds(pl.DataFrame({**columns, "f": [0.5, 1.0]})) == expected
    assert column_kinds(pd.DataFrame(columns).astype("category")) == expected
    assert column_kinds(np.array([[1, "a"], [2, "b"]], dtype=object)) == ["integer", "text"]
    assert column_kinds(pl.DataFrame({"i": [BIG, None]})) == ["integer"]
    assert column_kinds(pl.DataFrame({**columns, "f": [0.5, 1.0]}).to_arrow()) == expected
    nullable = pd.DataFrame(columns).convert_dtypes(convert_floating=False)
    assert column_kinds(nullable) == expected
    assert column_kinds(pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow")) == [
        *("integer", "float", "boolean", "text", "date")
    ]
    assert column_kinds(pd.DataFrame({"i": [BIG, None]}, dtype=object)) == ["integer"]
    assert column_kinds(np.eye(2)) is None
    assert column_kinds(sparse.eye_array(2, format="csr")) is None
    assert kind_of(as_ids([1, "a"])) == "integer and text"
    assert kind_of(as_ids([uuid.uuid4()])) == "UUID"
    assert kind_of(as_ids([None])) == "missing"


@pytest.mark.parametrize(
    ("cells", "kind", "converted"),
    [
        (["7", "-3", str(BIG)], "integer", [7, -3, BIG]),
        ([7.0, 8.0], "integer", [7, 8]),
        ([7.0, float("nan")], "integer", [7, None]),
        (["7", None], "integer", [7, None]),
        ([True, False], "integer", [1, 0]),
        ([BIG, "8"], "integer", [BIG, 8]),
        (["1.5", " 2", "1e3"], "float", [1.5, 2.0, 1000.0]),
        ([1, 2], "float", [1, 2]),
        (["true", "False"], "boolean", [True, False]),
        ([1, 0], "boolean", [True, False]),
        (["2020-01-02", "2020-01-02T03:04:05"], "date", ["2020-01-02", "2020-01-02T03:04:05"]),
        ([float("nan")] * 2, "text", [None, None]),
        ([None, None], "integer", [None, None]),
    ],
)
@pytest.mark.parametrize("library", [pd, pl])
def test_cells_are_converted_exactly(cells, kind, converted, library):
    if library is pl and len(set(map(type, cells)) - {type(None)}) > 1:
        table = pl.DataFrame({"x": pl.Series(cells, dtype=pl.Object), "y": 0})
    else:
        table = library.DataFrame({"x": cells, "y": 0})
    column = as_ids(to_kinds(table, [kind, None], "queries")["x"])
    if kind == "date":
        column, converted = column.astype("datetime64[s]"), np.array(converted, "datetime64[s]")
    got = [None if one is None or one != one else one for one in column.tolist()]
    assert got == list(np.asarray(converted, dtype=object)) or kind == "date"
    if kind == "date":
        assert (column == converted).all()


@pytest.mark.parametrize(
    ("cells", "kind", "row", "shown"),
    [
        (["guest", "visitor"], "integer", 0, "'guest'"),
        ([7, "guest", 7.5], "integer", 1, "'guest'"),
        (["007"], "integer", 0, "'007'"),
        (["7", "+7"], "integer", 1, r"'\+7'"),
        ([7.0, 7.5], "integer", 1, "7.5"),
        ([7.0, float(BIG)], "integer", 1, r"1.15\d+e\+18"),  # it may have been another id
        ([float("inf")], "integer", 0, "inf"),
        ([7], "text", 0, "7"),
        (["a", 7], "text", 1, "7"),
        (["1", "much"], "float", 1, "'much'"),
        ([2], "boolean", 0, "2"),
        (["now"], "date", 0, "'now'"),
        (["1"], "UUID", 0, "'1'"),
        ([b"7"], "integer", 0, "b'7'"),
        ([uuid.UUID(int=1)], "text", 0, r"UUID\(.*\)"),
    ],
)
def test_a_cell_without_an_exact_counterpart_is_named(cells, kind, row, shown):
    table = pd.DataFrame({"x": pd.Series(cells, dtype=object)})
    named = "number" if kind == "float" else kind
    message = rf"queries: row {row}: column 'x' held values of type {named} in fit .*{shown} has"
    for allows_words in (False, True):
        with pytest.raises(ColumnKindError, match=message):
            to_kinds(table, [kind], "queries", allows_words=allows_words)


@pytest.mark.parametrize("cells", [["7", "guest", None, "me", "8"], [7, "guest", None, "me", 8.0]])
def test_a_few_words_among_integers_are_ids_that_fit_did_not_see(cells):
    table = pd.DataFrame({"x": pd.Series(cells, dtype=object)})
    message = "queries: row 1: column 'x' held integers in fit, and 'guest' is none. 2 such values"
    with pytest.warns(UserWarning, match=message):
        column = to_kinds(table, ["integer"], "queries", allows_words=True)["x"]
    assert as_ids(column).tolist() == [7, None, None, None, 8]


def test_tables_that_fit_are_not_copied():
    table = pd.DataFrame({"i": [1, 2], "t": ["a", "b"], "m": [None, None]})
    assert to_kinds(table, ["integer", "text", "integer"], "items") is table
    assert to_kinds(table, None, "items") is table
    assert to_kinds(table, [None, "integer and text", "missing"], "items") is table
    numbers = pd.DataFrame({"i": [1.5, 2]})
    assert to_kinds(numbers, ["integer"], "items", keeps_numbers=True) is numbers


def test_integers_with_missing_values_stay_exact_on_their_way_to_scikit_learn():
    """scikit-learn makes floats of nullable integers, which takes one id for another."""
    encoder = OneHotEncoder(handle_unknown="ignore").fit(pd.DataFrame({"u": [BIG - 1, BIG]}))
    for table in (
        pl.DataFrame({"u": [BIG, None]}),
        pd.DataFrame({"u": [BIG, None]}, dtype="Int64"),
    ):
        encoded = encoder.transform(to_kinds(table, ["integer"], "queries")).toarray()
        assert encoded.tolist() == [[0, 1], [0, 0]]


X = pd.DataFrame(
    {"country": ["NA", "DE"], "zone": [1, 2], "price": [1.0, 2.0], "on": [True, False]}
)


def test_fitted_steps_show_what_they_take():
    def kinds(step, X=X):
        return kinds_of_input(step.fit(X), X.shape[1], list(X.columns))

    columns = make_column_transformer(
        (OneHotEncoder(), ["country", "on"]),
        (OrdinalEncoder(), [1]),
        (StandardScaler(), slice("price", "price")),
    )
    assert kinds(columns) == ["text", "integer", "float", "boolean"]
    rest = make_column_transformer((OneHotEncoder(), ["country"]), remainder="passthrough")
    assert kinds(rest) == ["text", "float", "float", "float"]
    imputed = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    union = make_union(StandardScaler(), OneHotEncoder())
    mask = np.array([False, True, True, False])
    parts = make_column_transformer(
        (imputed, [0]), (union, mask), (FunctionTransformer(np.logical_not), ["on"])
    )
    assert kinds(parts) == ["text", "float", "float", None]
    dropped = make_column_transformer(("drop", ["country"]), (StandardScaler(), slice(1, 3)))
    assert kinds(dropped) == [None, "float", "float", None]
    student = LinearRanker(max_iter=1, random_state=0).fit(np.eye(2), [0, 1], qid=[1, 1])
    assert kinds_of_input(student, 2, None) == ["float", "float"]
    assert kinds_of_input(make_pipeline("passthrough", student), 2, None) == ["float", "float"]
