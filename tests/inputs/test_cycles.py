"""A date is the time, and sine and cosine of the time of day and of the day of the week."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdistill.inputs import TableEncoder
from skdistill.inputs.cycles import DAY, WEEK
from skdistill.students import LinearRanker, MLPRanker

UTC = datetime.UTC
# The 1st of January 1970 was a Thursday.
EPOCH = datetime.datetime(1970, 1, 1)
KNOWN = {
    EPOCH: (0, 0, 1, 0, 1),
    EPOCH + datetime.timedelta(hours=6): (21600, 1, 0, np.sin(np.pi / 14), np.cos(np.pi / 14)),
    # Before 1970: Wednesday at 18:00, and the Saturday of the week before, at noon.
    EPOCH - datetime.timedelta(hours=6): (-21600, -1, 0, -np.sin(np.pi / 14), np.cos(np.pi / 14)),
    EPOCH - datetime.timedelta(days=5, hours=12): (-475200, 0, -1, -np.sin(11 * np.pi / 7),
                                                   np.cos(11 * np.pi / 7)),
    datetime.datetime(2026, 11, 26): (1795651200, 0, 1, 0, 1),  # a Thursday
    datetime.datetime(2026, 11, 29, 18): (1795975200, -1, 0, np.sin(7.5 * np.pi / 7),
                                          np.cos(7.5 * np.pi / 7)),
    None: (np.nan,) * 5,
}  # fmt: skip


@pytest.mark.parametrize(
    "convert",
    [lambda f: f, pl.from_pandas, pa.Table.from_pandas],
    ids=["pandas", "polars", "arrow"],
)
def test_known_times_in_tables_of_every_library(convert):
    times = pd.DataFrame({"when": pd.to_datetime(list(KNOWN)), "number": np.arange(len(KNOWN))})
    expected = np.column_stack([list(KNOWN.values()), times["number"]])
    table = convert(times)
    encoder = TableEncoder.fit(table)
    assert encoder.kinds == ("date", "float")
    assert encoder.periods == ((DAY, WEEK), ())
    assert encoder.number_names == ["when"] * 5 + ["number"]
    assert encoder.first_numbers.tolist() == [0, 5]
    assert_allclose(encoder.transform(table), expected, rtol=0, atol=1e-9)
    rows = [{"when": time, "number": row} for row, time in enumerate(KNOWN)]
    assert_array_equal(encoder.read_rows(rows), encoder.transform(table))


def test_zones_are_read_in_utc():
    local = pd.DataFrame({"when": pd.date_range("2026-03-28 06:00", periods=3, tz="Europe/Berlin")})
    encoder = TableEncoder.fit(local)
    assert encoder.periods == ((DAY,),)
    # The clocks change in the second night: 6:00 is 5:00 UTC, then 4:00.
    hour = np.array([5, 4, 4]) * 2 * np.pi / 24
    read = encoder.transform(local)
    assert_allclose(read[:, 1], np.sin(hour), atol=1e-9)
    assert_allclose(read[:, 2], np.cos(hour), atol=1e-9)
    naive = local["when"].dt.tz_convert(None).to_frame()
    assert_array_equal(encoder.transform(naive), read)
    rows = [{"when": time.to_pydatetime()} for time in local["when"]]
    assert_array_equal(encoder.read_rows(rows), read)


def test_each_microsecond_keeps_its_phase():
    ticks = np.datetime64("2026-11-26T06:00:00.000000", "us") + np.arange(3) * 1000
    encoder = TableEncoder.fit(pd.DataFrame({"when": [*ticks, ticks[0] - 10 * DAY * 10**6]}))
    read = encoder.transform(pd.DataFrame({"when": ticks}))
    assert read.dtype == np.float64
    assert_allclose(read[:, 2], -np.arange(3) * 2 * np.pi * 1e-3 / DAY, atol=1e-11)


def test_periods_that_dates_do_not_show_are_left_out():
    days = pd.date_range("2026-11-01", periods=9)
    for column, periods in (
        (days, (WEEK,)),
        (days + pd.Timedelta(hours=7), (WEEK,)),
        (days.tz_localize("Asia/Tokyo"), (WEEK,)),
        ([day.date() for day in days], (WEEK,)),
        ([*days[:-1], pd.NaT], (WEEK,)),
        (pd.date_range("2026-11-01", periods=9, freq="7D"), ()),
        (pd.to_datetime([pd.NaT] * 9), ()),
        (days + pd.to_timedelta(np.arange(9), unit="min"), (DAY, WEEK)),
        # Half a period shows a cycle, less does not.
        (days[0] + pd.to_timedelta(np.arange(9) * 1.5, unit="h"), (DAY,)),
        (days[0] + pd.to_timedelta(np.arange(9) * 1.4, unit="h"), ()),
        (days[0] + pd.to_timedelta(np.arange(9) * 10.4, unit="h"), (DAY,)),
        (days[0] + pd.to_timedelta(np.arange(9) * 10.5, unit="h"), (DAY, WEEK)),
    ):
        encoder = TableEncoder.fit(pd.DataFrame({"when": column, "took": days - days[0]}))
        assert encoder.periods == ((periods, ()) if periods else ())
        assert encoder.kinds == ("date", "timedelta")
    # A time of day that comes later is not read.
    encoder = TableEncoder.fit(pd.DataFrame({"when": days}))
    noon = encoder.transform(pd.DataFrame({"when": days + pd.Timedelta(hours=12)}))
    assert noon.shape == (9, 3)


def test_tables_without_dates_are_read_as_before():
    numbers = pd.DataFrame({"a": [1.0, 2.0], "took": pd.to_timedelta([1, 2], unit="h")})
    encoder = TableEncoder.fit(numbers)
    assert encoder.periods == ()
    assert_array_equal(encoder.transform(numbers), [[1, 3600], [2, 7200]])


def table(missing=0.2, n_rows=1200, random_state=0):
    """Items whose utility depends on the hour, with gaps."""
    rng = np.random.default_rng(random_state)
    seconds = rng.integers(0, 60 * DAY, n_rows)
    X = pd.DataFrame(
        {
            "x": rng.normal(size=n_rows),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(seconds, unit="s"),
        }
    )
    utility = np.cos(2 * np.pi * seconds / DAY) + 0.1 * X["x"].to_numpy()
    X.loc[rng.random(n_rows) < missing, "when"] = pd.NaT
    return X, utility, np.arange(n_rows) // 20


def test_a_missing_date_has_one_flag_and_the_mean_of_each_number():
    X, utility, qid = table()
    student = MLPRanker((4,), max_iter=2, random_state=0).fit(X, qid=qid, teacher_scores=utility)
    assert student.scaler_.flagged.tolist() == [1]
    assert student.params_["weights_0"].shape == (6 + 1, 4)
    scaled = student.scaler_.transform(student.encoder_.transform(X))
    missing = X["when"].isna().to_numpy()
    assert_array_equal(scaled[missing, 1:6], 0)
    assert_array_equal(scaled[:, 6], missing)


def test_a_linear_student_sees_the_hour():
    X, utility, qid = table(missing=0)
    student = LinearRanker(random_state=0).fit(X, qid=qid, teacher_scores=utility)
    later, expected, _ = table(missing=0, random_state=1)
    assert np.corrcoef(student.predict(later), expected)[0, 1] > 0.99
    # Its weights are far from those of columns, and so it has no coef_.
    with pytest.raises(AttributeError, match="has no coef_"):
        _ = student.coef_


def test_gaps_that_fit_did_not_see_name_the_column_once():
    X, utility, qid = table(missing=0)
    student = LinearRanker(max_iter=1).fit(X, qid=qid, teacher_scores=utility)
    X.loc[3, "when"] = pd.NaT
    with pytest.raises(ValueError, match=r"contains NaN in the columns \['when'\], but fit"):
        student.predict(X)


def test_an_encoder_of_a_former_version_reads_a_date_as_one_number():
    X, *_ = table()
    encoder = TableEncoder.fit(X)
    state = encoder.__getstate__()
    del state["periods"]
    former = object.__new__(TableEncoder)
    former.__setstate__(state)
    assert_array_equal(former.transform(X), encoder.transform(X)[:, :2])
    assert former.number_names == ["x", "when"]
