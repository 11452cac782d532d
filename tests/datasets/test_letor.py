"""Files in the LETOR format."""

import gzip

import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.datasets import load_letor


def test_letor_files_are_read_one_after_the_other(tmp_path):
    first = "2 qid:10 1:0.5 3:1 # doc a\n0 qid:10 2:0.25 # doc b\n"
    second = "1 qid:7 1:1 2:1 3:1\n"
    (tmp_path / "a.txt").write_text(first)
    with gzip.open(tmp_path / "b.txt.gz", "wt") as file:
        file.write(second)
    data = load_letor([tmp_path / "a.txt", tmp_path / "b.txt.gz"])
    assert_allclose(data.X, [[0.5, 0, 1], [0, 0.25, 0], [1, 1, 1]])
    assert_array_equal(data.y, [2, 0, 1])
    assert_array_equal(data.qid, [10, 10, 7])
    assert sparse.issparse(load_letor(tmp_path / "a.txt", dense=False).X)
    (tmp_path / "c.txt").write_text("1 1:0.5\n")
    with pytest.raises(ValueError, match="names a qid in every line"):
        load_letor(tmp_path / "c.txt")
    with pytest.raises(FileNotFoundError):
        load_letor(tmp_path / "none.txt")
