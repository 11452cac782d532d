"""A cascade in one file: stages, indexes and catalogue come back, without code and teacher."""

import subprocess
import sys
import zipfile
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker, RankingCascade, TwoTowerRetriever
from skdistill.cascade import FirstTrees, PopularityRetriever
from skdistill.serving import load, save
from skdistill.serving.files import read_metadata
from skdistill.serving.stored_tables import StoredTable, stored_table
from skdistill.students import LinearRanker
from tests.small_cascade import (
    DATA,
    ITEM_COLUMNS,
    ITEMS,
    LOG,
    NUMBERS,
    QUERIES,
    ends_in_teacher,
    fit_cascade,
    products,
    students,
    teacher,
    towers,
)


def assert_ranks_the_same(again, cascade, queries=QUERIES):
    """Ids and scores agree to the bit, with and without excluded items."""
    shape = (queries.shape[0], cascade.n_items)
    seen = sparse.random_array(shape, density=0.5, rng=0).tocsr()
    for options in ({}, {"k": 30}, {"exclude": seen}):
        for left, right in zip(
            again.rank(queries, **options), cascade.rank(queries, **options), strict=True
        ):
            assert_array_equal(left, right)


CASCADES = {
    "students": students,
    "teacher": ends_in_teacher,
    "first trees": lambda: fit_cascade(FirstTrees(3), features=None),
    "others": lambda: fit_cascade(
        prerank=make_pipeline(StandardScaler(), Ridge()),
        rank=DistilledRanker(teacher(), LinearRanker(max_iter=2)),
        targets="next",
    ),
    "two retrievers": lambda: fit_cascade(
        retrieve=[("towers", towers(), 20), ("usual", PopularityRetriever(ITEM_COLUMNS), 10)]
    ),
    "frozen": lambda: fit_cascade(
        teacher=FrozenEstimator(ends_in_teacher().teacher_),
        prerank=ends_in_teacher().teacher_.booster_,
        retrieve=FrozenEstimator(ends_in_teacher().funnel_.retrieval.retrievers["retrieve"]),
    ),
    "arrays": lambda: fit_cascade(
        retrieve=TwoTowerRetriever(
            query_columns=DATA.query_columns, item_columns=DATA.item_columns, max_iter=1
        ),
        log=DATA.X, items=DATA.items, features=None,
    ),
}  # fmt: skip
QUERIES_OF = {"arrays": DATA.queries}


@pytest.fixture(scope="module", params=CASCADES)
def fitted(request):
    return CASCADES[request.param](), QUERIES_OF.get(request.param, QUERIES)


@pytest.mark.parametrize("keep_teacher", [False, True])
def test_a_cascade_comes_back(tmp_path, fitted, keep_teacher):
    cascade, queries = fitted
    save(cascade, tmp_path / "cascade.skd", keep_teacher=keep_teacher)
    again = load(tmp_path / "cascade.skd")
    assert_ranks_the_same(again, cascade, queries)
    assert (again.teacher_ is None) != keep_teacher
    assert cascade.teacher_ is not None
    assert again.get_params(deep=False).keys() == cascade.get_params(deep=False).keys()
    assert [entry[2] for entry in again.stages] == [entry[2] for entry in cascade.stages]
    # The templates of stages are still to be fitted: nothing but the funnel is.
    assert not hasattr(again.stages[-1][1], "teacher_")


def test_parameters_can_be_set_and_another_catalogue_indexed(tmp_path):
    cascade = students()
    save(cascade, tmp_path / "cascade.skd")
    again = load(tmp_path / "cascade.skd").set_params(prerank__size=12, rank__max_drop=0.5)
    expected = load(tmp_path / "cascade.skd")
    assert_array_equal(again.item_ids_, cascade.item_ids_)
    assert again.rank(QUERIES)[0].shape == (80, 5)
    assert not np.array_equal(again.rank(QUERIES)[1], expected.rank(QUERIES)[1])
    half = ITEMS.iloc[30:]
    again = expected.index(half)
    fitted = joblib_copy(tmp_path, cascade).index(half)
    assert_ranks_the_same(again, fitted)


