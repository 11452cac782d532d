"""Booleans and times of files of text have the scores that the frame has."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from skdistill.serving import TableError, compile_scorer, evaluate_table, score_table
from skdistill.students import MLPRanker

N_ROWS = 200
RNG = np.random.default_rng(0)
QID = np.repeat(np.arange(N_ROWS // 10), 10)
GAPS = RNG.random(N_ROWS) < 0.2
X = RNG.normal(size=N_ROWS)
FLAG = pd.Series(RNG.random(N_ROWS) < 0.3)
HOURS = pd.to_timedelta(RNG.integers(0, 5000, N_ROWS), unit="h")
NAIVE = pd.Series(pd.Timestamp("2026-01-01 00:30") + HOURS)
AWARE = NAIVE.dt.tz_localize("UTC").dt.tz_convert("Asia/Kolkata")
NANOSECONDS = NAIVE + pd.to_timedelta(RNG.integers(0, 1000, N_ROWS), unit="ns")

# The columns of fit, and those that are scored: a naive time is in UTC, as it is in a frame.
COLUMNS = {
    "bool": (FLAG, FLAG),
    "bool with gaps": (FLAG.astype("boolean").mask(GAPS), FLAG.astype("boolean").mask(GAPS)),
    "bool for floats": (FLAG.astype(float), FLAG),
    "naive": (NAIVE, NAIVE),
    "aware": (AWARE, AWARE),
    "aware with gaps": (AWARE.mask(GAPS), AWARE.mask(GAPS)),
    "aware for naive": (NAIVE, AWARE),
    "naive for aware": (AWARE, NAIVE),
    "nanoseconds": (NANOSECONDS, NANOSECONDS),
}


def fitted(column, *, with_category=False):
    frame = pd.DataFrame({"x": X, "column": column})
    if with_category:
        frame["category"] = pd.Categorical(QID % 3)
    return MLPRanker((4,), max_iter=3, random_state=0).fit(frame, FLAG * 1, qid=QID), frame


def written(frame, folder):
    """Write a frame in the forms that other programs write."""
    frame.to_csv(folder / "pandas.csv", index=False)
    frame.to_json(
        folder / "pandas.jsonl", orient="records", lines=True, date_format="iso", date_unit="ns"
    )
    frame.to_parquet(folder / "pandas.parquet")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    feather.write_feather(table, str(folder / "pandas.feather"), compression="uncompressed")
    column = frame["column"]
    if column.dtype in ("bool", "boolean"):
        text = column.astype(object).map({True: "TRUE", False: "FALSE"})
        frame.assign(column=text.fillna("NA")).to_csv(folder / "r.csv", index=False)
        frame.assign(column=text.str.lower()).to_csv(folder / "sql.csv", index=False)
    else:
        text = column.map(lambda time: None if pd.isna(time) else time.isoformat())
        frame.assign(column=text).to_csv(folder / "iso.csv", index=False)
        text = text.str.replace("+05:30", "+0530", regex=False)
        frame.assign(column=text).to_csv(folder / "short.csv", index=False)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("with_category", [False, True])
@pytest.mark.parametrize("name", COLUMNS)
def test_every_file_has_the_scores_of_the_frame(name, with_category, tmp_path):
    in_fit, later = COLUMNS[name]
    student, frame = fitted(in_fit, with_category=with_category)
    frame = frame.assign(column=later)
    expected = student.predict(frame)
    assert len(np.unique(expected)) > 2
    for file in written(frame, tmp_path):
        output = tmp_path / f"scores of {file.name}"
        score_table(student, file, output)
        scores = parquet.read_table(output)["score"].to_numpy()
        np.testing.assert_allclose(scores, expected, atol=1e-5, err_msg=file.name)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    np.testing.assert_allclose(student.predict(arrow), expected, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_text_with_a_zone_is_a_time_for_every_face():
    student, frame = fitted(NAIVE.dt.tz_localize("UTC"))
    text = frame.assign(column=AWARE.map(pd.Timestamp.isoformat))
    expected = student.predict(frame)
    np.testing.assert_allclose(student.predict(text), expected, atol=1e-5)
    scorer = compile_scorer(student)
    np.testing.assert_allclose(scorer.rows(text.to_dict("records")), expected, atol=1e-5)


def test_text_with_a_zone_is_the_same_time_if_fit_had_none():
    student, frame = fitted(NAIVE)
    text = frame.assign(column=AWARE.map(pd.Timestamp.isoformat))
    expected = student.predict(frame)
    with pytest.warns(UserWarning, match="holds times with another zone now"):
        np.testing.assert_allclose(student.predict(text), expected, atol=1e-5)
    scorer = compile_scorer(student)
    with pytest.warns(UserWarning, match="holds times with another zone now"):
        np.testing.assert_allclose(scorer.rows(text.to_dict("records")), expected, atol=1e-5)


def test_what_is_neither_is_refused(tmp_path):
    for column, cell in ((FLAG, "yes"), (NAIVE, "2026-13-01T00:00:00Z"), (NAIVE, "soon")):
        student, frame = fitted(column)
        text = frame.assign(column=frame["column"].astype(str))
        text.loc[3, "column"] = cell
        text.to_csv(tmp_path / "bad.csv", index=False)
        with pytest.raises(TableError, match=f"row 3: column 'column' holds '{cell}', expected"):
            score_table(student, tmp_path / "bad.csv", tmp_path / "out", resume=False)


def test_labels_may_be_truth_values(tmp_path):
    student, frame = fitted(FLAG)
    frame = frame.assign(query=QID, label=FLAG)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    of_text, of_types = (
        evaluate_table(student, tmp_path / name, query_column="query", label_column="label")
        for name in ("a.csv", "a.parquet")
    )
    assert of_text == of_types


def test_columns_that_are_copied_keep_their_words(tmp_path):
    """True is 1, and a time is in UTC, for a model alone."""
    student, frame = fitted(FLAG)
    typed = frame.assign(other=1.5, time=NAIVE)
    typed.to_parquet(tmp_path / "a.parquet")
    text = frame.assign(other="true", time="2026-01-01T00:00:00+02:00")
    text.to_csv(tmp_path / "b.csv", index=False)
    files = [tmp_path / "a.parquet", tmp_path / "b.csv"]
    score_table(student, files, tmp_path / "out", id_columns="all")
    copied = parquet.read_table(tmp_path / "out")
    assert copied["other"].to_pylist()[-1] == "true"
    assert copied["time"].to_pylist()[-1] == "2026-01-01T00:00:00+02:00"
