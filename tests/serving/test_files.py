"""save and load: everything comes back, nothing runs, and what is wrong is said."""

import importlib
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRanker
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdistill
from skdistill import DistilledRanker, TwoTowerRetriever
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.losses import LOSSES, Listwise
from skdistill.serving import FileWarning, files, load, save
from skdistill.serving.trusted_types import trusted_types
from skdistill.students import (
    STUDENTS,
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble
from skdistill.towers import RETRIEVERS
from skdistill.training import OPTIMIZERS

GOLDEN = Path(__file__).parents[1] / "golden"
RETRIEVER_SETTINGS = {
    "TwoTowerRetriever": {"pair_features": lambda queries, items: np.hstack([queries, items])},
    "MultiObjectiveRetriever": {"objectives": {"click": "listwise", "teacher": "listwise"}},
}


@pytest.fixture(scope="module")
def data():
    return small_ranking()


def small_ranking():
    data = make_ranking(n_queries=60, n_features=5, random_state=0)
    data.click = (data.y > 0).astype(float)
    return data


def retriever(name, **parameters):
    """Towers of the registry over a small catalogue, and the data that they were fitted on.

    The utility of the data teaches them, unless there is a teacher among their parameters.
    """
    data = make_retrieval(n_queries=60, n_items=40, random_state=0)
    columns = {"query_columns": data.query_columns, "item_columns": data.item_columns}
    settings = {"max_iter": 1, "random_state": 0, **RETRIEVER_SETTINGS.get(name, {})}
    towers = RETRIEVERS[name](**columns, **settings, **parameters)
    scores = {} if "teacher" in parameters else {"teacher_scores": data.utility}
    towers.fit(data.X, data.y, qid=data.qid, items=data.items, **scores)
    return towers, data


def models(data):
    one = {"max_iter": 1, "random_state": 0}
    qid = {"qid": data.qid}
    heads = {"click": "logistic", "teacher": "listwise"}
    nets = MLPEnsembleRanker(2, hidden_layer_sizes=[(4,)], mlp_parameters={"max_iter": 1})
    return {
        "linear": LinearRanker(**one).fit(data.X, data.y, **qid),
        "fm": FactorizationMachineRanker(3, **one).fit(data.X, data.y, **qid),
        "mlp": MLPRanker((4,), loss=Listwise(), **one).fit(data.X, data.y, **qid),
        "on the way": MLPRanker((4,), **one).partial_fit(data.X, data.y, **qid),
        "heads": MultiObjectiveRanker(heads, (4,), **one).fit(
            data.X, data.click, teacher_scores=data.utility, **qid
        ),
        "pipeline": make_pipeline(StandardScaler(), MLPRanker((4,), **one)).fit(
            data.X, data.y, mlpranker__qid=data.qid
        ),
        "frame": LinearRanker(**one).fit(
            pd.DataFrame(data.X, columns=list("abcde")), data.y, **qid
        ),
        "ranker": DistilledRanker(LGBMRanker(n_estimators=2, verbose=-1), LinearRanker(**one)).fit(
            data.X, data.y, **qid
        ),
        "calibrated": DistilledRanker(
            LGBMClassifier(n_estimators=2, verbose=-1), MLPRanker((4,), **one), calibrate="isotonic"
        ).fit(data.X, data.click, **qid),
        "ensemble": DistilledRanker(RankEnsemble([("nets", nets)]), LinearRanker(**one)).fit(
            data.X, data.y, **qid
        ),
    }


@pytest.mark.parametrize("keep_teacher", [False, True])
def test_saved_models_predict_the_same(data, tmp_path, keep_teacher):
    for name, model in models(data).items():
        save(model, tmp_path / "model", keep_teacher=keep_teacher)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = load(tmp_path / "model")
        X = pd.DataFrame(data.X, columns=list("abcde")) if name == "frame" else data.X
        assert_array_equal(again.predict(X), model.predict(X), err_msg=name)
        if name == "calibrated":
            assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        if name == "on the way":
            both = (m.partial_fit(X, data.y, qid=data.qid) for m in (again, model))
            assert_array_equal(*(m.predict(X) for m in both))
        if isinstance(model, DistilledRanker):
            assert (again.teacher_ is None) != keep_teacher
            assert model.teacher_ is not None
        elif name != "pipeline":
            assert again.get_params().keys() == model.get_params().keys()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", RETRIEVERS)
def test_towers_come_back_with_their_index(tmp_path, name):
    towers, data = retriever(name)
    save(towers, tmp_path / "towers")
    again = load(tmp_path / "towers")
    assert_array_equal(again.retrieve(data.queries, 5), towers.retrieve(data.queries, 5))
    assert_array_equal(again.predict(data.X), towers.predict(data.X))


@pytest.mark.parametrize("name", RETRIEVERS)
@pytest.mark.filterwarnings("ignore::skdistill.TeacherWarning")
def test_the_teacher_of_towers_stays_behind(tmp_path, name):
    teacher = LGBMRanker(n_estimators=2, verbose=-1)
    towers, data = retriever(name, teacher=teacher)
    save(towers, tmp_path / "towers")
    again = load(tmp_path / "towers")
    assert again.teacher is None
    assert again.teacher_ is None
    assert again.items_ is None
    assert towers.teacher is teacher
    assert towers.teacher_ is not None
    assert_array_equal(again.predict(data.X), towers.predict(data.X))


# Kinds of golden files, and the models of which a release writes them.
GOLDEN_KINDS = {
    **{name: name for name in ("linear", "fm", "mlp", "heads", "pipeline", "ranker", "ensemble")},
    "retriever": "TwoTowerRetriever",
    "objectives": "MultiObjectiveRetriever",
}


def golden_rows(model):
    return np.linspace(-1, 1, 4 * model.n_features_in_, dtype=np.float32).reshape(4, -1)


def write_golden_files(folder):
    """What a release adds to ``tests/golden``: each file, and its scores of four rows."""
    fitted = models(small_ranking())
    for kind, name in GOLDEN_KINDS.items():
        model = fitted[name] if name in fitted else retriever(name)[0]
        path = folder / f"{kind}-{skdistill.__version__}.skd"
        save(model, path)
        scores = model.predict(golden_rows(model)).tolist()
        path.with_suffix(".json").write_text(json.dumps(scores))


def agrees_with_golden_scores(path):
    is_joblib = path.suffix == ".joblib"
    model = joblib.load(path) if is_joblib else load(path)
    name = path.name if is_joblib else path.stem
    expected = json.loads((path.parent / f"{name}.json").read_text())
    return np.allclose(model.predict(golden_rows(model)), expected, rtol=1e-4, atol=1e-5)


def test_every_student_of_the_registry_comes_back(data):
    assert set(STUDENTS.values()) <= {type(model) for model in models(data).values()}


def test_towers_over_named_columns(tmp_path):
    log = pd.DataFrame({"user": list("abac") * 10, "film": list("xyyz") * 10})
    catalogue = pd.DataFrame({"film": list("xyz")})
    towers = TwoTowerRetriever(query_columns=["user"], item_columns=["film"], max_iter=1)
    towers.fit(log, np.arange(40) % 2, items=catalogue)
    towers.index(catalogue, ids=["X", "Y", "Z"])
    save(towers, tmp_path / "towers")
    again = load(tmp_path / "towers")
    users = pd.DataFrame({"user": ["a", "new"]})
    assert_array_equal(again.retrieve(users, 2)[0], towers.retrieve(users, 2)[0])


def test_every_loss_and_optimizer_is_known():
    trusted = trusted_types()
    for registry in (LOSSES, OPTIMIZERS, STUDENTS, RETRIEVERS):
        for kind in registry.values():
            assert f"{kind.__module__}.{kind.__name__}" in trusted
    for path in trusted:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path


def test_a_student_loads_without_lightgbm(data, tmp_path):
    for name in ("ranker", "mlp"):
        model = models(data)[name]
        save(model, tmp_path / name)
        done = predict_without_lightgbm(tmp_path / name)
        expected = model.predict(np.ones((1, 5), np.float32))[0]
        assert float(done.stdout) == pytest.approx(float(expected), rel=1e-5), done.stderr


def test_a_teacher_needs_its_library(data, tmp_path):
    save(models(data)["ranker"], tmp_path / "ranker", keep_teacher=True)
    done = predict_without_lightgbm(tmp_path / "ranker")
    assert "a teacher whose library is not installed" in done.stderr


class Home(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


def test_functions_and_classes_of_ones_own_cannot_be_saved(data, tmp_path):
    pipeline = make_pipeline(Home(), LinearRanker(max_iter=1))
    pipeline.fit(data.X, data.y, linearranker__qid=data.qid)
    with pytest.raises(
        TypeError, match=r"tests.serving.test_files.Home'\], which load would refuse"
    ):
        save(pipeline, tmp_path / "model")
    with pytest.raises(NotFittedError):
        save(LinearRanker(), tmp_path / "model")
    heads = models(data)["heads"].set_params(combine=lambda outputs, X: outputs["click"])
    with pytest.raises(TypeError, match="load would refuse|without code"):
        save(heads, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def saved(data, tmp_path):
    save(models(data)["mlp"], tmp_path / "model")
    return tmp_path / "model"


def rewrite(path, change=None, *, digest=True, **more):
    """Write a file anew as an attacker would, who can compute a digest too."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if change is not None:
        change(members)
    with zipfile.ZipFile(path, "w", more.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, content in members.items():
            if name != files.METADATA:
                archive.writestr(name, content)
        metadata = json.loads(members[files.METADATA])
        if digest:
            kept = {name: archive.read(name) for name in archive.namelist()}
            metadata["digest"] = files._digest(kept)
        archive.writestr(files.METADATA, json.dumps(metadata | more.get("metadata", {})))


def test_a_rewritten_file_loads_the_same(saved, data):
    expected = load(saved).predict(data.X)
    rewrite(saved)
    assert_array_equal(load(saved).predict(data.X), expected)


def test_newer_formats_are_refused_and_other_versions_warned_of(saved, data):
    rewrite(saved, metadata={"format": 2})
    with pytest.raises(ValueError, match="reads formats up to 1. Upgrade skdistill"):
        load(saved)
    versions = files.versions() | {"numpy": "1.26.4"}
    rewrite(saved, metadata={"format": 1, "versions": versions})
    with pytest.warns(FileWarning, match=r"written by numpy 1.26.4 \(here"):
        load(saved)


class Bomb:
    def __reduce__(self):
        return os.system, ("echo never > was-run",)


def with_pickle(members):
    array = next(name for name in members if name.endswith(".npy"))
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    members[array] = buffer.getvalue()


def with_call(members):
    schema = json.loads(members["schema.json"])
    schema |= {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}
    members["schema.json"] = json.dumps(schema).encode()


def with_trusted_looking_call(members):
    schema = json.loads(members["schema.json"])
    schema |= {"__class__": "savetxt", "__module__": "numpy", "__loader__": "FunctionNode"}
    schema["content"] = {"module_path": "numpy", "function": "savetxt"}
    members["schema.json"] = json.dumps(schema).encode()


def with_unknown_type(members):
    schema = json.loads(members["schema.json"])
    schema |= {"__class__": "Network", "__module__": "skdistill.models.network"}
    members["schema.json"] = json.dumps(schema).encode()


def with_path(members):
    members["../../escaped"] = b"x"


def with_absolute_path(members):
    members["/tmp/escaped"] = b"x"


def with_lying_array(members):
    array = next(name for name in members if name.endswith(".npy"))
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    )
    members[array] = buffer.getvalue() + b"\0" * 8


def with_nested_bomb(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as nested:
        nested.writestr("data.npy", b"\0" * 10_000_000)
    members["nested.npz"] = buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_pickle, "holds pickled Python objects"),
        (with_call, "names something of the module 'os'"),
        (with_trusted_looking_call, r"names the types \['numpy.savetxt'\]"),
        (with_unknown_type, r"names the types \['skdistill.models.network.Network'\]"),
        (with_path, "the name '../../escaped' is not plain"),
        (with_absolute_path, "the name '/tmp/escaped' is not plain"),
        (with_lying_array, "declares 4000000000000 bytes, but has 8"),
        (with_nested_bomb, "would grow more than 100 times"),
    ],
)
def test_malicious_files_are_refused(saved, change, message, monkeypatch):
    monkeypatch.chdir(saved.parent)
    rewrite(saved, change)
    with pytest.raises(ValueError, match=message):
        load(saved)
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


def test_zip_bombs_are_refused(saved):
    rewrite(saved, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed, but model files are not"):
        load(saved)
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    with pytest.raises(ValueError, match="two members have the same name"):
        load(saved)


def test_a_sparse_matrix_in_a_file_is_looked_into(tmp_path):
    """Such as that of a transformer: a zip within the zip, which is looked at too."""
    buffer = io.BytesIO()
    sparse.save_npz(buffer, sparse.eye_array(50, format="csr"))
    files._check_sparse(buffer.getvalue(), "matrix.npz", tmp_path)
    buffer = io.BytesIO()
    np.savez(buffer, data=np.array([Bomb()], dtype=object))
    with pytest.raises(ValueError, match="matrix.npz/data.npy holds pickled Python objects"):
        files._check_sparse(buffer.getvalue(), "matrix.npz", tmp_path)
    with pytest.raises(ValueError, match="damaged: matrix.npz"):
        files._check_sparse(buffer.getvalue()[:-30], "matrix.npz", tmp_path)


def test_a_write_that_fails_leaves_the_old_file(saved, data, monkeypatch):
    before = saved.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(models(data)["linear"], saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


@pytest.mark.filterwarnings("ignore::skdistill.serving.FileWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize(
    "path", sorted([*GOLDEN.glob("*.skd"), *GOLDEN.glob("*.joblib")]), ids=lambda path: path.name
)
def test_files_of_every_release_load(path):
    """A release adds its files by ``python -m tests.serving.test_files``, and keeps the others."""
    assert agrees_with_golden_scores(path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("form", ["dense", "wide csr"])
def test_joblib_files_go_on_where_they_were(data, tmp_path, optimizer, form, monkeypatch):
    X = data.X if form == "dense" else sparse.csr_array(data.X)
    if form != "dense":
        monkeypatch.setattr("skdistill.inputs.rows.WIDE", 3)
    model = MLPRanker((4,), optimizer=optimizer, random_state=0)
    model.partial_fit(X, data.y, qid=data.qid)
    joblib.dump(model, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    assert_array_equal(again.predict(X), model.predict(X))
    for student in (again, model):
        student.partial_fit(X, data.y, qid=data.qid)
    assert_array_equal(again.predict(X), model.predict(X))


def test_a_file_that_is_cut_short_is_refused(saved):
    whole = saved.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="truncated"):
            load(saved)


def flipped(whole, place):
    changed = bytearray(whole)
    changed[place] ^= 0x10
    return bytes(changed)


def test_a_flipped_bit_in_any_array_is_refused(saved):
    whole = saved.read_bytes()
    with zipfile.ZipFile(saved) as archive:
        arrays = [archive.read(name) for name in archive.namelist() if name.endswith(".npy")]
    assert len(arrays) > 3
    for array in arrays:
        start = whole.index(array)
        for place in range(start, start + len(array)):
            saved.write_bytes(flipped(whole, place))
            with pytest.raises(ValueError, match="damaged"):
                load(saved)


@pytest.mark.filterwarnings("ignore::skdistill.serving.FileWarning")
def test_a_flipped_bit_is_refused_or_changes_no_prediction(saved, data):
    """No reader looks at some bits, such as those of a time stamp."""
    whole, expected = saved.read_bytes(), load(saved).predict(data.X)
    n_loaded = 0
    for place in np.random.default_rng(0).choice(len(whole), 400, replace=False):
        saved.write_bytes(flipped(whole, place))
        try:
            again = load(saved)
        except ValueError:
            continue
        n_loaded += 1
        assert_array_equal(again.predict(data.X), expected)
    assert 0 < n_loaded < 200


@pytest.mark.parametrize("ending", [".json", ".npy"])
def test_a_member_that_was_replaced_does_not_match_the_digest(saved, ending):
    def change(members):
        name = next(name for name in members if name.endswith(ending) and name != files.METADATA)
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])

    rewrite(saved, change, digest=False)
    with pytest.raises(ValueError, match="was changed after it was written"):
        load(saved)


def test_a_pickle_is_not_a_model_file(saved):
    saved.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="not a skdistill model file"):
        load(saved)


def predict_without_lightgbm(path):
    code = (
        "import sys; sys.modules['lightgbm'] = None\n"
        "import numpy as np\n"
        "from skdistill.serving import load\n"
        f"print(load({str(path)!r}).predict(np.ones((1, 5), np.float32))[0])"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_there_are_files_of_every_kind_of_model():
    """Without any, the test above would be skipped."""
    kinds = {path.name.partition("-")[0] for path in GOLDEN.glob("*-0.1.0.skd")}
    assert kinds == set(GOLDEN_KINDS)


def test_a_release_writes_files_that_load(tmp_path):
    write_golden_files(tmp_path)
    written = list(tmp_path.glob("*.skd"))
    assert len(written) == len(GOLDEN_KINDS)
    assert all(agrees_with_golden_scores(path) for path in written)


if __name__ == "__main__":
    write_golden_files(GOLDEN)