def joblib_copy(folder, cascade):
    joblib.dump(cascade, folder / "cascade.joblib")
    return joblib.load(folder / "cascade.joblib")


def test_joblib_brings_a_cascade_back(tmp_path, fitted):
    cascade, queries = fitted
    assert_ranks_the_same(joblib_copy(tmp_path, cascade), cascade, queries)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


WITHOUT_LIGHTGBM = """
import sys
sys.modules["lightgbm"] = None
import pandas as pd
from skdistill.serving import load
cascade = load({path!r})
ids, scores = cascade.rank(pd.read_parquet({queries!r}))
print(ids.tolist(), scores.tolist(), sep="\\n")
"""


def test_a_cascade_of_students_ranks_without_lightgbm(tmp_path):
    cascade, path, queries = students(), tmp_path / "cascade.skd", tmp_path / "queries.parquet"
    save(cascade, path)
    QUERIES.to_parquet(queries)
    done = run(WITHOUT_LIGHTGBM.format(path=str(path), queries=str(queries)))
    ids, scores = (part.tolist() for part in cascade.rank(QUERIES))
    assert done.stdout == f"{ids}\n{scores}\n", done.stderr
    # Where the teacher is a stage, it is stored, and its library needed.
    save(ends_in_teacher(), path)
    done = run(WITHOUT_LIGHTGBM.format(path=str(path), queries=str(queries)))
    assert "A cascade with a stage of that library needs it" in done.stderr


def double(queries, items):
    return 2 * products(queries, items)


