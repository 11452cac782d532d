"""save and load: everything comes back, nothing runs, and what is wrong is said."""

import contextlib
import importlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier, LGBMRanker
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdistill
from skdistill import DistilledRanker, RankingCascade, TwoTowerRetriever
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.losses import LOSSES, Listwise
from skdistill.serving import FileWarning, file_checks, files, load, save
from skdistill.serving.trust import trusted_types
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
from tests.small_cascade import QUERIES, students

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


def test_a_folder_that_is_missing_is_named(data, tmp_path):
    student = LinearRanker(max_iter=1).fit(data.X, data.y, qid=data.qid)
    with pytest.raises(TypeError, match=r"save takes the model first, then the path"):
        save(tmp_path / "a.skd", LinearRanker())
    with pytest.raises(FileNotFoundError, match="a.skd cannot be written: there is no such folder"):
        save(student, tmp_path / "none" / "a.skd")


def test_an_index_with_bounds_comes_back_with_them(tmp_path, monkeypatch):
    towers, data = retriever("TwoTowerRetriever")
    monkeypatch.setattr("skdistill.index.score_bounds.LEAST_SAVED", 1)
    monkeypatch.setattr("skdistill.index.score_bounds.LARGEST_SHARE", 1.0)
    monkeypatch.setattr("skdistill.index.bounded_search.SAVED_PER_TRIED", 0)
    towers.index(data.items)
    bounds = towers.index_.bounds
    assert bounds is not None
    save(towers, tmp_path / "towers")
    again = load(tmp_path / "towers")
    assert_array_equal(again.index_.bounds.heads, bounds.heads)
    assert again.index_.bounds.heads.flags.f_contiguous
    assert_array_equal(again.retrieve(data.queries[:1], 5), towers.retrieve(data.queries[:1], 5))


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
# Of 0.1.0 there is no cascade.
GOLDEN_KINDS = {
    **{name: name for name in ("linear", "fm", "mlp", "heads", "pipeline", "ranker", "ensemble")},
    "retriever": "TwoTowerRetriever",
    "objectives": "MultiObjectiveRetriever",
    "cascade": "cascade",
}


def golden_scores(model):
    """Scores of four rows, or of the items that a cascade finds for four queries."""
    if isinstance(model, RankingCascade):
        return model.rank(QUERIES.iloc[:4])[1]
    return model.predict(golden_rows(model))


def golden_rows(model):
    return np.linspace(-1, 1, 4 * model.n_features_in_, dtype=np.float32).reshape(4, -1)


def write_golden_files(folder):
    """What a release adds to ``tests/golden``: each file, and its scores of four rows."""
    fitted = models(small_ranking()) | {"cascade": students()}
    for kind, name in GOLDEN_KINDS.items():
        model = fitted[name] if name in fitted else retriever(name)[0]
        path = folder / f"{kind}-{skdistill.__version__}.skd"
        save(model, path)
        scores = golden_scores(model).tolist()
        path.with_suffix(".json").write_text(json.dumps(scores))


def agrees_with_golden_scores(path):
    is_joblib = path.suffix == ".joblib"
    model = joblib.load(path) if is_joblib else load(path)
    name = path.name if is_joblib else path.stem
    expected = json.loads((path.parent / f"{name}.json").read_text())
    return np.allclose(golden_scores(model), expected, rtol=1e-4, atol=1e-5)


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
    refused = r"Home'\], which load would refuse: it creates only .* skdistill.students.STUDENTS"
    with pytest.raises(TypeError, match=refused) as caught:
        save(pipeline, tmp_path / "model")
    assert "keep_teacher" not in str(caught.value)
    with pytest.raises(TypeError, match=f"{refused}.* set keep_teacher=False"):
        save(pipeline, tmp_path / "model", keep_teacher=True)
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
            if name != file_checks.METADATA:
                archive.writestr(name, content)
        metadata = json.loads(members[file_checks.METADATA])
        if digest:
            kept = {name: archive.read(name) for name in archive.namelist()}
            metadata["digest"] = file_checks.digest_of_members(kept)
        metadata |= more.get("metadata", {})
        if digest:
            metadata[file_checks.METADATA_DIGEST] = file_checks.digest_of_metadata(metadata)
        archive.writestr(file_checks.METADATA, json.dumps(metadata))


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


