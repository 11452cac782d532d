"""Outputs that are inputs, under whatever name, and outputs that inputs would find."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skdistill.serving import OutputError, TableError
from skdistill.tables.overwriting import check_is_not_read, check_replaces_none
from skdistill.tables.reading import find_files


def names_of_one_file(folder):
    """A file, and other names of it."""
    (folder / "deep").mkdir()
    file = folder / "table.csv"
    file.write_text("a\n1\n")
    os.symlink(file, folder / "link.csv")
    os.link(file, folder / "hard.csv")
    os.symlink(folder, folder / "deep" / "up")
    return [
        file,
        folder / "link.csv",
        folder / "hard.csv",
        folder / "deep" / ".." / "table.csv",
        folder / "deep" / "up" / "table.csv",
        Path(os.path.relpath(file)),
    ]


def test_no_name_of_an_input_may_be_an_output(tmp_path):
    names = names_of_one_file(tmp_path)
    for output in names:
        for file in names:
            with pytest.raises(OutputError, match="is an output, but also"):
                check_replaces_none([tmp_path / "other", output], [file])
    (tmp_path / "same content").write_text("a\n1\n")
    check_replaces_none([tmp_path / "same content", tmp_path / "none"], names)


PARTS = st.sampled_from(["a", "b", "_hidden", ".dot"])
PATTERNS = st.sampled_from(["a", "b", "*", "**", "_*", "?"])


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    folders=st.lists(PARTS, max_size=3),
    pattern=st.lists(PATTERNS, max_size=3),
    last=st.sampled_from(["*.csv", "*", "out.csv", "*.parquet", None]),
)
@example(folders=[], pattern=["*", "**"], last=None)
def test_an_output_is_refused_exactly_if_the_next_run_would_read_it(
    tmp_path_factory, folders, pattern, last
):
    """The check knows before the file is there what ``find_files`` finds when it is."""
    root = tmp_path_factory.mktemp("root")
    given = os.path.join(root, *pattern, *([last] if last else []))
    output = root.joinpath(*folders, "out.csv")
    if Path(given).exists():
        given = str(root)
    try:
        check_is_not_read(output, given)
        is_refused = False
    except OutputError:
        is_refused = True
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("a\n1\n")
    try:
        found = [file.path for file in find_files(given)]
    except TableError:
        found = []
    assert is_refused == (output in found)
