"""Synthetic rows between the thresholds of trees, and students that learn from them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from lightgbm import LGBMRanker, LGBMRegressor
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBRegressor

from skdistill import DistilledRanker
from skdistill.students import LinearRanker, MLPRanker
from skdistill.teachers import augmentation
from skdistill.teachers.augmentation import draw_rows, split_thresholds

TREES = {
    "lightgbm": LGBMRegressor(n_estimators=5, num_leaves=6, min_child_samples=2, verbose=-1),
    "xgboost": XGBRegressor(n_estimators=5, max_depth=3),
    "histogram": HistGradientBoostingRegressor(max_iter=20, max_leaf_nodes=6, min_samples_leaf=2),
}
NO_THRESHOLDS = (
    '^augmentation="thresholds" needs a LightGBM, XGBoost or HistGradientBoosting teacher, whose '
    'thresholds it reads, got Ridge. Use another teacher, or augmentation="crossed", the default, '
    "which takes any.$"
)
SPARSE = (
    "^augment needs X to be an array or a data frame, got a sparse matrix. Set augment=0, or pass "
    "dense columns.$"
)


@pytest.fixture(scope="module")
def steps():
    """A target with steps at -1 and 0.5 of the first column; the last column means nothing."""
    X = np.random.default_rng(0).uniform(-2, 2, (400, 3))
    return X, 1.0 * (X[:, 0] > -1) + 2 * (X[:, 0] > 0.5) + X[:, 1]


@pytest.mark.parametrize("name", TREES)
def test_thresholds_are_where_the_teacher_changes(name, steps):
    """Brute force: between two neighbouring thresholds of a feature no prediction changes."""
    X, y = steps
    teacher = TREES[name].fit(X, y)
    thresholds = split_thresholds(teacher, 3)
    assert_array_equal(thresholds[0], split_thresholds(FrozenEstimator(teacher), 3)[0])
    assert np.abs(thresholds[0] + 1).min() < 0.05
    assert np.abs(thresholds[0] - 0.5).min() < 0.05
    own = thresholds[0]
    edges = np.r_[-3, own, 3]
    rows = np.tile(X[0], (len(edges) - 1, 1))
    margin = 1e-4
    rows[:, 0] = edges[:-1] + margin
    start = teacher.predict(rows)
    rows[:, 0] = edges[1:] - margin
    wide = np.diff(edges) > 3 * margin
    assert_allclose(teacher.predict(rows)[wide], start[wide], rtol=1e-6)
    assert len(np.unique(start.round(6))) > 2


def test_rows_are_drawn_from_midpoints_and_ends():
    X = np.array([[0.0, 5, 1], [10, 7, 1], [4, 9, 2]])
    thresholds = [np.array([2.0, 6.0]), np.empty(0)]
    for table in (X, pd.DataFrame(X, columns=["a", "b", "c"]), pl.DataFrame(X, schema=list("abc"))):
        rows = draw_rows(table, thresholds, [0, 2], 500, np.random.default_rng(0))
        assert type(rows) is type(table)
        values = np.asarray(rows)
        assert set(values[:, 0]) == {0.0, 4.0, 10.0}
        assert set(values[:, 1]) == {5.0, 7.0, 9.0}
        assert set(values[:, 2]) == {1.0, 2.0}
        # Independently: every pair of values occurs.
        assert len(np.unique(values[:, :2], axis=0)) == 9


def test_frames_with_numbered_columns_are_drawn_too():
    X = pd.DataFrame([[0.0, 5], [10, 7]])
    rows = draw_rows(X, [np.array([8.0])], [0], 50, np.random.default_rng(0))
    assert list(rows.columns) == [0, 1]
    assert set(rows[0]) == {0.0, 10.0}


def test_thresholds_of_a_histogram_teacher_with_categories_stay_in_their_columns(steps):
    """Its trees see the categorical columns first, whatever their place in the table."""
    X, y = steps
    X = np.column_stack([X[:, :2], np.arange(400) % 3, X[:, 2]])
    plain = clone(TREES["histogram"]).fit(X, y)
    teacher = clone(TREES["histogram"]).set_params(categorical_features=[2]).fit(X, y)
    thresholds, expected = split_thresholds(teacher, 4), split_thresholds(plain, 4)
    assert not len(thresholds[2])
    assert np.abs(thresholds[0] + 1).min() < 0.05
    for column in (0, 1):
        assert set(thresholds[column]) & set(expected[column])


def test_each_column_is_drawn_from_the_teachers_thresholds_of_that_name(steps, monkeypatch):
    X, y = steps
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    teacher = TREES["lightgbm"].fit(frame, y)
    drawn = {}

    def remember(table, thresholds, positions, *rest):
        names = [table.columns[position] for position in positions]
        drawn.update(zip(names, thresholds, strict=True))
        return draw_rows(table, thresholds, positions, *rest)

    monkeypatch.setattr(augmentation, "draw_rows", remember)
    other = frame.assign(day=1.0)[["c", "day", "b", "a"]]
    for columns in (None, ["b", "c", "a"]):
        drawn.clear()
        DistilledRanker(
            FrozenEstimator(teacher),
            LinearRanker(max_iter=1),
            augment=0.5,
            augmentation="thresholds",
            teacher_columns=columns,
            random_state=0,
        ).fit(other, qid=np.repeat(np.arange(40), 10))
        assert list(drawn) == ["a", "b", "c"]
        for name, thresholds in zip("abc", split_thresholds(teacher, 3), strict=True):
            assert_array_equal(drawn[name], thresholds)


def test_a_student_of_few_rows_learns_more_from_synthetic_ones():
    """A teacher that knows a step function, a student that is shown thirty rows of it."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (2000, 6))
    teacher = FrozenEstimator(
        LGBMRegressor(n_estimators=60, num_leaves=8, verbose=-1).fit(X, X[:, 0] + np.abs(X[:, 1]))
    )
    few, unseen = X[:30], rng.uniform(-2, 2, (2000, 6))
    correlations = {}
    for share in (0.0, 0.9):
        ranker = DistilledRanker(
            teacher,
            MLPRanker((32,), max_iter=100),
            loss="pointwise",
            augment=share,
            augmentation="thresholds",
            random_state=0,
        ).fit(few, qid=np.repeat(np.arange(10), 3))
        correlations[share] = np.corrcoef(ranker.predict(unseen), teacher.predict(unseen))[0, 1]
    assert correlations[0.9] > correlations[0.0] + 0.02


