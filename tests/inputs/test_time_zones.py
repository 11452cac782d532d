"""Times without a zone beside times with one are told, by every way in which rows come."""

import datetime
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dateutil.tz import tzutc

from skdistill.inputs import TableEncoder
from skdistill.inputs.time_zones import zone_of_cells, zone_of_column
from skdistill.serving import compile_scorer, load, save, score_table
from skdistill.students import MLPRanker
from skdistill.towers import TwoTowerRetriever

N_ROWS = 100
RNG = np.random.default_rng(0)
HOURS = pd.to_timedelta(RNG.integers(0, 5000, N_ROWS), unit="h")
NAIVE = pd.Series(pd.Timestamp("2026-01-01 00:30") + HOURS)
UTC = NAIVE.dt.tz_localize("UTC")
ZONED = UTC.dt.tz_convert("Asia/Kolkata")
MOMENT = datetime.datetime(2026, 11, 27, 8, 30)
KOLKATA = datetime.timezone(datetime.timedelta(hours=5.5))
MESSAGES = {
    ("zoned", "naive"): "held times with a time zone in fit and holds times without one now",
    ("naive", "zoned"): "held times without a time zone in fit, which were taken for UTC, and",
}
TIMES = {"naive": NAIVE, "UTC": UTC, "zoned": ZONED}
LIBRARIES = {
    "pandas": lambda frame: frame,
    "objects": lambda frame: frame.astype({"when": object}),
    "text": lambda frame: frame.assign(when=[time.isoformat() for time in frame["when"]]),
    "Arrow in pandas": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "Arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "polars": pl.from_pandas,
}


def frame_of(times):
    return pd.DataFrame({"x": RNG.normal(size=N_ROWS), "when": times})


def student_of(times):
    qid = np.repeat(np.arange(N_ROWS // 10), 10)
    student = MLPRanker((4,), max_iter=2, random_state=0)
    return student.fit(frame_of(times), RNG.integers(0, 2, N_ROWS), qid=qid)


def check(in_fit, now, do):
    """Call a function; expect one message of the column if zones differ, and none otherwise."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        do()
    expected = MESSAGES.get((in_fit, now))
    # Batches of a file repeat it, which Python shows once.
    messages = {str(one.message) for one in caught}
    assert len(messages) == (expected is not None)
    for message in messages:
        assert message.startswith(f"Column 'when' {expected}")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("now", TIMES)
@pytest.mark.parametrize("in_fit", TIMES)
def test_frames(in_fit, now, library):
    student, table = student_of(TIMES[in_fit]), LIBRARIES[library](frame_of(TIMES[now]))
    # Times of UTC have a zone.
    had = "naive" if in_fit == "naive" else "zoned"
    check(had, now, lambda: student.predict(table))
    scorer = compile_scorer(student)
    check(had, now, lambda: scorer(table))


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("now", TIMES)
@pytest.mark.parametrize("in_fit", ["naive", "zoned"])
def test_dictionaries_and_files(in_fit, now, as_text, tmp_path):
    is_missing = np.arange(N_ROWS) == 0
    student = student_of(TIMES[in_fit].mask(is_missing))
    frame = frame_of(TIMES[now].mask(is_missing))
    if as_text:
        frame["when"] = [None if pd.isna(time) else time.isoformat() for time in frame["when"]]
    check(in_fit, now, lambda: compile_scorer(student).rows(frame.to_dict("records")))
    save(student, tmp_path / "student")
    loaded = load(tmp_path / "student")
    check(in_fit, now, lambda: loaded.predict(frame))
    file = tmp_path / "table.csv" if as_text else tmp_path / "table.parquet"
    frame.to_csv(file, index=False) if as_text else frame.to_parquet(file)
    check(in_fit, now, lambda: score_table(loaded, file, tmp_path / "scores"))


def test_pairs():
    pairs = pd.DataFrame({"user": RNG.integers(0, 9, N_ROWS), "item": RNG.integers(0, 9, N_ROWS)})
    pairs = pairs.assign(when=ZONED)
    retriever = TwoTowerRetriever(
        query_columns=["user", "when"], item_columns=["item"], max_iter=1, random_state=0
    )
    retriever.fit(pairs, RNG.random(N_ROWS))
    later = pairs.assign(when=NAIVE)
    check("zoned", "naive", lambda: retriever.predict(later))
    check("zoned", "naive", lambda: compile_scorer(retriever).rows(later.to_dict("records")))


def test_files_of_former_versions_do_not_know():
    encoder = TableEncoder.fit(frame_of(ZONED))
    state = encoder.__getstate__()
    assert state.pop("zoned") == (None, True)
    former = TableEncoder.__new__(TableEncoder)
    former.__setstate__(state)
    check("unknown", "naive", lambda: former.transform(frame_of(NAIVE)))
    assert pickle.loads(pickle.dumps(encoder)) == encoder


def test_missing_times_tell_nothing():
    encoder = TableEncoder.fit(frame_of(ZONED))
    check("zoned", None, lambda: encoder.transform(frame_of([None] * N_ROWS)))
    check("zoned", None, lambda: encoder.read_rows([{"x": 1.0, "when": None}]))
    assert TableEncoder.fit(frame_of(NAIVE.mask(NAIVE > "1970"))).zoned == (None, False)


@pytest.mark.parametrize(
    ("cells", "zone"),
    [
        ([None, np.nan, pd.NaT, pd.NA], None),
        ([pd.NaT, MOMENT], "none"),
        ([MOMENT.replace(tzinfo=datetime.UTC)], "UTC"),
        ([MOMENT.replace(tzinfo=KOLKATA)], "other"),
        ([MOMENT.date()], "none"),
        ([np.datetime64("NaT"), np.datetime64("2026-11-27T08:30")], "none"),
        (["2026-11-27"], "none"),
        (["2026-11-27T08:30:00"], "none"),
        (["2026-11-27 08:30:00.5Z"], "UTC"),
        (["2026-11-27T08:30:00+00:00"], "UTC"),
        (["2026-11-27T08:30:00+0530"], "other"),
        (["2026-11-27T08:30-01"], "other"),
    ],
)
def test_zone_of_cells(cells, zone):
    assert zone_of_cells(cells) == zone
    if zone is not None and not isinstance(cells[0], str):
        cells = [cell for cell in cells if cell is not pd.NaT]
        assert zone_of_column(pd.Series(cells, dtype=object)) == zone


@pytest.mark.parametrize("zone", [datetime.UTC, "UTC", "Etc/UTC", tzutc()])
def test_names_of_utc(zone):
    assert zone_of_column(NAIVE.dt.tz_localize(zone)) == "UTC"
