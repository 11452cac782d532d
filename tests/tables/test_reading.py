"""Files of all formats and endings, folders of partitions, and columns of several types."""

import bz2
import gzip
import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import product
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from skdistill.serving import CsvOptions, OutputError, TableError, evaluate_table, score_table
from skdistill.streaming import fit_from_files
from skdistill.students import LinearRanker
from skdistill.tables import json_lines
from skdistill.tables.reading import find_files, read_batches

MODEL = LinearRanker(max_iter=2, random_state=0).fit(
    pd.DataFrame({"p": np.arange(8.0)}), np.arange(8) % 3, qid=np.repeat([0, 1], 4)
)
FRAME = pd.DataFrame({"id": ["a", "b"], "p": [1.0, 2.5]})
WRITERS = {
    "parquet": lambda path: FRAME.to_parquet(path, index=False),
    "parq": lambda path: FRAME.to_parquet(path, index=False),
    "pq": lambda path: FRAME.to_parquet(path, index=False),
    "csv": lambda path: FRAME.to_csv(path, index=False),
    "tsv": lambda path: FRAME.to_csv(path, index=False, sep="\t"),
    "jsonl": lambda path: FRAME.to_json(path, orient="records", lines=True),
    "ndjson": lambda path: FRAME.to_json(path, orient="records", lines=True),
    "arrow": lambda path: feather.write_feather(FRAME, path, compression="uncompressed"),
    "feather": lambda path: feather.write_feather(FRAME, path),
    "ipc": lambda path: feather.write_feather(FRAME, path),
}


def read(folder):
    return parquet.read_table(folder)


