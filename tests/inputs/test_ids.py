"""Ids of every kind in every place that compares them: equal ids stay equal, others apart.

A new place that groups rows or names items by an id belongs into ``PLACES`` or ``FILE_PLACES``.
"""

import datetime
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from skdistill import RankingGroupKFold, RankingTimeSeriesSplit
from skdistill.index import ENGINES, ExactIndex, make_index
from skdistill.inputs.checks import check_labels
from skdistill.inputs.columns import query_ids, row_codes
from skdistill.inputs.encoding import fit_transformer
from skdistill.inputs.ids import as_ids, concatenate_ids, id_codes, missing_ids, n_distinct
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.inputs.validation import ValidationTable
from skdistill.metrics import ndcg_per_query
from skdistill.serving import TableError, evaluate_table, score_table
from skdistill.students import LinearRanker
from skdistill.tables.query_codes import query_codes

BIG = 2**53
FAMILIES = {
    "integers": [0, 1, 7, 10, -1, BIG, BIG + 1, 2**60, 2**60 + 1, 2**63 - 1, -(2**63)],
    "unsigned": [0, 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1],
    "floats": [0.0, -0.0, 1.0, 1.5, float(BIG), 0.1, 0.1 + 1e-17, float("inf"), -1e300],
    "text": [
        "1", "01", "007", "7", "1e3", "1000", "1.0", "", " ", "a", "A", "a ", "a\0", "a\0\0", "\0",
        "NA", "null", "None", "nan", "NaN", "N/A", "true", "\u00e9", "e\u0301",
        "12345678901234567890123", "12345678901234567890199",
    ],
    "bytes": [b"", b"a", b"a\0", b"\0", b"1"],
    "dates": [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 0, 0, 0, 1)],
    "decimals": [Decimal("1.0"), Decimal("1.5"), Decimal("12345678901234567890.5")],
    "uuids": [uuid.UUID(int=1), uuid.UUID(int=2**127)],
}  # fmt: skip
MISSING = [None, float("nan"), pd.NaT, pd.NA, np.datetime64("NaT")]
# Any of these beside each other: what Python says of them is the truth.
anything = st.lists(
    st.sampled_from([one for pool in FAMILIES.values() for one in pool] + [True, 2**70]),
    min_size=1,
    max_size=12,
)
one_family = st.sampled_from(sorted(FAMILIES)).flatmap(
    lambda name: st.lists(st.sampled_from(FAMILIES[name]), min_size=1, max_size=12)
)
ids_of_any_type = st.one_of(one_family, anything)


def partition(ids):
    """Number the ids by comparing each with all before it."""
    return [next(i for i, other in enumerate(ids) if other == one) for one in ids]


def same(codes, ids):
    return partition(list(codes)) == partition(ids)


def by_query(ids):
    queries, order = sort_by_query(check_qid(ids, len(ids)), len(ids))
    codes = np.empty(len(ids), int)
    codes[np.arange(len(ids)) if order is None else order] = queries.segment
    return codes


def by_fold(ids):
    """Every query its own fold: the rows of a fold are those of one query."""
    n_queries = len(set(partition(ids)))
    if n_queries < 2:
        return np.zeros(len(ids))
    codes = np.empty(len(ids), int)
    X = np.zeros((len(ids), 1))
    for number, (_, test) in enumerate(RankingGroupKFold(n_queries).split(X, groups=ids)):
        codes[test] = number
    return codes


def by_metric(ids):
    """Number of queries; which rows they have shows in the gain of a single relevant row."""
    relevance = np.zeros(len(ids))
    codes = np.empty(len(ids), int)
    for row in range(len(ids)):
        relevance[:] = 0
        relevance[row] = 1
        per_query = ndcg_per_query(relevance, np.zeros(len(ids)), ids)
        codes[row] = np.flatnonzero(per_query > 0)[0]
    return codes


def by_column(ids):
    column = np.empty(len(ids), dtype=object)
    column[:] = ids
    frame = pd.DataFrame({"x": np.zeros(len(ids)), "q": column})
    return by_query(query_ids(frame, "q"))


