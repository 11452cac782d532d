"""A LightGBM model reads data frames of every library with its own categories."""

import pickle
from decimal import Decimal

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skdistill import DistilledRanker
from skdistill.students import LinearRanker
from skdistill.teachers import RankEnsemble, score_rows
from skdistill.teachers.categories import table_for_fit, with_categories_of_model

rng = np.random.default_rng(0)
N = 400
FRAME = pd.DataFrame(
    {
        "price": rng.normal(size=N),
        "kind": pd.Categorical(rng.choice(list("wxyz"), N), categories=list("zxwy")),
        "age": np.where(rng.random(N) < 0.1, np.nan, rng.normal(size=N)),
        "size": pd.Categorical(rng.integers(5, 9, N)),
        "sold": rng.random(N) < 0.5,
        "one": pd.Categorical(["only"] * N),
    }
)
FRAME.loc[::7, "kind"] = None
EFFECT = {"w": 0.0, "x": 3.0, "y": -2.0, "z": 7.0}
Y = FRAME["price"] + FRAME["kind"].map(EFFECT).astype(float).fillna(5) + FRAME["size"].astype(int)
TREES = {
    "n_estimators": 12,
    "verbose": -1,
    "n_jobs": 1,
    "min_child_samples": 5,
    "min_data_per_group": 5,
    "random_state": 0,
}
MODEL = lightgbm.LGBMRegressor(**TREES).fit(FRAME, Y)
EXPECTED = MODEL.predict(FRAME)


def as_text(frame):
    columns = {name: frame[name].astype(object) for name in ("kind", "one")}
    return frame.assign(size=frame["size"].astype(int), **columns)


TABLES = {
    "other order": FRAME.assign(
        kind=FRAME["kind"].cat.set_categories(list("qwxyz")),
        size=FRAME["size"].cat.set_categories([8, 7, 6, 5]),
    ),
    "some of the categories": FRAME.assign(kind=FRAME["kind"].cat.remove_unused_categories()),
    "objects": as_text(FRAME),
    "text": as_text(FRAME).astype({"kind": "string", "one": "string"}),
    "arrow in pandas": as_text(FRAME).astype({"kind": pd.ArrowDtype(pa.string())}),
    "polars text": pl.from_pandas(as_text(FRAME)),
    "polars categories": pl.from_pandas(FRAME),
    "polars enum": pl.from_pandas(as_text(FRAME)).cast({"kind": pl.Enum(list("ywxz"))}),
    "arrow": pa.Table.from_pandas(FRAME, preserve_index=False),
    "arrow text": pa.Table.from_pandas(as_text(FRAME), preserve_index=False),
    "polars with null numbers": pl.from_pandas(FRAME).with_columns(pl.col("age").fill_nan(None)),
    "other columns": as_text(FRAME)[["one", "size", "kind", "sold", "age", "price"]].assign(x="a"),
}


def read_back(tmp_path):
    path = tmp_path / "ranker.txt"
    MODEL.booster_.save_model(path)
    return lightgbm.Booster(model_file=path)


@pytest.fixture(params=["estimator", "frozen", "booster", "file", "pickle", "search", "pipeline"])
def teacher(request, tmp_path):
    return {
        "estimator": lambda: MODEL,
        "frozen": lambda: FrozenEstimator(MODEL),
        "booster": lambda: MODEL.booster_,
        "file": lambda: read_back(tmp_path),
        "pickle": lambda: pickle.loads(pickle.dumps(MODEL)),
        "search": lambda: GridSearchCV(
            lightgbm.LGBMRegressor(), {name: [value] for name, value in TREES.items()}, cv=2
        ).fit(FRAME, Y),
        "pipeline": lambda: make_pipeline("passthrough", MODEL),
    }[request.param]()


@pytest.mark.parametrize("kind", TABLES)
def test_every_table_scores_as_that_of_the_fit(teacher, kind):
    assert_array_equal(score_rows(teacher, TABLES[kind]), EXPECTED)


def test_some_rows_have_the_scores_that_they_have_among_all():
    """Codes must not come from the categories that happen to be in the rows."""
    for kind in ("objects", "polars text", "arrow text"):
        table = TABLES[kind]
        rows = np.flatnonzero(FRAME["kind"] == "w")[:5]
        some = table.iloc[rows] if kind == "objects" else None
        if some is None:
            some = table.take(rows) if kind == "arrow text" else table[rows.tolist()]
        assert_array_equal(score_rows(MODEL, some), EXPECTED[rows])


def test_unknown_and_missing_categories_are_those_of_lightgbm():
    unknown = as_text(FRAME).assign(kind="never seen")
    missing = FRAME.assign(kind=pd.Categorical([None] * N, categories=list("zxwy")))
    assert_array_equal(score_rows(MODEL, unknown), MODEL.predict(missing))


def test_tables_that_lightgbm_reads_are_not_copied():
    array = np.zeros((2, 6))
    assert with_categories_of_model(MODEL.booster_, array) is array
    numbers = FRAME[["price", "age"]]
    assert with_categories_of_model(MODEL.booster_, FRAME) is FRAME
    assert with_categories_of_model(MODEL.booster_, TABLES["other order"]) is TABLES["other order"]
    plain = lightgbm.LGBMRegressor(**TREES).fit(numbers, Y)
    assert with_categories_of_model(plain.booster_, numbers) is numbers
    assert table_for_fit(plain, FRAME) is FRAME
    text = as_text(FRAME)
    assert table_for_fit(LinearRanker(), text) is text


