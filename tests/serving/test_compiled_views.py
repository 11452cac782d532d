"""Columns of very heavy tails, which a model reads twice, in compiled scorers, ONNX and files."""

import pickle
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    StandardScaler,
    TargetEncoder,
)

from skdistill import TwoTowerRetriever
from skdistill.datasets import make_ranking
from skdistill.serving import compile_scorer, load, save, to_onnx
from skdistill.serving.decomposition import decompose
from skdistill.serving.search_engines import to_solr
from skdistill.serving.served import InFloat64
from tests.serving.test_compiled_tables import ENGINES, STUDENTS

GOLDEN = Path(__file__).parents[1] / "golden"


def heavy_columns(n_rows, seed=0):
    """A price with gaps, a time with a few far in the future, and a change of either sign."""
    z = np.random.default_rng(seed).standard_normal((n_rows, 4))
    price = np.where(z[:, 3] > 1.5, np.nan, np.exp(2 * z[:, 0]))
    return {
        "price": price,
        "time": 1.7e9 + 1e3 * np.exp(2.5 * z[:, 1]),
        "change": np.sinh(3 * z[:, 2]),
    }


@pytest.fixture(scope="module")
def data():
    data = make_ranking(60, 20, 4, categories=(4, 40), missing=0.1, random_state=0)
    data.X = data.X.assign(**heavy_columns(len(data.y)))
    return data


@pytest.fixture(scope="module")
def numbers(data):
    return np.ascontiguousarray(data.X.drop(columns=["category_0", "category_1"]))


def fitted(model, X, data):
    model = clone(model)
    last = f"{model.steps[-1][0]}__" if hasattr(model, "steps") else ""
    more = {f"{last}qid": data.qid, f"{last}teacher_scores": data.utility}
    return model.fit(X, data.y, **more)


def agree(model, X, tmp_path):
    """Scores by every way are those of ``predict``, of a table, of some rows and of one."""
    expected = model.predict(X)
    limit = 1e-5 * expected.std()
    assert limit > 0
    for engine in ENGINES:
        scorer = compile_scorer(model, engine)
        for n_rows in (1, 9, len(X)):
            rows = X[:n_rows] if isinstance(X, np.ndarray) else X.head(n_rows)
            assert_allclose(scorer(rows), expected[:n_rows], atol=limit)
    save(model, tmp_path / "model.skd")
    loaded = load(tmp_path / "model.skd")
    assert_array_equal(loaded.predict(X), expected)
    assert_allclose(compile_scorer(loaded, "numpy")(X), expected, atol=limit)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)


@pytest.mark.parametrize("name", STUDENTS)
def test_students_of_frames_and_arrays(name, data, numbers, tmp_path):
    for X in (data.X, numbers, np.nan_to_num(numbers).astype(np.float32)):
        student = fitted(STUDENTS[name], X, data)
        scaler = student.scaler_
        assert set(scaler.sources[scaler.n_columns :]) >= {scaler.n_columns - 3}
        agree(student, X, tmp_path)
    if name in ("linear", "fm", "mlp"):
        found = student.predict(sparse.csr_array(X))
        assert_allclose(found, student.predict(X), atol=1e-5)
    session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
    assert session.run(None, {"X": X})[0].shape == (len(X), 1)


HEADS = {
    "standard": [StandardScaler()],
    "imputed": [SimpleImputer(add_indicator=True), StandardScaler()],
    "nothing": [FunctionTransformer(None)],
    "some columns": [make_column_transformer((SimpleImputer(), [6, 4, 1, 5]))],
}


@pytest.mark.parametrize("name", ["linear", "fm", "mlp"])
@pytest.mark.parametrize("head", HEADS)
def test_pipelines_of_numbers(head, name, data, numbers, tmp_path):
    pipeline = fitted(make_pipeline(*HEADS[head], STUDENTS[name]), numbers, data)
    scaler = pipeline[-1].scaler_
    assert len(scaler.sources) > scaler.n_columns
    agree(pipeline, numbers, tmp_path)


