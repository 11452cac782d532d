"""Columns of files: ids as they stand there, features as the model takes them, exact or refused."""

import datetime
import decimal
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from skdistill import TwoTowerRetriever
from skdistill.recipe import follow, read_recipe
from skdistill.serving import TableError, evaluate_table, load, retrieve_table, save, score_table
from skdistill.streaming import fit_from_files
from skdistill.students import LinearRanker
from skdistill.tables import reading

BIG = 2**60 + 1
MODEL = LinearRanker(max_iter=2, random_state=0).fit(
    pd.DataFrame({"p": np.arange(8.0)}), np.arange(8) % 3, qid=np.repeat([0, 1], 4)
)


def read(folder):
    return parquet.read_table(folder)


def test_columns_of_a_csv_file_are_copied_as_they_stand(tmp_path):
    cells = ["007", "NA", "null", "12345678901234567890123", "1e3", "", "true", "2020-01-01", " a"]
    rows = "\n".join(f"{cell},1" for cell in cells)
    (tmp_path / "a.csv").write_text(f"id,p\n{rows}\n")
    score_table(MODEL, tmp_path / "a.csv", tmp_path / "out")
    assert read(tmp_path / "out")["id"].to_pylist() == [cell or None for cell in cells]
    score_table(MODEL, tmp_path / "a.csv", tmp_path / "csv", output_format="csv")
    written = (tmp_path / "csv" / "part-00000.csv").read_text().splitlines()[1:]
    assert [line.rsplit(",", 1)[0].strip('"') for line in written] == cells


