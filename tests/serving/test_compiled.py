"""Compiled scorers and ONNX models against predict, whatever stands in front and whoever asks."""

import pickle
import threading
import tracemalloc

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.serving import compile_scorer, register_converters, to_onnx
from skdistill.students import (
    STUDENTS,
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)
from skdistill.towers import RETRIEVERS

ENGINES = ["numpy", "onnxruntime"]
HEADS = {"click": "logistic", "teacher": "listwise"}
MODELS = {
    "linear": LinearRanker(max_iter=3),
    "fm": FactorizationMachineRanker(4, max_iter=3),
    "mlp": MLPRanker((16, 8), max_iter=3),
    "plain mlp": MLPRanker((16, 8), max_iter=3, squash=False),
    "wide mlp": MLPRanker((300,), max_iter=1),
    "heads": MultiObjectiveRanker(HEADS, (8,), max_iter=3),
    "weighted heads": MultiObjectiveRanker(HEADS, (8,), max_iter=3, combine={"teacher": 2.0}),
    "linear heads": MultiObjectiveRanker(HEADS, (), max_iter=3),
}
HEADS_OF_STEPS = {
    "standard": [StandardScaler()],
    "robust": [RobustScaler(with_centering=False)],
    "minmax": [MinMaxScaler((-1, 1))],
    "maxabs": [MaxAbsScaler()],
    "impute": [SimpleImputer(strategy="median", add_indicator=True), StandardScaler()],
    "select": [VarianceThreshold(), StandardScaler(with_mean=False), MinMaxScaler()],
    "passthrough": ["passthrough", SelectKBest(k=4)],
}


@pytest.fixture(scope="module")
def data():
    """Three columns of heavy tails, one of them far from 1, and one constant."""
    data = make_ranking(n_queries=150, n_features=8, random_state=0)
    data.X[:, 1] = np.exp(3 * data.X[:, 1])
    data.X[:, 2] = 1e6 * np.exp(2 * data.X[:, 2])
    data.X[:, 3] = 1e-4 * data.X[:, 3] ** 5
    data.X[:, 4] = 7
    return data


def fitted(model, data, X=None):
    """Fitted with what the student needs, whether it stands in a Pipeline or not."""
    last = model[-1] if isinstance(model, Pipeline) else model
    last.set_params(random_state=0)
    metadata = {"qid": data.qid}
    if isinstance(last, MultiObjectiveRanker):
        metadata["teacher_scores"] = data.utility
    if last is not model:
        name = model.steps[-1][0]
        metadata = {f"{name}__{key}": value for key, value in metadata.items()}
    return model.fit(data.X if X is None else X, (data.y > 0).astype(float), **metadata)