@pytest.mark.parametrize("name", ["linear", "piecewise linear", "fm", "mlp"])
def test_pipelines_of_categories(name, data, tmp_path):
    """Also where the values of a category are what has the heavy tail."""
    X = data.X.assign(
        category_0=data.X["category_0"].astype(object).fillna("none"),
        category_1=data.X["category_1"].astype(object).fillna("none"),
    )
    places = pd.factorize(X["category_1"])[0]
    clicks = np.exp(2.5 * np.random.default_rng(1).standard_normal(41))[places]
    front = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["category_0"]),
        (TargetEncoder(target_type="continuous", random_state=0), ["category_1"]),
        (SimpleImputer(), ["price", "time", "change"]),
    )
    pipeline = make_pipeline(front, clone(STUDENTS[name]))
    pipeline.fit(X, clicks, **{f"{pipeline.steps[-1][0]}__qid": data.qid})
    scaler = pipeline[-1].scaler_
    assert list(scaler.sources[scaler.n_columns :]) == list(
        range(scaler.n_columns - 4, scaler.n_columns)
    )
    agree(pipeline, X, tmp_path)


@pytest.mark.parametrize("parameters", [{}, {"query_hidden": (8,), "item_hidden": (8,)}])
def test_towers(parameters, tmp_path):
    rng = np.random.default_rng(0)
    users = pd.DataFrame({"age": rng.normal(size=500), "spent": heavy_columns(500)["price"]})
    items = pd.DataFrame(heavy_columns(400, seed=1))
    items["shop"] = rng.choice(["large", "small"], 400)
    user, item = rng.integers(500, size=4000), rng.integers(400, size=4000)
    user.sort()
    log = users.iloc[user].reset_index(drop=True).join(items.iloc[item].reset_index(drop=True))
    towers = TwoTowerRetriever(
        query_columns=list(users),
        item_columns=list(items),
        embedding_dim=4,
        max_iter=3,
        alpha=0,
        random_state=0,
        **parameters,
    )
    labels = (rng.random(4000) < 0.3).astype(float)
    towers.fit(log, labels, qid=user)
    assert list(towers.query_scaler_.sources) == [0, 1, 1]
    assert list(towers.item_scaler_.sources) == [0, 1, 2, 0, 1, 2]
    agree(towers, log, tmp_path)
    weights = towers.params_["item_weights_0"].shape
    log.loc[:99, "shop"] = "new"
    towers.set_params(warm_start=True).fit(log, labels, qid=user)
    assert towers.params_["item_weights_0"].shape == (weights[0] + 1, weights[1])
    agree(towers, log, tmp_path)


def test_a_column_that_is_read_twice_is_one_column_outside(data, numbers):
    student = fitted(STUDENTS["mlp"], np.nan_to_num(numbers), data)
    net = decompose(student).net
    assert net.n_features == 7
    assert net.scaler.sources is None
    assert net.step_widths == (len(student.scaler_.sources),)
    assert not isinstance(net.steps[0], InFloat64)
    frame = pd.DataFrame(np.exp(2 * data.X[["number_0", "number_1"]].fillna(0)), columns=None)
    frame["plain"] = np.random.default_rng(0).standard_normal(len(frame))
    student = fitted(STUDENTS["linear"], frame, data)
    assert list(student.scaler_.sources) == [0, 1, 2, 0, 1]
    with pytest.raises(TypeError, match=r"softsign of the columns \['number_0', 'number_1'\]"):
        to_solr(student, "student")


@pytest.mark.filterwarnings("ignore::skdistill.serving.FileWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_files_of_former_releases_have_one_view_of_each_column():
    student = load(GOLDEN / "mlp-0.1.0.skd")
    assert student.scaler_.sources is None
    assert student.scaler_.n_columns == len(student.scaler_.scale)