@pytest.mark.parametrize("first", ["id,p\n", "id,p\n,1\n", "id,p\n1,1\n", "id,p\n" + "1,1\n" * 9])
def test_no_file_decides_for_the_others(tmp_path, first):
    (tmp_path / "a.csv").write_text(first)
    (tmp_path / "b.csv").write_text("id,p\nA7,1\n007,1.5\n")
    score_table(MODEL, [tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "out")
    assert read(tmp_path / "out")["id"].to_pylist()[-2:] == ["A7", "007"]


@pytest.mark.parametrize("order", [1, -1])
def test_beside_a_file_with_types_text_is_converted_exactly(tmp_path, order):
    parquet.write_table(pa.table({"id": [BIG, None], "p": [1.0, 2.0]}), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text(f"id,p\n{BIG + 1},1\n,2\n")
    files = [tmp_path / "a.parquet", tmp_path / "b.csv"][::order]
    score_table(MODEL, files, tmp_path / "out", query_column="id")
    ids = read(tmp_path / "out")["id"]
    assert ids.type == pa.int64()
    assert ids.to_pylist() == [
        one for pair in [[BIG, None], [BIG + 1, None]][::order] for one in pair
    ]
    (tmp_path / "b.csv").write_text("id,p\n1,1\n007,2\n")
    with pytest.raises(TableError, match=r"b.csv: row 1: column 'id' holds '007', expected int64"):
        score_table(MODEL, files, tmp_path / "out2", query_column="id")
    # A column that is only copied becomes text instead.
    score_table(MODEL, files, tmp_path / "out3")
    first, second = [[str(BIG), None], ["1", "007"]][::order]
    assert read(tmp_path / "out3")["id"].to_pylist() == [*first, *second]


def test_columns_of_several_types_get_the_one_that_holds_them_all(tmp_path):
    def write(name, ids):
        parquet.write_table(pa.table({"id": ids, "p": [1.0]}), tmp_path / f"{name}.parquet")
        return tmp_path / f"{name}.parquet"

    small, large = write("a", pa.array([1], pa.int32())), write("b", pa.array([BIG], pa.int64()))
    text = write("c", pa.array(["x"], pa.large_string()))
    dictionary = write("d", pa.array(["y"]).dictionary_encode())
    unsigned = write("e", pa.array([2**63], pa.uint64()))
    score_table(MODEL, [small, large], tmp_path / "out")
    assert read(tmp_path / "out")["id"].to_pylist() == [1, BIG]
    score_table(MODEL, [text, dictionary], tmp_path / "out2")
    assert read(tmp_path / "out2")["id"].to_pylist() == ["x", "y"]
    for name, (files, ids) in {
        "out3": ([large, unsigned], [str(BIG), str(2**63)]),
        "out4": ([small, text], ["1", "x"]),
    }.items():
        with pytest.raises(TableError, match="column 'id' holds .*, expected int.. as in"):
            score_table(MODEL, files, tmp_path / name, query_column="id")
        score_table(MODEL, files, tmp_path / name)
        assert read(tmp_path / name)["id"].to_pylist() == ids


def test_columns_that_other_libraries_write(tmp_path):
    ids = [uuid.UUID(int=1), uuid.UUID(int=2)]
    frame = pl.DataFrame({"q": ["a", "b"], "p": [1.0, 2.0]})
    frame.with_columns(pl.col("q").cast(pl.Categorical)).write_ipc(tmp_path / "a.arrow")
    column = pa.array([one.bytes for one in ids] * 2, pa.uuid())
    parquet.write_table(pa.table({"q": column, "p": [1.0] * 4}), tmp_path / "b.parquet")
    price = pa.array([decimal.Decimal("1.5"), None], pa.decimal128(12, 4))
    parquet.write_table(pa.table({"q": [1, 2], "p": price}), tmp_path / "c.parquet")
    options = {"query_column": "q", "top_k": 1}
    score_table(MODEL, tmp_path / "a.arrow", tmp_path / "a", **options)
    assert read(tmp_path / "a")["q"].to_pylist() == ["a", "b"]
    score_table(MODEL, tmp_path / "b.parquet", tmp_path / "b", **options, output_format="csv")
    written = (tmp_path / "b" / "part-00000.csv").read_text()
    assert [line.split(",")[0].strip('"') for line in written.splitlines()[1:]] == list(
        map(str, ids)
    )
    rejects = tmp_path / "rejects.csv"
    score_table(MODEL, tmp_path / "c.parquet", tmp_path / "c", rejects=rejects)
    expected = MODEL.predict(pd.DataFrame({"p": [1.5]}))
    np.testing.assert_allclose(read(tmp_path / "c")["score"].to_pylist(), expected, atol=1e-5)
    assert pd.read_csv(rejects)["row"].tolist() == [1]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    country, zone = rng.choice(["NA", "DE", "null"], 300), rng.integers(0, 4, 300)
    return pd.DataFrame(
        {"country": country, "zone": zone, "x": rng.normal(size=300).round(3), "on": zone > 1}
    )


@pytest.fixture(scope="module")
def model(table):
    """Text, integer and boolean categories; unknown ones are silently encoded as zeros."""
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer((encoder, ["country", "zone", "on"]), remainder="passthrough")
    model = make_pipeline(columns, LinearRanker(max_iter=30, random_state=0))
    y = (table["country"] == "NA") * 1.0 + (table["zone"] == 3) + table["on"]
    return model.fit(table, y, linearranker__qid=np.repeat(np.arange(30), 10))


def test_features_of_a_csv_file_are_what_the_model_takes(table, model, tmp_path):
    table.to_parquet(tmp_path / "a.parquet")
    for name, rows in {"a.csv": table[:200], "b.csv": table[200:]}.items():
        rows.to_csv(tmp_path / name, index=False)
    for files in ("*.parquet", "*.csv"):
        score_table(model, tmp_path / files, tmp_path / files[2:])
        scores = read(tmp_path / files[2:])["score"].to_numpy()
        np.testing.assert_allclose(scores, model.predict(table), atol=1e-6)


def test_cells_that_the_model_does_not_take_are_refused_or_put_aside(table, model, tmp_path):
    bad = table[:4].astype(object)
    bad.loc[0, "zone"], bad.loc[1, "x"], bad.loc[3, "on"] = "guest", "much", "maybe"
    bad.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(TableError, match=r"row 0: column 'zone' holds 'guest', expected a whole n"):
        score_table(model, tmp_path / "a.csv", tmp_path / "out")
    rejects = tmp_path / "rejects.csv"
    score_table(model, tmp_path / "a.csv", tmp_path / "out2", rejects=rejects)
    assert pd.read_csv(rejects)["column"].tolist() == ["zone", "x", "on"]
    scores = read(tmp_path / "out2")["score"].to_numpy()
    np.testing.assert_allclose(scores, model.predict(table[2:3]), atol=1e-6)
    table.assign(country=7).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(TableError, match="'country' holds int64, but the model was fitted with"):
        score_table(model, tmp_path / "b.parquet", tmp_path / "out3")
    # One file's types do not change what another file's text is converted to.
    table.assign(zone=table["zone"].astype(str)).to_parquet(tmp_path / "c.parquet")
    score_table(model, tmp_path / "c.parquet", tmp_path / "out4")
    scores = read(tmp_path / "out4")["score"].to_numpy()
    np.testing.assert_allclose(scores, model.predict(table), atol=1e-6)


def test_integers_with_missing_values_are_known_categories(tmp_path):
    X = pd.DataFrame({"id": [BIG - 1, BIG, 3, 4]})
    encoder = OneHotEncoder(handle_unknown="ignore")
    model = make_pipeline(encoder, LinearRanker(max_iter=30, random_state=0))
    model.fit(X, [0, 1, 0, 0], linearranker__qid=[1] * 4)
    parquet.write_table(pa.table({"id": [BIG - 1, BIG, None]}), tmp_path / "a.parquet")
    score_table(model, tmp_path / "a.parquet", tmp_path / "out")
    scores = read(tmp_path / "out")["score"].to_numpy()
    np.testing.assert_allclose(scores[:2], model.predict(X[:2]), atol=1e-6)
    assert len(set(scores)) == 3


def lengths(X):
    return np.c_[[len(str(one)) for one in X.iloc[:, 0]]]


def test_a_step_that_does_not_show_what_it_takes_gets_what_all_cells_are(tmp_path):
    """Numbers only if every cell of every file is one, whatever the first of them are."""
    length = FunctionTransformer(lengths)
    X = pd.DataFrame({"code": ["1", "22", "x33"]})
    model = make_pipeline(length, LinearRanker(max_iter=30, random_state=0))
    model.fit(X, [0, 1, 2], linearranker__qid=[1] * 3)
    X[:1].to_csv(tmp_path / "a.csv", index=False)
    X[1:].to_csv(tmp_path / "b.csv", index=False)
    score_table(model, tmp_path / "*.csv", tmp_path / "out")
    scores = read(tmp_path / "out")["score"].to_numpy()
    np.testing.assert_allclose(scores, model.predict(X), atol=1e-6)


def test_training_reads_csv_as_it_reads_parquet(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "query": np.repeat(["007", "7", "NA", "null"], 8),
            "y": rng.integers(0, 3, 32).astype(float),
            "zip": np.repeat(["01234", "12345"], 16),
            "a": rng.normal(size=32).round(2),
            "b": [*rng.normal(size=31).round(2), 7.0],
        }
    )
    assert (frame["b"][:1] != frame["b"][:1].round()).all()
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    students, reports = [], []
    for ext in ("parquet", "csv"):
        student = LinearRanker(max_iter=1, random_state=0)
        options = {"query_column": "query", "label_column": "y", "features": ["a", "b"]}
        students.append(fit_from_files(student, tmp_path / f"t.{ext}", **options, random_state=0))
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(
            f'[data]\ntrain = "t.{ext}"\ntest = "t.{ext}"\nquery_column = "query"\n'
            'label_column = "y"\n[teacher]\nestimator = "LGBMRanker"\nn_estimators = 5\n'
            'min_child_samples = 2\n[student]\nestimator = "LinearRanker"\n'
        )
        ranker, report = follow(read_recipe(recipe))
        reports.append(report)
        # A code with leading zeros is no number.
        assert ranker.feature_names_in_.tolist() == ["a", "b"]
        figures = evaluate_table(
            students[-1], tmp_path / f"t.{ext}", query_column="query", label_column="y"
        )
        assert figures["queries"] == 4
    assert reports[0] == reports[1]
    X = frame[["a", "b"]]
    np.testing.assert_array_equal(students[0].predict(X), students[1].predict(X))


def fit_towers(users, items, log_users=None, **parameters):
    rng = np.random.default_rng(0)
    n_users, n_items = len(users), len(items)
    user = np.repeat(np.arange(n_users), 6)
    item = np.concatenate([rng.choice(n_items, 6, replace=False) for _ in range(n_users)])
    log = pd.concat(
        [users.iloc[user].reset_index(drop=True), items.iloc[item].reset_index(drop=True)], axis=1
    )
    towers = TwoTowerRetriever(
        alpha=0, query_columns=list(users.columns), item_columns=list(items.columns),
        max_iter=5, random_state=0, teacher_check=False, **parameters,
    )  # fmt: skip
    return towers, log


USERS = pd.DataFrame({"user": [*range(15), BIG - 1, BIG, BIG + 1]})
ITEMS = pd.DataFrame({"item": [f"{number:03}" for number in range(20)]})


@pytest.fixture(scope="module")
def towers():
    towers, log = fit_towers(USERS, ITEMS)
    return towers.fit(log, np.ones(len(log)), qid=log["user"], items=ITEMS)


AS_OTHER_TYPES = {
    "int32": lambda ids: ids[:15].astype(np.int32),
    "uint64": lambda ids: ids.astype(np.uint64),
    "float": lambda ids: ids[:15].astype(float),
    "text": lambda ids: ids.astype(str),
    "NumPy scalars": lambda ids: pd.Series(list(ids.to_numpy()), dtype=object),
    "some text": lambda ids: pd.Series([*ids[:5], *ids[5:].astype(str)], dtype=object),
    "nullable": lambda ids: ids.astype("Int64"),
    "Arrow": lambda ids: ids.astype("int64[pyarrow]"),
    "category": lambda ids: ids.astype("category"),
}


@pytest.mark.parametrize("name", AS_OTHER_TYPES)
def test_ids_of_another_type_than_in_fit_find_the_same_items(towers, name):
    best, scores = towers.retrieve(USERS, k=5)
    assert len(np.unique(scores, axis=0)) == len(USERS)  # nobody gets another's list
    users = pd.DataFrame({"user": AS_OTHER_TYPES[name](USERS["user"])})
    found = towers.retrieve(users, k=5)
    np.testing.assert_array_equal(found[0], best[: len(users)])
    np.testing.assert_array_equal(found[1], scores[: len(users)])
    pairs = users.assign(item="003")
    expected = towers.predict(USERS[: len(users)].assign(item="003"))
    np.testing.assert_array_equal(towers.predict(pairs), expected)


def test_polars_and_missing_users_keep_their_lists(towers):
    ids = USERS["user"].tolist()
    _, scores = towers.retrieve(USERS, k=5)
    for frame in (
        pl.DataFrame({"user": [*ids, None]}),
        pd.DataFrame({"user": pd.array([*ids, None], dtype="Int64")}),
        pd.DataFrame({"user": pd.Series([*ids, None], dtype=object)}),
    ):
        np.testing.assert_array_equal(towers.retrieve(frame, k=5)[1][:-1], scores)
    rounded = pd.DataFrame({"user": [1.0, None, float(BIG)]})
    with pytest.raises(ValueError, match=r"queries: row 2: column 'user' held .* type integer in"):
        towers.retrieve(rounded)
    np.testing.assert_array_equal(towers.retrieve(rounded[:2], k=5)[1][0], scores[1])


def test_an_id_without_a_counterpart_is_refused_by_name(towers, tmp_path):
    for ids, shown in ((["1", "01"], "'01'"), ([1.0, 1.5], "1.5")):
        users = pd.DataFrame({"user": ids})
        message = rf"queries: row 1: column 'user' held values of type integer.* {shown} has no"
        with pytest.raises(ValueError, match=message):
            towers.retrieve(users)
        with pytest.raises(ValueError, match=message):
            towers.predict(users.assign(item="001"))
    message = r"items: row 0: column 'item' held values of type text in fit and holds integer now"
    with pytest.raises(ValueError, match=message):
        towers.index(pd.DataFrame({"item": [1, 2]}))
    lines = "\n".join(map(str, USERS["user"]))
    (tmp_path / "u.csv").write_text(f"user,city\n{lines.replace(chr(10), ',NA' + chr(10))},NA\n")
    retrieve_table(towers, tmp_path / "u.csv", tmp_path / "out", k=5)
    found = read(tmp_path / "out")
    best = towers.retrieve(USERS, k=5)[0]
    np.testing.assert_array_equal(found["item"].to_numpy().reshape(-1, 5), best)
    assert set(found["city"].to_pylist()) == {"NA"}
    (tmp_path / "g.csv").write_text(f"user\n{lines}\nguest\n")
    with pytest.warns(UserWarning, match="column 'user' held integers in fit, and 'guest' is none"):
        retrieve_table(towers, tmp_path / "g.csv", tmp_path / "out2", k=5)
    found = read(tmp_path / "out2")
    np.testing.assert_array_equal(found["item"].to_numpy().reshape(-1, 5)[:-1], best)
    unknown = towers.retrieve(pd.DataFrame({"user": [10**9]}), k=5)[0]
    np.testing.assert_array_equal(found["item"].to_numpy().reshape(-1, 5)[-1:], unknown)
    (tmp_path / "h.csv").write_text(f"user\n{lines}\n007\n")
    message = rf"h.csv: row {len(USERS)}: column 'user' .*'007' has no exact counterpart"
    with pytest.raises(TableError, match=message):
        retrieve_table(towers, tmp_path / "h.csv", tmp_path / "out3", k=5)


def test_null_users_of_a_file_make_no_floats_of_the_others(towers, tmp_path):
    ids = [*USERS["user"].tolist(), None]
    parquet.write_table(pa.table({"user": ids}), tmp_path / "u.parquet")
    retrieve_table(towers, tmp_path / "u.parquet", tmp_path / "out", k=5)
    found = read(tmp_path / "out")
    assert found["user"].type == pa.int64()
    assert found["user"].to_pylist()[::5] == ids
    best = towers.retrieve(USERS, k=5)[0]
    np.testing.assert_array_equal(found["item"].to_numpy().reshape(-1, 5)[:-1], best)


@pytest.mark.parametrize(
    ("ids", "type_"),
    [
        (np.arange(20, dtype=np.uint64) + np.uint64(2**63), pa.uint64()),
        ([f"{n}\0" for n in range(20)], pa.string()),
        ([f"{n}".encode() for n in range(20)], pa.binary()),
        (np.arange(20).astype("datetime64[ns]"), pa.timestamp("ns")),
        ([datetime.date(2020, 1, 1 + n) for n in range(20)], pa.date32()),
    ],
)
def test_items_are_written_with_the_type_of_their_ids(towers, ids, type_, tmp_path):
    towers.index(ITEMS, ids)
    USERS.to_parquet(tmp_path / "u.parquet")
    retrieve_table(towers, tmp_path / "u.parquet", tmp_path / "out", k=20)
    column = read(tmp_path / "out")["item"]
    assert column.type == type_
    assert set(column.to_pylist()) == set(pa.array(ids, type_).to_pylist())
    towers.index(ITEMS, [*range(19), "x"])
    with pytest.raises(ValueError, match="do not fit into one column of a file"):
        retrieve_table(towers, tmp_path / "u.parquet", tmp_path / "out2")
    towers.index(ITEMS)


def test_catalogue_and_log_are_brought_to_one_type():
    items = pd.DataFrame({"item": range(20)})
    fitted = []
    for catalogue in (
        items, items.astype(float), items.astype(str), items.astype(np.int32),
        items.astype(np.uint64), items.astype("Int64"), items[:15],
        items[:15].astype(np.uint64),
    ):  # fmt: skip
        towers, log = fit_towers(USERS, items)
        towers.fit(log, np.ones(len(log)), qid=log["user"], items=catalogue)
        assert towers.item_transformer_.categories[0].values.tolist() == list(range(20))
        fitted.append(towers.transform_items(items))
    for embeddings in fitted[1:6]:
        np.testing.assert_array_equal(embeddings, fitted[0])
    np.testing.assert_array_equal(fitted[6], fitted[7])
    towers, log = fit_towers(USERS, items)
    with pytest.raises(ValueError, match=r"items: row 3: column 'item' .*'x3' has no exact"):
        towers.fit(log, np.ones(len(log)), items=items.astype(object).replace(3, "x3"))


def test_unsigned_ids_in_fit_are_known_afterwards():
    """NumPy makes floats of unsigned and signed integers together."""
    items = pd.DataFrame({"item": np.arange(20) + BIG})
    unsigned, log = fit_towers(USERS.astype(np.uint64), items.astype(np.uint64))
    # Five items of the log are not in the catalogue, which is signed.
    unsigned.fit(log, np.ones(len(log)), qid=log["user"], items=items[:15])
    known = unsigned.item_transformer_.transform(items)
    assert known.has_code.sum() == len(np.unique(known.codes)) == 20
    scores = unsigned.retrieve(USERS, k=5)[1]
    assert len(np.unique(scores, axis=0)) == len(USERS)
    np.testing.assert_array_equal(unsigned.retrieve(USERS.astype(np.uint64), k=5)[1], scores)


def test_training_on_files_keeps_queries_of_dictionaries_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BATCH_ROWS", 3)
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"q": np.repeat(["a", "b", "c"], 4), "y": rng.integers(0, 3, 12), "p": rng.normal(size=12)}
    )
    frame.write_ipc(tmp_path / "text.arrow")
    frame.with_columns(pl.col("q").cast(pl.Categorical)).write_ipc(tmp_path / "dictionary.arrow")
    params = []
    for name in ("text", "dictionary"):
        student = LinearRanker(max_iter=1, random_state=0)
        file = tmp_path / f"{name}.arrow"
        fit_from_files(student, file, query_column="q", label_column="y", random_state=0)
        params.append(student.predict(pd.DataFrame({"p": [0.5]})))
    np.testing.assert_array_equal(*params)


