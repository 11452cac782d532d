"""Towers that go on: ``partial_fit`` of a day's log, and ``fit`` with ``warm_start=True``."""

import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMRanker
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import OneHotEncoder

from skdistill import MultiObjectiveRetriever, TwoTowerRetriever
from skdistill.metrics import retrieval_recall
from skdistill.serving import load, save
from skdistill.towers.going_on import setup_to_go_on
from skdistill.towers.pair_table import PairTable
from skdistill.training.loop import TrainingSettings

GOLDEN = Path(__file__).parents[1] / "golden"


class Shop:
    """Users and items with tastes; the last users and items are new on the last day."""

    def __init__(self, n_users=300, n_items=200, n_new_users=20, n_new_items=15, seed=0):
        rng = np.random.default_rng(seed)
        tastes, kinds = rng.standard_normal((n_users, 6)), rng.standard_normal((n_items, 6))
        self.utility = (tastes @ kinds.T + rng.standard_normal(n_items)).astype(np.float32)
        self.users = pd.DataFrame(
            {
                "user": [f"u{number}" for number in range(n_users)],
                "city": rng.choice(["Basel", "Bern", "Zug"], n_users),
                "age": rng.normal(40, 10, n_users),
            }
        )
        self.items = pd.DataFrame(
            {
                "item": np.arange(n_items) * 7,
                "kind": rng.choice(["book", "film"], n_items),
                "price": rng.exponential(10, n_items),
            }
        )
        noisy = self.utility + rng.gumbel(size=self.utility.shape)
        self.best = np.argsort(-noisy, axis=1)[:, :12]
        self.known_users = np.arange(n_users - n_new_users)
        self.known_items = np.arange(n_items - n_new_items)
        self.day_users = np.r_[:10, self.known_users[-1] + 1 : n_users]
        self.others = np.setdiff1d(self.known_users, self.day_users)

    def log(self, users, items):
        """Rows of these users with those of their best items that exist."""
        user, place = np.nonzero(np.isin(self.best[users], items))
        item = self.best[users][user, place]
        user = users[user]
        X = [self.users.iloc[user], self.items.iloc[item]]
        X = pd.concat([table.reset_index(drop=True) for table in X], axis=1)
        return {"X": X, "y": np.ones(len(X)), "qid": user}

    @property
    def before(self):
        """Arguments of ``fit`` before the last day."""
        known = self.known_users[:, None], self.known_items
        return {
            **self.log(*map(np.ravel, known)),
            "items": self.items.iloc[self.known_items],
            "teacher_scores": self.utility[known],
        }

    @property
    def day(self):
        """Arguments of ``partial_fit`` on the last day."""
        return {
            **self.log(self.day_users, np.arange(len(self.items))),
            "items": self.items,
            "teacher_scores": self.utility[self.day_users],
        }

    def recall(self, towers, users):
        """Fraction of the best ten items of these users among the first twenty."""
        found = towers.retrieve(self.users.iloc[users], 20)[0]
        best = np.argsort(-self.utility[users], axis=1)[:, :10]
        relevant = np.zeros((len(users), len(self.items)))
        np.put_along_axis(relevant, best, 1, axis=1)
        return retrieval_recall(sparse.csr_array(relevant), found, k=20)


@pytest.fixture(scope="module")
def shop():
    return Shop()


def towers(**parameters):
    defaults = {"embedding_dim": 12, "teacher_check": False, "random_state": 0}
    sides = {"query_columns": ["user", "city", "age"], "item_columns": ["item", "kind", "price"]}
    return TwoTowerRetriever(**sides, **{**defaults, **parameters})


@pytest.fixture(scope="module")
def fitted(shop):
    return towers().fit(**shop.before)


def go_on(estimator, shop, **changes):
    return copy_of(estimator).partial_fit(**{**shop.day, **changes})


def copy_of(estimator):
    """Make a retriever with the same attributes, none of which a fit may change in place."""
    copy = clone(estimator)
    vars(copy).update(vars(estimator))
    return copy


def test_a_day_is_learnt_and_nothing_is_forgotten(shop, fitted):
    day = go_on(fitted, shop)
    everyone, all_items = np.arange(len(shop.users)), np.arange(len(shop.items))
    again = towers().fit(
        **shop.log(everyone, all_items), items=shop.items, teacher_scores=shop.utility
    )
    new = np.setdiff1d(shop.day_users, shop.known_users)
    stale = copy_of(fitted).index(shop.items)
    assert shop.recall(stale, new) < 0.5
    assert shop.recall(day, new) > 0.95 * shop.recall(again, new)
    assert shop.recall(day, shop.day_users) > 0.97 * shop.recall(again, shop.day_users)
    assert shop.recall(day, shop.others) > 0.97 * shop.recall(again, shop.others)