def scores_by_onnx(model, X):
    proto = to_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    scores = session.run(None, {"X": X})[0]
    assert scores.shape == (len(X), 1)
    return scores[:, 0]


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_predict(name, data):
    student = fitted(MODELS[name], data)
    expected = student.predict(data.X)
    for engine in ENGINES:
        scorer = compile_scorer(student, engine)
        assert scorer.engine == engine
        for rows in (slice(1), slice(7), slice(300), slice(None)):
            assert_allclose(scorer(data.X[rows]), expected[rows], atol=1e-5, rtol=1e-5)
        out = np.full(len(data.X), np.nan, dtype=np.float32)
        assert scorer.into(data.X, out) is out
        assert_array_equal(out, scorer(data.X))
        assert_array_equal(pickle.loads(pickle.dumps(scorer))(data.X), out)
        assert scorer(data.X[:0]).shape == (0,)
    assert_allclose(scores_by_onnx(student, data.X), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("name", HEADS_OF_STEPS)
def test_steps_of_a_pipeline_are_folded(name, squash, data):
    X = data.X.copy()
    if name == "impute":
        X[::7, 1] = X[::5, 6] = np.nan
    student = MLPRanker((8,), max_iter=3, squash=squash)
    pipeline = fitted(make_pipeline(*HEADS_OF_STEPS[name], student), data, X)
    # In float32, the transformers themselves round more coarsely than a scorer.
    expected = pipeline.predict(X.astype(np.float64))
    for engine in ENGINES:
        scorer = compile_scorer(pipeline, engine)
        assert scorer.n_features == 8
        assert_allclose(scorer(X), expected, atol=1e-5, rtol=1e-5)
        assert_allclose(scorer(X[:1].copy()), expected[:1], atol=1e-5, rtol=1e-5)
    assert_allclose(scores_by_onnx(pipeline, X), expected, atol=1e-5, rtol=1e-5)


def test_an_empty_column_is_dropped_by_the_imputer(data):
    X = data.X.copy()
    X[:, 5] = np.nan
    pipeline = fitted(make_pipeline(SimpleImputer(), LinearRanker(max_iter=2)), data, X)
    scorer = compile_scorer(pipeline, "numpy")
    assert_allclose(scorer(X), pipeline.predict(X), atol=1e-5)


def test_rankers_are_compiled_alone_and_in_pipelines(data):
    ranker = DistilledRanker(None, MLPRanker((8,), max_iter=2), student_columns=[0, 2, 7])
    ranker.fit(data.X, qid=data.qid, teacher_scores=data.utility)
    scorer = compile_scorer(ranker)
    own = np.ascontiguousarray(data.X[:, [0, 2, 7]])
    assert scorer.n_features == 3
    assert_allclose(scorer(own), ranker.predict(data.X), atol=1e-5)
    assert_allclose(scores_by_onnx(ranker, own), ranker.predict(data.X), atol=1e-4)
    pipeline = make_pipeline(StandardScaler(), ranker)
    pipeline.fit(
        data.X, distilledranker__qid=data.qid, distilledranker__teacher_scores=data.utility
    )
    assert_allclose(compile_scorer(pipeline)(data.X), pipeline.predict(data.X), atol=1e-5)
    assert_allclose(scores_by_onnx(pipeline, data.X), pipeline.predict(data.X), atol=1e-4)


def test_a_formula_of_the_users_own_is_compiled_for_numpy_alone(data):
    student = fitted(MultiObjectiveRanker(HEADS, (8,), max_iter=2), data)
    student.set_params(combine=lambda outputs, X: outputs["click"] * np.exp(X[:, 0]))
    scorer = compile_scorer(student)
    assert scorer.engine == "numpy"
    assert_allclose(scorer(data.X), student.predict(data.X), rtol=1e-4)
    with pytest.raises(TypeError, match="combine is a Python function"):
        compile_scorer(student, "onnxruntime")
    with pytest.raises(TypeError, match="combine is a Python function"):
        to_onnx(student)


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_share_a_scorer(engine, data):
    student = fitted(MLPRanker((16, 8), max_iter=1), data)
    scorer = compile_scorer(student, engine, n_threads=3)
    alone = compile_scorer(student, engine)
    X = np.tile(data.X, (3, 1))
    expected = alone(X)
    assert_array_equal(scorer(X), expected)
    few = [alone(X[:n]) for n in range(1, 60)]
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for n in rng.integers(1, 60, 100):
            if not np.array_equal(scorer(X[:n]), few[n - 1]):
                wrong.append(n)
        if not np.array_equal(scorer(X), expected):
            wrong.append(-1)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_does_not_grow_with_the_number_of_requests(data):
    """100,000 requests of 32 threads at once."""
    scorer = compile_scorer(fitted(MLPRanker((16, 8), max_iter=1), data), "numpy")
    rows = data.X[:20].copy()
    before, after = threading.Barrier(33), threading.Barrier(33)

    def work():
        for _ in range(10):
            scorer(rows)
        before.wait()
        before.wait()
        for _ in range(100_000 // 32):
            scorer(rows)
        after.wait()
        after.wait()

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    before.wait()
    tracemalloc.start()
    held = tracemalloc.get_traced_memory()[0]
    before.wait()
    after.wait()
    grown = tracemalloc.get_traced_memory()[0] - held
    tracemalloc.stop()
    after.wait()
    for thread in threads:
        thread.join()
    # Less than ten bytes per request, to which other threads of the process add their own.
    assert grown < 1_000_000


@pytest.mark.parametrize("width", [20, 40, 48, 90, 300])
def test_a_row_scores_alike_in_threads_and_alone(width):
    """Whatever strips its products are cut into."""
    X = np.random.default_rng(0).standard_normal((20_000, 136)).astype(np.float32)
    student = MLPRanker((width, 17), max_iter=1, random_state=0)
    student.fit(X[:400], X[:400, 0] > 0, qid=np.repeat(np.arange(20), 20))
    expected = compile_scorer(student, "numpy")(X)
    assert_array_equal(compile_scorer(student, "numpy", n_threads=3)(X), expected)


def test_an_onnx_model_describes_itself(data):
    import pandas as pd

    frame = pd.DataFrame(data.X, columns=[f"c{i}" for i in range(8)])
    teacher = MLPRanker((4,), max_iter=1)
    ranker = DistilledRanker(teacher, LinearRanker(max_iter=4), random_state=0)
    ranker.fit(frame, data.y, qid=data.qid)
    held = {entry.key: entry.value for entry in to_onnx(ranker).metadata_props}
    assert held["teacher"] == "MLPRanker"
    assert held["student"] == "LinearRanker"
    assert '"c7"' in held["feature_names"]
    assert held["n_iter"] == "4"
    assert '"skdistill"' in held["versions"]
    assert compile_scorer(ranker).feature_names == tuple(frame.columns)


def test_users_convert_pipelines_themselves(data):
    from skl2onnx import to_onnx as convert

    register_converters()
    pipeline = fitted(make_pipeline(PolynomialFeatures(2), LinearRanker(max_iter=2)), data)
    session = onnxruntime.InferenceSession(
        convert(pipeline, data.X[:1], target_opset=17).SerializeToString()
    )
    (scores,) = session.run(None, {"X": data.X})
    assert_allclose(scores[:, 0], pipeline.predict(data.X), rtol=1e-3, atol=1e-3)


def test_wrong_tables_and_models_are_refused(data):
    student = fitted(MLPRanker((4,), max_iter=1), data)
    scorer = compile_scorer(student)
    with pytest.raises(ValueError, match=r"got a ndarray of one dimension. Pass one row as a tab"):
        scorer(data.X[0])
    for wrong in (data.X.astype(int), data.X[:, :3], data.X.T, [[1.0] * 8]):
        with pytest.raises(ValueError, match=r"float64 array of shape \(n_rows, 8\), got"):
            scorer(wrong)
    with pytest.raises(ValueError, match="out must be C-contiguous float32"):
        scorer.into(data.X, np.empty(3, dtype=np.float32))
    with pytest.raises(AttributeError, match="is immutable"):
        scorer.n_features = 3
    with pytest.raises(ValueError, match="engine must be one of"):
        compile_scorer(student, "torch")
    with pytest.raises(ValueError, match="n_threads must be 1 or more"):
        compile_scorer(student, n_threads=0)
    polynomial = fitted(make_pipeline(PolynomialFeatures(2), LinearRanker(max_iter=1)), data)
    with pytest.raises(TypeError, match="step 'polynomialfeatures' of the Pipeline"):
        compile_scorer(polynomial)
    with pytest.raises(TypeError, match=r"got str. Load a file first: load\('student.skd'\)"):
        compile_scorer("student.skd")
    trees = lightgbm.LGBMRegressor(n_estimators=1, verbose=-1).fit(data.X, data.y)
    with pytest.raises(TypeError, match="serving takes students, .* got Booster"):
        compile_scorer(trees.booster_)
    with pytest.raises(TypeError, match="serving takes students"):
        compile_scorer(StandardScaler().fit(data.X))


OBJECTIVES = {
    "objectives": {"click": "listwise", "teacher": "listwise"},
    "combine": {"click": 0.5, "teacher": 2.0},
}
# Parameters of retrievers that cannot do without; others are tested with their defaults.
REQUIRED = {"MultiObjectiveRetriever": OBJECTIVES}


def test_every_student_of_the_registry_is_compiled_here():
    assert {type(model) for model in MODELS.values()} == set(STUDENTS.values())


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("name", RETRIEVERS)
def test_scores_of_towers_are_those_of_predict(similarity, name):
    data = make_retrieval(n_queries=60, n_items=40, random_state=0)
    X = data.X.copy()
    X[data.item % 9 == 0, data.item_columns.start] = np.nan  # which the towers impute
    towers = RETRIEVERS[name](
        query_columns=data.query_columns,
        item_columns=data.item_columns,
        query_hidden=(8,),
        embedding_dim=6,
        similarity=similarity,
        max_iter=2,
        random_state=0,
        **REQUIRED.get(name, {}),
    )
    scores = data.utility(data.X[:, data.query_columns], data.X[:, data.item_columns])
    towers.fit(X, data.y, qid=data.qid, teacher_scores=scores)
    expected = towers.predict(X)
    assert expected.std() > 0.01  # not all the same
    for engine in ENGINES:
        scorer = compile_scorer(towers, engine)
        assert_allclose(scorer(X), expected, atol=1e-5, rtol=1e-5)
    assert_allclose(scores_by_onnx(towers, X), expected, atol=1e-4, rtol=1e-4)