def test_saved_towers_still_know_their_types(towers, tmp_path):
    save(towers, tmp_path / "towers.skd")
    again = load(tmp_path / "towers.skd")
    best = towers.retrieve(USERS, k=5)[0]
    np.testing.assert_array_equal(again.retrieve(USERS.astype(str), k=5)[0], best)
    # A file of 0.1.0 has scikit-learn's encoders and no kinds, which are those of the encoders.
    encoders = {
        f"{side}_transformer": make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", dtype=np.float32), [0])
        )
        for side in ("query", "item")
    }
    again, log = fit_towers(USERS, ITEMS, **encoders)
    again.fit(log, np.ones(len(log)), qid=log["user"], items=ITEMS)
    best = again.retrieve(USERS, k=5)[0]
    state = again.__getstate__() | dict.fromkeys(encoders, "auto")
    columns = state["pair_columns_"]
    for name in ("query_kinds", "item_kinds"):
        del columns.__dict__[name]
    old = TwoTowerRetriever.__new__(TwoTowerRetriever)
    old.__setstate__(state)
    assert (old.pair_columns_.query_kinds, old.pair_columns_.item_kinds) == (["integer"], ["text"])
    np.testing.assert_array_equal(old.retrieve(USERS.astype(str), k=5)[0], best)


