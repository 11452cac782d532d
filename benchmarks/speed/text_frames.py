"""Score data frames as logs hold them, with columns of text and a date."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any

import numpy as np

from benchmarks.declaring import Benchmark, Comparison, Contender, Requests, Run, Setting
from benchmarks.speed import models
from benchmarks.speed.requests import dictionaries

FOLDER = "text"
DATE = "listed_at"
# Trees and leaves: as in the other benchmarks, and as few as many rankers have.
TREES = {f"LightGBM, {n_trees} trees of {leaves} leaves": (n_trees, leaves)
         for n_trees, leaves in ((models.FEW, models.LEAVES), (100, 31))}  # fmt: skip
# Floors of LightGBM's time divided by ours, by the form and the rows of a request.
FLOORS = {
    ("a frame", 300): (5, 2),
    ("a frame", 10_000): (5, 2),
    ("dictionaries", 300): (5, 2),
}
N_REQUESTS = 20


def as_logged(frame: Any) -> Any:
    """Make text of the categories and a date of the first number, as read from a Parquet file."""
    import pandas as pd

    texts = frame.select_dtypes("category").columns
    day = pd.Timestamp("2026-06-01") + pd.to_timedelta((frame["number_0"] * 30).fillna(0), unit="D")
    frame = frame.astype(dict.fromkeys(texts, object)).drop(columns="number_0")
    file = BytesIO()
    frame.assign(**{DATE: day.dt.floor("s")}).to_parquet(file)
    return pd.read_parquet(file)


def for_trees(frame: Any, known: dict[str, list[str]]) -> Any:
    """Make what LightGBM reads: the categories of its fit, and seconds."""
    import pandas as pd

    columns: dict[str, Any] = {
        name: pd.Categorical(frame[name], categories=values) for name, values in known.items()
    }
    columns[DATE] = (frame[DATE] - pd.Timestamp(0)) / pd.Timedelta("1s")
    return frame.assign(**columns)


def data(setting: Setting) -> None:
    """Fit a student on text and a date, and LightGBM on what it can read of them."""
    from skdistill.students import MLPRanker

    folder = setting.folder / FOLDER
    folder.mkdir()
    table = models.mixed_data(setting.size(2000, 200))
    table.X = as_logged(table.X)
    train, _, test = models.parts(table)
    texts = [name for name in table.X if name.startswith("category")]
    known = {name: sorted(train[0][name].dropna().unique()) for name in texts}
    X = for_trees(train[0], known)
    for name, size in TREES.items():
        models.store(models.fit_trees((X, *train[1:]), *size), folder / name)
    scores = models.stored(folder / next(iter(TREES))).predict(X)
    student = MLPRanker(models.HIDDEN, alpha=0.5, random_state=0)
    student.fit(train[0], train[1], qid=train[2], teacher_scores=scores)
    models.store(student, folder / "student")
    models.store(known, folder / "known")
    models.store(test, folder / "test")


def requests_of(setting: Setting, form: str, size: int) -> list[Any]:
    """Requests of rows that no model has seen."""
    frame = models.stored(setting.folder / FOLDER / "test")[0]
    n_requests = N_REQUESTS if size < 1000 else 2
    frame = frame.iloc[np.resize(np.arange(len(frame)), n_requests * size)]
    starts = range(0, len(frame), size)
    frames = [frame[start : start + size].reset_index(drop=True) for start in starts]
    return [dictionaries(one) for one in frames] if form == "dictionaries" else frames


def compiled(setting: Setting, form: str, size: int) -> Run:
    from skdistill.serving import compile_scorer

    folder = setting.folder / FOLDER
    scorer = compile_scorer(models.stored(folder / "student"), n_threads=setting.threads)
    test = models.stored(folder / "test")
    ask = scorer.rows if form == "dictionaries" else scorer
    quality = {"NDCG@10": models.ndcg(scorer(test[0]), test)}
    return Requests(ask, requests_of(setting, form, size), n_calls(setting, size), quality)


def trees(setting: Setting, form: str, size: int, name: str) -> Run:
    import pandas as pd

    folder = setting.folder / FOLDER
    ranker, known = models.stored(folder / name), models.stored(folder / "known")
    test, threads = models.stored(folder / "test"), setting.threads

    def ask(request: Any) -> np.ndarray:
        frame = pd.DataFrame(request) if form == "dictionaries" else request
        return ranker.predict(for_trees(frame, known), num_threads=threads)

    quality = {"NDCG@10": models.ndcg(ask(test[0]), test)}
    return Requests(ask, requests_of(setting, form, size), n_calls(setting, size), quality)


def n_calls(setting: Setting, size: int) -> int:
    """Number of requests in one measurement."""
    return setting.size(200, 20) if size < 1000 else setting.size(10, 2)


def comparison(form: str, size: int) -> Comparison:
    theirs = [
        Contender(
            name, partial(trees, form=form, size=size, name=name), goal=2 * floor, floor=floor
        )
        for name, floor in zip(TREES, FLOORS[form, size], strict=True)
    ]
    ours = Contender("compiled scorer", partial(compiled, form=form, size=size))
    return Comparison(f"{size:,} rows, {form}", "request", ours, theirs)


BENCHMARK = Benchmark(
    name="text_frames",
    title="Score frames of text and dates",
    about=(
        "Rows as logs hold them: 19 columns of numbers, 4 of text with 20, 30, 300 and 10,000 "
        "values, a date, and missing values, as a data frame or a list of dictionaries: the "
        "median (p50) and the 99th percentile (p99) of the time per request. LightGBM reads "
        "neither text nor dates: by hand, text is converted to the categories of its fit, and the "
        "date to seconds, which its times include. The student learnt from the 300 trees. NDCG@10 "
        "is that of queries that no model has seen."
    ),
    comparisons=[comparison(*what) for what in FLOORS],
    data=data,
)
