"""MovieLens: what is fetched, once, and what is refused."""

import hashlib

import pytest

from skdistill.datasets import load_movielens
from skdistill.datasets import movielens as movielens_module


def test_movielens_100k_is_what_it_should_be(movielens):
    ratings, users, items = movielens
    assert (len(ratings), len(users), len(items)) == (100_000, 943, 1682)
    assert set(ratings["rating"]) == {1, 2, 3, 4, 5}
    assert ratings["user_id"].max() == 942
    assert ratings["item_id"].max() == 1681
    assert not ratings.duplicated(["user_id", "item_id"]).any()
    assert items["title"].iloc[0] == "Toy Story"
    assert users["age"].between(5, 99).all()


def test_movielens_needs_a_network_once(tmp_path, monkeypatch):
    class Refused:
        returncode = 1
        stderr = "no route to the index"

    monkeypatch.setattr(movielens_module.subprocess, "run", lambda *a, **k: Refused())
    with pytest.raises(OSError, match=r"recbole==1.2.1.*no route to the index"):
        load_movielens("100k", data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_movielens_refuses_a_changed_file(movielens, tmp_path):
    from pathlib import Path

    from sklearn.datasets import get_data_home

    for name in ("inter", "user", "item"):
        text = (Path(get_data_home()) / "skdistill" / f"ml-100k.{name}").read_bytes()
        (tmp_path / f"ml-100k.{name}").write_bytes(text)
    load_movielens("100k", data_home=tmp_path)
    (tmp_path / "ml-100k.user").write_bytes(b"user_id\n")
    found = hashlib.sha256(b"user_id\n").hexdigest()
    with pytest.raises(ValueError, match=f"SHA-256 {found}, expected 4f670007"):
        load_movielens("100k", data_home=tmp_path)


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match=r"one of \['100k', '1m'\], got '25m'"):
        load_movielens("25m")
