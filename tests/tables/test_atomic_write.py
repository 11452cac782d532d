"""atomic_write: the old file or the new one, whatever others do in the folder meanwhile."""

import contextlib
import os
import stat
import threading

import pytest

from skdistill.tables.atomic_write import TEMPORARY_NAME, atomic_write


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with contextlib.suppress(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_each_writer_has_a_file_of_its_own(tmp_path):
    """Two writers of one path overlap: the last to finish wins, and its file is whole."""
    path = tmp_path / "file"
    with atomic_write(path) as first:
        first.write(b"first " * 10_000)
        with atomic_write(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"end")
    assert path.read_bytes() == b"first " * 10_000 + b"end"
    assert os.listdir(tmp_path) == ["file"]


def test_savers_in_threads_never_leave_half_a_file(tmp_path):
    path = tmp_path / "file"
    contents = {bytes([number]) * 50_000 for number in range(4)}
    path.write_bytes(next(iter(contents)))
    seen, errors = set(), []

    def save(content):
        try:
            for _ in range(20):
                with atomic_write(path) as file:
                    file.write(content)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.add(path.read_bytes())
    assert errors == []
    assert seen <= contents


@pytest.mark.parametrize("target", ["victim", "nothing"])
def test_planted_links_are_not_followed(tmp_path, monkeypatch, target):
    """Neither a link of the former fixed name nor one whose name was guessed."""
    (tmp_path / "victim").write_text("important")
    monkeypatch.setattr("secrets.token_hex", lambda n: "0123456789abcdef")
    for name in ("file.part", ".skdistill-0123456789abcdef.part"):
        os.symlink(tmp_path / target, tmp_path / name)
    with pytest.raises(FileExistsError, match="file"), atomic_write(tmp_path / "file") as file:
        file.write(b"new")
    monkeypatch.undo()
    with atomic_write(tmp_path / "file") as file:
        file.write(b"new")
    assert (tmp_path / "victim").read_text() == "important"
    assert not (tmp_path / "nothing").exists()
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_link_is_replaced_and_its_target_stays(tmp_path):
    (tmp_path / "target").write_text("old")
    os.symlink(tmp_path / "target", tmp_path / "link")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "target").read_text() == "old"
    assert (tmp_path / "link").read_text() == "new"


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "file") as file:
            name = next(name for name in os.listdir(tmp_path))
            file.write(b"")
        (tmp_path / "other").write_text("")
    finally:
        os.umask(before)
    assert TEMPORARY_NAME.fullmatch(name)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "other")]
    assert modes[0] == modes[1] == 0o666 & ~umask


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="none/model.skd"),
        atomic_write(tmp_path / "none" / "model.skd"),
    ):
        pass


def test_a_folder_is_no_file(tmp_path):
    message = r"is a folder\. Name a file, such as .*name"
    with pytest.raises(IsADirectoryError, match=message), atomic_write(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
