"""The MovieLens table of candidates: features that never see the future, by hand."""

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdistill.datasets import build_ranking_table
from skdistill.datasets.ranking_table import PairFeatures, split_by_time


def test_a_split_by_time_puts_earlier_ratings_first(movielens):
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


def test_features_of_a_pair_by_hand():
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