def test_synthetic_rows_go_through_columns_pipelines_and_frames(table):
    frame = pd.DataFrame(table.X, columns=[f"c{j}" for j in range(8)])
    ranker = DistilledRanker(
        LGBMRanker(n_estimators=5, min_child_samples=5, verbose=-1),
        make_pipeline(StandardScaler(), LinearRanker(max_iter=3)),
        augment=0.3,
        augmentation="thresholds",
        teacher_columns=["c7", "c0", "c1"],
        student_columns=["c1", "c2"],
        keep_teacher=False,
        teacher_cv=2,
        random_state=0,
    ).fit(frame, table.y, qid=table.qid)
    assert ranker.teacher_ is None
    assert ranker.predict(frame).std() > 0


def test_teachers_without_thresholds_and_sparse_tables_are_refused(table):
    def fit(teacher, X=table.X, augment=0.2, **arguments):
        ranker = DistilledRanker(
            teacher, LinearRanker(max_iter=1), augment=augment, augmentation="thresholds"
        )
        return ranker.fit(X, table.y, qid=table.qid, **arguments)

    with pytest.raises(TypeError, match=NO_THRESHOLDS):
        fit(Ridge())
    with pytest.raises(ValueError, match="'augment' parameter of DistilledRanker must be"):
        fit(TREES["lightgbm"], augment=1.0)
    with pytest.raises(ValueError, match="but teacher_scores were passed"):
        fit(None, teacher_scores=table.y)
    with pytest.raises(TypeError, match=SPARSE):
        fit(TREES["xgboost"], X=sparse.csr_array(table.X))


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_a_booster_has_the_thresholds_of_its_estimator(name, steps):
    X, y = steps
    teacher = clone(TREES[name]).fit(X, y)
    booster = teacher.booster_ if name == "lightgbm" else teacher.get_booster()
    for own, expected in zip(
        split_thresholds(booster, 3), split_thresholds(teacher, 3), strict=True
    ):
        assert_array_equal(own, expected)
        assert len(own) == len(set(own))
        assert (np.diff(own) > 0).all()