def test_a_transformer_of_the_user_may_take_any_number(towers):
    """Only what "auto" takes for categories must be exact integers."""
    towers, log = fit_towers(USERS[:15], ITEMS, query_transformer=FunctionTransformer(np.log1p))
    towers.fit(log, np.ones(len(log)), qid=log["user"])
    assert towers.transform_queries(pd.DataFrame({"user": [1.5]})).shape == (1, 32)


def test_query_ids_that_tell_no_rows_apart_are_refused_by_file_and_column(tmp_path):
    file = tmp_path / "a.parquet"
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(4.0).reshape(2, 2))
    for ids in (pa.array([[1], [2]]), pa.array([{"a": 1}, {"a": 2}]), tensors):
        parquet.write_table(pa.table({"q": ids, "p": [1.0, 2.0], "y": [0, 1]}), file)
        named = {"query_column": "q", "label_column": "y"}
        for call in (
            lambda: score_table(MODEL, file, tmp_path / "out", query_column="q", top_k=1),
            lambda named=named: evaluate_table(MODEL, file, **named),
            lambda named=named: fit_from_files(LinearRanker(), file, **named),
        ):
            with pytest.raises(TableError, match="a.parquet: column 'q' holds .* tell rows apart"):
                call()
    assert not (tmp_path / "out").exists()


