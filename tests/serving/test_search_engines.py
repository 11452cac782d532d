"""Students in search engines: the documented formula of each engine gives the scores of predict."""

import json
import re

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.serving import as_pyterrier, to_elasticsearch_ltr, to_onnx, to_solr, to_vespa
from skdistill.serving.search_engines import frame_scorer
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker

NAMES = ["bm25", "clicks", "price", "age"]
DATA = make_ranking(n_queries=60, n_features=4, random_state=0)
FRAME = pd.DataFrame(DATA.X.astype(np.float64), columns=NAMES).assign(
    age=lambda frame: 30 + 10 * frame["age"]
)


def fit(student, X=FRAME):
    return student.set_params(random_state=0).fit(X, DATA.y, qid=DATA.qid)


def plain(kind):
    students = {
        "linear": LinearRanker(squash=False, max_iter=5),
        "MLP": MLPRanker((8,), squash=False, max_iter=5),
        "deep MLP": MLPRanker((8, 4), squash=False, max_iter=5),
    }
    return fit(students[kind])


def solr_score(model, rows):
    """The score as Solr's reference guide defines it for both classes of models."""
    model = json.loads(json.dumps(model))
    values = rows[[feature["name"] for feature in model["features"]]].to_numpy()
    if model["class"].endswith(".LinearModel"):
        weights = model["params"]["weights"]
        return sum(weights[f["name"]] * rows[f["name"]].to_numpy() for f in model["features"])
    for layer in model["params"]["layers"]:
        values = values @ np.array(layer["matrix"]).T + np.array(layer["bias"])
        if layer["activation"] == "relu":
            values = np.maximum(values, 0)
        else:
            assert layer["activation"] == "identity"
    return values[:, 0]


@pytest.mark.parametrize("kind", ["MLP", "deep MLP"])
def test_solr_computes_the_scores_of_a_network(kind):
    student = plain(kind)
    model = to_solr(student, "student")
    assert model["class"] == "org.apache.solr.ltr.model.NeuralNetworkModel"
    np.testing.assert_allclose(solr_score(model, FRAME), student.predict(FRAME), atol=1e-5)


def test_linear_models_have_the_same_differences():
    student = plain("linear")
    model = to_solr(student, "student", store="shop")
    assert model["class"] == "org.apache.solr.ltr.model.LinearModel"
    assert model["store"] == "shop"
    scores = student.predict(FRAME).astype(np.float64)
    found = solr_score(model, FRAME)
    np.testing.assert_allclose(found - found[0], scores - scores[0], atol=1e-5)

    body = to_elasticsearch_ltr(student, "student")
    assert body["model"]["name"] == "student"
    assert body["model"]["model"]["type"] == "model/linear"
    weights = json.loads(json.dumps(body["model"]["model"]["definition"]))
    found = sum(weight * FRAME[name].to_numpy() for name, weight in weights.items())
    np.testing.assert_allclose(found - found[0], scores - scores[0], atol=1e-5)


def test_pipelines_and_distilled_rankers_are_folded():
    pipeline = make_pipeline(StandardScaler(), MLPRanker((4,), squash=False, max_iter=2))
    pipeline.fit(FRAME, DATA.y, mlpranker__qid=DATA.qid)
    model = to_solr(pipeline, "student")
    np.testing.assert_allclose(solr_score(model, FRAME), pipeline.predict(FRAME), atol=1e-5)
    teacher = lightgbm.LGBMRanker(n_estimators=5, verbose=-1, n_jobs=1)
    ranker = DistilledRanker(
        teacher, MLPRanker((4,), squash=False, max_iter=2), student_columns=["clicks", "age"],
        random_state=0,
    ).fit(FRAME, DATA.y, qid=DATA.qid)  # fmt: skip
    model = to_solr(ranker, "student")
    assert [feature["name"] for feature in model["features"]] == ["clicks", "age"]
    np.testing.assert_allclose(solr_score(model, FRAME), ranker.predict(FRAME), atol=1e-5)


def test_arrays_get_names():
    student = LinearRanker(squash=False, max_iter=2, random_state=0)
    student.fit(DATA.X, DATA.y, qid=DATA.qid)
    with pytest.raises(ValueError, match="Pass feature_names=, one for each of its 4 columns"):
        to_solr(student, "student")
    with pytest.raises(ValueError, match="must be 4 different names"):
        to_solr(student, "student", feature_names=["a", "a", "b", "c"])
    model = to_solr(student, "student", feature_names=NAMES)
    assert list(model["params"]["weights"]) == NAMES


