"""Dates that are text are told, for models read them as categories."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skdistill import TwoTowerRetriever
from skdistill.inputs.dates_in_text import warn_of_dates_in_text
from skdistill.students import LinearRanker

N_ROWS = 40
DAYS = pd.Series(pd.date_range("2026-03-02", periods=N_ROWS))
FORMS = {
    "day": DAYS.dt.strftime("%Y-%m-%d"),
    "minute": DAYS.dt.strftime("%Y-%m-%d 08:30"),
    "zone": DAYS.dt.strftime("%Y-%m-%dT08:30:00.250+01:00"),
    "UTC": DAYS.dt.strftime("%Y-%m-%dT08:30:00Z"),
    "German": DAYS.dt.strftime("%d.%m.%Y"),
    "American": DAYS.dt.strftime("%m/%d/%Y, 08:30 AM"),
    "missing": DAYS.dt.strftime("%Y-%m-%d").where(DAYS.index > 3),
    "category": DAYS.dt.strftime("%Y-%m-%d").astype("category"),
}
OTHERS = {
    "dates": DAYS,
    "text": pd.Series([f"shop {row}" for row in range(N_ROWS)]),
    "codes": pd.Series([f"2026-{row:03d}-AB" for row in range(N_ROWS)]),
    "versions": pd.Series([f"1.{row}.3" for row in range(N_ROWS)]),
    "one is none": FORMS["day"].where(DAYS.index != 5, "unknown"),
    "one day": pd.Series(["2026-03-02"] * N_ROWS),
    "numbers": pd.Series(np.arange(N_ROWS)),
    "missing": pd.Series([None] * N_ROWS),
}


def warned(table, named=()):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_dates_in_text(table, named)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("form", FORMS)
def test_dates_in_text_are_told(form, library):
    frame = pd.DataFrame({"price": np.arange(N_ROWS), "listed_on": FORMS[form]})
    table = {"pandas": frame, "polars": pl.from_pandas(frame)}.get(library)
    table = pl.from_pandas(frame).to_arrow() if table is None else table
    (message,) = warned(table)
    assert "['listed_on']" in message


@pytest.mark.parametrize("kind", OTHERS)
def test_other_columns_are_not(kind):
    assert warned(pd.DataFrame({"a": OTHERS[kind], "b": np.arange(N_ROWS)})) == []


def test_columns_that_are_named_as_categories_are_not():
    frame = pd.DataFrame({"listed_on": FORMS["day"], "sold_on": FORMS["UTC"]})
    assert "['sold_on']" in warned(frame, named={0})[0]
    assert warned(frame, named={0, 1}) == []


def test_students_and_towers_warn():
    frame = pd.DataFrame({"price": np.arange(N_ROWS, dtype=float), "listed_on": FORMS["day"]})
    qid = np.repeat(np.arange(4), 10)
    y = np.random.default_rng(0).integers(0, 2, N_ROWS)
    named = LinearRanker(max_iter=1, categorical_features=["listed_on"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named.fit(frame, y, qid=qid)
    with pytest.warns(UserWarning, match="hold dates as text"):
        LinearRanker(max_iter=1).fit(frame, y, qid=qid)
    log = frame.assign(age=np.repeat([1.0, 2, 3, 4], 10))
    towers = TwoTowerRetriever(
        query_columns=["age"], item_columns=list(frame), max_iter=1, embedding_dim=2, alpha=0
    )
    with pytest.warns(UserWarning, match="hold dates as text"):
        towers.fit(log, y, qid=qid, items=frame)
