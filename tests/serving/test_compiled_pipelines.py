"""Pipelines on data frames, compiled and in ONNX, against predict: whatever stands in them."""

import pickle
import threading

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from skdistill import DistilledRanker
from skdistill.serving import compile_scorer, to_onnx
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker
from tests.extending.tanh_student import TanhRanker

ENGINES = ["numpy", "onnxruntime"]
STUDENTS = {
    "linear": LinearRanker(max_iter=3, random_state=0),
    "mlp": MLPRanker((8,), max_iter=3, random_state=0),
    "plain mlp": MLPRanker((8,), max_iter=3, random_state=0, squash=False),
    "fm": FactorizationMachineRanker(4, max_iter=3, random_state=0),
}
NUMBERS = ["price", "age", "when"]
CATEGORIES = ["city", "kind", "shop"]


def one_hot(**parameters):
    return OneHotEncoder(**{"handle_unknown": "ignore", **parameters})


def ordinal(**parameters):
    return OrdinalEncoder(handle_unknown="use_encoded_value", **{"unknown_value": -1, **parameters})


def scaled():
    return make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())


def both(encoder, numbers=None):
    return make_column_transformer(
        (scaled() if numbers is None else numbers, NUMBERS), (encoder, CATEGORIES)
    )


FRONTS = {
    "one-hot": both(one_hot()),
    "dense one-hot": both(one_hot(sparse_output=False)),
    "rare": both(one_hot(handle_unknown="infrequent_if_exist", min_frequency=30, drop="first")),
    "few": both(one_hot(handle_unknown="infrequent_if_exist", max_categories=4)),
    "if binary": both(one_hot(drop="if_binary")),
    "ordinal": both(ordinal(encoded_missing_value=-2)),
    "rare ordinal": both(ordinal(min_frequency=20, unknown_value=1000)),
    "unknown is missing": make_pipeline(
        both(ordinal(unknown_value=np.nan)), SimpleImputer(add_indicator=True)
    ),
    "target": both(TargetEncoder(target_type="continuous", cv=2, random_state=0)),
    "most frequent": make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot()), CATEGORIES),
        (make_pipeline(SimpleImputer(strategy="median"), FunctionTransformer(np.log1p)), ["age"]),
    ),
    "constant": make_column_transformer(
        (
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value="none", add_indicator=True),
                one_hot(),
            ),
            ["city", "kind"],
        ),
        (SimpleImputer(strategy="constant", fill_value=-5), ["age", "price"]),
    ),
    "minmax": both(one_hot(), make_pipeline(SimpleImputer(), MinMaxScaler((-1, 2), clip=True))),
    "maxabs": both(one_hot(), make_pipeline(MaxAbsScaler(), SimpleImputer())),
    "robust": both(one_hot(), make_pipeline(SimpleImputer(), RobustScaler(unit_variance=True))),
    "power": both(one_hot(), make_pipeline(PowerTransformer(), SimpleImputer())),
    "box-cox": make_column_transformer(
        (one_hot(), CATEGORIES),
        (
            make_pipeline(SimpleImputer(), PowerTransformer("box-cox", standardize=False)),
            ["price", "age"],
        ),
    ),
    "quantiles": both(
        one_hot(), make_pipeline(SimpleImputer(), QuantileTransformer(n_quantiles=50))
    ),
    "normal quantiles": both(
        one_hot(),
        make_pipeline(
            StandardScaler(),
            QuantileTransformer(n_quantiles=300, output_distribution="normal"),
            SimpleImputer(add_indicator=True),
        ),
    ),
    "scaled one-hot": make_pipeline(both(one_hot(sparse_output=False)), StandardScaler()),
    "every function": make_pipeline(
        both(one_hot(sparse_output=False)),
        PowerTransformer(),
        MinMaxScaler(clip=True),
        FunctionTransformer(np.log1p),
        QuantileTransformer(n_quantiles=20),
    ),
    "pca": make_pipeline(both(one_hot(sparse_output=False)), PCA(5)),
    "whitened": make_pipeline(
        both(one_hot(sparse_output=False)), StandardScaler(), IncrementalPCA(7, whiten=True)
    ),
    "svd": make_pipeline(both(one_hot()), TruncatedSVD(6)),
    "svd of categories": make_column_transformer(
        (make_pipeline(one_hot(), TruncatedSVD(3), StandardScaler()), CATEGORIES),
        (make_pipeline(SimpleImputer(), PCA(2)), ["price", "age"]),
        (scaled(), NUMBERS),
    ),
    "two maps": make_pipeline(
        both(one_hot()), TruncatedSVD(8), QuantileTransformer(n_quantiles=9), PCA(4)
    ),
    "selected": make_pipeline(both(one_hot()), VarianceThreshold(0.01), SelectKBest(k=12)),
    "union": make_pipeline(
        both(one_hot()),
        FeatureUnion(
            [("map", TruncatedSVD(3)), ("same", "passthrough"), ("none", "drop")],
            transformer_weights={"map": 0.5},
        ),
    ),
    "twice": make_column_transformer(
        (one_hot(), ["city", "shop", "age"]),
        (scaled(), ["age", "shop"]),
        (TargetEncoder(target_type="continuous", cv=2, random_state=0), ["city"]),
    ),
    "indicator": make_column_transformer(
        (MissingIndicator(error_on_new=False), ["kind", "price"]),
        (scaled(), ["age"]),
        (one_hot(), ["kind"]),
    ),
    "categories alone": make_column_transformer((one_hot(), CATEGORIES)),
    "names": make_column_transformer(
        (one_hot(sparse_output=False), CATEGORIES), (scaled(), NUMBERS)
    ).set_output(transform="pandas"),
}  # fmt: skip