def put(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("capital", [False, True])
def test_all_endings_are_read_in_small_letters_and_capitals(tmp_path, capital):
    for ending, write in WRITERS.items():
        write(tmp_path / f"plain.{ending}")
        names = [f"t.{ending.upper() if capital else ending}"]
        data = (tmp_path / f"plain.{ending}").read_bytes()
        (tmp_path / names[0]).write_bytes(data)
        if ending in ("csv", "tsv", "jsonl", "ndjson"):
            for packed, module in (("gz", gzip), ("bz2", bz2)):
                names.append(f"{names[0]}.{packed.upper() if capital else packed}")
                (tmp_path / names[-1]).write_bytes(module.compress(data))
        for name in names:
            score_table(MODEL, tmp_path / name, tmp_path / f"out-{name}")
            scored = read(tmp_path / f"out-{name}").to_pandas()
            assert scored["id"].tolist() == ["a", "b"]
            np.testing.assert_allclose(scored["score"], MODEL.predict(FRAME[["p"]]), atol=1e-6)


class TestPartitions:
    """Columns that are written into the names of folders."""

    def test_they_are_copied_and_may_be_the_queries(self, tmp_path):
        for day, value in (("2024-01-01", 1.0), ("a%20b%2Fc", 2.0)):
            put(tmp_path / f"logs/day={day}/x.parquet", p=[value, value + 1])
        put(tmp_path / "logs/day=__HIVE_DEFAULT_PARTITION__/x.parquet", p=[4.0])
        score_table(MODEL, tmp_path / "logs", tmp_path / "out")
        days = read(tmp_path / "out")["day"].to_pylist()
        assert days == ["2024-01-01"] * 2 + [None] + ["a b/c"] * 2
        best, options = tmp_path / "best", {"query_column": "day", "top_k": 1}
        score_table(MODEL, tmp_path / "logs", best, rejects=tmp_path / "r.csv", **options)
        assert read(best)["day"].to_pylist() == ["2024-01-01", "a b/c"]
        with pytest.raises(TableError, match="HIVE_DEFAULT.* row 0: column 'day' holds nothing"):
            score_table(MODEL, tmp_path / "logs", tmp_path / "o", **options)

    def test_as_pyarrow_and_polars_write_them(self, tmp_path):
        table = pa.table({"q": [7, 7, 8], "p": [1.0, 2.0, 3.0], "y": [0, 1, 1]})
        parquet.write_to_dataset(table, tmp_path / "a", partition_cols=["q"])
        pl.from_arrow(table).write_parquet(tmp_path / "b", partition_by="q")
        for name in "ab":
            figures = evaluate_table(MODEL, tmp_path / name, query_column="q", label_column="y")
            assert figures["queries"] == 2
            student = LinearRanker(max_iter=1, random_state=0)
            fit_from_files(student, tmp_path / name, query_column="q", label_column="y")
            assert student.feature_names_in_.tolist() == ["p"]

    def test_a_feature_is_read_as_what_the_model_takes(self, tmp_path):
        X = pd.DataFrame({"p": [1.0, 2.0, 3.0, 4.0], "hour": [7, 8, 7, 8]})
        model = LinearRanker(max_iter=9, random_state=0).fit(X, [0, 1, 2, 3], qid=[1] * 4)
        for hour in (7, 8):
            rows = X[X["hour"] == hour]
            put(tmp_path / f"in/hour={hour:02}/x.parquet", p=rows["p"].to_numpy())
        score_table(model, tmp_path / "in", tmp_path / "out")
        expected = model.predict(X.sort_values("hour", kind="stable"))
        np.testing.assert_allclose(read(tmp_path / "out")["score"], expected, atol=1e-6)

    def test_a_column_inside_of_the_file_counts(self, tmp_path):
        put(tmp_path / "in/id=folder/x.parquet", p=[1.0], id=["file"])
        score_table(MODEL, tmp_path / "in", tmp_path / "out")
        assert read(tmp_path / "out")["id"].to_pylist() == ["file"]

    def test_text_files_have_them_too(self, tmp_path):
        for name in ("x.csv", "x.jsonl"):
            (tmp_path / f"{name}/k=1").mkdir(parents=True)
            text = "p\n1\n" if name.endswith("csv") else '{"p": 1}\n'
            (tmp_path / name / "k=1" / name).write_text(text)
            score_table(MODEL, tmp_path / name, tmp_path / f"out-{name}")
            assert read(tmp_path / f"out-{name}")["k"].to_pylist() == ["1"]


class TestJsonLines:
    def write(self, path, *objects):
        path.write_text("\n".join(map(json.dumps, objects)) + "\n")
        return path

    def test_the_whole_file_decides_on_types_and_ids_are_exact(self, tmp_path, monkeypatch):
        monkeypatch.setattr(json_lines, "BATCH_ROWS", 2)
        long = 12345678901234567890123
        path = self.write(
            tmp_path / "a.jsonl",
            {"p": 1, "id": "007", "big": 2**60 + 1, "long": 1, "day": "2020-01-01"},
            {"p": None, "id": "NA", "big": None, "long": long, "day": "soon"},
            {},
            {"p": 1.5, "id": "7", "big": 2**60 + 3, "long": 2, "mixed": [1, "a"]},
            {"p": 2, "mixed": 3, "id": 7, "flag": True},
        )
        score_table(MODEL, path, tmp_path / "o", rejects=tmp_path / "r.csv", id_columns="all")
        assert pd.read_csv(tmp_path / "r.csv")["row"].tolist() == [1, 2]
        assert read(tmp_path / "o").drop_columns("score").to_pylist() == [
            {"id": "007", "big": 2**60 + 1, "long": "1", "day": "2020-01-01", "mixed": None,
             "flag": None},
            {"id": "7", "big": 2**60 + 3, "long": "2", "day": None, "mixed": '[1, "a"]',
             "flag": None},
            {"id": "7", "big": None, "long": None, "day": None, "mixed": "3", "flag": True},
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("line", "message"),
        [("{", "line 3 cannot be read"), ("[1]", r"line 3 must hold a JSON object, got \[1\]")],
    )
    def test_a_line_that_is_no_object_is_named(self, tmp_path, line, message):
        (tmp_path / "a.jsonl").write_text(f'{{"p": 1}}\n\n{line}\n')
        with pytest.raises(TableError, match=f"a.jsonl: {message}"):
            score_table(MODEL, tmp_path / "a.jsonl", tmp_path / "out")

    def test_a_file_without_rows_is_no_hindrance(self, tmp_path):
        (tmp_path / "a.jsonl").write_text("")
        self.write(tmp_path / "b.jsonl", {"p": 1, "id": 3})
        score_table(MODEL, [tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "out")
        assert read(tmp_path / "out")["id"].to_pylist() == [3]


def moment(unit, zone=None):
    start_of_2020 = pa.array([1_577_836_800_000_000_000], pa.timestamp("ns"))
    return start_of_2020.cast(pa.timestamp(unit, zone))


# Columns of one meaning and several types: each pair is one column in two files.
COLUMNS = {
    "int32": pa.array([7], pa.int32()),
    "int64": pa.array([7], pa.int64()),
    "uint64": pa.array([7], pa.uint64()),
    "double": pa.array([7.0]),
    "half": pa.array([7.0], pa.float16()),
    "bool": pa.array([True]),
    "decimal": pa.array([Decimal("7.00")], pa.decimal128(12, 2)),
    "wide decimal": pa.array([Decimal("7")], pa.decimal256(60, 10)),
    "null": pa.nulls(1),
    "text": pa.array(["7"]),
    "large text": pa.array(["7"], pa.large_string()),
    "dictionary": pa.array(["7"]).dictionary_encode(),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([0], pa.uint32()), pa.array(["7"], pa.string_view())
    ),
    "bytes": pa.array([b"\xc8" * 16]),
    "16 bytes": pa.array([b"\xc8" * 16], pa.binary(16)),
    "uuid": pa.array([UUID(int=7).bytes], pa.uuid()),
    "s": moment("s"),
    "us": moment("us"),
    "ns": moment("ns"),
    "ms, zone": moment("ms", "Europe/Berlin"),
    "ns, zone": moment("ns", "UTC"),
    "day": pa.array([date(2020, 1, 1)]),
    "day of 64 bits": pa.array([date(2020, 1, 1)], pa.date64()),
    "time": pa.array([time(1, 2, 3)], pa.time32("s")),
    "time, us": pa.array([time(1, 2, 3)], pa.time64("us")),
    "duration": pa.array([timedelta(seconds=1)], pa.duration("s")),
    "list": pa.array([[1, 2]]),
    "struct": pa.array([{"a": b"\x01"}]),
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    "month interval": pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
    "run ends": pa.RunEndEncodedArray.from_arrays([1], ["7"]),
}


def write_ipc(path, column):
    table = pa.table({"p": [1.0], "id": column})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("first", COLUMNS)
def test_columns_that_are_only_copied_never_end_a_run(tmp_path, first):
    """Whatever the types of two files, the scores are written, and no value is lost."""
    write_ipc(tmp_path / "first.arrow", COLUMNS[first])
    for number, (second, output_format) in enumerate(product(COLUMNS, ("parquet", "csv"))):
        write_ipc(tmp_path / "second.arrow", COLUMNS[second])
        out = tmp_path / str(number)
        files = [tmp_path / "first.arrow", tmp_path / "second.arrow"]
        score_table(MODEL, files, out, id_columns=["id"], output_format=output_format)
        if output_format == "csv":
            lines = [path.read_text().splitlines() for path in sorted(out.glob("part-*"))]
            assert [len(one) for one in lines] == [2, 2]
            continue
        values = read(out)["id"].to_pylist()
        assert [value is None for value in values] == [first == "null", second == "null"]
        same = {"int32", "int64", "decimal", "wide decimal"}
        if {first, second} <= same:
            assert values == [7, 7]
        if {first, second} <= {"s", "us", "ns", "day", "day of 64 bits"}:
            assert len({pd.Timestamp(value) for value in values}) == 1
        if {first, second} <= {"text", "large text", "dictionary", "dictionary of views"}:
            assert values == ["7", "7"]


def test_text_beside_types_is_converted_where_that_is_exact(tmp_path):
    put(tmp_path / "a.parquet", p=[1.0], id=[7])
    for text, expected in (("8", [7, 8]), ("08", ["7", "08"])):
        (tmp_path / "b.csv").write_text(f"p,id\n1,{text}\n")
        files = [tmp_path / "a.parquet", tmp_path / "b.csv"]
        score_table(MODEL, files, tmp_path / text)
        assert read(tmp_path / text)["id"].to_pylist() == expected


def test_ids_in_a_csv_file_are_readable_text(tmp_path):
    put(tmp_path / "a.parquet", p=[1.0], b=pa.array([b"\xc8\x01"]), u=COLUMNS["uuid"])
    score_table(MODEL, tmp_path / "a.parquet", tmp_path / "out", output_format="csv")
    scored = pd.read_csv(tmp_path / "out" / "part-00000.csv")
    assert scored["b"].tolist() == ["c801"]
    assert scored["u"].tolist() == [str(UUID(int=7))]


def test_by_default_what_identifies_rows_is_copied(tmp_path):
    columns = {"".join(c for c in name if c.isalpha()): COLUMNS[name] for name in COLUMNS}
    not_written = ("dictionaryofviews", "monthinterval", "runends")
    columns = {name: column for name, column in columns.items() if name not in not_written}
    put(tmp_path / "a.parquet", p=[1.0], score=[3], **columns)
    score_table(MODEL, tmp_path / "a.parquet", tmp_path / "out")
    left_out = {"double", "half", "bool", "decimal", "widedecimal", "time", "timeus", "duration"}
    left_out |= {"list", "struct", "map"}
    expected = [name for name in columns if name not in left_out]
    assert read(tmp_path / "out").column_names == [*expected, "score"]
    score_table(MODEL, tmp_path / "a.parquet", tmp_path / "all", id_columns="all")
    assert len(read(tmp_path / "all").column_names) == len(columns) + 1
    with pytest.raises(ValueError, match="id_columns must be a list of names or 'all', got 'int'"):
        score_table(MODEL, tmp_path / "a.parquet", tmp_path / "none", id_columns="int")


def test_columns_that_some_files_lack_are_null_there(tmp_path):
    put(tmp_path / "a.parquet", p=[1.0], old=[1])
    put(tmp_path / "b.parquet", p=[2.0], new=["x"])
    score_table(MODEL, [tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "out")
    assert read(tmp_path / "out").select(["old", "new"]).to_pylist() == [
        {"old": 1, "new": None},
        {"old": None, "new": "x"},
    ]
    for options in ({"id_columns": ["none"]}, {"query_column": "old"}):
        with pytest.raises(TableError, match="lacks the columns"):
            score_table(MODEL, tmp_path / "*.parquet", tmp_path / "out2", **options)


def test_training_reads_numbers_of_all_types(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, 40)
    types = [pa.int32(), pa.float64(), pa.decimal128(24, 4), pa.null(), pa.int64()]
    for number, type_ in enumerate(types):
        column = pa.nulls(8) if type_ == pa.null() else pa.array(values[:8]).cast(type_)
        ids = pa.array([b"\xc8" * 16] * 4 + [bytes([number] * 16)] * 4, pa.binary(16))
        put(tmp_path / f"{number}.parquet", q=ids, y=[0.0, 1.0] * 4, a=column, b=values[8:16])
    files = [tmp_path / f"{number}.parquet" for number in (0, 1, 2, 4)]
    students = []
    for given in (files, files[:1] * 4):
        student = LinearRanker(max_iter=1, random_state=0)
        fit_from_files(student, given, query_column="q", label_column="y", random_state=0)
        assert student.feature_names_in_.tolist() == ["a", "b"]
        students.append(student)
    X = pd.DataFrame({"a": values, "b": values})
    assert np.isfinite(students[0].predict(X)).all()


def test_undecodable_files_are_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,p\n\xff\xfe\xf6,1\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"id,p\na,1\n" * 999)[:-20])
    (tmp_path / "c.jsonl").write_bytes(b'{"p": 1, "id": "\xf6"}\n')
    (tmp_path / "d.csv").write_text("")
    (tmp_path / "e.parq").write_text("PAR1")
    (tmp_path / "f.arrow").write_text("ARROW1")
    (tmp_path / "g.csv.gz").write_text("id,p\n1,1\n")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(TableError, match=f"{path.name}: "):
            score_table(MODEL, path, tmp_path / "out" / path.name, id_columns=["id"])