def sparse_member(**arrays):
    """Such as that of a transformer: a zip within the zip."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["matrix.npz", "matrix.bin", "matrix"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (sparse_member(data=np.zeros(10**7, np.int8)), "would grow more than 100 times"),
        (sparse_member(data=np.array([Bomb()], dtype=object)), "/data.npy holds pickled Python"),
        (sparse_member(data=np.zeros(9))[:-30], "damaged"),
    ],
)
def test_archives_in_a_file_are_measured_whatever_their_name(saved, name, content, message):
    rewrite(saved, lambda members: members.update({name: content}))
    with pytest.raises(ValueError, match=message):
        load(saved)


def test_the_total_of_all_members_is_limited(saved):
    """Each of them stays below the limit of growth, but not all together."""
    one = sparse_member(data=np.zeros(2_000_000, np.int8))

    def change(members):
        members |= {f"matrix{number}": one for number in range(9)}
        members["ballast"] = bytes(55_000)

    rewrite(saved, change)
    with pytest.raises(ValueError, match=r"matrix\d it would grow more than 100 times"):
        load(saved)


def test_the_declared_size_of_a_member_is_no_licence_to_unpack_more(saved):
    """A nested member that unpacks to 300 MB says it has 100 bytes: little of it is unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as nested:
        nested.writestr("data.npy", bytes(300 << 20))
        nested.getinfo("data.npy").file_size = 100
    rewrite(saved, lambda members: members.update({"matrix": buffer.getvalue()}))
    tracemalloc.start()
    with pytest.raises(ValueError, match="damaged"):
        load(saved)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


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
        name = next(
            name for name in members if name.endswith(ending) and name != file_checks.METADATA
        )
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])

    rewrite(saved, change, digest=False)
    with pytest.raises(ValueError, match="was changed after it was written"):
        load(saved)


def test_a_pickle_is_not_a_model_file(saved):
    saved.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="not a skdistill model file"):
        load(saved)


@pytest.mark.filterwarnings("ignore::skdistill.serving.FileWarning")
@pytest.mark.parametrize(
    "metadata",
    [
        {"format": "1"}, {"format": None}, {"format": True}, {"format": 10**400}, {"format": 1.0},
        {"format": 99, "versions": []}, {"versions": None}, {"versions": [1]}, {"versions": 3},
        {"versions": {"numpy": 3}}, {"versions": {"numpy": None}}, {"description": [1]},
        {"digest": 5}, {"digest": None}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_metadata_of_other_types_are_a_value_error(saved, metadata):
    rewrite(saved, metadata=metadata)
    for read in (load, files.read_metadata):
        with pytest.raises(ValueError, match=re.escape(str(saved))):
            read(saved)


def array_with_header(header):
    text = header.encode() + b" " * 20 + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[
            (file_checks.METADATA, content)
            for content in (b"", b"[]", b"3", b"null", b"\xff\xfe", b'{"":' * 10**5, b"[" * 10**5)
        ],
        *[
            (file_checks.SCHEMA, content)
            for content in (b"", b"[]", b"3", b"\xff", b"[" * 10**5, b"{}", b"9" * 10**5)
        ],
        *[
            ("evil.npy", array_with_header(header))
            for header in (
                "-" * 8000 + "1", "(" * 5000, "{}", "", "{'descr': '|V0', 'fortran_order': False, "
                "'shape': (1000000000000000000,)}", "{'descr': '<f4', 'fortran_order': False, "
                "'shape': (" + "9" * 4000 + ",)}",
            )
        ],
        ("evil.npy", b""),
        ("evil.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f"),
    ],
    ids=str,
)  # fmt: skip
def test_members_that_cannot_be_parsed_are_a_value_error(saved, name, content):
    with zipfile.ZipFile(saved) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    metadata = json.loads(members.pop(file_checks.METADATA))
    del metadata[file_checks.METADATA_DIGEST]
    members[name] = content
    metadata["digest"] = file_checks.digest_of_members(members)
    members = {file_checks.METADATA: json.dumps(metadata).encode()} | members
    with zipfile.ZipFile(saved, "w") as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    with pytest.raises(ValueError, match=re.escape(str(saved))):
        load(saved)


def test_the_digest_covers_the_metadata(saved):
    rewrite(saved, metadata={"description": {"student": "Another"}}, digest=False)
    with pytest.raises(ValueError, match="the digest of its metadata does not match"):
        load(saved)


MUTATIONS = st.one_of(
    st.tuples(st.just("flip"), st.floats(0, 1), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.floats(0, 1), st.integers(1, 64)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=20)),
    st.tuples(
        st.just("insert"),
        st.floats(0, 1),
        st.sampled_from([b"9" * 30, b"null", b"{}", b"[", b'"', b"-1", b"PK\x03\x04"]),
    ),
)


def mutated(content, mutations):
    for kind, place, what in mutations:
        at = int(place * len(content))
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ what]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at] + content[at + what :]
        elif kind == "insert":
            content = content[:at] + what + content[at:]
    return content