def make_table(seed, n_rows=400):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "price": np.exp(2 * rng.normal(size=n_rows)),
            "more": rng.normal(size=n_rows),
            "age": rng.normal(40, 9, n_rows).round(),
            "when": 1.7e9 + 1e5 * rng.normal(size=n_rows),
            "city": rng.choice(list("abcdefgh"), n_rows, p=[.3, .2, .2, .1, .1, .05, .03, .02]),
            "kind": rng.choice(["x", "y", "z", None], n_rows),
            "shop": rng.integers(0, 30, n_rows),
        }
    )  # fmt: skip
    table.loc[::7, "price"] = np.nan
    table.loc[::11, "age"] = np.nan
    return table


@pytest.fixture(scope="module")
def table():
    return make_table(0)


@pytest.fixture(scope="module")
def later():
    """Rows of next week: unknown categories, and missing values where fit saw none."""
    later = make_table(1, 150)
    later.loc[::5, "city"] = "new"
    later.loc[3::9, "city"] = np.nan  # SimpleImputer does not take None in objects for missing
    later.loc[::6, "kind"] = "new"
    later.loc[::9, "shop"] = 99
    later.loc[::10, "age"] = 99
    return later


def fitted(front, student, table):
    pipeline = make_pipeline(clone(front), clone(student))
    labels = (np.nan_to_num(table["price"]) > 1) + 2 * (table["city"] == "a").to_numpy()
    qid = np.arange(len(table)) // 10
    return pipeline.fit(table, labels, **{f"{pipeline.steps[-1][0]}__qid": qid})


def scores_by_onnx(model, frame):
    proto = to_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    dtypes = {
        "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
    }  # fmt: skip
    feeds = {}
    for wanted in session.get_inputs():
        if wanted.name == "X":  # no categories
            feeds["X"] = compile_scorer(model).encode(frame)[0].astype(np.float32)
            continue
        column = frame[wanted.name]
        if wanted.type == "tensor(string)":
            values = column.where(column.notna(), "").to_numpy(dtype=object)
        else:
            values = column.to_numpy(dtypes[wanted.type])
        feeds[wanted.name] = values[:, None]
    return session.run(None, feeds)[0][:, 0]