def test_new_ids_become_as_large_as_known_ones_at_any_rate(shop, fitted):
    slow = copy_of(fitted).set_params(learning_rate_init=1e-5).partial_fit(**shop.day)
    assert shop.recall(slow, np.setdiff1d(shop.day_users, shop.known_users)) > 0.95


def test_all_others_keep_their_embeddings(shop, fitted):
    day = go_on(fitted, shop)
    changed = fitted.transform_queries(shop.users) != day.transform_queries(shop.users)
    assert_array_equal(np.flatnonzero(changed.any(axis=1)), shop.day_users)
    changed = fitted.transform_items(shop.items) != day.transform_items(shop.items)
    new = np.setdiff1d(np.arange(len(shop.items)), shop.known_items)
    assert_array_equal(np.flatnonzero(changed.any(axis=1)), new)
    # The estimator of before is as it was.
    assert fitted.query_transformer_.n_codes < day.query_transformer_.n_codes


@pytest.mark.parametrize(
    "parameters",
    [
        {"query_hidden": (16,), "item_hidden": (16,)},
        {"n_candidates": 40},
        {"alpha": 0.0},
        {"similarity": "cosine"},
        {"known_items": "mask", "optimizer": "adagrad", "weight_decay": 0.1},
    ],
    ids=str,
)
def test_towers_of_all_kinds_go_on(shop, parameters):
    fitted = towers(max_iter=8, **parameters).fit(**shop.before)
    day = go_on(fitted, shop)
    new = np.setdiff1d(shop.day_users, shop.known_users)
    assert_array_equal(
        fitted.transform_queries(shop.users.iloc[shop.others]),
        day.transform_queries(shop.users.iloc[shop.others]),
    )
    assert shop.recall(day, new) > shop.recall(copy_of(fitted).index(shop.items), new) + 0.02


def test_many_ids_are_trained_row_by_row():
    shop = Shop(n_users=1500, n_items=1300, n_new_users=30, n_new_items=20)
    fitted = towers(n_candidates=100, max_iter=5).fit(**shop.before)
    day = go_on(fitted, shop)
    new = np.setdiff1d(shop.day_users, shop.known_users)
    others = shop.users.iloc[shop.others]
    assert_array_equal(fitted.transform_queries(others), day.transform_queries(others))
    assert shop.recall(day, new) > 2 * shop.recall(copy_of(fitted).index(shop.items), new)


def test_new_categories_start_as_they_were_embedded(shop, fitted):
    day = shop.day
    going_on = copy_of(fitted)
    sides = day["X"][["user", "city", "age"]], day["X"][["item", "kind", "price"]]
    pairs = PairTable.split(*sides, day["qid"], shop.items)
    before = fitted.transform_queries(shop.users), fitted.transform_items(shop.items)
    setup = setup_to_go_on(going_on, pairs, TrainingSettings.of(fitted))
    going_on.params_ = setup.start
    going_on._scorers = going_on._fold(setup.start)
    assert_array_equal(going_on.transform_queries(shop.users), before[0])
    assert_array_equal(going_on.transform_items(shop.items), before[1])


def test_labels_of_the_log_without_a_catalogue(shop, fitted):
    day = {name: shop.day[name] for name in ("X", "y", "qid")}
    day["y"] = np.random.default_rng(0).integers(0, 2, len(day["X"]))
    after = towers(alpha=0.0).fit(**shop.before).partial_fit(**day)
    assert_array_equal(
        fitted.item_transformer_.categories[0].values,
        after.item_transformer_.categories[0].values[: len(shop.known_items)],
    )
    with pytest.raises(ValueError, match="no index to search"):
        after.retrieve(shop.users[:2])


def test_fit_without_a_catalogue_drops_the_index_of_former_towers(shop):
    retriever = towers(alpha=0.0, max_iter=1).fit(**shop.before)
    log = shop.log(shop.known_users, shop.known_items)
    log["y"] = np.random.default_rng(0).integers(0, 2, len(log["X"]))
    retriever.fit(**log)
    with pytest.raises(ValueError, match="no index to search"):
        retriever.retrieve(shop.users[:2])


