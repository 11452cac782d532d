"""A validation table stops towers and their teacher early, and is never trained on."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator

from skdistill import MultiObjectiveRetriever, TwoTowerRetriever
from skdistill.datasets import make_retrieval
from skdistill.metrics import ndcg_score

DATA = make_retrieval(n_queries=240, n_items=150, random_state=0)
LATER = DATA.qid >= np.unique(DATA.qid)[160]
X, Y, QID = DATA.X[~LATER], DATA.y[~LATER], DATA.qid[~LATER]
X_VAL, Y_VAL, QID_VAL = DATA.X[LATER], DATA.y[LATER], DATA.qid[LATER]
WEEK = {"X_val": X_VAL, "y_val": Y_VAL, "qid_val": QID_VAL}
COLUMNS = {"query_columns": DATA.query_columns, "item_columns": DATA.item_columns}
SLOW = {**COLUMNS, "embedding_dim": 4, "max_iter": 40, "n_iter_no_change": 2, "random_state": 0}
HEADS = {"click": "listwise", "teacher": "listwise"}
OBJECTIVES = {**SLOW, "objectives": HEADS}
UTILITY = DATA.utility(
    np.repeat(DATA.queries, len(DATA.items), axis=0), np.tile(DATA.items, (len(DATA.queries), 1))
).reshape(len(DATA.queries), len(DATA.items))
SCORES, SCORES_VAL = UTILITY[:160], UTILITY[160:]


@pytest.mark.parametrize("weighted", [False, True])
def test_towers_stop_by_the_teachers_scores_of_the_validation_queries(weighted):
    towers = TwoTowerRetriever(**SLOW)
    weight = np.where(QID_VAL % 2, 9.0, 0.0) if weighted else None
    towers.fit(X, qid=QID, items=DATA.items, teacher_scores=SCORES, X_val=X_VAL, qid_val=QID_VAL,
               teacher_scores_val=SCORES_VAL, sample_weight_val=weight)  # fmt: skip
    assert len(towers.validation_scores_) == towers.n_iter_
    found = [
        np.isin(np.argsort(-scores)[:10], ids).mean()
        for scores, ids in zip(SCORES_VAL, towers.retrieve(DATA.queries[160:], 50)[0], strict=True)
    ]
    found = found[1::2] if weighted else found
    assert np.mean(found) == pytest.approx(max(towers.validation_scores_), abs=2e-3)
    # All queries are trained on: the epochs are those of a fit that watches nothing.
    whole = TwoTowerRetriever(**SLOW).fit(X, qid=QID, items=DATA.items, teacher_scores=SCORES)
    assert whole.validation_scores_ == []
    assert towers.loss_curve_ == whole.loss_curve_[: towers.n_iter_]


def test_towers_stop_by_labels_where_there_are_no_scores():
    towers = TwoTowerRetriever(**SLOW, alpha=0.0)
    towers.fit(X, Y, qid=QID, items=DATA.items, **WEEK)
    assert 0 < max(towers.validation_scores_) <= 1
    assert len(towers.validation_scores_) == towers.n_iter_
    mixed = TwoTowerRetriever(**SLOW)
    mixed.fit(X, qid=QID, items=DATA.items, teacher_scores=SCORES, **WEEK)
    assert len(mixed.validation_scores_) == mixed.n_iter_


def test_towers_without_a_catalogue_stop_by_ndcg_of_the_rows():
    towers = TwoTowerRetriever(**SLOW, alpha=0.0)
    towers.fit(X, Y, qid=QID, **WEEK)
    score = ndcg_score(Y_VAL, towers.predict(X_VAL), qid=QID_VAL, k=10)
    assert score == pytest.approx(max(towers.validation_scores_), abs=1e-4)
    # Weights of rows weigh queries.
    weight = np.where(QID_VAL % 2, 5.0, 1.0)
    towers.fit(X, Y, qid=QID, sample_weight_val=weight, **WEEK)
    score = ndcg_score(Y_VAL, towers.predict(X_VAL), qid=QID_VAL, k=10, sample_weight=weight)
    assert score == pytest.approx(max(towers.validation_scores_), abs=1e-4)


@pytest.mark.parametrize("items", [None, DATA.items], ids=["log", "catalogue"])
def test_the_table_reaches_a_teacher_that_stops_early_by_itself(items):
    teacher = lightgbm.LGBMRanker(
        n_estimators=300, num_leaves=7, early_stopping_rounds=3, min_child_samples=5, n_jobs=1,
        verbose=-1,
    )  # fmt: skip
    for early_stopping in ("auto", False):
        towers = TwoTowerRetriever(
            teacher, **SLOW, early_stopping=early_stopping, teacher_check=False
        )
        towers.fit(X, Y, qid=QID, items=items, **WEEK)
        assert towers.teacher_.best_iteration_ < 300
        assert bool(towers.validation_scores_) == bool(early_stopping)
    # A fitted teacher scores the validation rows, too.
    frozen = FrozenEstimator(towers.teacher_)
    labels = {name: value for name, value in WEEK.items() if name != "y_val"}
    watched = TwoTowerRetriever(frozen, **SLOW, teacher_check=False)
    watched.fit(X, qid=QID, items=items, **labels)
    assert len(watched.validation_scores_) == watched.n_iter_


@pytest.mark.parametrize("items", [None, DATA.items], ids=["log", "catalogue"])
def test_objectives_are_measured_by_what_the_table_has(items):
    scores, scores_val = SCORES, SCORES_VAL
    if items is None:
        rng = np.random.default_rng(0)
        scores, scores_val = rng.normal(size=len(Y)), rng.normal(size=len(Y_VAL))
    both, by_labels, by_scores = (
        MultiObjectiveRetriever(**OBJECTIVES).fit(
            X, Y, qid=QID, items=items, teacher_scores=scores, X_val=X_VAL, qid_val=QID_VAL, **given
        ).validation_scores_
        for given in (
            {"y_val": Y_VAL, "teacher_scores_val": scores_val},
            {"y_val": Y_VAL},
            {"teacher_scores_val": scores_val},
        )
    )  # fmt: skip
    assert both[0] == pytest.approx((by_labels[0] + by_scores[0]) / 2)
    only = {**OBJECTIVES, "objectives": {"teacher": "listwise"}}
    with pytest.raises(ValueError, match="y_val has no label, and no teacher"):
        MultiObjectiveRetriever(**only).fit(
            X, qid=QID, items=items, teacher_scores=scores, X_val=X_VAL, qid_val=QID_VAL,
            y_val=np.empty((len(Y_VAL), 0)), teacher_scores_val=None,
        )  # fmt: skip


def users(first, n_users=40, n_rows=1200):
    """A log in which only the ids say who asks."""
    rng = np.random.default_rng(first)
    user, item = rng.integers(0, n_users, n_rows), rng.integers(0, 30, n_rows)
    taste = (user % 3) == (item % 3)
    frame = pd.DataFrame({"user": [f"u{n}" for n in user], "item": [f"i{n}" for n in item]})
    return frame, (taste & (rng.random(n_rows) < 0.8)).astype(int), user


def test_known_users_of_a_later_week_have_embeddings():
    X, y, qid = users(0)
    X_val, y_val, qid_val = users(1)
    items = pd.DataFrame({"item": [f"i{n}" for n in range(30)]})
    towers = TwoTowerRetriever(
        query_columns=["user"], item_columns=["item"], alpha=0.0, max_iter=30, random_state=0
    )
    week = {"X_val": X_val, "y_val": y_val, "qid_val": qid_val}
    held_out = sklearn.clone(towers).set_params(early_stopping=True)
    held_out.fit(X, y, qid=qid, items=items)
    towers.fit(X, y, qid=qid, items=items, **week)
    assert max(towers.validation_scores_) > max(held_out.validation_scores_) + 0.1
    # Queries are known by their columns if there are no ids, and items by their values.
    again = sklearn.clone(towers).fit(X, y, items=items, X_val=X_val, y_val=y_val)
    assert again.validation_scores_ == pytest.approx(towers.validation_scores_, abs=1e-3)
    categories = X_val.astype("category")
    again = sklearn.clone(towers).fit(X, y, qid=qid, items=items, **{**week, "X_val": categories})
    assert again.validation_scores_ == towers.validation_scores_
    unlisted = sklearn.clone(towers).fit(X, y, qid=qid, items=items[:20], **week)
    assert len(unlisted.validation_scores_) == unlisted.n_iter_


def test_the_order_of_validation_rows_does_not_matter():
    shuffled = np.random.default_rng(0).permutation(len(Y_VAL))
    week = {name: value[shuffled] for name, value in WEEK.items()}
    one, other = (
        TwoTowerRetriever(**SLOW, alpha=0.0).fit(X, Y, qid=QID, items=DATA.items, **given)
        for given in (WEEK, week)
    )
    assert_array_equal(one.predict(X_VAL), other.predict(X_VAL))


def test_queries_in_a_column():
    towers = TwoTowerRetriever(**{**SLOW, "query_column": DATA.X.shape[1]}, alpha=0.0)
    table, later = np.column_stack([X, QID]), np.column_stack([X_VAL, QID_VAL])
    towers.fit(table, Y, X_val=later, y_val=Y_VAL)
    given = TwoTowerRetriever(**SLOW, alpha=0.0).fit(X, Y, qid=QID, **WEEK)
    assert towers.validation_scores_ == given.validation_scores_
    with pytest.raises(ValueError, match="queries are given twice"):
        towers.fit(table, Y, X_val=later, y_val=Y_VAL, qid_val=QID_VAL)


def test_metadata_routing_reaches_the_retriever():
    with sklearn.config_context(enable_metadata_routing=True):
        routing = TwoTowerRetriever(**SLOW).get_metadata_routing()
        names = {"X_val", "y_val", "qid_val", "sample_weight_val", "teacher_scores_val"}
        assert routing.consumes("fit", names) == names


INVALID = [
    ({"y_val": Y_VAL}, "y_val describe the rows of a validation table, but X_val is None"),
    ({**WEEK, "X_val": X_VAL[:, 1:]}, r"In the validation table .*features"),
    ({**WEEK, "y_val": Y_VAL[1:]}, "In the validation table"),
    ({**WEEK, "y_val": np.zeros(len(Y_VAL))}, "In the validation table .* is 0 in every row"),
    ({"X_val": X_VAL, "qid_val": QID_VAL}, "y_val has no label, and no teacher scores"),
    ({**WEEK, "teacher_scores_val": SCORES_VAL[1:]}, "In the validation table .*expected shape"),
    ({**WEEK, "qid_val": np.zeros(len(Y_VAL))}, "In the validation table .*must be the same"),
]


@pytest.mark.parametrize(("week", "message"), INVALID)
def test_errors_come_before_the_fit_and_name_the_table(week, message):
    towers = TwoTowerRetriever(**SLOW)
    with pytest.raises(ValueError, match=message):
        towers.fit(X, Y, qid=QID, items=DATA.items, teacher_scores=SCORES, **week)


def test_early_stopping_false_refuses_a_table_without_a_use():
    towers = TwoTowerRetriever(**SLOW, early_stopping=False)
    with pytest.raises(ValueError, match="early_stopping=False leaves X_val without a use"):
        towers.fit(X, Y, qid=QID, items=DATA.items, teacher_scores=SCORES, **WEEK)


@pytest.mark.parametrize(
    "towers", [TwoTowerRetriever(**SLOW), MultiObjectiveRetriever(**OBJECTIVES)], ids=["one", "two"]
)
def test_verbose_prints_each_epoch(towers, capsys):
    towers = sklearn.clone(towers).set_params(verbose=True, max_iter=3)
    towers.fit(X, Y, qid=QID, items=DATA.items, teacher_scores=SCORES, **WEEK)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == towers.n_iter_
    name = type(towers).__name__
    assert lines[0].startswith(f"{name}: epoch 1 of 3, loss {towers.loss_curve_[0]:.6f}")
    assert lines[0].endswith(f"validation score {towers.validation_scores_[0]:.4f}")
    towers.set_params(verbose=False).fit(X, Y, qid=QID, items=DATA.items, teacher_scores=SCORES)
    assert not capsys.readouterr().out