def by_row(ids):
    column = np.empty(len(ids), dtype=object)
    column[:] = ids
    return row_codes(pd.DataFrame({"q": column, "one": 1}))[0]


def by_two_tables(ids):
    half = len(ids) // 2
    upper, lower = (pd.DataFrame({"q": as_ids(part)}) for part in (ids[:half], ids[half:]))
    return np.concatenate(row_codes(upper, lower))


def by_time(ids):
    """A split per query: the test rows of each are those of one query."""
    n_queries = n_distinct(as_ids(ids))
    label = np.zeros(len(ids), dtype=int)
    if n_queries > 2:
        splitter = RankingTimeSeriesSplit(n_queries - 1, test_size=1)
        for number, (_, test) in enumerate(splitter.split(np.zeros((len(ids), 1)), groups=ids)):
            label[test] = number + 1
        return label
    return id_codes(as_ids(ids))[0]


def by_validation_table(ids):
    """The queries by which a fit stops."""
    table = ValidationTable(np.zeros((len(ids), 1)), np.ones(len(ids)), ids)
    data = table.read(np.asarray, check_labels, has_queries=True)
    label = np.empty(len(ids), dtype=int)
    label[np.arange(len(ids)) if data.order is None else data.order] = data.queries.segment
    return label


PLACES = {
    "id_codes": lambda ids: id_codes(as_ids(ids))[0],
    "parts of id_codes": lambda ids: np.concatenate(
        id_codes(as_ids(ids[:1]), as_ids(ids[1:2]), as_ids(ids[2:]))
    ),
    "sort_by_query": by_query,
    "a query column": by_column,
    "RankingGroupKFold": by_fold,
    "RankingTimeSeriesSplit": by_time,
    "a validation table": by_validation_table,
    "metrics": by_metric,
    "rows of a table": by_row,
    "rows of two tables": by_two_tables,
}


@pytest.mark.parametrize("place", PLACES)
@settings(deadline=None, max_examples=60)
@given(ids=ids_of_any_type)
def test_rows_of_equal_ids_are_together_and_others_apart(place, ids):
    assert same(PLACES[place](ids), ids)


@settings(deadline=None)
@given(ids_of_any_type, st.integers(0, 12))
def test_what_comes_out_is_what_went_in(ids, cut):
    for array in (as_ids(ids), concatenate_ids(as_ids(ids[:cut]), as_ids(ids[cut:]))):
        kept = list(array) if array.dtype.kind in "OM" else array.tolist()
        assert list(map(repr, kept)) == list(map(repr, ids))
    assert not missing_ids(as_ids(ids)).any()
    assert n_distinct(as_ids(ids)) == len(set(partition(ids)))


@settings(deadline=None, max_examples=60)
@given(ids_of_any_type, st.data())
def test_an_index_returns_the_ids_that_it_was_given(ids, data):
    distinct = [one for place, one in enumerate(ids) if partition(ids)[place] == place]
    items = np.eye(len(distinct), dtype=np.float32)
    cut = data.draw(st.integers(0, len(distinct) - 1))
    index = ExactIndex(items, distinct)
    if cut:
        index = ExactIndex(items[:cut], distinct[:cut]).add(items[cut:], distinct[cut:])
    assert list(map(repr, index.search(items, 1)[0][:, 0].tolist())) == list(map(repr, distinct))
    if len(distinct) > 1:
        left = index.remove(distinct[:1]).ids.tolist()
        assert list(map(repr, left)) == list(map(repr, distinct[1:]))
    if len(distinct) < len(ids):
        with pytest.raises(ValueError, match="ids must be distinct"):
            ExactIndex(np.eye(len(ids)), ids)


def test_items_are_removed_by_their_own_ids_only():
    """NumPy compares integers with floats, and signed with unsigned ones, as floats."""
    ids = [2**60 + place for place in range(40)]
    index = ExactIndex(np.eye(40), ids)
    assert index.remove(np.array(ids[1:], np.uint64)).ids.tolist() == ids[:1]
    assert index.remove([2.0**60]).ids.tolist() == ids[1:]
    index = index.remove(ids[:1])
    for others in ([2.0**60], ["1"], np.array([2**60, 2**63], np.uint64), [None]):
        with pytest.raises(KeyError, match="The index has no items"):
            index.remove(others)
    assert ExactIndex(np.eye(3), [1, "1", 2]).remove(["1"]).ids.tolist() == [1, 2]