FUNCTIONS = {
    "one for all": (products, products),
    "one for all, given by stage": (products, {"prerank": products, "rank": products}),
    "by stage": (
        {"prerank": NUMBERS, "rank": products},
        {"rank": products},
    ),
    "with those of columns": (
        {"prerank": NUMBERS, "rank": products},
        {"prerank": NUMBERS, "rank": products},
    ),
    "for all others": ({"*": products, "rank": double}, {"*": products, "rank": double}),
    "of a teacher that is no stage": (
        {"teacher": products, "*": NUMBERS},
        None,
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_passed_when_a_file_is_loaded(tmp_path, name):
    features, given = FUNCTIONS[name]
    cascade = fit_cascade(features=features)
    save(cascade, tmp_path / "cascade.skd")
    again = load(tmp_path / "cascade.skd", features=given)
    assert_ranks_the_same(again, cascade)
    # It can be saved again, and says the same.
    save(again, tmp_path / "again.skd")
    assert_ranks_the_same(load(tmp_path / "again.skd", features=given), cascade)


def test_the_first_trees_see_what_the_teacher_sees(tmp_path):
    features = {"prerank": NUMBERS, "rank": products, "teacher": products}
    cascade = fit_cascade("teacher", FirstTrees(3), features=features)
    save(cascade, tmp_path / "cascade.skd")
    for given in (products, features, {"rank": products}):
        assert_ranks_the_same(load(tmp_path / "cascade.skd", features=given), cascade)
    with pytest.raises(ValueError, match="Missing are those of 'teacher'.*'rank'"):
        load(tmp_path / "cascade.skd", features={"teacher": NUMBERS})


def test_a_missing_function_is_named(tmp_path):
    path = tmp_path / "cascade.skd"
    save(fit_cascade(features={"prerank": products, "rank": double}), path)
    message = (
        r"cascade.skd: A file cannot hold .* Missing are those of 'prerank' \(it was "
        r"tests.small_cascade.products\), 'rank' \(it was .*double\): pass them, "
        r"load\(path, features=\{'prerank': ..., 'rank': ...\}\)"
    )
    with pytest.raises(ValueError, match=message):
        load(path)
    with pytest.raises(ValueError, match="Missing are those of 'rank'"):
        load(path, features={"prerank": products})
    with pytest.raises(ValueError, match="Missing are those of 'rank'"):
        load(path, features={"prerank": products, "rank": NUMBERS})
    with pytest.raises(ValueError, match=r"names \['pre'\], but only stages"):
        load(path, features={"pre": NUMBERS})
    save(fit_cascade(features={"prerank": NUMBERS, "rank": double}), path)
    with pytest.raises(ValueError, match=r"for \['prerank'\], .* It needs those of .'rank'"):
        load(path, features={"prerank": products, "rank": double})
    save(students(), path)
    with pytest.raises(ValueError, match="It needs none"):
        load(path, features=products)
    save(students().funnel_.stages[0].model, path)
    with pytest.raises(ValueError, match="It needs none"):
        load(path, features={"rank": products})


class OwnRetriever:
    """A retriever of the user."""

    def retrieve(self, queries, k, exclude=None, mask=None):
        n = min(k, 60)
        return np.tile(np.arange(n), (len(queries), 1)), np.ones((len(queries), n))


def test_what_cannot_be_stored_is_refused(tmp_path):
    path = tmp_path / "cascade.skd"
    own = fit_cascade(retrieve=OwnRetriever(), query_columns=[*QUERIES], item_columns=ITEM_COLUMNS)
    with pytest.raises(TypeError, match="OwnRetriever"):
        save(own, path)
    cascade = fit_cascade()
    mixed = ITEMS.assign(brand=[1, "a"] * 30)
    cascade.funnel_ = replace(cascade.funnel_, items=mixed)
    with pytest.raises(TypeError, match=r"catalogue of the cascade cannot be stored: .*brand"):
        save(cascade, path)
    assert not list(tmp_path.iterdir())


def test_a_file_describes_the_cascade(tmp_path):
    save(students(), tmp_path / "cascade.skd")
    description = read_metadata(tmp_path / "cascade.skd")["description"]
    assert description == {
        "model": "RankingCascade",
        "stages": {
            "retrieve": "30 by TwoTowerRetriever",
            "prerank": "15 by LinearRanker",
            "rank": "5 by MLPRanker",
        },
        "n_items": 60,
        "teacher": "LGBMRanker",
        "n_features": 9,
        "feature_names": [*LOG],
    }


def test_an_unfitted_cascade_is_no_model(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        save(RankingCascade([("a", towers(), 5), ("b", "teacher", 2)]), tmp_path / "cascade.skd")


EVERYTHING = pd.DataFrame(
    {
        "number": [1.5, np.nan],
        "small": np.array([1, 2], dtype=np.uint8),
        "flag": [True, False],
        "text": ["a", None],
        "ordered": pd.Categorical(["x", None], categories=["y", "x"], ordered=True),
        "numbered": pd.Categorical([3, 1]),
        "time": pd.to_datetime(["2020-01-01", None]),
        "there": pd.to_datetime(["2020-01-01", None]).tz_localize("Europe/Berlin"),
        "nullable": pd.Series([1, None], dtype="Int64"),
        "arrow": pd.Series([1, None], dtype="int64[pyarrow]"),
        "large": pd.Series([2**62 + 1, None], dtype=object),
    }
)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "numbered"])
def test_data_frames_come_back_with_their_types(library):
    table = {
        "pandas": EVERYTHING,
        "polars": polars.DataFrame(
            {"text": ["a", None], "of": ["a", "b"], "at": [1, 2], "day": [None, None]},
            schema={
                "text": polars.Categorical, "of": polars.Enum(["b", "a"]),
                "at": polars.Datetime("us"), "day": polars.Date,
            },
        ),
        "pyarrow": pyarrow.table({"text": ["a", None], "number": [1, 2]}),
        "numbered": pd.DataFrame(np.eye(2)),
    }[library]  # fmt: skip
    stored = stored_table(table, "The table")
    assert isinstance(stored, StoredTable)
    again = stored.restore()
    if hasattr(table, "iloc"):
        assert_frame_equal(again, table)
    else:
        assert again.equals(table)
    for other in (np.eye(2), sparse.eye_array(2).tocsr()):
        assert stored_table(other, "The table") is other


@pytest.mark.parametrize(
    "ids",
    [["a", "", "bä\0", "\ud800", "e"], [1, 2, 3, 4, 5], ["a", 1, 2.5, "b", "c"], list("abcde")],
)
def test_ids_come_back_as_they_are(tmp_path, ids):
    items, queries = DATA.items[:5], DATA.queries
    array = np.empty(5, dtype=object)
    array[:] = ids
    retriever = CASCADES["arrays"]().funnel_.retrieval.retrievers["retrieve"]
    for given in (ids, array):
        retriever.index(items, given)
        save(retriever, tmp_path / "towers.skd")
        again = load(tmp_path / "towers.skd")
        assert again.index_.ids.dtype == retriever.index_.ids.dtype
        assert again.index_.ids.tolist() == retriever.index_.ids.tolist() == ids
        assert_array_equal(again.retrieve(queries, 3)[0], retriever.retrieve(queries, 3)[0])


def test_many_ids_of_text_are_stored_at_once(tmp_path):
    ids = np.array([f"item {item}" for item in range(100_000)], dtype=object)
    items = ITEMS.iloc[np.arange(len(ids)) % 60]
    cascade = joblib_copy(tmp_path, students()).index(items, ids)
    save(cascade, tmp_path / "cascade.skd")
    assert (tmp_path / "cascade.skd").stat().st_size < 10 << 20
    assert_array_equal(load(tmp_path / "cascade.skd").rank(QUERIES)[0], cascade.rank(QUERIES)[0])


def arrow_stream(table, **options):
    sink = pyarrow.BufferOutputStream()
    chosen = pyarrow.ipc.IpcWriteOptions(**options)
    with pyarrow.ipc.new_stream(sink, table.schema, options=chosen) as writer:
        writer.write_table(table)
    return StoredTable("pandas", table.column_names, np.frombuffer(sink.getvalue(), dtype=np.uint8))


def test_stored_tables_cannot_grow():
    text = pyarrow.array(["x" * 10_000 + str(n) for n in range(50)])
    tables = {
        "dictionary": pyarrow.table({"a": text.dictionary_encode()}),
        "batch": pyarrow.table({"a": text}),
    }
    for table in tables.values():
        arrow_stream(table).restore()
        with pytest.raises(ValueError, match="compressed"):
            arrow_stream(table, compression="zstd").restore()
    with pytest.raises(ValueError, match="1000000000 rows"):
        arrow_stream(pyarrow.table({"a": pyarrow.nulls(10**9)})).restore()
    runs = pyarrow.RunEndEncodedArray.from_arrays(pyarrow.array([10**6]), pyarrow.array(["a"]))
    nested = pyarrow.FixedSizeListArray.from_arrays(pyarrow.nulls(10**6), 10**6)
    for array in (runs, nested):
        with pytest.raises(ValueError, match="nested|rows"):
            arrow_stream(pyarrow.table({"a": array})).restore()
    with pytest.raises(TypeError, match=r"columns \['a'\] hold lists"):
        stored_table(pd.DataFrame({"a": [[1], [2]]}), "The table")


def test_a_damaged_catalogue_is_refused(tmp_path):
    from tests.serving.test_files import rewrite

    path = tmp_path / "cascade.skd"
    save(students(), path)
    with zipfile.ZipFile(path) as archive:
        stream = next(name for name in archive.namelist() if b"brand" in archive.read(name)[:2000])

    def change(members):
        content = members[stream]
        members[stream] = content[:-200] + bytes([content[-200] ^ 255]) * 200

    rewrite(path, change)
    with pytest.raises(ValueError, match="damaged"):
        load(path)
