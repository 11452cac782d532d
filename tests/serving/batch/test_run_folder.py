"""The output folder of a run: nothing of others is replaced, and only intact parts are believed."""

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skdistill.serving import OutputError, score_table
from skdistill.serving.batch.run_folder import RunFolder
from skdistill.students import LinearRanker

NAMES = list("abcd")


@pytest.fixture(scope="module")
def frame():
    X = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    return pd.DataFrame(X, columns=NAMES).assign(query=np.repeat(np.arange(15), 20))


@pytest.fixture(scope="module")
def model(frame):
    student = LinearRanker(max_iter=2, random_state=0)
    return student.fit(frame[NAMES], np.arange(300) % 3, qid=frame["query"])


@pytest.fixture
def inputs(frame, tmp_path):
    """Three tables, whose queries are spread over all of them."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        frame[number::3].to_parquet(folder / f"{number}.parquet", index=False)
    return folder


def contents(folder):
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def parts(folder):
    return {name: data for name, data in contents(folder).items() if name.startswith("part-")}


@pytest.mark.parametrize(("name", "output_format"), [("s.csv", "parquet"), ("s.Parquet", "csv")])
def test_a_folder_that_is_named_as_a_file_of_another_format_is_told(
    model, inputs, tmp_path, name, output_format
):
    with pytest.warns(UserWarning, match="is the name of a .* but the output is a folder of"):
        score_table(model, inputs, tmp_path / name, output_format=output_format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The folder is there already.
        score_table(model, inputs, tmp_path / name, output_format=output_format)


def test_a_folder_may_be_named_by_its_own_format(model, inputs, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score_table(model, inputs, tmp_path / "scores.parquet")
    assert len(pd.read_parquet(tmp_path / "scores.parquet")) == 300


@pytest.mark.parametrize("kind", ["same", "link", "hard link", "resolved"])
def test_rejects_never_replace_an_input(model, inputs, tmp_path, kind):
    before = contents(inputs)
    file = inputs / "1.parquet"
    rejects = {"same": file, "resolved": inputs / ".." / "in" / "1.parquet"}.get(
        kind, tmp_path / "rejects.csv"
    )
    if kind == "link":
        os.symlink(file, rejects)
    if kind == "hard link":
        os.link(file, rejects)
    with pytest.raises(OutputError, match="is an output, but also .*1.parquet"):
        score_table(model, inputs, tmp_path / "out", rejects=rejects)
    assert contents(inputs) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["part-00000.parquet", "part-00007.csv", "_plan.json", "_done/part-00000.json", "_done"]
)
def test_rejects_never_replace_a_file_of_the_run(model, inputs, tmp_path, name):
    score_table(model, inputs, tmp_path / "out", rejects=tmp_path / "rejects.csv")
    before = contents(tmp_path / "out")
    with pytest.raises(OutputError):
        score_table(model, inputs, tmp_path / "out", rejects=tmp_path / "out" / name)
    assert contents(tmp_path / "out") == before


def test_rejects_that_cannot_be_written_end_the_run_at_its_start(model, inputs, tmp_path):
    for rejects, message in [
        (tmp_path / "none" / "rejects.csv", "written: there is no such folder.$"),
        (tmp_path / "out", "written: the run keeps its own files there. Choose another path"),
    ]:
        with pytest.raises(OutputError, match=message):
            score_table(model, inputs, tmp_path / "out", rejects=rejects)
    assert not (tmp_path / "out").exists()
    # The folder of the run itself is made by the run.
    score_table(model, inputs, tmp_path / "out", rejects=tmp_path / "out" / "rejects.csv")
    assert (tmp_path / "out" / "rejects.csv").exists()


def test_rejects_that_the_next_run_would_read_are_refused(model, inputs, tmp_path):
    for given in (inputs, inputs / "*", tmp_path / "**" / "*"):
        with pytest.raises(OutputError, match="the next run would read it"):
            score_table(model, given, tmp_path / "out", rejects=inputs / "rejects.csv")
    assert sorted(contents(inputs)) == ["0.parquet", "1.parquet", "2.parquet"]


@pytest.mark.parametrize("output", ["scores", "deep/scores", "_scores"])
@pytest.mark.parametrize("pattern", ["", "*", "**/*.parquet", "*.parquet"])
def test_a_run_does_not_read_its_own_output(model, inputs, output, pattern):
    """The same command runs again, anew or after an interruption, wherever its output lies."""
    given, folder = inputs / pattern, inputs / output
    expected = None
    for resume in (True, True, False):
        rejects = folder / "rejects.csv"
        assert score_table(model, given, folder, rejects=rejects, resume=resume).n_shards == 3
        expected = expected or parts(folder)
        assert len(expected) == 3
        assert parts(folder) == expected
        (folder / "part-00001.parquet").unlink()


def test_an_output_that_holds_the_inputs_is_refused(model, inputs, tmp_path):
    for given in (inputs, inputs / "*.parquet", inputs / "1.parquet"):
        for output in (inputs, tmp_path):
            with pytest.raises(OutputError, match="is the output, but also holds"):
                score_table(model, given, output)
    with pytest.raises(OutputError, match="is the output, but also holds all tables"):
        score_table(model, tmp_path / "*" / "*.parquet", inputs)
    assert sorted(contents(inputs)) == ["0.parquet", "1.parquet", "2.parquet"]


def test_an_input_inside_the_output_folder_is_refused(model, inputs, tmp_path):
    score_table(model, inputs, tmp_path / "out")
    shutil.copy(inputs / "0.parquet", tmp_path / "out" / "mine.parquet")
    for resume in (True, False):
        with pytest.raises(OutputError, match="is the output, but also holds the input"):
            score_table(model, tmp_path / "out" / "mine.parquet", tmp_path / "out", resume=resume)
    assert (tmp_path / "out" / "mine.parquet").exists()


def flipped(data):
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "cut": lambda path: os.truncate(path, 10),
    "empty": lambda path: os.truncate(path, 0),
    "altered": lambda path: path.write_bytes(
        path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:]
    ),
    "of another shard": lambda path: shutil.copy(path.with_name("part-00000.parquet"), path),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("top_k", [None, 3])
def test_a_part_that_is_not_as_it_was_written_is_done_again(model, inputs, tmp_path, damage, top_k):
    options = {} if top_k is None else {"query_column": "query", "top_k": top_k}
    score_table(model, inputs, tmp_path / "out", **options)
    before = parts(tmp_path / "out")
    stamp = (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns
    DAMAGE[damage](tmp_path / "out" / "part-00001.parquet")
    progress = score_table(model, inputs, tmp_path / "out", **options)
    # The best rows of a query come from all shards, and candidates are gone.
    assert progress.n_repeated == (1 if top_k is None else 3)
    assert (progress.n_shards, progress.n_rows) == (3, 300)
    assert parts(tmp_path / "out") == before
    if top_k is None:
        assert (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns == stamp
    assert score_table(model, inputs, tmp_path / "out", **options).n_repeated == 0
    assert not (tmp_path / "out" / "_candidates").exists()


@pytest.mark.parametrize("mark", [b"", b"[]", b"{}", b'{"rows": 100, "rejects": []}', b"\xff"])
def test_marks_of_earlier_releases_and_damaged_ones_are_not_believed(model, inputs, tmp_path, mark):
    score_table(model, inputs, tmp_path / "out")
    before = parts(tmp_path / "out")
    (tmp_path / "out" / "_done" / "part-00001.json").write_bytes(mark)
    os.truncate(tmp_path / "out" / "part-00001.parquet", 10)
    score_table(model, inputs, tmp_path / "out")
    assert parts(tmp_path / "out") == before


def test_a_run_that_dies_among_the_final_parts_goes_on(model, inputs, tmp_path, monkeypatch):
    options = {"query_column": "query", "top_k": 3}
    score_table(model, inputs, tmp_path / "whole", **options)
    replaced, n_left = os.replace, [8]

    def dies(source, target):
        n_left[0] -= 1
        if not n_left[0]:
            raise KeyboardInterrupt
        replaced(source, target)

    for steps in range(1, 16):
        n_left[0] = steps
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", dies)
            try:
                score_table(model, inputs, tmp_path / "out", **options)
                break
            except KeyboardInterrupt:
                pass
    assert score_table(model, inputs, tmp_path / "out", **options).n_repeated == 0
    assert parts(tmp_path / "out") == parts(tmp_path / "whole")


def test_starting_again_removes_what_the_plan_names_and_nothing_else(model, inputs, tmp_path):
    out = tmp_path / "out"
    score_table(model, inputs, out)
    others = ["download.part", "part-00099.parquet", "part-of-mine.txt", "_done/note.txt"]
    for name in others:
        (out / name).write_text("mine")
    leftover = out / ".skdistill-0123456789abcdef.part"
    leftover.write_text("of a run that was killed")
    score_table(model, inputs / "0.parquet", out, output_format="csv", resume=False)
    assert {name for name in contents(out) if "mine" in (out / name).read_text()} == set(others)
    assert not leftover.exists()
    assert sorted(out.glob("part-0000*")) == [out / "part-00000.csv"]


@pytest.mark.parametrize("name", ["_done", "_candidates"])
@pytest.mark.parametrize("resume", [True, False])
def test_links_out_of_the_folder_are_not_followed(model, inputs, tmp_path, name, resume):
    options = {"query_column": "query", "top_k": 3}
    score_table(model, inputs, tmp_path / "out", **options)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in ("part-00000.json", "part-00000.parquet"):
        (elsewhere / file).write_text("important")
    shutil.rmtree(tmp_path / "out" / name, ignore_errors=True)
    os.symlink(elsewhere, tmp_path / "out" / name)
    with pytest.raises(OutputError, match="is a link"):
        score_table(model, inputs, tmp_path / "out", **options, resume=resume)
    assert set(contents(elsewhere).values()) == {b"important"}
    assert len(contents(elsewhere)) == 2


def test_a_link_in_place_of_a_part_is_replaced(model, inputs, tmp_path):
    score_table(model, inputs, tmp_path / "out")
    (tmp_path / "victim").write_text("important")
    part = tmp_path / "out" / "part-00001.parquet"
    for resume in (True, False):
        part.unlink()
        os.symlink(tmp_path / "victim", part)
        score_table(model, inputs, tmp_path / "out", resume=resume)
        assert not part.is_symlink()
        assert (tmp_path / "victim").read_text() == "important"


def test_starting_again_removes_marks_before_parts(model, inputs, tmp_path, monkeypatch):
    """A run that dies meanwhile leaves no mark without its part."""
    out = tmp_path / "out"
    unlink = Path.unlink
    for n_steps in range(7):
        score_table(model, inputs, out)
        left = [n_steps]

        def dies(path, *args, left=left, **options):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            unlink(path, *args, **options)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", dies)
            with pytest.raises(KeyboardInterrupt):
                score_table(model, inputs, out, resume=False)
        marks = {path.stem for path in (out / "_done").iterdir()}
        assert marks <= {path.stem for path in out.glob("part-*")}


def test_starting_again_removes_marks_before_candidates(model, inputs, tmp_path, monkeypatch):
    """As parts, also where a run died before its final parts and left its candidates."""
    out, options = tmp_path / "out", {"query_column": "query", "top_k": 3}
    folder = RunFolder(out, "parquet", keeps_candidates=True)
    removed = []

    def remember(path, *args, **_):
        removed.append(path.relative_to(out).parts[0].partition("-")[0])

    score_table(model, inputs, out, **options)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", remember)
        folder._remove((out / "_plan.json").read_text())
    assert removed == ["_done"] * 3 + ["_candidates"] * 3 + ["part"] * 3


def test_a_plan_that_cannot_be_read_names_nothing_to_remove(model, inputs, tmp_path):
    score_table(model, inputs, tmp_path / "out")
    for plan in ("{", "[]", "{}", '{"inputs": 3, "output_format": "csv"}', "\xff"):
        (tmp_path / "out" / "_plan.json").write_text(plan, encoding="latin-1")
        before = contents(tmp_path / "out")
        with pytest.raises(OutputError, match="Remove the folder"):
            score_table(model, inputs, tmp_path / "out", resume=False)
        with pytest.raises(OutputError, match="its plan cannot be read|inputs"):
            score_table(model, inputs, tmp_path / "out")
        assert contents(tmp_path / "out") == before


def test_a_run_that_died_before_its_plan_can_start(model, inputs, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".skdistill-0123456789abcdef.part").write_text("{")
    assert score_table(model, inputs, tmp_path / "out").n_shards == 3


def test_a_mark_holds_size_and_digest(model, inputs, tmp_path):
    import hashlib

    score_table(model, inputs, tmp_path / "out")
    for number in range(3):
        mark = json.loads((tmp_path / "out" / "_done" / f"part-{number:05d}.json").read_text())
        data = (tmp_path / "out" / f"part-{number:05d}.parquet").read_bytes()
        record = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        assert mark["files"] == {f"part-{number:05d}.parquet": record}