def test_a_date_that_is_none_is_told_how_dates_are_written(tmp_path):
    days = pd.date_range("2026-01-01", periods=60).astype(str)
    table = pd.DataFrame({"day": pd.to_datetime(days), "x": np.arange(60.0)})
    student = LinearRanker(max_iter=2, random_state=0)
    student.fit(table, np.arange(60) % 3, qid=np.repeat(np.arange(12), 5))
    written = table.assign(day=["01/02/2026", *days[1:]])
    written.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(TableError, match=r"'day' holds '01/02/2026', expected a date of ISO 8601"):
        score_table(student, tmp_path / "a.csv", tmp_path / "out")


def test_the_best_rows_name_their_items_though_the_model_reads_the_ids(tmp_path):
    table = pd.DataFrame(
        {
            "query": np.repeat(np.arange(5), 8),
            "item": [f"i{row}" for row in range(40)],
            "shelf": pd.Categorical(np.arange(40) % 4),
            "price": np.linspace(0, 1, 40),
            "is_new": np.arange(40) % 3 == 0,
            "note": "x",
        }
    )
    features = ["item", "shelf", "price", "is_new"]
    model = LinearRanker(max_iter=2, min_frequency=1, random_state=0)
    model.fit(table[features], np.arange(40) % 3, qid=table["query"])
    table.to_parquet(tmp_path / "t.parquet")
    given = {"query_column": "query", "top_k": 2}
    score_table(model, tmp_path / "t.parquet", tmp_path / "best", **given)
    best = read(tmp_path / "best").to_pandas()
    assert list(best) == ["query", "item", "shelf", "note", "score"]
    scores = model.predict(table[features])
    expected = table.assign(score=scores).sort_values("score").groupby("query").tail(2)
    assert set(best["item"]) == set(expected["item"])
    score_table(model, tmp_path / "t.parquet", tmp_path / "named", id_columns=["note"], **given)
    assert list(read(tmp_path / "named").to_pandas()) == ["query", "note", "score"]
    score_table(model, tmp_path / "t.parquet", tmp_path / "all", query_column="query")
    assert list(read(tmp_path / "all").to_pandas()) == ["query", "note", "score"]
