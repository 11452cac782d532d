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


def test_columns_do_not_depend_on_the_features_that_a_file_happens_to_have(tmp_path):
    """A file does not tell whether its features count from 0, nor how many there are."""
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    train.write_text("1 qid:1 0:5 1:7 2:9\n")
    test.write_text("1 qid:9 1:7\n")
    with pytest.raises(ValueError, match=r"train.txt: line 1 names a feature 0.* zero_based=True"):
        load_letor(train)
    options = {"zero_based": True, "n_features": 3}
    assert_array_equal(load_letor(train, **options).X, [[5, 7, 9]])
    assert_array_equal(load_letor(test, **options).X, [[0, 7, 0]])
    assert load_letor(test, n_features=4).X.shape == (1, 4)
    for zero_based in (True, False):
        with pytest.raises(ValueError, match="line 1 names feature 1, but n_features is"):
            load_letor(test, n_features=int(zero_based), zero_based=zero_based)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "1 qid:9223372036854775808 1:3",
            r"line 2: 'qid:9223372036854775808' does not fit",
        ),
        ("1 qid:1 1:NULL", r"line 2: expected feature:value with numbers, got '1:NULL'"),
        ("1 qid:1 a:1", r"line 2: expected feature:value with numbers, got 'a:1'"),
        ("good qid:1 1:1", r"line 2 must begin with a label, got 'good'"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, line, message):
    (tmp_path / "a.txt").write_text(f"1 qid:1 1:.5e-3 # doc\n{line}\n")
    with pytest.raises(ValueError, match=f"a.txt: {message}"):
        load_letor(tmp_path / "a.txt")


def test_a_byte_order_mark_is_no_label(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeff1 qid:1 1:3\n")
    with gzip.open(tmp_path / "a.txt.gz", "wb") as file:
        file.write((tmp_path / "a.txt").read_bytes())
    for name in ("a.txt", "a.txt.gz"):
        data = load_letor(tmp_path / name)
        assert_array_equal(data.X, [[3]])
        assert_array_equal(data.y, [1])