def test_decimal_commas_are_read_exactly_where_numbers_are_expected(tmp_path):
    options = CsvOptions(delimiter=";", decimal=",")
    (tmp_path / "a.csv").write_text("id;p;y\n1,5;1,5;0\n1.5;2;1,0\n;NA;2\n")
    rejects = tmp_path / "rejects.csv"
    score_table(MODEL, tmp_path / "a.csv", tmp_path / "o", csv_options=options, rejects=rejects)
    assert read(tmp_path / "o")["id"].to_pylist() == ["1,5", "1.5"]
    expected = MODEL.predict(pd.DataFrame({"p": [1.5, 2.0]}))
    np.testing.assert_allclose(read(tmp_path / "o")["score"], expected, atol=1e-6)
    (tmp_path / "b.csv").write_text("id;p;y\nx;1.234,5;0\n")
    with pytest.raises(TableError, match="row 0: column 'p' holds"):
        score_table(MODEL, tmp_path / "b.csv", tmp_path / "o2", csv_options=options)
    (tmp_path / "c.csv").write_text("id;p;y\nx;1,5;0\nx;2,5;1,0\n")
    names = {"query_column": "id", "label_column": "y", "csv_options": options}
    assert evaluate_table(MODEL, tmp_path / "c.csv", **names)["rows"] == 2
    student = fit_from_files(LinearRanker(max_iter=1), tmp_path / "c.csv", **names)
    assert student.feature_names_in_.tolist() == ["p"]