def test_further_labels_have_the_decay_of_labels(shop):
    """A teacher's scores have none, as in fit."""
    for alpha, decay in ((0.0, 0.2), (1.0, 0.0)):
        given = {} if alpha else {"teacher_scores": None}
        fitted = towers(alpha=alpha, max_iter=2).fit(**{**shop.before, **given})
        curves = {}
        for one in ("auto", 0.2, 0.0):
            further = copy_of(fitted).set_params(weight_decay=one).partial_fit(**shop.day | given)
            curves[one] = further.loss_curve_
        assert curves["auto"] == curves[decay]
        assert curves["auto"] != curves[0.2 - decay]


def test_a_fitted_teacher_is_asked_and_none_is_fitted(shop):
    columns = ["age", "price"]
    rng = np.random.default_rng(0)
    log = shop.log(shop.known_users, shop.known_items)
    y = rng.integers(0, 3, len(log["X"]))

    def rows(queries, items):
        return pd.concat([queries[["age"]], items[["price"]]], axis=1)

    ranker = LGBMRanker(n_estimators=5, verbose=-1)
    parameters = {"pair_features": rows, "max_iter": 2}
    catalogue = shop.items.iloc[shop.known_items]
    day = {name: shop.day[name] for name in ("X", "y", "qid", "items")}
    retriever = towers(teacher=ranker, **parameters)
    retriever.fit(log["X"], y, qid=log["qid"], items=catalogue)
    teacher = retriever.teacher_
    retriever.partial_fit(**day)
    assert retriever.teacher_ is teacher
    other = FrozenEstimator(
        clone(ranker).fit(log["X"][columns], y, group=np.unique(log["qid"], return_counts=True)[1])
    )
    retriever.set_params(teacher=other).partial_fit(**day)
    assert retriever.teacher_ is other
    retriever = towers(teacher=ranker, keep_teacher=False, **parameters)
    retriever.fit(log["X"], y, qid=log["qid"], items=catalogue)
    with pytest.raises(ValueError, match="partial_fit fits no teacher.*keep_teacher=True"):
        retriever.partial_fit(**day)


def test_the_first_call_is_a_fit(shop, fitted):
    first = towers().partial_fit(**shop.before)
    assert_array_equal(first.transform_queries(shop.users), fitted.transform_queries(shop.users))


def test_days_follow_each_other(shop, fitted):
    days = np.array_split(shop.day_users, 3)
    retriever = copy_of(fitted)
    for users in days:
        log = shop.log(users, np.arange(len(shop.items)))
        retriever.partial_fit(**log, items=shop.items, teacher_scores=shop.utility[users])
    assert retriever.n_iter_ == fitted.n_iter_ + 3 * 2 * 20
    assert len(retriever.loss_curve_) == retriever.n_iter_
    assert shop.recall(retriever, shop.day_users) > 0.9


def test_files_keep_what_a_day_has_added(shop, fitted, tmp_path):
    day = go_on(fitted, shop)
    save(day, tmp_path / "towers.skd")
    joblib.dump(day, tmp_path / "towers.joblib")
    for loaded in (load(tmp_path / "towers.skd"), joblib.load(tmp_path / "towers.joblib")):
        expected = day.transform_queries(shop.users)
        assert_array_equal(loaded.transform_queries(shop.users), expected)
        loaded.partial_fit(**shop.day)


def test_several_objectives_go_on(shop):
    retriever = MultiObjectiveRetriever(
        objectives={"click": "listwise", "teacher": "listwise"},
        query_columns=["user", "city", "age"],
        item_columns=["item", "kind", "price"],
        max_iter=5,
        teacher_check=False,
        random_state=0,
    ).fit(**shop.before)
    others = shop.users.iloc[shop.others]
    before = retriever.transform_queries(others)
    retriever.partial_fit(**shop.day)
    assert_array_equal(retriever.transform_queries(others), before)
    lacking = {name: value for name, value in shop.day.items() if name != "teacher_scores"}
    with pytest.raises(ValueError, match='The objective "teacher" needs a teacher'):
        retriever.partial_fit(**lacking)


def test_a_warm_start_trains_everything(shop, fitted):
    cold = towers(max_iter=1).fit(**shop.before)
    warm = copy_of(fitted).set_params(warm_start=True, max_iter=1).fit(**shop.before)
    assert warm.loss_curve_[0] < 0.9 * cold.loss_curve_[0]
    others = shop.users.iloc[shop.others]
    assert (
        not np.isclose(warm.transform_queries(others), fitted.transform_queries(others))
        .all(axis=1)
        .any()
    )
    assert_array_equal(warm.query_scaler_.scale, fitted.query_scaler_.scale)


