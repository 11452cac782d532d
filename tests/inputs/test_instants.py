"""Dates of one type are read at once, as they are read cell by cell."""

import datetime
import itertools
import timeit

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from skdistill.inputs import TableEncoder
from skdistill.inputs.column_kinds import ColumnKindError, convert
from skdistill.inputs.instants import seconds_of_dates
from skdistill.students import LinearRanker

BERLIN = pd.date_range("2026-10-24", periods=60, freq="h", tz="Europe/Berlin")
NAIVE = [
    datetime.datetime(1, 1, 1),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999),
    datetime.datetime(2026, 2, 28, 8, 30),
    datetime.datetime(2200, 1, 1, 0, 0, 0, 1),
]
SEPARATORS = [(day, hour) for day in ("2026-02-28", "1969-12-31") for hour in "T "]
TEXTS = {
    "days": ["2026-02-28", "0001-01-01", "9999-12-31"],
    "times": [f"{day}{hour}23:59:59.{'987654321'[:n]}" for day, hour in SEPARATORS for n in (1, 9)],
    "minutes": ["2026-02-28 08:30", "2026-02-28T08:30:01", "2026-02-28"],
    "zones": [
        f"{day}{hour}08:30:00{zone}"
        for (day, hour), zone in itertools.product(SEPARATORS, ("Z", "+02:00", "-11:30"))
    ],
}
FORMS = {
    **TEXTS,
    "pandas": list(pd.to_datetime(["2026-02-28T08:30:00.123456789", "1969-12-31T23:59:59.9999"])),
    "pandas with a zone": list(BERLIN),
    "Python": NAIVE,
    "Python with a zone": [time.replace(tzinfo=datetime.UTC) for time in NAIVE],
    "Python in Berlin": [time.to_pydatetime() for time in BERLIN],
    "Python days": [time.date() for time in NAIVE],
    "NumPy": list(np.array(["2026-02-28T08:30:00.123456789", "1969-12-31"], dtype="M8[ns]")),
}


def cell_by_cell(cells):
    """Return what the exact conversion of each cell says, in seconds."""
    objects = np.empty(len(cells), dtype=object)
    objects[:] = cells
    times, is_unfit = convert(objects, "date")
    assert not is_unfit.any()
    present = [np.datetime64("NaT") if one is None else one for one in times.tolist()]
    ticks = np.array(present, dtype="M8[us]")
    return np.where(np.isnat(ticks), np.nan, ticks.astype(np.int64) / 1e6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("missing", [[], [None], [None, np.nan, pd.NaT], [pd.NA]])
def test_times_are_those_of_each_cell(form, missing):
    cells = [*FORMS[form][:2], *missing, *FORMS[form], FORMS[form][0]]
    seconds = seconds_of_dates(cells)
    assert seconds is not None
    assert_array_equal(seconds, cell_by_cell(cells))


def test_random_times_of_every_type_are_those_of_each_cell():
    random = np.random.default_rng(0)
    # Floats hold microseconds exactly from 1685 to 2255.
    times = np.array(random.integers(-(9 * 10**15), 9 * 10**15, 500), dtype="M8[us]")
    for cells in (list(times), times.tolist(), times.astype("U").tolist(), list(pd.Series(times))):
        assert_array_equal(seconds_of_dates(cells), cell_by_cell(cells))
        assert_array_equal(seconds_of_dates(cells), times.astype(np.int64) / 1e6)


@pytest.mark.parametrize(
    "cells",
    [
        ["2026-02-28", "20260228"],
        ["2026-02-30"],
        ["2026-02-28T24:00"],
        ["2026-02-28T08:30", "2026-02-28T08:30Z"],
        ["now"],
        ["２０２６-02-28"],
        ["2026-02-28", datetime.date(2026, 2, 28)],
        [NAIVE[0], NAIVE[0].replace(tzinfo=datetime.UTC)],
        [1_795_651_200],
        [1.5, None],
        [datetime.timedelta(days=1)],
        [[datetime.date(2026, 2, 28)]],
    ],
)
def test_what_is_not_one_type_of_date_is_left_to_the_exact_conversion(cells):
    assert seconds_of_dates(cells) is None


def test_columns_of_missing_times_are_read():
    assert_array_equal(seconds_of_dates([]), [])
    assert_array_equal(seconds_of_dates([None, pd.NaT]), [np.nan, np.nan])


def test_an_encoder_takes_dates_of_several_types_and_names_one_that_is_none():
    table = pd.DataFrame({"when": pd.date_range("2026-01-01", periods=9, freq="7h")})
    encoder = TableEncoder.fit(table)
    for form in FORMS.values():
        frame = pd.DataFrame({"when": pd.Series(form, dtype=object)})
        assert_array_equal(
            encoder.read_rows(frame.to_dict("records")), encoder.transform(frame).astype(float)
        )
    mixed = ["2026-01-01T00:00Z", "2026-01-01", datetime.date(2026, 1, 1), None]
    read = encoder.read_rows([{"when": one} for one in mixed])[:, 0]
    assert_array_equal(read, [*[1_767_225_600] * 3, np.nan])
    for wrong in ("yesterday", 1_767_225_600):
        with pytest.raises(ColumnKindError, match=r"row 1: column 'when'.*date"):
            encoder.read_rows([{"when": "2026-01-01"}, {"when": wrong}])


@pytest.mark.parametrize("convert_table", [lambda f: f, pl.from_pandas, pa.Table.from_pandas])
def test_durations_are_not_dates(convert_table):
    times = pd.DataFrame({"x": pd.date_range("2026-01-01", periods=20, freq="7h"), "y": range(20)})
    lengths = times.assign(x=times["x"] - times["x"][0])
    for fitted, other in ((times, lengths), (lengths, times)):
        model = LinearRanker(max_iter=2, random_state=0)
        model.fit(convert_table(fitted), np.arange(20) % 3, qid=np.arange(20) // 5)
        with pytest.raises(ColumnKindError, match="column 'x' held values of type"):
            model.predict(convert_table(other))


def test_text_is_read_several_times_as_fast_as_cell_by_cell():
    cells = [one.isoformat() for one in pd.date_range("2026-01-01", periods=2000, freq="min")]
    times = {}
    for read in (seconds_of_dates, cell_by_cell):
        # The machine may be busy for the time of a call.
        times[read] = min(timeit.repeat(lambda read=read: read(cells), number=1, repeat=7))
    assert times[cell_by_cell] > 3 * times[seconds_of_dates]