def test_a_table_that_cannot_be_evaluated_is_named(tmp_path):
    put(tmp_path / "none.parquet", q=pa.array([], pa.int64()), y=pa.array([], pa.int64()),
        p=pa.array([], pa.float64()))  # fmt: skip
    names = {"query_column": "q", "label_column": "y"}
    with pytest.raises(TableError, match="none.parquet: the tables hold no rows"):
        evaluate_table(MODEL, tmp_path / "none.parquet", **names)
    put(tmp_path / "a.parquet", q=[1, 1], y=[1, 0], p=[1.0, 2.0])
    put(tmp_path / "null.parquet", q=[1, 1], y=pa.array([1, None]), p=[1.0, 2.0])
    with pytest.raises(TableError, match="null.parquet: row 1: column 'y' holds nothing"):
        evaluate_table(MODEL, tmp_path / "*.parquet", **names)
    put(tmp_path / "gap.parquet", q=[1, 1], y=[1, 0], p=[1.0, None])
    with pytest.raises(TableError, match="row 1: column 'p' holds nothing, .* drop such rows.$"):
        evaluate_table(MODEL, tmp_path / "gap.parquet", **names)


def test_no_table_is_read_twice_for_its_columns(tmp_path, monkeypatch):
    """A file of JSON lines is read once for its types and once for its rows."""
    opened = []
    monkeypatch.setattr(
        json_lines, "_objects", lambda path, of=json_lines._objects: opened.append(path) or of(path)
    )
    (tmp_path / "a.jsonl").write_text('{"p": 1, "id": 2}\n')
    (file,) = find_files(tmp_path / "a.jsonl")
    schema = file.schema
    rows = [list(read_batches(shard, schema)) for shard in file.shards()]
    assert rows[0][0][1].to_pylist() == [{"p": 1, "id": 2}]
    assert len(opened) == 2


