"""Data that teaches nothing is named when it is checked, and other data is not."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.model_selection import KFold, cross_val_score, cross_validate

from skdistill import DistilledRanker, RankingGroupKFold, TwoTowerRetriever
from skdistill.index import ExactIndex
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import QuerySample
from skdistill.inputs.ranking_data import RankingData
from skdistill.losses import LOSSES, get_loss
from skdistill.metrics import ndcg_score
from skdistill.students import LinearRanker, MultiObjectiveRanker

N_QUERIES, WIDTH = 12, 6
QID = np.repeat(np.arange(N_QUERIES), WIDTH)


@pytest.fixture
def table():
    return np.random.default_rng(0).standard_normal((N_QUERIES * WIDTH, 3))


@pytest.fixture
def grades(table):
    return np.clip(np.round(table[:, 0] + 1), 0, 3)


def spread_of_scores(estimator, X):
    """Largest difference between the scores of two rows of one query."""
    scores = estimator.predict(X).reshape(N_QUERIES, WIDTH)
    return np.ptp(scores, axis=1).max()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_compares_rows_if_it_learns_nothing_from_queries_of_one(name):
    """The property that decides whether to warn is true of every loss that says so."""
    loss, queries = get_loss(name), Queries.even(5, 1)
    target = loss.hard_target(np.array([0.0, 1, 0, 1, 1]), queries)
    _, gradient = loss.value_and_gradient(np.linspace(-1, 1, 5), target, queries)
    assert loss.compares_rows == (np.abs(gradient).max() < 1e-12)


@pytest.mark.parametrize(
    ("labels", "qid", "message"),
    [
        (None, np.arange(N_QUERIES * WIDTH), "each row is a query of its own"),
        (np.zeros(N_QUERIES * WIDTH), QID, "every label is 0"),
        (QID % 3.0, QID, "no query has two rows with different labels"),
    ],
    ids=["single rows", "nothing relevant", "one label a query"],
)
def test_labels_without_an_order(table, grades, labels, qid, message):
    labels = grades if labels is None else labels
    with pytest.warns(UserWarning, match=f"LinearRanker learns no order: .*{message}"):
        student = LinearRanker(loss="pairwise", max_iter=2).fit(table, labels, qid=qid)
    assert spread_of_scores(student, table) == 0


def test_teacher_scores_without_an_order_count_more_than_labels(table, grades):
    with pytest.warns(UserWarning, match="two rows with different teacher scores"):
        DistilledRanker(student=LinearRanker(max_iter=2)).fit(
            table, grades, qid=QID, teacher_scores=QID + 0.5
        )
    objectives = {"click": "pairwise", "teacher": "listwise"}
    with pytest.warns(UserWarning, match="every teacher score is 7"):
        MultiObjectiveRanker(objectives, max_iter=2).fit(
            table, grades, qid=QID, teacher_scores=np.full(len(QID), 7.0)
        )


def test_a_log_without_an_order(table, grades):
    """Clicks alone say nothing without a catalogue, whose other items would be the negatives."""
    log = np.column_stack([QID, table])
    clicks = {"y": np.ones(len(log)), "qid": QID}
    towers = TwoTowerRetriever(
        query_columns=[0], item_columns=[1, 2, 3], max_iter=1, random_state=0
    )
    with pytest.warns(UserWarning, match="TwoTowerRetriever learns no order: every label is 1"):
        towers.fit(log, **clicks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        towers.fit(log, **clicks, items=table)
        towers.fit(log, grades, qid=QID)


@pytest.mark.filterwarnings("error")
def test_no_warning_where_something_is_learnt(table, grades):
    LinearRanker(max_iter=2).fit(table, grades, qid=QID)
    # One informative query is enough, and unlabelled rows are not labels.
    one = np.where(QID == 3, grades, np.nan)
    LinearRanker(max_iter=2).fit(table, one, qid=QID)
    LinearRanker(max_iter=2).fit(table, 0 * grades, qid=QID, teacher_scores=-table[:, 0])
    # A loss of single rows learns from queries of one row.
    LinearRanker(loss="pointwise", max_iter=2).fit(table, grades, qid=np.arange(len(QID)))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=1, max_size=9),
    st.lists(st.integers(0, 3), min_size=9, max_size=9),
)
def test_what_has_no_order(labels, qid):
    """By definition: no two rows of a query with two different labels."""
    y, qid = np.array(labels), np.array(qid[: len(labels)])
    is_ordered = any(len(np.unique(y[(qid == q) & ~np.isnan(y)])) > 1 for q in np.unique(qid))
    data = RankingData.sort(qid, np.arange(len(y), dtype=float)[:, None], y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data.warn_if_constant("It", compares_rows=True)
    assert [str(w.message)[:18] for w in caught] == ["It learns no order"] * (not is_ordered)


CUT = "is scored on queries that fit had too, with other rows"


@pytest.mark.parametrize("kind", [int, str, object])
@pytest.mark.parametrize(
    "make",
    [LinearRanker, lambda **options: DistilledRanker(student=LinearRanker(**options), alpha=0)],
)
def test_folds_that_cut_queries_are_recognised(table, grades, make, kind):
    qid = np.array([f"q{query}" for query in QID]) if kind is str else QID.astype(kind)
    with sklearn.config_context(enable_metadata_routing=True):
        options = {"X": table, "y": grades, "params": {"qid": qid}, "error_score": "raise"}
        with pytest.warns(UserWarning, match=f"{CUT}.* use RankingGroupKFold"):
            cross_val_score(make(max_iter=1), cv=KFold(3, shuffle=True, random_state=0), **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cross_val_score(make(max_iter=1), cv=RankingGroupKFold(3), **options)
            cross_validate(
                make(max_iter=1), cv=RankingGroupKFold(3), return_train_score=True, **options
            )


def test_queries_of_the_fit_as_they_were_are_no_folds(table, grades):
    student = LinearRanker(max_iter=1).fit(table, grades, qid=QID)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student.score(table, grades, qid=QID)
        student.score(table, grades, qid=QID + 100)
        whole = QID < 5
        student.score(table[whole], grades[whole], qid=QID[whole])
    with pytest.warns(UserWarning, match=CUT):
        student.score(table[::2], grades[::2], qid=QID[::2])
    # The ids stay in this process: they may name people.
    again = pickle.loads(pickle.dumps(student))
    assert "_queries_of_fit" in vars(student)
    assert "_queries_of_fit" not in vars(again)


def test_a_sample_is_small_and_spread():
    # Without shuffling, a fold cuts two queries at most.
    many = np.repeat(np.arange(100), 3)
    assert not QuerySample(many).is_cut_by(many[31:152])
    assert QuerySample(many).is_cut_by(many[::2])
    sample = QuerySample(np.repeat(np.arange(5000), 3))
    assert len(sample.counts) <= 256
    assert set(sample.counts.values()) == {3}
    assert max(sample.counts) > 4900
    assert len(QuerySample(np.array(["a"])).counts) == 1


@pytest.mark.parametrize("names", [None, list("abcd")])
def test_columns_that_float32_cannot_tell_apart(names):
    """2**31 and 2**31 + 1 are told apart, the smallest floats are not; a constant is no news."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, 50)
    bits[0], bits[40] = 0, 1
    X = np.column_stack([rng.standard_normal(50), 2**31 + bits, 1e-310 * bits, np.full(50, 0.1)])
    table = X if names is None else pd.DataFrame(X, columns=names)
    shown = r"\[2\]" if names is None else r"\['c'\]"
    with pytest.warns(UserWarning, match=f"the columns {shown} of X differ, but so little"):
        student = LinearRanker(random_state=0).fit(table, bits, qid=np.arange(50) // 5)
    assert student.score(table, bits, qid=np.arange(50) // 5) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="The columns .* follow from it")
        LinearRanker(max_iter=3).fit(X[:, [0, 1, 3]], bits, qid=np.arange(50) // 5)


def test_masked_labels_are_no_labels(table, grades):
    student = LinearRanker(max_iter=3, random_state=0)
    missing = np.where(grades > 1, np.nan, grades)
    expected = student.fit(table, missing, qid=QID).predict(table)
    for masked in (
        np.ma.masked_array(grades, grades > 1),
        np.ma.masked_array(grades.astype(int), grades > 1),
    ):
        assert_array_equal(student.fit(table, masked, qid=QID).predict(table), expected)
        assert student.score(table, masked, qid=QID) == student.score(table, missing, qid=QID)
    several = MultiObjectiveRanker({"a": "pairwise", "b": "pairwise"}, max_iter=2, random_state=0)
    both = np.column_stack([grades, grades[::-1]])
    masked = np.ma.masked_array(both, both > 1)
    expected = several.fit(table, masked.filled(np.nan), qid=QID).predict(table)
    assert_array_equal(several.fit(table, masked, qid=QID).predict(table), expected)


def test_other_masks_are_refused_with_the_way_out(table, grades):
    masked = np.ma.masked_array(table, table > 2)
    row = int(np.argwhere(table > 2)[0][0])
    weight = np.ma.masked_array(grades + 1, QID == 1)
    student = LinearRanker(max_iter=2, random_state=0).fit(table, grades, qid=QID)
    for call, name in (
        (lambda: LinearRanker().fit(masked, grades, qid=QID), "X"),
        (lambda: DistilledRanker().fit(masked, grades, qid=QID), "X"),
        (lambda: student.predict(masked), "X"),
        (lambda: ExactIndex(masked), "embeddings"),
        (lambda: ExactIndex(table).search(masked, 2), "queries"),
    ):
        with pytest.raises(ValueError, match=rf"{name} must not be masked.*row {row} is. .*filled"):
            call()
    for arguments in (
        {"qid": np.ma.masked_array(QID, QID == 1)},
        {"qid": QID, "sample_weight": weight},
        {"qid": QID, "teacher_scores": weight},
    ):
        with pytest.raises(ValueError, match=f"must not be masked, but a value of row {WIDTH} is"):
            LinearRanker().fit(table, grades, **arguments)
    with pytest.raises(ValueError, match="y_true must not be masked"):
        ndcg_score(weight, grades, QID)
    # Nothing is hidden where nothing is masked.
    open_table = np.ma.masked_array(table, False)
    again = LinearRanker(max_iter=2, random_state=0).fit(open_table, grades, qid=QID)
    assert_array_equal(again.predict(table), student.predict(table))
