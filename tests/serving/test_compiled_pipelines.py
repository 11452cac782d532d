"""Pipelines on data frames, compiled and in ONNX, against their predict: whatever stands in them."""

import pickle

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from skdistill.serving import compile_scorer, to_onnx
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker

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
    "two maps": make_pipeline(both(one_hot()), TruncatedSVD(8), QuantileTransformer(n_quantiles=9), PCA(4)),
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
    "indicator": make_column_transformer((MissingIndicator(error_on_new=False), ["city", "price"]), (scaled(), ["age"])),
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
            "city": rng.choice(list("abcdefgh"), n_rows, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02]),
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
    later.loc[3::9, "city"] = None
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
    one_hot(), one_hot(sparse_output=False), one_hot(max_categories=5), ordinal(),
    TargetEncoder(target_type="continuous", cv=2, random_state=0),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("seed", range(12))
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