def test_dates_that_nanoseconds_do_not_hold_become_text(tmp_path):
    far = pa.array([datetime(9999, 12, 31)], pa.timestamp("us"))
    put(tmp_path / "a.parquet", p=[1.0], until=far)
    put(tmp_path / "b.parquet", p=[1.0], until=COLUMNS["ns"])
    score_table(MODEL, tmp_path / "*.parquet", tmp_path / "out")
    texts = read(tmp_path / "out")["until"].to_pylist()
    assert [text[:10] for text in texts] == ["9999-12-31", "2020-01-01"]


def test_another_delimiter_is_another_run(tmp_path):
    (tmp_path / "a.csv").write_text("id;p\n1;2\n")
    comma, point = (CsvOptions(decimal=decimal, delimiter=";") for decimal in ",.")
    score_table(MODEL, tmp_path / "a.csv", tmp_path / "out", csv_options=comma)
    with pytest.raises(OutputError, match="another run: inputs differ"):
        score_table(MODEL, tmp_path / "a.csv", tmp_path / "out", csv_options=point)
    with pytest.raises(TableError, match=r"it has \['id;p'\]. If its cells .*--delimiter"):
        score_table(MODEL, tmp_path / "a.csv", tmp_path / "out2")


def test_names_that_several_columns_share_are_refused_where_they_are_needed(tmp_path):
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array([1.0]), pa.array(["b"])], names=["id", "p", "id"]
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text(",id,p,id,\n0,a,1,b,2\n")
    for path in (tmp_path / "a.parquet", tmp_path / "b.csv"):
        score_table(MODEL, path, tmp_path / f"out-{path.name}")
        assert read(tmp_path / f"out-{path.name}").column_names == ["score"]
        for options in ({"id_columns": ["id"]}, {"query_column": "id"}):
            with pytest.raises(TableError, match=r"several columns are named \['id'\]"):
                score_table(MODEL, path, tmp_path / "out2", **options)
    (tmp_path / "d.csv").write_text("p,p\n1,2\n")
    with pytest.raises(TableError, match=r"several columns are named \['p'\]"):
        score_table(MODEL, tmp_path / "d.csv", tmp_path / "out2")
    (tmp_path / "e.csv").write_text("q,y,p,p\n1,0,1,2\n1,1,2,3\n")
    with pytest.raises(TableError, match=r"several columns are named \['p'\]"):
        fit_from_files(LinearRanker(), tmp_path / "e.csv", query_column="q", label_column="y")