@pytest.mark.parametrize("engine", sorted(set(ENGINES) - {"exact"}))
def test_approximate_indexes_keep_ids_too(engine):
    ids = [2**63 + 5, 2**62 + 1, 3, "3", "a\0", "a"]
    try:
        index = make_index(engine, np.eye(6), ids)
    except ImportError:
        pytest.skip(f"{engine} is not installed")
    assert index.search(np.eye(6), 1)[0][:, 0].tolist() == ids


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_missing_ids_are_refused_where_rows_need_a_query_or_items_a_name(missing):
    for beside in ("a", 1, 1.5):
        ids = np.array([beside, missing, beside], dtype=object)
        for refuse in (
            lambda ids=ids: check_qid(ids, 3),
            lambda ids=ids: ndcg_per_query([1, 0, 1], [1, 2, 3], ids),
            lambda ids=ids: next(RankingGroupKFold(2).split(np.zeros((3, 1)), groups=ids)),
            lambda ids=ids: ExactIndex(np.eye(3), ids),
        ):
            with pytest.raises(ValueError, match="query in every row|name every item"):
                refuse()
        # Cells of a table may be missing: all alike, and like no text.
        cells = np.array(["None", "nan", "<NA>", missing, missing], dtype=object)
        assert same(row_codes(pd.DataFrame({"x": cells}))[0], [0, 1, 2, 3, 3])


SOURCES = {
    "list": list,
    "array of objects": lambda ids: pd.Series(ids, dtype=object).to_numpy(),
    "pandas": lambda ids: pd.Series(ids, dtype="Int64"),
    "pandas on Arrow": lambda ids: pd.Series(ids, dtype="int64[pyarrow]"),
    "pandas categories": lambda ids: pd.Series(ids, dtype=object).astype("category"),
    "polars": lambda ids: pl.Series(ids),
    "Arrow": pa.array,
    "Arrow chunks": lambda ids: pa.chunked_array([pa.array(ids[:2]), pa.array(ids[2:])]),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_value_makes_no_floats_of_integers(source):
    ids = [2**60, 2**60 + 1, 2**60, None]
    array = as_ids(SOURCES[source](ids))
    assert missing_ids(array).tolist() == [False, False, False, True]
    assert array.tolist()[:3] == ids[:3]
    assert id_codes(array)[0].tolist() == [0, 1, 0, 2]


def test_what_has_no_hash_value_is_no_id():
    with pytest.raises(TypeError, match="must be a string, a number or the like: unhashable"):
        id_codes(np.array([{"a": 1}, {"a": 1}], dtype=object))


def test_arrow_codes_are_those_of_python():
    column = pa.chunked_array([pa.array([0.0, -0.0, None]), pa.array([float("nan"), 1.0, 0.0])])
    assert query_codes(column).tolist() == [0, 0, -1, -1, 1, 0]
    assert query_codes(pa.array(["a", "a\0", None, "None", "a"])).tolist() == [0, 1, -1, 2, 0]
    with pytest.raises(TableError, match="Query ids cannot be of type list"):
        query_codes(pa.array([[1], [2]]))


def test_ids_of_a_tower_are_told_from_categories_exactly():
    frame = pd.DataFrame({"id": pd.Series(["a", "a\0", "None", None]), "same": ["a"] * 4})
    ids, same = fit_transformer("auto", frame).categories
    assert ids.values.tolist() == ["None", "a", "a\0"]
    assert same.values.tolist() == ["a"]
    rare = fit_transformer("auto", pd.DataFrame({"kind": ["a", "a", "b", None]})).categories[0]
    assert rare.values.tolist() == ["a"]


# Files.
MODEL = LinearRanker(max_iter=2, random_state=0).fit(
    pd.DataFrame({"f": np.arange(8.0)}), np.arange(8) % 3, qid=np.repeat([0, 1], 4)
)


def write_parquet(ids, path):
    """Row groups of two rows, so that a query meets itself across batches."""
    table = pa.table(
        {"q": arrow(ids), "f": np.arange(len(ids), dtype=float), "y": [1.0] * len(ids)}
    )
    parquet.write_table(table, path / "a.parquet", row_group_size=2)
    return path / "a.parquet"


def arrow(ids):
    if isinstance(ids[0], Decimal):
        return pa.array(ids, pa.decimal128(30, 10))
    if isinstance(ids[0], uuid.UUID):
        return pa.array([one.bytes for one in ids], pa.uuid())
    is_unsigned = any(isinstance(one, int) and one >= 2**63 for one in ids)
    return pa.array(ids, pa.uint64() if is_unsigned else None)


def write_csv(ids, path):
    rows = "".join(f'"{one}",{row},1\n' for row, one in enumerate(ids))
    (path / "a.csv").write_text("q,f,y\n" + rows)
    return path / "a.csv"


def kept_by_top_k(file, path):
    score_table(MODEL, file, path / "out", query_column="q", top_k=1)
    return parquet.read_table(path / "out")["q"].to_pylist()


FILE_PLACES = {
    "Parquet": (write_parquet, sorted(FAMILIES)),
    "CSV": (write_csv, ["integers", "unsigned", "text"]),
}


@pytest.mark.parametrize("place", FILE_PLACES)
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_top_k_and_evaluation_keep_the_queries_of_files_apart(place, data, tmp_path_factory):
    write, families = FILE_PLACES[place]
    pool = FAMILIES[data.draw(st.sampled_from(families))]
    if place == "CSV":
        pool = [one for one in pool if one != "" and "\0" not in str(one)]
    ids = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=12))
    path = tmp_path_factory.mktemp("ids")
    file = write(ids, path)
    kept = kept_by_top_k(file, path)
    read = list(map(str, ids)) if place == "CSV" else ids
    last = [one for place, one in enumerate(read) if one not in read[place + 1 :]]
    first = [one for place, one in enumerate(read) if one not in read[:place]]
    assert kept in (last, first)  # scores rise or fall with the row
    figures = evaluate_table(MODEL, file, query_column="q", label_column="y")
    assert figures["queries"] == len(first)