def dictionaries(frame):
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def check(pipeline, later):
    expected = pipeline.predict(later)
    assert expected.std() > 1e-3
    for engine in ENGINES:
        scorer = compile_scorer(pipeline, engine)
        assert scorer.engine == engine
        assert_allclose(scorer(later), expected, atol=1e-5, rtol=1e-5)
        assert_allclose(scorer(*scorer.encode(later)), expected, atol=1e-5, rtol=1e-5)
        assert_allclose(scorer(later[:1]), expected[:1], atol=1e-5, rtol=1e-5)
        assert_allclose(scorer.rows(dictionaries(later)), expected, atol=1e-5, rtol=1e-5)
        assert_array_equal(pickle.loads(pickle.dumps(scorer))(later), scorer(later))
    assert_allclose(scores_by_onnx(pipeline, later), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("name", FRONTS)
def test_pipelines_give_the_scores_of_predict(name, table, later):
    # Every student behind some front, and all behind the first two.
    names = list(STUDENTS)
    place = list(FRONTS).index(name)
    for student in names if place < 2 else [names[place % len(names)]]:
        check(fitted(FRONTS[name], STUDENTS[student], table), later)


NUMBER_STEPS = [
    StandardScaler(), RobustScaler(), MinMaxScaler(clip=True), MaxAbsScaler(), PowerTransformer(),
    QuantileTransformer(n_quantiles=37), SimpleImputer(), VarianceThreshold(), "passthrough",
    FunctionTransformer(np.cbrt), QuantileTransformer(n_quantiles=9, output_distribution="normal"),
]  # fmt: skip
MAPS = [PCA(4), TruncatedSVD(5), SelectKBest(k=6), StandardScaler(with_mean=False), MaxAbsScaler()]
ENCODERS = [
    one_hot(), one_hot(sparse_output=False), one_hot(max_categories=5),
    ordinal(encoded_missing_value=-2),
    TargetEncoder(target_type="continuous", cv=2, random_state=0),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("seed", range(20))
def test_random_compositions_give_the_scores_of_predict(seed, table, later):
    rng = np.random.default_rng(seed)

    def some(steps, most):
        return [
            clone(steps[place]) if not isinstance(steps[place], str) else steps[place]
            for place in rng.integers(0, len(steps), rng.integers(1, most + 1))
        ]

    front = make_column_transformer(
        (
            make_pipeline(SimpleImputer(add_indicator=True), *some(NUMBER_STEPS, 4)),
            ["price", "age"],
        ),
        (make_pipeline(*some(ENCODERS, 1), *some(MAPS[2:], 1)), CATEGORIES),
        (make_union(*some(NUMBER_STEPS[:6], 2)), ["when", "more"]),
        sparse_threshold=0,
    )
    front = make_pipeline(front, *some(MAPS + NUMBER_STEPS[:6], 2))
    pipeline = fitted(front, STUDENTS[list(STUDENTS)[seed % len(STUDENTS)]], table)
    expected = pipeline.predict(later)
    assert_allclose(compile_scorer(pipeline, "numpy")(later), expected, atol=1e-5, rtol=1e-5)


def test_threads_give_the_same_scores(table, later):
    pipeline = fitted(FRONTS["svd of categories"], STUDENTS["mlp"], table)
    many = pd.concat([later] * 40, ignore_index=True)
    alone = compile_scorer(pipeline, "numpy")
    expected = alone(many)
    assert_allclose(expected, pipeline.predict(many), atol=1e-5, rtol=1e-5)
    scorer = compile_scorer(pipeline, "numpy", n_threads=3)
    assert_array_equal(scorer(many), expected)
    wrong = []

    def work(seed):
        for n_rows in np.random.default_rng(seed).integers(1, 150, 30):
            if not np.allclose(scorer(later[:n_rows]), expected[:n_rows], atol=1e-5):
                wrong.append(n_rows)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_polars_frames_and_other_orders_of_columns(table, later):
    pipeline = fitted(FRONTS["rare"], STUDENTS["mlp"], table)
    expected = pipeline.predict(later)
    scorer = compile_scorer(pipeline)
    turned = later[later.columns[::-1]].assign(new=1)
    assert_allclose(scorer(turned), expected, atol=1e-5, rtol=1e-5)
    assert_allclose(scorer(pl.from_pandas(turned)), expected, atol=1e-5, rtol=1e-5)
    categorical = later.astype({"city": "category", "kind": "category"})
    assert_allclose(scorer(categorical), expected, atol=1e-5, rtol=1e-5)
    # An imputer of NaN leaves the None of polars, which is a category then.
    imputed = fitted(FRONTS["most frequent"], STUDENTS["mlp"], table)
    labels = np.arange(len(table)) % 3
    imputed.fit(pl.from_pandas(table), labels, mlpranker__qid=np.arange(len(table)) // 10)
    known = pl.from_pandas(later.assign(city="a"))
    assert_allclose(compile_scorer(imputed)(known), imputed.predict(known), atol=1e-5)
    # Only the columns that the Pipeline reads.
    assert set(scorer.feature_names) == {*NUMBERS, *CATEGORIES}


def test_encoders_that_refuse_unknown_categories(table, later):
    pipeline = fitted(both(OneHotEncoder()), STUDENTS["linear"], table)
    scorer = compile_scorer(pipeline)
    seen = table.astype({"city": "category"})
    assert_allclose(scorer(seen), pipeline.predict(seen), atol=1e-5)
    for frame in (later, later.astype({"city": "category"})):
        with pytest.raises(ValueError, match="unknown categories"):
            pipeline.predict(frame)
        with pytest.raises(ValueError, match=r"Row 0, column 'city': .* did not see 'new' in fit"):
            scorer(frame)
    with pytest.raises(ValueError, match="Row 1, column 'city': .* did not see None"):
        scorer.rows([*dictionaries(table[:1]), dictionaries(table[:1])[0] | {"city": None}])
    # ONNX has no errors: the score of such a row is not a number.
    scores = scores_by_onnx(pipeline, later)
    is_known = later["city"].isin(table["city"]) & (later["shop"] < 30) & (later["kind"] != "new")
    assert_allclose(scores[is_known], pipeline.predict(later[is_known]), atol=1e-5)
    assert np.isnan(scores[~is_known]).all()


class HalfScaler(StandardScaler):
    """A transformer of a user, which is not what its base is."""

    def transform(self, X):
        return super().transform(X) / 2


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (both(one_hot(), KNNImputer()), "transformer 'knnimputer' of step 'columntransformer' of"),
        (
            make_pipeline(both(one_hot()), PolynomialFeatures()),
            "step 'polynomialfeatures' of step 'pipeline' of the Pipeline is a PolynomialFeatures",
        ),
        (
            both(one_hot(), make_pipeline(SimpleImputer(), FunctionTransformer(np.nan_to_num))),
            "step 'functiontransformer' of transformer 'pipeline' of .* applies 'nan_to_num'",
        ),
        (
            make_column_transformer((make_pipeline(StandardScaler(), one_hot()), ["shop", "when"])),
            "step 'onehotencoder' of .* encodes what a step before has computed",
        ),
        (make_column_transformer((HalfScaler(), ["more"])), "'halfscaler' of .* is a HalfScaler"),
        (
            make_column_transformer((SimpleImputer(missing_values=-1), ["shop", "when"])),
            "transformer 'simpleimputer' of .* imputes -1, but",
        ),
    ],
)
def test_a_step_that_cannot_be_folded_is_named(front, message, table):
    pipeline = fitted(front, STUDENTS["linear"], table)
    with pytest.raises(TypeError, match=message):
        compile_scorer(pipeline)


def test_a_model_that_cannot_fold_codes_gets_all_columns(table, later):
    student = TanhRanker(8, max_iter=3, random_state=0)
    for name in ("one-hot", "unknown is missing", "two maps"):
        check(fitted(FRONTS[name], student, table), later)


def test_students_read_categories_behind_transformers(table, later):
    front = make_column_transformer(
        (StandardScaler(), NUMBERS), (one_hot(sparse_output=False), ["shop"]),
        ("passthrough", ["kind"]), (SimpleImputer(strategy="most_frequent"), ["city"]),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")  # fmt: skip
    for student in ("mlp", "fm"):
        pipeline = fitted(front, STUDENTS[student], table)
        assert len(pipeline[-1].encoder_.categories) == 2
        check(pipeline, later)


def test_arrays_with_encoded_columns(table, later):
    front = make_column_transformer(
        (one_hot(), [4, 5]), (scaled(), slice(0, 2)), remainder="passthrough"
    )
    columns = ["price", "age", "when", "more", "shop", "city"]
    pipeline = fitted(front, STUDENTS["mlp"], table[columns].assign(city=table["age"] // 10))
    array = table[columns].assign(city=table["age"] // 10).to_numpy(dtype=np.float64)
    pipeline = make_pipeline(clone(front), clone(STUDENTS["mlp"]))
    pipeline.fit(array, table["city"] == "a", mlpranker__qid=np.arange(len(array)) // 10)
    unknown = later[columns].assign(city=later["age"] // 10).to_numpy(dtype=np.float64)
    expected = pipeline.predict(unknown)
    for engine in ENGINES:
        scorer = compile_scorer(pipeline, engine)
        assert_allclose(scorer(unknown), expected, atol=1e-5, rtol=1e-5)
        assert_allclose(scorer(*scorer.encode(unknown)), expected, atol=1e-5, rtol=1e-5)


def test_rankers_behind_encoders(table, later):
    student = make_pipeline(MinMaxScaler(), MLPRanker((8,), max_iter=2, random_state=0))
    ranker = DistilledRanker(None, student, student_columns=[0, 1, 4, 8, 9])
    pipeline = make_pipeline(clone(FRONTS["dense one-hot"]), ranker)
    qid = np.arange(len(table)) // 10
    pipeline.fit(
        table, distilledranker__qid=qid, distilledranker__teacher_scores=table["more"].to_numpy()
    )
    check(pipeline, later)


@pytest.mark.parametrize("query_column", [2, -2, "c2"])
def test_a_query_column_behind_a_step_is_no_feature(query_column):
    rng = np.random.default_rng(0)
    table = frame_of([*rng.normal(size=(2, 200)), np.arange(200) // 10, rng.normal(size=200)])
    step = FunctionTransformer()
    student = LinearRanker(max_iter=3, query_column=query_column, random_state=0)
    ranker = DistilledRanker(
        LinearRanker(max_iter=2), clone(student).set_params(query_column=None),
        query_column=query_column, student_columns=[0, 2], random_state=0,
    )  # fmt: skip
    for model in (student, ranker):
        pipeline = make_pipeline(step, model).fit(table, table["c0"] > table["c3"])
        expected = pipeline.predict(table)
        assert_allclose(compile_scorer(pipeline)(table), expected, atol=1e-5)


def test_wide_one_hot_columns_are_never_made(later):
    n_rows, n_values = 3_000, 20_000
    rng = np.random.default_rng(0)
    ids = [f"id{value}" for value in rng.integers(0, n_values, n_rows)]
    table = pd.DataFrame({"id": ids, "x": rng.normal(size=n_rows)})
    encoder = one_hot(categories=[[f"id{value}" for value in range(n_values)]])
    front = make_pipeline(
        make_column_transformer((encoder, ["id"]), (StandardScaler(), ["x"])),
        MaxAbsScaler(),
    )
    pipeline = make_pipeline(front, MLPRanker((4,), max_iter=1, random_state=0))
    pipeline.fit(table, table["x"] > 0, mlpranker__qid=np.arange(n_rows) // 10)
    scorer = compile_scorer(pipeline, "numpy")
    assert_allclose(scorer(table), pipeline.predict(table), atol=1e-5)
    assert len(pickle.dumps(scorer)) < 5_000_000


def frame_of(columns):
    return pd.DataFrame({f"c{place}": column for place, column in enumerate(columns)})


EXACT = {
    # Columns that float32 rounds too coarsely, and steps that make their digits count.
    "collinear": [PCA(whiten=True)],
    "logarithm of times": [FunctionTransformer(np.log1p), StandardScaler()],
    "power of times": [PowerTransformer()],
    "root of times": [FunctionTransformer(np.sqrt)],
    "quantiles of times": [QuantileTransformer(n_quantiles=100)],
    "repeated quantiles": [
        RobustScaler(), FunctionTransformer(np.tanh), QuantileTransformer(n_quantiles=50)
    ],
    "singular values": [TruncatedSVD(2)],
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", EXACT)
def test_digits_that_float32_would_lose(name, engine):
    rng = np.random.default_rng(0)
    x = 100 + rng.normal(size=400)
    table = frame_of([x, x + 1e-3 * rng.normal(size=400), rng.integers(0, 4, 400) / 10])
    if "times" in name:
        table = frame_of([1.7e9 + 1e5 * rng.normal(size=400), 1.7e9 + 100 * rng.random(400)])
    steps = [clone(step) for step in EXACT[name]]
    pipeline = make_pipeline(*steps, MLPRanker((8,), max_iter=5, random_state=0))
    pipeline.fit(table, x > 100, mlpranker__qid=np.arange(400) // 10)
    expected = pipeline.predict(table)
    assert expected.std() > 1e-3
    scorer = compile_scorer(pipeline, engine)
    assert_allclose(scorer(table), expected, atol=1e-5, rtol=1e-5)
    assert_allclose(
        scorer(np.ascontiguousarray(table, dtype=float)), expected, atol=1e-5, rtol=1e-5
    )
    # Without the digits, the scores differ.
    assert scorer.needs_float64 or name == "repeated quantiles"


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("engine", ENGINES)
def test_quantiles_between_and_beyond_all_knots(distribution, engine):
    """Columns with ties inside and at the ends, a constant one, and one of two values."""
    rng = np.random.default_rng(0)
    n_rows = 2_000
    x = rng.normal(size=n_rows)
    table = frame_of(
        [x, np.round(x, 1), np.clip(x, -0.5, 0.8), np.maximum(x, 0), np.full(n_rows, 3.0), x > 1]
    ).astype(float)
    transformer = QuantileTransformer(n_quantiles=200, output_distribution=distribution)
    pipeline = make_pipeline(transformer, LinearRanker(max_iter=3, squash=False, random_state=0))
    pipeline.fit(table, x > 0, linearranker__qid=np.arange(n_rows) // 20)
    values = np.sort(np.concatenate([np.linspace(-6, 6, 999), table["c1"].unique(), [0, 1, 3]]))
    for column in table:
        probe = pd.DataFrame(0.0, index=range(len(values)), columns=table.columns)
        probe[column] = values
        scores = compile_scorer(pipeline, engine)(probe)
        assert_allclose(scores, pipeline.predict(probe), atol=1e-5)
