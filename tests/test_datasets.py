import gzip
import hashlib

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.datasets import build_ranking_table, load_letor, load_movielens, make_ranking
from skdistill.datasets import movielens as movielens_module
from skdistill.datasets.ranking_table import PairFeatures, split_by_time


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


def test_unknown_variant():
    with pytest.raises(ValueError, match=r"one of \['100k', '1m'\], got '25m'"):
        load_movielens("25m")


def test_split_by_time(movielens):
    ratings = movielens.ratings
    period = split_by_time(ratings, (0.6, 0.2, 0.2))
    for user in (0, 17, 500):
        rows = (ratings["user_id"] == user).to_numpy()
        times = ratings["timestamp"].to_numpy()[rows]
        for earlier, later in ((0, 1), (1, 2)):
            assert times[period[rows] == earlier].max() <= times[period[rows] == later].min()
        assert abs((period[rows] == 0).mean() - 0.6) < 0.05


def test_features_never_see_what_comes_later(movielens):
    """Changing every later rating changes no feature: labels alone."""
    ratings, users, items = movielens
    later = split_by_time(ratings, (0.8, 0.2)) == 1
    table = build_ranking_table(ratings, users, items, n_negatives=20)
    changed = ratings.copy()
    changed.loc[later, "rating"] = 6 - changed.loc[later, "rating"]
    other = build_ranking_table(changed, users, items, n_negatives=20)
    assert_array_equal(table.X.to_numpy(), other.X.to_numpy())
    assert not np.array_equal(table.y, other.y)
    # No candidate is an item of the user's own history.
    history = set(zip(*ratings.loc[~later, ["user_id", "item_id"]].to_numpy().T, strict=True))
    assert not history & set(zip(table.qid, table.item, strict=True))
    assert list(table.X.columns) == PairFeatures.columns
    assert table.X.shape[1] == 31
    assert np.isfinite(table.X.to_numpy()).all()


def test_negatives_are_uniform_draws(movielens):
    """A sorted difference cut at n would take the items of lowest number."""
    table = build_ranking_table(*movielens, n_negatives=50)
    negatives = table.item[table.y == 0]
    assert abs(negatives.mean() - 841) < 40
    first = table.qid == table.qid[0]
    assert len(set(table.item[first])) == first.sum()
    with pytest.raises(ValueError, match="between 0 and 1"):
        build_ranking_table(*movielens, history=1.5)


def test_features_by_hand():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    pairs = rng.permutation(40 * 30)[:400]
    history = pandas.DataFrame(
        {
            "user_id": pairs // 30,
            "item_id": pairs % 30,
            "rating": rng.integers(1, 6, 400).astype(float),
            "timestamp": rng.integers(0, 1000, 400),
        }
    )
    users = pandas.DataFrame(
        {
            "age": rng.integers(18, 60, 40).astype(float),
            "gender": rng.choice(["F", "M"], 40),
            "occupation": rng.choice(["a", "b"], 40),
        }
    )
    items = pandas.DataFrame({"year": np.full(30, 1990.0), "genres": ["x y", "y"] * 15})
    X = PairFeatures(history, users, items)(np.array([3]), np.array([7]))[0]
    column = dict(zip(PairFeatures.columns, X, strict=True))
    own, of_item = history[history.user_id == 3], history[history.item_id == 7]
    assert column["user_n_ratings"] == len(own)
    assert column["item_n_likes"] == (of_item.rating >= 4).sum()
    same = users.index[users.gender == users.gender[3]]
    expected = of_item.user_id.isin(same).sum() / len(same)
    assert_allclose(column["pair_popularity_in_gender"], expected, rtol=1e-5)
    cosines = 0.0
    for other in own.item_id:
        if other != 7:
            a, b = set(of_item.user_id), set(history.user_id[history.item_id == other])
            cosines += len(a & b) / np.sqrt(len(a) * len(b))
    assert_allclose(column["pair_neighbours_sum"], cosines, rtol=1e-5)


def test_letor(tmp_path):
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


def test_make_ranking():
    a, b = make_ranking(random_state=3), make_ranking(random_state=3)
    assert_array_equal(a.X, b.X)
    assert a.X.dtype == np.float32
    assert np.corrcoef(a.utility, a.y)[0, 1] > 0.8
    shares = np.bincount(a.y.astype(int)) / len(a.y)
    assert (np.diff(shares) < 0.03).all()
    ids = make_ranking(20, 10, 4, id_columns=(5, 6), random_state=0)
    assert ids.X.shape == (200, 15)
    assert (ids.X[:, 4:].sum(axis=1) == 2).all()
    with pytest.raises(ValueError, match="truth must be one of"):
        make_ranking(truth="none")
