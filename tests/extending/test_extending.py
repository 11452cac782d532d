"""The tutorial's loss, student and teachers do all that the package's own do."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker, RankingGroupKFold, TwoTowerRetriever
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.losses import LOSSES
from skdistill.recipe import follow, read_recipe
from skdistill.serving import compile_scorer, load, save, to_onnx
from skdistill.students import STUDENTS
from skdistill.teachers import TEACHERS
from skdistill.testing import check_loss, check_model, check_student
from tests.extending.huber import Huber
from tests.extending.rule_teacher import QueryMeanTeacher, RuleTeacher
from tests.extending.tanh_student import TanhNet, TanhRanker

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registered(monkeypatch):
    """Outside of a test this is ``LOSSES["huber"] = Huber`` and so on."""
    monkeypatch.setitem(LOSSES, "huber", Huber)
    monkeypatch.setitem(STUDENTS, "TanhRanker", TanhRanker)
    monkeypatch.setitem(
        TEACHERS, "QueryMeanTeacher", "tests.extending.rule_teacher.QueryMeanTeacher"
    )


@pytest.fixture(scope="module")
def data():
    return make_ranking(n_queries=80, n_features=6, random_state=0)


def test_the_batteries_hold(registered):
    check_loss(Huber(delta=0.5))
    check_student(TanhRanker(8))


@dataclass(frozen=True)
class AdaptedNet(TanhNet):
    """Scores in a unit that depends on the columns, and that training leaves as it is."""

    def fixed_parameters(self, inputs):
        return ("unit",)

    def initialize(self, n_features, rng):
        return super().initialize(n_features, rng) | {"unit": np.ones(1, dtype=np.float32)}

    def adapt(self, params, sample):
        assert sample.n_rows > 1
        return params | {"unit": np.full(1, abs(sample.X).max(), dtype=np.float32)}

    def forward(self, params, inputs):
        output, cache = super().forward(params, inputs)
        return output * params["unit"], cache

    def backward(self, params, cache, grad_output):
        return super().backward(params, cache, grad_output * params["unit"])

    def fold(self, params, scaler):
        folded = super().fold(params, scaler)
        return {name: array * params["unit"] if name.endswith("_1") else array
                for name, array in folded.items()}  # fmt: skip


class AdaptedRanker(TanhRanker):
    def make_model(self):
        return AdaptedNet(self.n_units)


def test_a_model_adapts_to_the_columns(data):
    check_student(AdaptedRanker(8))
    student = AdaptedRanker(8, max_iter=2, random_state=0).fit(data.X, data.y, qid=data.qid)
    scaled = student.scaler_.transform(data.X)
    assert student.params_["unit"] == pytest.approx(np.abs(scaled).max())

    class InFloat64(AdaptedNet):
        def adapt(self, params, sample):
            return {name: array.astype(np.float64) for name, array in params.items()}

    with pytest.raises(AssertionError, match="adapt must keep names, shapes and dtypes"):
        check_model(InFloat64(4))


def test_train_save_load_compile_export(registered, data, tmp_path):
    student = TanhRanker(8, loss="huber", random_state=0)
    ranker = DistilledRanker(RuleTeacher(), make_pipeline(StandardScaler(), student), loss="huber")
    ranker.fit(data.X, data.y, qid=data.qid)
    scores = ranker.predict(data.X)
    assert ranker.score(data.X, data.y, qid=data.qid) > 0.5

    save(ranker.export_student(), tmp_path / "student.skd")
    assert_array_equal(load(tmp_path / "student.skd").predict(data.X), scores)

    for engine in ("numpy", "onnxruntime"):
        scorer = compile_scorer(ranker, engine)
        assert_allclose(scorer(data.X), scores, rtol=1e-3, atol=1e-3)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(to_onnx(ranker).SerializeToString())
    exported = session.run(["scores"], {"X": data.X})[0][:, 0]
    assert_allclose(exported, scores, rtol=1e-3, atol=1e-3)


def test_a_loss_object_is_stored_with_its_parameters(registered, data, tmp_path):
    student = TanhRanker(4, loss=Huber(delta=0.25), max_iter=2).fit(data.X, data.y, qid=data.qid)
    save(student, tmp_path / "student.skd")
    assert load(tmp_path / "student.skd").loss == Huber(delta=0.25)


def test_a_file_is_refused_where_the_student_is_not_registered(data, tmp_path, monkeypatch):
    student = TanhRanker(4, max_iter=1).fit(data.X, data.y, qid=data.qid)
    with pytest.raises(TypeError, match="TanhRanker"):
        save(student, tmp_path / "student.skd")
    with monkeypatch.context() as patch:
        patch.setitem(STUDENTS, "TanhRanker", TanhRanker)
        save(student, tmp_path / "student.skd")
    code = (
        "from skdistill.serving import load\n"
        "from skdistill.students import STUDENTS\n"
        "path = 'student.skd'\n"
        "try:\n"
        "    load(path)\n"
        "except ValueError as error:\n"
        "    print(error)\n"
        "from tests.extending.tanh_student import TanhNet, TanhRanker\n"
        "STUDENTS['TanhRanker'] = TanhRanker\n"
        "print(load(path))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    refused, loaded = done.stdout.splitlines()
    assert "tests.extending.tanh_student" in refused
    assert "Register your own before save and load: skdistill.losses.LOSSES, " in refused
    assert loaded == "TanhRanker(max_iter=1, n_units=4)"


def test_grid_search_and_towers_take_the_loss(registered, data, routing):
    search = GridSearchCV(
        TanhRanker(4, max_iter=3, random_state=0),
        {"loss": ["huber", Huber(0.1), "listwise"]},
        cv=RankingGroupKFold(2),
        error_score="raise",
    )
    search.fit(data.X, data.y, qid=data.qid)
    assert len(search.cv_results_["params"]) == 3
    log = make_retrieval(n_queries=50, n_items=40, random_state=0)
    towers = TwoTowerRetriever(
        query_columns=log.query_columns, item_columns=log.item_columns, loss="huber", max_iter=3
    )
    towers.fit(log.X, log.y, qid=log.qid, items=log.items, teacher_scores=log.utility)
    assert towers.loss_curve_[-1] < towers.loss_curve_[0]


def test_teachers(registered, data):
    for teacher in (RuleTeacher(), QueryMeanTeacher()):
        ranker = DistilledRanker(teacher, TanhRanker(8, random_state=0), alpha=1.0)
        ranker.fit(data.X, data.y, qid=data.qid)
        taught = ranker.teacher_.predict(data.X)
        assert np.corrcoef(taught, ranker.predict(data.X))[0, 1] > 0.5


def test_a_recipe_names_all_three(registered, data, tmp_path):
    names = [f"f{i}" for i in range(6)]
    frame = pd.DataFrame(data.X, columns=names).assign(query=data.qid, grade=data.y)
    frame.to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "recipe.toml").write_text(
        """
        [data]
        train = "train.csv"
        query_column = "query"
        label_column = "grade"
        [teacher]
        estimator = "QueryMeanTeacher"
        [student]
        estimator = "TanhRanker"
        n_units = 8
        [distillation]
        loss = "huber"
        """
    )
    ranker, _ = follow(read_recipe(tmp_path / "recipe.toml"))
    assert isinstance(ranker.student_, TanhRanker)
    assert isinstance(ranker.teacher_, QueryMeanTeacher)
    assert ranker.student_.loss == "huber"