@pytest.fixture(scope="module")
def targets(data, tmp_path_factory):
    """Files with a network, and with a teacher of LightGBM."""
    folder = tmp_path_factory.mktemp("targets")
    for name in ("mlp", "ranker", "pipeline"):
        save(models(data)[name], folder / name, keep_teacher=True)
    save(students(), folder / "cascade")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.filterwarnings("ignore::skdistill.serving.FileWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@settings(max_examples=150, deadline=5000, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["mlp", "ranker", "pipeline", "cascade"]),
    member=st.integers(0, 10**6),
    mutations=st.lists(MUTATIONS, min_size=1, max_size=4),
    digest=st.booleans(),
)
def test_a_mutated_member_is_refused_or_harmless(
    targets, data, tmp_path, name, member, mutations, digest
):
    """Only with a right digest may a file load that predicts something else."""
    path = tmp_path / "mutated"
    path.write_bytes(targets[name])

    def answer(model):
        return model.rank(QUERIES)[1] if name == "cascade" else model.predict(data.X)

    expected = answer(load(path))

    def change(members):
        chosen = sorted(members)[member % len(members)]
        members[chosen] = mutated(members[chosen], mutations)

    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    change(members)
    if digest:
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            metadata = json.loads(members[file_checks.METADATA])
            metadata["digest"] = file_checks.digest_of_members(members)
            metadata["metadata_digest"] = file_checks.digest_of_metadata(metadata)
            members[file_checks.METADATA] = json.dumps(metadata).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    tracemalloc.start()
    try:
        again = load(path)
        if not digest:
            assert_array_equal(answer(again), expected)
    except ValueError as error:
        if str(path) not in str(error):
            raise
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 50 << 20


def booster_text(members):
    schema = json.loads(members[file_checks.SCHEMA])
    found = [node for node in file_checks._nodes(schema) if node.get("__class__") == "Booster"]
    return schema, [booster["content"]["content"]["_handle"] for booster in found]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("left_child=1", "left_child=9"),
        ("num_leaves=", "num_leaves=9"),
        ("tree_sizes=", "tree_sizes=1"),
        ("tree\n", "TREE\n"),
    ],
)
def test_a_tampered_booster_does_not_reach_lightgbm(targets, tmp_path, old, new):
    path = tmp_path / "ranker"
    path.write_bytes(targets["ranker"])

    def change(members):
        schema, handles = booster_text(members)
        for handle in handles:
            text = json.loads(handle["content"])
            assert old in text
            handle["content"] = json.dumps(text.replace(old, new, 1))
        members[file_checks.SCHEMA] = json.dumps(schema).encode()

    rewrite(path, change)
    with pytest.raises(ValueError, match="not a sound LightGBM model"):
        load(path)


def test_a_booster_comes_as_its_checked_text_alone(targets, tmp_path):
    path = tmp_path / "ranker"

    def by_constructor(schema, handles):
        for node in file_checks._nodes(schema):
            if node.get("__class__") == "Booster":
                node["__loader__"] = "ConstructorFromReduceNode"

    def by_identity(schema, handles):
        evil = json.loads(json.dumps(handles[0])) | {"content": json.dumps("tree\n")}
        schema["content"]["content"] = {"evil": evil} | schema["content"]["content"]

    for attack, message in ((by_constructor, "not stored as its text"), (by_identity, "identity")):
        path.write_bytes(targets["ranker"])

        def change(members, attack=attack):
            schema, handles = booster_text(members)
            attack(schema, handles)
            members[file_checks.SCHEMA] = json.dumps(schema).encode()

        rewrite(path, change)
        with pytest.raises(ValueError, match=message):
            load(path)


def test_a_cache_folder_in_a_file_is_forgotten(data, tmp_path):
    """joblib unpickles what it finds in it."""
    cache = tmp_path / "cache"
    pipeline = make_pipeline(
        make_pipeline(StandardScaler(), StandardScaler(), memory=str(cache)),
        LinearRanker(max_iter=1),
        memory=str(cache),
    )
    pipeline.fit(data.X, data.y, linearranker__qid=data.qid)
    save(pipeline, tmp_path / "model")
    assert pipeline.memory == str(cache)
    again = load(tmp_path / "model")
    assert again.memory is None
    assert again[0].memory is None
    shutil.rmtree(cache)
    again.fit(data.X, data.y, linearranker__qid=data.qid)
    assert not cache.exists()


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
    assert kinds == set(GOLDEN_KINDS) - {"cascade"}


def test_a_release_writes_files_that_load(tmp_path):
    write_golden_files(tmp_path)
    written = list(tmp_path.glob("*.skd"))
    assert len(written) == len(GOLDEN_KINDS)
    assert all(agrees_with_golden_scores(path) for path in written)


if __name__ == "__main__":
    write_golden_files(GOLDEN)


def test_other_readers_of_skops_files_get_the_list_of_types(table):
    import skops.io

    import skdistill.serving

    student = MLPRanker((4,), max_iter=1).fit(table.X, table.y, qid=table.qid)
    data = skops.io.dumps(student)
    listed = skdistill.serving.trusted_types()
    assert listed == sorted(set(listed))
    unknown = set(skops.io.get_untrusted_types(data=data))
    assert unknown
    assert unknown <= set(listed)
    again = skops.io.loads(data, trusted=listed)
    assert_array_equal(again.predict(table.X), student.predict(table.X))