def test_what_cannot_be_the_models_categories_is_named():
    with pytest.raises(ValueError, match="'size' holds 'large', .* like 5. Convert .* to numbers"):
        score_rows(MODEL, as_text(FRAME).assign(size="large"))
    with pytest.raises(ValueError, match="Column 'age' holds categories of text, but"):
        score_rows(MODEL, FRAME.assign(age="old"))


def test_categories_that_are_numbers_become_numbers_where_the_model_has_some():
    numbers = FRAME[["price", "age"]]
    plain = lightgbm.LGBMRegressor(**TREES).fit(numbers, Y).booster_
    for model, frame in ((MODEL, FRAME), (plain, numbers)):
        rounded = frame.assign(age=frame["age"].round())
        as_categories = rounded.astype({"age": "category"})
        assert as_categories["age"].isna().any() == rounded["age"].isna().any()
        assert_array_equal(score_rows(model, as_categories), score_rows(model, rounded))
        polars = pytest.importorskip("polars")
        text = polars.from_pandas(as_categories.astype({"age": str}).astype({"age": "category"}))
        with pytest.raises(ValueError, match="Column 'age' holds categories of text, but"):
            score_rows(model, text)


def test_categories_of_another_type_are_not_taken_for_missing():
    """LightGBM scores them as missing, without a word."""
    frame = FRAME.assign(size=FRAME["size"].astype(str).astype("category"))
    assert not np.array_equal(MODEL.predict(frame), EXPECTED)
    with pytest.raises(ValueError, match="'size' holds '5', .* like 5. Convert .* to numbers"):
        score_rows(MODEL, frame)


def as_objects(kind):
    """Return FRAME with its columns of numbers in types that LightGBM refuses."""
    if kind == "arrow":
        return pa.Table.from_pandas(FRAME).to_pandas(types_mapper=pd.ArrowDtype)
    age = [None if np.isnan(age) else Decimal(repr(age)) for age in FRAME["age"].tolist()]
    sold = [bool(sold) if row % 9 else None for row, sold in enumerate(FRAME["sold"])]
    return FRAME.assign(age=age, sold=pd.Series(sold, dtype=object))


@pytest.mark.parametrize("kind", ["objects", "arrow"])
def test_numbers_of_other_types_are_numbers(kind):
    """Decimals, booleans beside None and the types of Arrow, in scores and in fits."""
    frame = as_objects(kind)
    sold = frame["sold"].astype(object).astype(float)
    numbers = FRAME.assign(sold=sold)
    assert_array_equal(score_rows(MODEL, frame), MODEL.predict(numbers))
    qid = np.repeat(np.arange(N // 10), 10)[:N]
    teacher = lightgbm.LGBMRanker(**TREES)
    scores = [
        DistilledRanker(teacher, LinearRanker(max_iter=1), random_state=0)
        .fit(X, np.clip(np.round(Y - Y.min()), 0, 3), qid=qid)
        .teacher_.predict(numbers)
        for X in (frame, numbers)
    ]
    assert_allclose(*scores, rtol=1e-6)


def test_objects_that_are_neither_text_nor_numbers_stay_an_error_of_lightgbm():
    frame = FRAME.assign(age=[{}] * N)
    assert table_for_fit(MODEL, frame) is frame
    with pytest.raises(ValueError, match="age: object"):
        score_rows(MODEL, frame)


def test_columns_of_a_model_without_a_declaration_are_found_by_type():
    """With ``categorical_feature``, the parameters do not name all columns of pandas categories."""
    model = lightgbm.LGBMRegressor(**TREES).fit(FRAME, Y, categorical_feature=["kind"])
    table = pl.from_pandas(FRAME.assign(size=FRAME["size"].astype(str).astype("category")))
    with pytest.raises(ValueError, match="'size' holds '.', but the categories"):
        score_rows(model, table)
    reordered = TABLES["other order"]
    assert_array_equal(score_rows(model, reordered), model.predict(FRAME))


@pytest.mark.parametrize("kind", ["objects", "text", "polars text", "polars categories", "arrow"])
@pytest.mark.parametrize("inside", ["alone", "pipeline", "ensemble"])
def test_a_ranker_is_fitted_on_text_as_on_categories(kind, inside):
    """The categories of text are in alphabetical order, and so they are in the comparison."""
    model = lightgbm.LGBMRegressor(**TREES, early_stopping_round=5)
    teacher = {
        "alone": model,
        "pipeline": make_pipeline("passthrough", model),
        "ensemble": RankEnsemble([("only", model)]),
    }[inside]
    student = LinearRanker(max_iter=1)
    qid = np.repeat(np.arange(40), 10)
    y = np.digitize(Y, np.quantile(Y, [0.5, 0.8]))

    def fit(table):
        ranker = DistilledRanker(teacher, student, student_columns=["price"], random_state=0)
        ranker.fit(table, y, qid=qid, X_val=table, y_val=y, qid_val=qid)
        return score_rows(ranker.teacher_, table)

    in_order = FRAME.assign(kind=FRAME["kind"].cat.set_categories(list("wxyz")))
    in_order = in_order.drop(columns="size")
    names = list(in_order)
    table = TABLES[kind].select(names) if hasattr(TABLES[kind], "select") else TABLES[kind][names]
    assert_allclose(fit(table), fit(in_order), rtol=1e-9)
