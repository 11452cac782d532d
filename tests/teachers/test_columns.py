"""A fitted teacher's columns: by name wherever both sides have names, else by position."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from catboost import CatBoostRegressor
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import Booster, LGBMRegressor
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBRegressor

from skdistill import DistilledRanker
from skdistill.students import LinearRanker
from skdistill.teachers import RankEnsemble, score_rows
from skdistill.teachers.columns import (
    fitted_names,
    names_read_by,
    positions_among,
    teacher_positions,
    teacher_table,
)

NAMES = ["unit price", "age", "clicks"]  # LightGBM replaces the blank by an underscore
rng = np.random.default_rng(0)
ARRAY = rng.normal(size=(200, 3))
Y = ARRAY[:, 0] + 2 * (ARRAY[:, 1] > 0) - 3 * (ARRAY[:, 2] > 1)
X = pd.DataFrame(ARRAY, columns=NAMES)
LIGHTGBM = LGBMRegressor(n_estimators=5, verbose=-1)

TEACHERS = {
    "lightgbm": LIGHTGBM,
    "frozen": FrozenEstimator(LGBMRegressor(n_estimators=5, verbose=-1)),
    "xgboost": XGBRegressor(n_estimators=3),
    "catboost": CatBoostRegressor(iterations=3, verbose=0, allow_writing_files=False),
    "histogram": HistGradientBoostingRegressor(max_iter=3),
    "pipeline": make_pipeline("passthrough", StandardScaler(), LIGHTGBM),
    "search": GridSearchCV(make_pipeline(LIGHTGBM), {}, cv=2),
    "ensemble": RankEnsemble([("ridge", Ridge())]),
}


def fit(name, table, y=Y):
    teacher = TEACHERS[name]
    if name == "frozen":
        return FrozenEstimator(teacher.estimator.fit(table, y))
    if name == "ensemble":
        return teacher.fit(table, y, qid=np.repeat([0, 1], 100))
    return teacher.fit(table, y)


def of_kind(kind, frame):
    if kind == "pandas":
        return frame
    table = pl.DataFrame({name: frame[name].to_numpy() for name in frame})
    return table if kind == "polars" else table.to_arrow()


@pytest.fixture(scope="module", params=[*TEACHERS, "booster", "model file"])
def fitted(request, tmp_path_factory):
    """A teacher that was fitted on a frame, and its scores."""
    if request.param in TEACHERS:
        teacher = fit(request.param, X)
        return teacher, np.asarray(teacher.predict(X))
    model = LGBMRegressor(n_estimators=5, verbose=-1).fit(X, Y)
    if request.param == "booster":
        return model.booster_, model.predict(X)
    path = tmp_path_factory.mktemp("teacher") / "teacher.txt"
    model.booster_.save_model(path)
    return Booster(model_file=path), model.predict(X)


@pytest.mark.parametrize("name", TEACHERS)
def test_names_are_those_of_the_fit_in_every_library(name):
    renamed = name in ("lightgbm", "frozen", "search")  # LightGBM reads the table
    assert fitted_names(fit(name, X)) == (["unit_price", *NAMES[1:]] if renamed else NAMES)


@settings(deadline=None)
@given(
    st.permutations([*NAMES, "day", "qid"]),
    st.sets(st.sampled_from(["day", "qid"])),
    st.sampled_from(["pandas", "polars", "pyarrow"]),
)
def test_any_order_and_further_columns_score_the_same(fitted, order, left_out, kind):
    if kind == "pyarrow" and isinstance(fitted[0], CatBoostRegressor):
        kind = "pandas"  # CatBoost takes no Arrow tables
    teacher, scores = fitted
    frame = X.assign(day=-X["age"], qid=7.0)[[name for name in order if name not in left_out]]
    assert_allclose(score_rows(teacher, of_kind(kind, frame)), scores, rtol=1e-12)


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(NAMES), st.booleans())
def test_missing_and_renamed_columns_are_named(fitted, name, is_renamed):
    frame = X.rename(columns={name: "other"}) if is_renamed else X.drop(columns=name)
    with pytest.raises(ValueError, match=name.replace(" ", ".")):
        score_rows(fitted[0], frame)


@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize("name", TEACHERS)
def test_without_names_on_either_side_the_number_decides(name):
    named = fit(name, X)
    assert_allclose(score_rows(named, ARRAY), named.predict(X))
    if name not in ("xgboost", "catboost"):  # they refuse other names by themselves
        assert_allclose(score_rows(named, pd.DataFrame(ARRAY)), named.predict(X))
    with pytest.raises(
        ValueError, match=r"fitted on 3 columns, but the table has 2\. .* the table"
    ):
        score_rows(named, ARRAY[:, :2])
    nameless = fit(name, ARRAY)
    scores = np.asarray(nameless.predict(ARRAY))
    for table in (ARRAY, X):
        assert_allclose(score_rows(nameless, table), scores)
    with pytest.raises(ValueError, match=r"3 columns, but the table has 4\. .* the teacher has no"):
        score_rows(nameless, X.assign(day=0))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_made_up_names_are_names_if_the_table_has_them_all():
    teacher = LGBMRegressor(n_estimators=5, verbose=-1).fit(ARRAY, Y)
    assert fitted_names(teacher) == ["Column_0", "Column_1", "Column_2"]
    table = X.set_axis(fitted_names(teacher), axis=1)
    assert teacher_positions(teacher, table.iloc[:, [2, 0, 1]]) == [1, 2, 0]
    numbered = LGBMRegressor(n_estimators=5, verbose=-1).fit(pd.DataFrame(ARRAY), Y)
    permuted = pd.DataFrame(ARRAY)[[2, 0, 1]]
    assert_array_equal(score_rows(numbered, permuted), numbered.predict(ARRAY))


def test_an_exact_name_goes_before_one_with_blanks_and_doubles_are_refused():
    teacher = LGBMRegressor(n_estimators=2, verbose=-1).fit(X, Y)
    assert teacher_positions(teacher, X.assign(unit_price=0)) == [3, 1, 2]
    with pytest.raises(ValueError, match=r"several columns of the names \['age'\]"):
        teacher_positions(teacher, pd.concat([X, X[["age"]]], axis=1))
    doubled = pd.concat([X, X[["age"]].set_axis(["other"], axis=1)], axis=1)
    doubled = pd.concat([doubled, doubled[["other"]]], axis=1)
    assert teacher_positions(teacher, doubled) == [0, 1, 2]


def test_a_column_transformer_needs_only_the_columns_that_it_transforms():
    head = ColumnTransformer([("kept", StandardScaler(), ["age", "unit price"])])
    teacher = make_pipeline(head, LGBMRegressor(n_estimators=5, verbose=-1)).fit(X, Y)
    frame = X[["unit price", "age"]].assign(day=1)
    assert_array_equal(score_rows(teacher, frame), teacher.predict(X))
    with pytest.raises(ValueError, match="age"):
        score_rows(teacher, X[["unit price", "clicks"]])


def test_a_teacher_of_ones_own_gets_the_table_as_it_is():
    class Rule:
        def predict(self, table):
            return table["age"] * 2

    assert_array_equal(score_rows(Rule(), X), X["age"] * 2)


def test_positions_among_some_columns_are_those_of_the_whole_table():
    teacher = Ridge().fit(X, Y)
    frame = X.assign(day=0)[["clicks", "day", "age", "unit price"]]
    assert positions_among(teacher, frame, None) == [3, 2, 0]
    assert positions_among(teacher, frame, [0, 2, 3]) == [3, 2, 0]
    with pytest.raises(ValueError, match=r"the table lacks: \['age'\]"):
        positions_among(teacher, frame, [0, 1, 3])
    nameless = Ridge().fit(ARRAY, Y)
    assert positions_among(nameless, np.zeros((2, 5)), [4, 0, 2]) == [4, 0, 2]


def test_a_teacher_gets_the_table_itself_if_it_reads_all_of_it():
    teacher = Ridge().fit(X, Y)
    assert teacher_table(teacher, X) is X
    assert list(teacher_table(teacher, X[NAMES[::-1]]).columns) == NAMES


def test_a_rule_has_no_names_and_reads_any_number_of_columns():
    assert fitted_names(object()) is None
    assert teacher_positions(object(), X) == [0, 1, 2]
    assert fitted_names(Ridge().fit(ARRAY, Y)) is None


def test_missing_columns_are_listed_with_what_there_is():
    teacher = make_pipeline("passthrough", Ridge()).fit(X, Y)
    with pytest.raises(
        ValueError,
        match=r"^The teacher Ridge was fitted on columns that the table lacks: \['unit price', "
        r"'clicks'\]\. The table has \['age', 'day'\]\. Add or rename columns; to keep one "
        r"from the student alone, leave it out of student_columns; further columns and "
        r"another order do no harm\. If they are computed from others, such as the month of a "
        r"date, put the step .* in front: .* teacher_scores= in Python, a column of the table in "
        r"a recipe or on the command line \(--teacher-column\)\. If the columns are those of the "
        r"teacher under other names, in the "
        r"order of its fit, pass an array \(X\.to_numpy\(\)\)\.$",
    ):
        teacher_positions(teacher, X[["age"]].assign(day=0))


def test_all_columns_in_order_are_positions_too():
    assert teacher_positions(Ridge().fit(X, Y), X) == [0, 1, 2]
    head = ColumnTransformer([("kept", StandardScaler(), ["age"])]).fit(X)
    assert teacher_positions(head, X[["age", "clicks"]]) == [0, 1]


@pytest.mark.parametrize(
    ("fitted_on", "table", "nameless"),
    [
        (X, ARRAY[:, :2], "the table"),
        (X, pd.DataFrame(ARRAY[:, :2]), "the table"),
        (X, pd.DataFrame(ARRAY[:, :2], columns=["Column_0", "Column_1"]), "the table"),
        (ARRAY, X[["age", "clicks"]], "the teacher"),
    ],
)
@pytest.mark.parametrize("kind", [Ridge, LGBMRegressor, Booster])
def test_the_message_says_why_columns_are_matched_by_position(kind, fitted_on, table, nameless):
    teacher = (Ridge() if kind is Ridge else LGBMRegressor(n_estimators=1, verbose=-1)).fit(
        fitted_on, Y
    )
    with pytest.raises(
        ValueError,
        match=rf"^The teacher {kind.__name__} was fitted on 3 columns, but the table has 2\. They "
        rf"are matched by position, because {nameless} has no column names\. Pass the teacher's "
        r"columns in the order of its fit, or fit it on a data frame and pass data frames\.$",
    ):
        teacher_positions(teacher.booster_ if kind is Booster else teacher, table)


def test_names_that_only_start_like_made_up_ones_are_names():
    """Unlike the numbers of an array's columns, they do not allow to match by position."""
    for names in (["Column_1", "Column_2", "Column_0x"], ["0", "1", "3"]):
        with pytest.raises(ValueError, match="columns that the table lacks"):
            teacher_positions(Ridge().fit(X, Y), X.set_axis(names, axis=1))


