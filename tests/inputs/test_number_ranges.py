"""Numbers in another unit than in fit are told, by students, scorers and towers."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skdistill import TwoTowerRetriever
from skdistill.inputs import TableEncoder
from skdistill.inputs.number_ranges import NumberRanges, range_of
from skdistill.serving import compile_scorer, load, save, score_table
from skdistill.students import MLPRanker

N_ROWS = 2000
rng = np.random.default_rng(0)
QID = np.repeat(np.arange(N_ROWS // 20), 20)
X = pd.DataFrame(
    {
        "price": rng.lognormal(3, 1, N_ROWS),
        "age": np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.integers(0, 400, N_ROWS)),
        "listed_at": pd.Timestamp("2026-03-01") + pd.to_timedelta(rng.integers(0, 99, N_ROWS), "D"),
        "city": rng.choice(["köln", "paris"], N_ROWS),
        "constant": 0.1,
    }
)
Y = np.clip(np.round(np.log(X["price"]) - 2), 0, 3)


@pytest.fixture(scope="module")
def student():
    return MLPRanker((4,), max_iter=2, random_state=0).fit(X, Y, qid=QID)


def warned(function, *arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    return sorted({str(warning.message) for warning in caught})


OTHER_UNITS = {
    "larger": (X.assign(age=X["age"] * 86_400), "'age' (0 to 399)"),
    "smaller": (X.assign(price=X["price"] / 1e4), "'price' ("),
    "negative": (X.assign(age=-1 - X["age"]), "'age' (0 to 399)"),
}


@pytest.mark.parametrize("case", OTHER_UNITS)
def test_another_unit_is_told_wherever_a_student_reads_a_frame(student, case, tmp_path):
    table, expected = OTHER_UNITS[case]
    save(student, tmp_path / "student.skd")
    table.to_parquet(tmp_path / "later.parquet")
    scorer = compile_scorer(student)
    loaded = load(tmp_path / "student.skd")
    told = {
        "predict": warned(student.predict, table),
        "polars": warned(student.predict, pl.from_pandas(table)),
        "loaded": warned(loaded.predict, table),
        "pickled": warned(pickle.loads(pickle.dumps(student)).predict, table),
        "scorer": warned(scorer, table),
        "rows": warned(scorer.rows, table.to_dict("records")),
        "file": warned(score_table, student, tmp_path / "later.parquet", tmp_path / "scores"),
    }
    for where, (message,) in told.items():
        assert expected in message, where
        assert message.count("(") == 1


def test_what_is_not_told(student):
    assert warned(student.predict, X) == []
    assert warned(student.predict, X.assign(age=X["age"] + 150)) == []
    assert warned(student.predict, X.assign(listed_at=X["listed_at"] + pd.Timedelta("900D"))) == []
    assert warned(student.predict, X.assign(constant=np.float32(0.1))) == []
    assert warned(student.predict, X.assign(constant=7.0)) == []
    assert warned(student.predict, X.assign(price=X["price"].astype(np.float32))) == []
    assert warned(student.predict, X.assign(age=np.nan)) == []
    assert warned(student.predict, (X.assign(age=1e9)).head(999)) == []


@pytest.mark.parametrize("goes_on", ["partial_fit", "warm_start"])
def test_a_student_that_goes_on_learning_knows_the_numbers_of_all_its_rows(goes_on):
    days = X[["age", "price"]].assign(day=np.arange(N_ROWS))
    later = days.assign(day=days["day"] + N_ROWS)
    student = MLPRanker((4,), max_iter=1, warm_start=True, random_state=0)
    fit = student.fit if goes_on == "warm_start" else student.partial_fit
    for table in (days, later):
        assert warned(lambda table=table: fit(table, Y, qid=QID)) == []
        assert warned(student.predict, table) == []
    assert student.encoder_.ranges[2] == (0.0, 2 * N_ROWS - 1.0)
    assert warned(student.predict, days) == []
    assert "'day'" in warned(student.predict, later.assign(day=1e6))[0]


def test_numbers_that_are_objects_widen_the_ranges_too():
    days = pd.DataFrame({"day": pd.Series(range(N_ROWS), dtype=object)})
    later = days + N_ROWS
    student = MLPRanker((4,), max_iter=1, random_state=0).partial_fit(days, Y, qid=QID)
    assert warned(lambda: student.partial_fit(later, Y, qid=QID)) == []
    assert student.encoder_.ranges == ((0.0, 2 * N_ROWS - 1.0),)


def test_towers_that_go_on_learning_know_the_numbers_of_all_their_rows():
    items = pd.DataFrame({"day": np.arange(N_ROWS, dtype=float)})
    later = items + N_ROWS
    towers = TwoTowerRetriever(
        query_columns=["user"], item_columns=["day"], alpha=0, embedding_dim=2, max_iter=1
    )
    log = items.assign(user=QID)
    towers.fit(log, Y > 1, qid=QID, items=items)
    assert "'day'" in warned(towers.transform_items, later)[0]
    further = later.assign(user=QID + 1000)
    assert warned(lambda: towers.partial_fit(further, Y > 1, qid=QID + 1000, items=later)) == []
    assert warned(towers.transform_items, later) == []
    assert "'day'" in warned(towers.transform_items, items + 1e6)[0]


@pytest.mark.parametrize("goes_on", ["partial_fit", "warm_start"])
def test_a_lazy_frame_is_refused_with_the_way_out(goes_on):
    student = MLPRanker((4,), max_iter=1, warm_start=True).fit(X[["age"]], Y, qid=QID)
    fit = student.fit if goes_on == "warm_start" else student.partial_fit
    with pytest.raises(TypeError, match=r"Pass X\.collect\(\)"):
        fit(pl.from_pandas(X[["age"]]).lazy(), Y, qid=QID)


def test_students_of_former_versions_know_no_ranges():
    encoder = TableEncoder.fit(X)
    former = TableEncoder(encoder.kinds, encoder.names, encoder.categories, encoder.periods)
    assert former.ranges == ()
    assert warned(former.transform, X.assign(age=1e9)) == []


def test_ranges_are_those_of_the_finite_numbers():
    assert range_of(np.array([np.nan, 3.0, -1.0])) == (-1.0, 3.0)
    assert range_of(np.array([np.nan])) is None
    assert TableEncoder.fit(X).ranges[:2] == ((X["price"].min(), X["price"].max()), (0.0, 399.0))


def test_a_place_of_every_list_is_not_taken_for_all_rows():
    column = np.full(2000, 0.5)
    for width in (5, 10, 20):
        one = np.where(np.arange(2000) % width == 0, 7.0, column)
        assert NumberRanges.of([(0.0, 1.0)]).left_by(one[:, None]) == []
        other = np.where(np.arange(2000) % width == 0, column, 7.0)
        assert NumberRanges.of([(0.0, 1.0)]).left_by(other[:, None]) == [0]


@pytest.mark.parametrize("n_rows", [1000, 1001, 5555, 100_000])
def test_outside_is_more_than_half_of_the_numbers_that_are_there(n_rows):
    column = np.random.default_rng(0).permutation(np.linspace(0, 1, n_rows))
    column[column < 0.5] = np.nan
    assert NumberRanges.of([(0.7, 1.0)]).left_by(column[:, None]) == []
    few = np.where(np.arange(n_rows) % 300 == 5, 7.0, np.nan)
    assert NumberRanges.of([(0.0, 1.0)]).left_by(few[:, None]) == []
    assert NumberRanges.of([None, (0.8, 1.0)]).left_by(np.column_stack([column] * 2)) == [1]