@pytest.mark.parametrize(
    "ids", [[2**60, 2**60 + 1, None, None], ["a", None, "None", None], [0.5, float("nan"), 0.5, 1]]
)
def test_rows_of_a_file_without_a_query_are_refused_or_put_aside(ids, tmp_path):
    file = write_parquet(ids, tmp_path)
    row = next(row for row, one in enumerate(ids) if one is None or one != one)
    message = rf"a.parquet: row {row}: column 'q' holds nothing, expected a query id"
    with pytest.raises(TableError, match=message):
        score_table(MODEL, file, tmp_path / "out", query_column="q", top_k=1)
    with pytest.raises(TableError, match=rf"row {row}: column 'q' holds nothing"):
        evaluate_table(MODEL, file, query_column="q", label_column="y")
    rejects = tmp_path / "rejects.csv"
    options = {"query_column": "q", "top_k": 9, "rejects": rejects}
    progress = score_table(MODEL, file, tmp_path / "out2", **options)
    assert progress.n_rejected == sum(one is None or one != one for one in ids)
    assert set(pd.read_csv(rejects)["column"]) == {"q"}
    present = [one for one in ids if one is not None and one == one]
    assert parquet.read_table(tmp_path / "out2")["q"].to_pylist() == present
    # Without a ranking by query, the column is copied as it is.
    score_table(MODEL, file, tmp_path / "out3", query_column="q")
    copied = parquet.read_table(tmp_path / "out3")["q"]
    assert copied.type == pa.array(ids).type
    assert list(map(repr, copied.to_pylist())) == list(map(repr, pa.array(ids).to_pylist()))


def test_a_table_of_arrow_with_one_column_is_that_column():
    """Its attribute ``columns`` holds the data, not the names."""
    table = pa.table({"query": pa.array(["a", "b", None])})
    assert as_ids(table).tolist() == ["a", "b", None]
    codes = table.set_column(0, "query", table["query"].dictionary_encode())
    assert as_ids(codes).tolist() == ["a", "b", None]