def test_the_names_that_a_teacher_reads_are_known_before_a_table_is_read():
    names = ["rank before", "price", "note"]
    table = X.iloc[:, :2].set_axis(names[:2], axis=1)
    booster = LGBMRegressor(n_estimators=2, min_child_samples=5, verbose=-1).fit(table, Y).booster_
    for teacher in (booster, Ridge().fit(table, Y)):
        assert names_read_by(teacher, names) == names[:2]
    for teacher in (Ridge(), Ridge().fit(X.to_numpy(), Y), len, None):
        assert names_read_by(teacher, names) == []


@pytest.mark.parametrize("form", ["booster", "frozen", "polars"])
def test_dates_where_a_lightgbm_model_was_fitted_on_numbers_are_named(form):
    """LightGBM would fail with an error of NumPy that names no column."""
    days = pd.date_range("2026-01-01", periods=60)
    table = pd.DataFrame({"price": np.arange(60.0), "check_in": days, "note": days})
    numbers = table.assign(check_in=days.dayofyear)[["check_in", "price"]]
    model = LGBMRegressor(n_estimators=2, min_child_samples=5, verbose=-1)
    model.fit(numbers, np.arange(60))
    teacher = FrozenEstimator(model) if form == "frozen" else model.booster_
    table = pl.from_pandas(table) if form == "polars" else table
    with pytest.raises(ValueError, match=r"fitted on numbers, but .*\['check_in'\] hold times"):
        positions_among(teacher, table, None)
    with pytest.raises(ValueError, match=r"fitted on numbers, but .*\['check_in'\] hold times"):
        score_rows(teacher, table)
    assert positions_among(teacher, numbers.assign(note=days), None) == [0, 1]
    student = LinearRanker(max_iter=1)
    qid = np.arange(60) // 10
    with pytest.raises(
        ValueError, match="Put the step that makes the same numbers of them in front"
    ):
        DistilledRanker(teacher, student).fit(table, qid=qid)
    both = pd.DataFrame(numbers).assign(day=days)
    ranker = DistilledRanker(
        teacher, student, teacher_columns=["check_in", "price"], student_columns=["day", "price"]
    )
    assert np.isfinite(ranker.fit(both, qid=qid).predict(both)).all()
