"""Students on tables as people have them, against the same tables as numbers."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from lightgbm import LGBMRanker
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.datasets import make_ranking
from skdistill.inputs import ColumnScaler
from skdistill.students import (
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
    initialization,
)

STUDENTS = {
    "linear": LinearRanker(max_iter=5, random_state=0),
    "fm": FactorizationMachineRanker(4, max_iter=5, random_state=0),
    "mlp": MLPRanker((8,), max_iter=5, random_state=0),
    "heads": MultiObjectiveRanker(
        {"click": "listwise", "teacher": "listwise"}, (8,), max_iter=5, random_state=0
    ),
}


@pytest.fixture(scope="module")
def table():
    data = make_ranking(80, 20, 6, categories=(4, 30), missing=0.1, truth="linear", random_state=0)
    rng = np.random.default_rng(0)
    n_rows = len(data.y)
    seconds = pd.to_timedelta(rng.integers(0, 10**6, n_rows), unit="s")
    data.X["when"] = (pd.Timestamp("2026-01-01") + seconds).where(rng.random(n_rows) > 0.1)
    data.X["is_new"] = pd.array(rng.random(n_rows) < 0.5, dtype="boolean")
    data.X["text"] = np.where(rng.random(n_rows) < 0.5, "a", "b")
    return data


def fit(student, table, X=None):
    X = table.X if X is None else X
    scores = {"teacher_scores": table.utility}
    return clone(student).fit(X, table.y, qid=table.qid, **scores)


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_of_every_library_and_order_of_rows_is_the_same(name, table):
    expected = fit(STUDENTS[name], table).predict(table.X)
    assert np.isfinite(expected).all()
    for convert in (pl.from_pandas, pa.Table.from_pandas):
        X = convert(table.X)
        student = fit(STUDENTS[name], table, X)
        assert_array_equal(student.predict(X), expected)
        assert_array_equal(student.predict(table.X), expected)
    order = np.random.default_rng(1).permutation(len(table.y))
    shuffled = clone(STUDENTS[name]).fit(
        table.X.iloc[order], table.y[order], qid=table.qid[order],
        teacher_scores=table.utility[order],
    )  # fmt: skip
    assert_array_equal(shuffled.predict(table.X), expected)


@pytest.mark.parametrize("name", STUDENTS)
def test_scores_do_not_depend_on_the_other_rows_nor_on_pickling(name, table):
    student = fit(STUDENTS[name], table)
    expected = student.predict(table.X)
    for rows in (slice(0, 1), slice(3, 20), slice(5, 700)):
        assert_allclose(student.predict(table.X.iloc[rows]), expected[rows], atol=1e-5)
    assert_array_equal(pickle.loads(pickle.dumps(student)).predict(table.X), expected)


@pytest.mark.parametrize("name", ["linear", "fm", "mlp"])
def test_a_student_equals_one_of_explicit_columns(name, monkeypatch):
    """Flags of missing values and one-hot columns, made by hand, give the same student."""
    monkeypatch.setattr(initialization, "CATEGORY_SCALE", 1)
    rng = np.random.default_rng(0)
    n_rows = 600
    numbers = rng.standard_normal((n_rows, 3))
    category = rng.choice(list("abc"), n_rows)
    missing = rng.random(n_rows) < 0.2
    X = pd.DataFrame(numbers, columns=list("xyz")).assign(category=category)
    X.loc[missing, "x"] = np.nan
    qid = np.repeat(np.arange(30), 20)
    y = rng.integers(0, 3, n_rows)
    student = clone(STUDENTS[name]).set_params(squash=False)
    encoded = clone(student).fit(X, y, qid=qid)

    present = ~missing
    z = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    z[:, 0] = (numbers[:, 0] - numbers[present, 0].mean()) / numbers[present, 0].std()
    z[missing, 0] = 0
    one_hot = np.zeros((n_rows, 5))
    one_hot[np.arange(n_rows), 2 + np.unique(category, return_inverse=True)[1]] = 1
    explicit = np.column_stack([z, missing, one_hot])
    by_hand = clone(student).set_params(standardize=False).fit(explicit, y, qid=qid)
    # Rows are ordered by their content within queries, so that sums differ in the last bits. These
    # move the bias, of which the loss does not depend.
    left, right = encoded.predict(X), by_hand.predict(explicit)
    assert_allclose(left - left.mean(), right - right.mean(), atol=1e-3)
    assert left.std() > 0.01


def test_a_student_learns_what_only_a_category_or_a_gap_tells():
    rng = np.random.default_rng(0)
    qid = np.repeat(np.arange(60), 20)
    category = rng.choice(list("abcde"), 1200)
    gap = rng.random(1200) < 0.3
    X = pd.DataFrame({"category": category, "gap": np.where(gap, np.nan, 1 + rng.random(1200))})
    utility = 2.0 * np.searchsorted(list("abcde"), category) + gap
    for name in ("linear", "fm", "mlp"):
        student = clone(STUDENTS[name]).set_params(max_iter=60, learning_rate_init=0.02)
        student.fit(X, qid=qid, teacher_scores=utility)
        assert student.score(X, utility, qid=qid) > 0.99, name
    # A category that fit did not see counts as the rare ones, a missing one as missing.
    scores = student.predict(X.iloc[:3].assign(category=["new", None, "a"], gap=1.5))
    assert np.isfinite(scores).all()


def test_which_columns_hold_categories(table):
    X = table.X[["number_0", "number_1"]].assign(shop=np.arange(len(table.y)) % 7)
    student = fit(STUDENTS["linear"], table, X)
    assert student.encoder_.kinds == ("float",) * 3
    for columns in (["shop"], [2], [False, False, True], lambda X: ["shop"]):
        student = fit(clone(STUDENTS["linear"]).set_params(categorical_features=columns), table, X)
        assert student.encoder_.kinds == ("float", "float", "category")
        # Numbers, flags of missing ones, and a missing, a rare and seven known categories.
        assert student.params_["weights_0"].shape == (2 + 2 + 9, 1)
    as_array = X.to_numpy()
    student.set_params(categorical_features=[2])
    named = fit(student, table, as_array)
    assert named.encoder_.kinds == ("float", "float", "category")
    assert_array_equal(named.predict(as_array), fit(student, table, X).predict(X))
    with pytest.raises(ValueError, match="categorical_features=.* names a column that is not in X"):
        fit(student.set_params(categorical_features=["shops"]), table, X)
    with pytest.raises(ValueError, match="'category_0' of X is not numeric"):
        fit(student.set_params(categorical_features=None), table)
    query = X.assign(query=table.qid)[["query", "shop", "number_0"]]
    inside = clone(student).set_params(categorical_features=[1], query_column="query")
    inside.fit(query, table.y)
    assert inside.encoder_.kinds == ("category", "float")
    assert len(inside.predict(query)) == len(query)


def test_rare_categories_share_weights(table):
    student = clone(STUDENTS["linear"]).set_params(min_frequency=40, max_categories=10)
    student = fit(student, table)
    known = dict(
        zip(["category_0", "category_1", "text"], student.encoder_.categories, strict=True)
    )
    counts = table.X["category_1"].value_counts()
    expected = sorted(counts[counts >= 40].index[:10])
    assert known["category_1"].values.tolist() == expected
    rare = counts.index[counts < 40][0]
    rows = table.X.iloc[:2].assign(category_1=[rare, "never seen"])
    rows.iloc[1] = rows.iloc[0].where(rows.columns != "category_1", rows.iloc[1])
    scores = student.predict(rows)
    assert scores[0] == scores[1]


def test_missing_values_are_refused_where_fit_saw_none(table):
    X = table.X[["number_0", "number_1"]].fillna(0.0)
    student = fit(STUDENTS["linear"], table, X)
    gap = X.copy()
    gap.iloc[3, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"contains NaN in the columns \['number_1'\], but fit saw"
    ):
        student.predict(gap)
    seen = fit(STUDENTS["linear"], table, gap)
    # The mean takes the place of a gap in a column that had none in fit.
    gap.iloc[5, 0] = np.nan
    filled = gap.copy()
    filled.iloc[5, 0] = X["number_0"].mean()
    assert_allclose(seen.predict(gap)[5], seen.predict(filled)[5], atol=1e-5)
    array = fit(STUDENTS["linear"], table, gap.to_numpy())
    assert_allclose(array.predict(gap.to_numpy()), fit(STUDENTS["linear"], table, gap).predict(gap))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([np.inf], "row 0 of column 'number_0' holds inf"),
        ([-1e38 * 3], "row 0 of column 'number_0' holds -[23]"),
    ],
)
def test_numbers_beyond_float32_are_named(column, message, table):
    X = table.X.copy()
    X.loc[0, "number_0"] = column[0]
    with pytest.raises(ValueError, match=message):
        fit(STUDENTS["linear"], table, X)


def test_a_lazy_frame_is_refused_with_the_way_out(table):
    with pytest.raises(TypeError, match=r"LazyFrame.*Pass X.collect\(\)"):
        fit(STUDENTS["linear"], table, pl.from_pandas(table.X).lazy())


@pytest.mark.parametrize("name", STUDENTS)
def test_shards_and_warm_starts_keep_the_codes(name, table):
    first, second = table.qid < 40, table.qid >= 40
    student = clone(STUDENTS[name])
    for part in (first, second):
        student.partial_fit(
            table.X[part], table.y[part], qid=table.qid[part], teacher_scores=table.utility[part]
        )
    assert known_categories(student) == known_categories(
        clone(STUDENTS[name]).partial_fit(
            table.X[first], table.y[first], qid=table.qid[first],
            teacher_scores=table.utility[first],
        )
    )  # fmt: skip
    warm = clone(STUDENTS[name]).set_params(warm_start=True)
    warm.fit(
        table.X[first], table.y[first], qid=table.qid[first], teacher_scores=table.utility[first]
    )
    before = known_categories(warm)
    warm.fit(
        table.X[second],
        table.y[second],
        qid=table.qid[second],
        teacher_scores=table.utility[second],
    )
    assert known_categories(warm) == before
    fewer = table.X.drop(columns="text")
    with pytest.raises(ValueError, match="warm_start=True needs parameters of the same shapes"):
        warm.fit(fewer, table.y, qid=table.qid, teacher_scores=table.utility)


def known_categories(student):
    return [codes.values.tolist() for codes in student.encoder_.categories]


def test_grid_search_over_two_processes_and_a_lightgbm_teacher(table):
    X = table.X.drop(columns="when").astype({"text": "category"})
    teacher = LGBMRanker(n_estimators=20, num_leaves=7, verbose=-1, n_jobs=1)
    teacher.fit(X, table.y, group=np.bincount(table.qid))
    ranker = DistilledRanker(FrozenEstimator(teacher), MLPRanker((8,), max_iter=15), random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            ranker,
            {"student__min_frequency": [None, 10], "student__weight_decay": [0.01, 1.0]},
            cv=RankingGroupKFold(2),
            n_jobs=2,
            error_score="raise",
        )
        search.fit(X, table.y, qid=table.qid)
    assert search.best_score_ > 0.5
    assert len(search.best_estimator_.predict(X)) == len(X)


@pytest.mark.parametrize("squash", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
def test_scaler_of_columns_with_gaps(squash, standardize):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 4))
    X[:, 1] = np.exp(3 * X[:, 1])
    X[:, 2] = 1.7e9 + X[:, 2]
    X[:, 3] = np.nan
    X[rng.random((400, 4)) < 0.1] = np.nan
    X[:, 0] = rng.standard_normal(400)  # no gap
    scaler = ColumnScaler.fit(X, squash=squash, standardize=standardize)
    assert_array_equal(scaler.flagged, [1, 2, 3])
    z = scaler.transform(X)
    # The column with a heavy tail has two views.
    assert scaler.n_columns == 4
    assert z.shape == (400, 7 + squash)
    assert_array_equal(z[:, -3:], np.isnan(X[:, 1:]))
    assert np.isfinite(z).all()
    assert_array_equal(z[:, 4:-3][np.isnan(X[:, [1] * squash])], 0)
    assert_array_equal(z[:, :4][np.isnan(X)], 0)
    for column in range(3):
        present = ~np.isnan(X[:, column])
        alone = ColumnScaler.fit(X[present][:, [column]], squash=squash, standardize=standardize)
        views = [column, 4] if squash and column == 1 else [column]
        assert_allclose(
            z[present][:, views], alone.transform(X[present][:, [column]]), rtol=1e-5, atol=1e-6
        )
    # Folded for scoring, it is the same map.
    weights, bias = rng.standard_normal((z.shape[1], 2)), rng.standard_normal(2)
    scoring = scaler.for_scoring()
    folded_weights, folded_bias = scoring.fold_layer(weights, bias)
    assert_allclose(
        scoring.softsign(X) @ folded_weights + folded_bias, z @ weights + bias, atol=1e-4
    )