def test_a_warm_start_gives_new_ids_weights(shop, fitted):
    everyone = shop.log(np.arange(len(shop.users)), np.arange(len(shop.items)))
    warm = copy_of(fitted).set_params(warm_start=True)
    warm.fit(**everyone, items=shop.items, teacher_scores=shop.utility)
    new = np.setdiff1d(np.arange(len(shop.users)), shop.known_users)
    assert shop.recall(warm, new) > shop.recall(copy_of(fitted).index(shop.items), new) + 0.3


def test_a_warm_start_is_watched_by_a_validation_table(shop, fitted):
    warm = copy_of(fitted).set_params(warm_start=True, max_iter=3)
    val = {f"{name}_val": value for name, value in shop.day.items() if name != "items"}
    warm.fit(**{**shop.before, "items": shop.items, "teacher_scores": shop.utility[:280]}, **val)
    assert len(warm.validation_scores_) == 3


def test_what_cannot_go_on_says_so(shop, fitted):
    with pytest.raises(ValueError, match="architecture of its towers has changed"):
        copy_of(fitted).set_params(embedding_dim=7).partial_fit(**shop.day)
    changed = copy_of(fitted).set_params(query_hidden=(8,), warm_start=True)
    with pytest.raises(ValueError, match="architecture of its towers has changed"):
        changed.fit(**shop.before)
    day = shop.day
    with pytest.raises(ValueError, match="feature names should match"):
        copy_of(fitted).partial_fit(**{**day, "X": day["X"].drop(columns="city")})
    with pytest.raises(ValueError, match="item"):
        copy_of(fitted).partial_fit(**{**day, "items": shop.items.assign(item="x")})


def test_numbers_alone_leave_nothing_to_train(shop):
    numbers = {"query_columns": ["age"], "item_columns": ["price"]}
    before, day = shop.before, shop.day
    for arguments in (before, day):
        arguments["X"] = arguments["X"][["age", "price"]]
        arguments["items"] = arguments["items"][["price"]]
    retriever = towers(max_iter=1).set_params(**numbers).fit(**before)
    expected = retriever.transform_queries(shop.users)
    with pytest.warns(UserWarning, match="trains nothing.*warm_start=True"):
        retriever.partial_fit(**day)
    assert len(retriever.retrieve(shop.users, 200)[0][0]) == len(shop.items)
    assert_array_equal(retriever.transform_queries(shop.users), expected)
    retriever.set_params(warm_start=True).fit(**day)


def test_towers_of_release_0_1_say_that_they_take_no_new_categories(shop, fitted):
    former = copy_of(fitted)
    encoder = ColumnTransformer([("all", OneHotEncoder(handle_unknown="ignore"), ["user"])])
    former.query_transformer_ = encoder.fit(shop.users)
    with pytest.raises(ValueError, match="fitted by release 0.1.*warm_start=False"):
        former.partial_fit(**shop.day)


def test_transformers_of_users_stay_as_they_are(shop):
    encoder = ColumnTransformer([("all", OneHotEncoder(handle_unknown="ignore"), ["user"])])
    retriever = towers(query_transformer=encoder, max_iter=5).fit(**shop.before)
    before = retriever.transform_queries(shop.users)
    retriever.partial_fit(**shop.day)
    assert_array_equal(retriever.transform_queries(shop.users), before)
    changed = retriever.transform_items(shop.items.iloc[-15:])
    assert len(np.unique(changed, axis=0)) == 15  # new items have learnt


def test_equal_seeds_give_equal_bits(shop, fitted):
    assert_array_equal(
        go_on(fitted, shop).transform_queries(shop.users),
        go_on(fitted, shop).transform_queries(shop.users),
    )


def test_an_index_that_loses_its_ids_is_told(shop, fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy_of(fitted).partial_fit(**shop.day)
    with_ids = copy_of(fitted).index(shop.items, [f"i{item}" for item in range(len(shop.items))])
    with pytest.warns(UserWarning, match=r"anew, without the ids.*Call index\(items, ids\) again"):
        with_ids.partial_fit(**shop.day)
    assert with_ids.retrieve(shop.users, k=1)[0].dtype.kind == "i"
