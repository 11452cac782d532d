"""Probabilities in tables, on clusters and in ONNX graphs, against predict_proba."""

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from skdistill import DistilledRanker
from skdistill.calibration import InterpolatedMap, SigmoidMap
from skdistill.cli.commands import app
from skdistill.datasets import make_ranking
from skdistill.serving import FrameScorer, OutputError, TableError, save, score_table, to_onnx
from skdistill.serving.onnx_graph import Graph, onnx_model
from skdistill.serving.onnx_outputs import _add_probabilities
from skdistill.students import MLPRanker

onnxruntime = pytest.importorskip("onnxruntime")
pandas = pytest.importorskip("pandas")
parquet = pytest.importorskip("pyarrow.parquet")

TEACHER = LGBMClassifier(n_estimators=20, verbose=-1)
STUDENT = MLPRanker((8,), max_iter=5)
MODELS = {
    "logistic": DistilledRanker(TEACHER, STUDENT, loss="logistic", random_state=0),
    "sigmoid": DistilledRanker(TEACHER, STUDENT, calibrate="sigmoid", random_state=0),
    "isotonic": DistilledRanker(TEACHER, STUDENT, calibrate="isotonic", random_state=0),
}
NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def log():
    data = make_ranking(n_queries=150, n_features=5, random_state=0)
    table = pandas.DataFrame(data.X.astype(np.float32), columns=NAMES)
    table["country"] = np.array(["de", "fr", None])[np.arange(len(table)) % 3]
    return table, (data.y > 0).astype(float), data.qid


def fitted(log, name, columns, in_front=False):
    table, y, qid = log
    model = MODELS[name]
    if in_front:
        model = make_pipeline(StandardScaler(), model)
        return model.fit(table[columns], y, distilledranker__qid=qid)
    return model.fit(table[columns], y, qid=qid)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["numbers", "categories", "Pipeline"])
def test_a_table_has_a_column_of_probabilities(log, tmp_path, name, kind):
    columns = [*NAMES, "country"] if kind == "categories" else NAMES
    model = fitted(log, name, columns, in_front=kind == "Pipeline")
    table = log[0].assign(ad=[f"ad {row}" for row in range(len(log[0]))])
    table.to_parquet(tmp_path / "rows.parquet")
    score_table(model, tmp_path / "rows.parquet", tmp_path / "out", probability_column="ctr")
    found = parquet.read_table(tmp_path / "out").to_pandas()
    assert list(found.columns)[-2:] == ["score", "ctr"]
    assert found["ctr"].dtype == np.float64
    expected = model.predict_proba(table[columns])[:, 1]
    # A step of the isotonic map may be steep where scores are rounded to float32.
    allowed = 1e-3 if name == "isotonic" else 1e-5
    assert_allclose(found["ctr"], expected, atol=allowed)
    frame = FrameScorer(model, probability_column="ctr")(table)
    assert list(frame.columns) == list(found.columns)
    assert_allclose(frame["ctr"], expected, atol=allowed)


def test_the_best_rows_and_the_rows_that_are_left_keep_their_probabilities(log, tmp_path):
    model = fitted(log, "sigmoid", NAMES)
    table = log[0].assign(query=log[2])
    table.loc[3, "a"] = np.inf
    table.to_parquet(tmp_path / "rows.parquet")
    score_table(
        model, tmp_path / "rows.parquet", tmp_path / "out", probability_column="ctr",
        query_column="query", top_k=2, rejects=tmp_path / "rejects.csv",
    )  # fmt: skip
    found = parquet.read_table(tmp_path / "out").to_pandas()
    assert len(found) == 2 * 150
    assert_allclose(found["ctr"], SigmoidMap(
        float(model.calibrator_.coef_[0, 0]), float(model.calibrator_.intercept_[0])
    )(found["score"].to_numpy()))  # fmt: skip


def test_the_command_writes_probabilities(log, tmp_path):
    save(fitted(log, "isotonic", NAMES), tmp_path / "model.skd")
    log[0].to_csv(tmp_path / "rows.csv", index=False)
    command = ["score", tmp_path / "model.skd", tmp_path / "rows.csv", "-o", tmp_path / "out"]
    options = ["--probability-column", "ctr"]
    run = CliRunner().invoke(app, [str(part) for part in [*command, *options]])
    assert run.exit_code == 0, run.output
    found = parquet.read_table(tmp_path / "out").to_pandas()
    assert found["ctr"].between(0, 1).all()


def test_what_cannot_be_is_told_before_rows_are_read(log, tmp_path):
    model = fitted(log, "sigmoid", NAMES)
    table = tmp_path / "rows.parquet"
    log[0].assign(ctr=0.5).to_parquet(table)
    with pytest.raises(TypeError, match="not probabilities.*serve the ranker itself"):
        score_table(model.export_student(), table, tmp_path / "out", probability_column="p")
    with pytest.raises(TypeError, match="not probabilities"):
        FrameScorer(model.export_student(), probability_column="p")
    with pytest.raises(ValueError, match="probability_column are both 'score'"):
        score_table(model, table, tmp_path / "out", probability_column="score")
    with pytest.raises(TableError, match="has a column 'ctr', but the output adds one"):
        score_table(model, table, tmp_path / "out", probability_column="ctr", id_columns=["ctr"])
    assert not (tmp_path / "out").exists()
    # A run with probabilities is not continued without them.
    score_table(model, table, tmp_path / "out", probability_column="p")
    with pytest.raises(OutputError):
        score_table(model, table, tmp_path / "out")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("in_front", [False, True], ids=["alone", "in a Pipeline"])
def test_a_graph_has_the_probabilities_of_its_ranker(log, name, in_front):
    model = fitted(log, name, NAMES, in_front)
    X = log[0][NAMES]
    session = onnxruntime.InferenceSession(to_onnx(model).SerializeToString())
    assert [one.name for one in session.get_outputs()] == ["scores", "probabilities"]
    found = session.run(["probabilities"], {"X": X.to_numpy(np.float32)})[0]
    allowed = 1e-3 if name == "isotonic" else 1e-5
    assert_allclose(found, model.predict_proba(X), atol=allowed)


def test_graphs_interpolate_as_numpy_does():
    rng = np.random.default_rng(0)
    for n_points in (1, 2, 3, 400):
        x = np.sort(rng.standard_normal(n_points))
        x[n_points // 2 :] += 1e-9  # points that are one in float32
        line = InterpolatedMap(x, np.sort(rng.random(n_points)))
        graph = Graph()
        positive = _add_probabilities(graph, graph.add_input("s", "FLOAT", 1), line)
        session = onnxruntime.InferenceSession(
            onnx_model(graph, {"p": positive}).SerializeToString()
        )
        scores = np.append(rng.normal(0, 2, 1000), [*x, np.nan, -1e30, 1e30]).astype(np.float32)
        found = session.run(None, {"s": scores[:, None]})[0][:, 0]
        expected = np.where(np.isnan(scores), np.nan, line(scores.astype(np.float64)))
        assert_allclose(found, expected, atol=1e-4)
