"""Permutation importance within queries."""

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.inspection import ranking_importance
from skdistill.metrics import grouped_auc_scorer, ndcg_score
from skdistill.students import LinearRanker, MLPRanker


@pytest.fixture(scope="module")
def data():
    """Columns: a mood of the query, an item column, unused ones of query and item."""
    rng = np.random.default_rng(0)
    qid = np.repeat(np.arange(150), 12)
    mood = rng.choice([-1.0, 1.0], 150)[qid]
    item, unused = rng.standard_normal((2, len(qid)))
    unused_of_query = rng.standard_normal(150)[qid]
    X = np.column_stack([mood, item, unused_of_query, unused])
    y = (mood * item > 0.8).astype(float)
    order = rng.permutation(len(qid))
    return X[order], y[order], qid[order]


@pytest.fixture(scope="module")
def student(data):
    X, y, qid = data
    return MLPRanker((16,), max_iter=40, random_state=0).fit(X, y, qid=qid)


def test_columns_of_items_and_of_queries_count_by_what_they_do_for_the_order(data, student):
    X, y, qid = data
    found = ranking_importance(student, X, y, qid=qid, n_repeats=3, random_state=0)
    assert found.importances.shape == (4, 3)
    assert_allclose(found.importances_mean, found.importances.mean(axis=1))
    assert_allclose(found.importances_std, found.importances.std(axis=1))
    assert found.importances_mean[:2].min() > 0.2
    assert np.abs(found.importances_mean[2:]).max() < 0.02


def test_values_stay_within_their_query_or_change_with_all_of_another(data):
    X, y, qid = data
    seen = []

    def scorer(estimator, table, labels, *, qid):
        seen.append(np.asarray(table))
        return 0.0

    ranking_importance(None, X, y, qid=qid, scoring=scorer, n_repeats=2, random_state=0)
    assert len(seen) == 1 + 4 * 2
    assert_array_equal(seen[0], X)
    for number, table in enumerate(seen[1:]):
        column = number // 2
        changed = (table != X).any(axis=0)
        assert_array_equal(np.flatnonzero(changed), [column])
        for query in np.unique(qid):
            values = table[qid == query, column]
            if column in (1, 3):
                assert_array_equal(np.sort(values), np.sort(X[qid == query, column]))
            else:
                assert len(np.unique(values)) == 1
        assert_array_equal(np.sort(table[:, column]), np.sort(X[:, column]))


@pytest.mark.parametrize("kind", ["pandas", "polars", "CSR", "float32", "query column"])
def test_tables_of_all_kinds(data, kind):
    X, y, qid = data
    names = list("abcd")
    tables = {
        "pandas": lambda: pd.DataFrame(X, columns=names, index=np.arange(len(X))[::-1]),
        "polars": lambda: pl.DataFrame(X, schema=names),
        "CSR": lambda: sparse.csr_array(X),
        "float32": lambda: X.astype(np.float32),
        "query column": lambda: np.column_stack([X, qid]),
    }
    table = tables[kind]()
    parameters = {"query_column": 4} if kind == "query column" else {}
    queries = {} if kind == "query column" else {"qid": qid}
    student = LinearRanker(max_iter=5, random_state=0, **parameters).fit(table, y, **queries)
    expected = LinearRanker(max_iter=5, random_state=0).fit(X, y, qid=qid)
    options = {"n_repeats": 2, "random_state": 0}
    found = ranking_importance(student, table, y, **queries, **options).importances_mean
    known = ranking_importance(expected, X, y, qid=qid, **options).importances_mean
    assert_allclose(found[:4], known, atol=0.02)
    assert_allclose(found[4:], 0, atol=1e-12)


def test_categories_keep_their_type_and_teachers_and_pipelines_are_taken(data):
    X, y, qid = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["a"] = np.where(frame["a"] > 0, "up", "down")
    frame["a"] = frame["a"].astype("category")
    teacher = lightgbm.LGBMRegressor(n_estimators=40, verbose=-1, n_jobs=1).fit(frame, y)
    found = ranking_importance(teacher, frame, y, qid=qid, n_repeats=1, random_state=0)
    assert found.importances_mean[:2].min() > 0.1
    pipeline = make_pipeline(StandardScaler(), LinearRanker(max_iter=5))
    pipeline.fit(X, X[:, 1] > 1, linearranker__qid=qid)
    found = ranking_importance(pipeline, X, X[:, 1] > 1, qid=qid, n_repeats=1)
    assert found.importances_mean.argmax() == 1


def test_a_seed_gives_the_same_with_any_number_of_processes(data, student):
    X, y, qid = data
    weight = np.random.default_rng(0).random(len(y))
    one, two = (
        ranking_importance(
            student,
            X,
            y,
            qid=qid,
            sample_weight=weight,
            scoring=grouped_auc_scorer(),
            n_repeats=2,
            n_jobs=n_jobs,
            random_state=3,
        ).importances
        for n_jobs in (None, 2)
    )
    assert_array_equal(one, two)


def test_the_importance_is_the_loss_of_the_metric(data, student):
    X, y, qid = data
    found = ranking_importance(student, X, y, qid=qid, n_repeats=20, random_state=0)
    rng = np.random.default_rng(1)
    shuffled = X.copy()
    for query in np.unique(qid):
        rows = np.flatnonzero(qid == query)
        shuffled[rows, 1] = X[rng.permutation(rows), 1]
    before = ndcg_score(y, student.predict(X), qid, k=10)
    after = ndcg_score(y, student.predict(shuffled), qid, k=10)
    assert found.importances_mean[1] == pytest.approx(before - after, abs=0.05)


def test_queries_are_required_and_repeats_checked(data, student):
    X, y, qid = data
    with pytest.raises(ValueError, match="fitted with qid, so scoring needs qid"):
        ranking_importance(student, X, y)
    with pytest.raises(ValueError, match="n_repeats must be an integer of at least 1"):
        ranking_importance(student, X, y, qid=qid, n_repeats=0)
    ranker = DistilledRanker(student=LinearRanker(max_iter=2), alpha=0).fit(X, y, qid=qid)
    assert ranking_importance(ranker, X, y, qid=qid, n_repeats=1).importances.shape == (4, 1)