def test_thresholds_are_those_that_lightgbm_writes(steps):
    """Each number of the model's text is the threshold of one split."""
    X, y = steps
    booster = clone(TREES["lightgbm"]).fit(X, y).booster_
    expected = [set(), set(), set()]
    lines = dict.fromkeys(("split_feature", "threshold"))
    for line in booster.model_to_string().split("\n"):
        key, _, value = line.partition("=")
        if key in lines:
            lines[key] = value.split()
        if key == "threshold":
            for feature, threshold in zip(*lines.values(), strict=True):
                expected[int(feature)].add(float(threshold))
    assert [set(values) for values in split_thresholds(booster, 3)] == expected


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_splits_of_categories_have_no_thresholds(library):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"kind": pd.Categorical(rng.integers(0, 6, 300)), "x": rng.normal(size=300)})
    y = 5.0 * X["kind"].cat.codes.isin([1, 4]) + (X["x"] > 0)
    teacher = (
        LGBMRegressor(n_estimators=3, verbose=-1, min_child_samples=2)
        if library == "lightgbm"
        else XGBRegressor(n_estimators=3, enable_categorical=True, max_cat_to_onehot=1)
    )
    kind, x = split_thresholds(teacher.fit(X, y), 2)
    assert len(kind) == 0
    assert np.abs(x).min() < 0.1


def test_features_of_xgboost_are_found_by_name_and_by_number(steps):
    X, y = steps
    frame = pd.DataFrame(X, columns=["f2", "f0", "f1"])
    named = split_thresholds(clone(TREES["xgboost"]).fit(frame, y), 3)
    nameless = split_thresholds(clone(TREES["xgboost"]).fit(X, y), 3)
    for own, expected in zip(named, nameless, strict=True):
        assert_array_equal(own, expected)


def test_missing_values_are_no_ends_and_types_of_floats_are_kept():
    X = np.array([[np.nan, 1], [2, 3], [8, 5]], dtype=np.float32)
    thresholds = [np.array([3.0, 4.0, 7.0]), np.array([2.0])]
    rows = draw_rows(X, thresholds, [0, 1], 300, np.random.default_rng(0))
    assert rows.dtype == np.float32
    assert rows.shape == (300, 2)
    assert set(rows[:, 0]) == {2, (3 + 4) / 2, (4 + 7) / 2, 8}
    assert set(rows[:, 1]) == {1, 5}


def test_integers_are_drawn_between_integers():
    X = pd.DataFrame({"age": [1, 4, 9], "kind": ["a", "b", "a"]}, index=[7, 8, 9])
    rows = draw_rows(X, [np.array([2.5, 3.0])], [0], 100, np.random.default_rng(0))
    assert set(rows["age"]) == {1, (2.5 + 3) / 2, 9}
    assert set(rows["kind"]) == {"a", "b"}
    assert rows.index.tolist() == list(range(100))


def test_the_same_seed_draws_the_same_rows():
    X = np.random.default_rng(1).normal(size=(20, 2))
    one, other = (draw_rows(X, [], [], 9, np.random.default_rng(5)) for _ in range(2))
    assert_array_equal(one, other)


def test_each_position_needs_its_thresholds():
    with pytest.raises(ValueError, match="zip"):
        draw_rows(np.zeros((2, 2)), [np.array([1.0])], [0, 1], 3, np.random.default_rng(0))


def test_columns_of_the_same_name_are_drawn_each():
    X = pd.DataFrame([[0.0, 5], [10, 7]], columns=["a", "a"])
    rows = draw_rows(X, [np.array([8.0])], [0], 50, np.random.default_rng(0))
    assert set(rows.iloc[:, 0]) == {0.0, 10.0}
    assert set(rows.iloc[:, 1]) == {5.0, 7.0}