def test_what_layers_do_not_express_is_refused():
    with pytest.raises(TypeError, match=r"softsign of the columns \['price'\].*squash=False"):
        to_solr(fit(LinearRanker(max_iter=1), FRAME.assign(price=FRAME["price"] ** 9)), "s")
    with pytest.raises(TypeError, match="FactorizationMachine"):
        to_solr(fit(FactorizationMachineRanker(2, squash=False, max_iter=1)), "s")
    with pytest.raises(TypeError, match="PiecewiseNetwork"):
        to_elasticsearch_ltr(fit(LinearRanker(n_knots=2, squash=False, max_iter=1)), "s")
    with pytest.raises(TypeError, match="PiecewiseNetwork"):
        to_solr(fit(MLPRanker((4,), n_knots=2, squash=False, max_iter=1)), "s")
    with pytest.raises(TypeError, match="plugin knows no networks"):
        to_elasticsearch_ltr(plain("MLP"), "s")
    times = fit(LinearRanker(squash=False, max_iter=1), FRAME.assign(age=FRAME["age"] + 1.7e9))
    for export in (to_solr, to_vespa):
        with pytest.raises(TypeError, match=r"float32 of all columns, but the columns \['age'\]"):
            export(times, "s")
    gaps = FRAME.assign(price=FRAME["price"].where(FRAME["price"] > 0))
    with pytest.raises(TypeError, match=r"no missing values, but the columns \['price'\]"):
        to_solr(fit(LinearRanker(squash=False, max_iter=1), gaps), "s")
    texts = FRAME.assign(price=np.where(FRAME["price"] > 0, "high", "low"))
    student = fit(LinearRanker(squash=False, max_iter=1), texts)
    with pytest.raises(TypeError, match="reads categories"):
        to_solr(student, "s")
    with pytest.raises(TypeError, match="reads categories or dates"):
        to_vespa(student, "s")
    bent = make_pipeline(
        QuantileTransformer(n_quantiles=10), LinearRanker(squash=False, max_iter=1)
    )
    bent.fit(FRAME, DATA.y, linearranker__qid=DATA.qid)
    with pytest.raises(TypeError, match="steps before the student"):
        to_solr(bent, "s")


@pytest.mark.parametrize("kind", ["linear", "FM", "MLP"])
def test_vespa_feeds_the_onnx_file_the_columns_in_order(kind):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    students = {
        "linear": LinearRanker(max_iter=2),
        "FM": FactorizationMachineRanker(4, max_iter=2),
        "MLP": MLPRanker((8,), max_iter=2),
    }
    student = fit(students[kind])
    profile = to_vespa(student, "student", features={"bm25": "bm25(title)"}, phase="global-phase")
    width, listed = re.search(
        r"tensor<float>\(d0\[1\],d1\[(\d+)\]\):\[\[(.*)\]\]", profile
    ).groups()
    assert int(width) == 4
    features = listed.split(", ")
    assert features == ["bm25(title)", "attribute(clicks)", "attribute(price)", "attribute(age)"]
    assert profile.count("{") == profile.count("}")
    assert "global-phase {\n        expression: sum(onnx(student).scores)" in profile
    # One document at a time, as Vespa does.
    session = onnxruntime.InferenceSession(to_onnx(student).SerializeToString())
    (given,) = re.findall(r'input "(\w+)": student_columns', profile)
    (output,) = re.findall(r'output "(\w+)": scores', profile)
    columns = [re.sub(r"\w+\((.*)\)", r"\1", one).replace("title", "bm25") for one in features]
    rows = FRAME[columns].to_numpy(dtype=np.float32)[:20]
    scores = [session.run([output], {given: row[None]})[0].sum() for row in rows]
    np.testing.assert_allclose(scores, student.predict(FRAME)[:20], atol=1e-5)


def test_vespa_refuses_what_it_cannot_read():
    student = plain("linear")
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        to_vespa(student, "my-student")
    with pytest.raises(ValueError, match="phase must be one of"):
        to_vespa(student, "student", phase="third-phase")
    with pytest.raises(ValueError, match=r"features names \['size'\]"):
        to_vespa(student, "student", features={"size": "attribute(size)"})
    with pytest.raises(ValueError, match="must list 4 rank features"):
        to_vespa(student, "student", features=["bm25(title)"])
    frame = pd.DataFrame(DATA.X, columns=["unit price", *map(str, range(DATA.X.shape[1] - 1))])
    odd = LinearRanker(random_state=0).fit(frame, DATA.y, qid=DATA.qid)
    with pytest.raises(ValueError, match="'unit price', '0'.* cannot be names of Vespa's fields"):
        to_vespa(odd, "student")
    unnamed = LinearRanker(max_iter=1, random_state=0).fit(DATA.X, DATA.y, qid=DATA.qid)
    with pytest.raises(ValueError, match="without column names"):
        to_vespa(unnamed, "student")


def results():
    ids = {"qid": DATA.qid.astype(str), "docno": np.arange(len(DATA.y)).astype(str)}
    return FRAME.assign(**ids, score=0.0)


def test_frames_of_results_are_scored():
    student = plain("linear")
    scored = frame_scorer(student, None)(results())
    np.testing.assert_allclose(scored["score"], student.predict(FRAME))
    unnamed = LinearRanker(squash=False, max_iter=2, random_state=0)
    unnamed.fit(DATA.X, DATA.y, qid=DATA.qid)
    arrays = results()[["qid", "docno"]].assign(features=list(DATA.X))
    scored = frame_scorer(unnamed, None)(arrays)
    np.testing.assert_allclose(scored["score"], unnamed.predict(DATA.X), rtol=1e-6)
    by_name = frame_scorer(unnamed, NAMES)(results().assign(age=DATA.X[:, 3]))
    np.testing.assert_allclose(by_name["score"], scored["score"], rtol=1e-6)
    assert list(frame_scorer(student, None)(results().iloc[:0])["score"]) == []
    with pytest.raises(ValueError, match="neither the columns of the model"):
        frame_scorer(student, None)(results()[["qid", "docno"]])


def test_pyterrier_ranks_the_documents_of_each_query():
    pytest.importorskip("pyterrier")
    student = plain("linear")
    ranked = as_pyterrier(student)(results())
    scores = student.predict(FRAME)
    places = pd.Series(-scores).groupby(DATA.qid).rank(method="first").to_numpy() - 1
    by_row = ranked.set_index(ranked["docno"].astype(int)).sort_index()
    np.testing.assert_allclose(by_row["score"], scores, rtol=1e-6)
    np.testing.assert_array_equal(by_row["rank"], places)
