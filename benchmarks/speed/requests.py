"""Answer requests: compiled scorers against runtimes and trees, at the median and the tail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.agreement import Agreement, Close
from benchmarks.declaring import Benchmark, Comparison, Contender, Requests, Run, Setting
from benchmarks.speed import models
from benchmarks.speed.models import FEW, KINDS, LEAVES, folder_of

SIZES = (1, 30, 300, 1000)
# Requests of a measurement, and rows of all of them.
MOST_REQUESTS, MOST_ROWS = 1000, 200_000
N_REQUESTS = 50  # different ones, that follow each other again and again
TREES = f"LightGBM, {FEW} trees of {LEAVES} leaves"
SCORES = Close(1e-3, 1e-4)
RUNTIME = ("onnxruntime", "onnx")
# Floors of LightGBM's time divided by ours, for requests as a service of mixed tables gets them.
MIXED = {
    ("a frame", 300): 7,
    ("codes", 300): 15,
    ("dictionaries", 300): 10,
    ("dictionaries", 1): 0.5,
}


def data(setting: Setting) -> None:
    """Fit the models, and store rows for requests."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from skdistill.students import MLPRanker

    n_queries = setting.size(2000, 150)
    for kind in KINDS[: setting.size(2, 1)]:
        folder = folder_of(setting, kind)
        train, scores = models.write_models(folder, models.numeric_data(n_queries, kind), ())
        models.write_rows(folder, N_REQUESTS * SIZES[-1], kind)
        pipeline = make_pipeline(StandardScaler(), MLPRanker(models.HIDDEN, random_state=0))
        of_student = {"mlpranker__qid": train[2], "mlpranker__teacher_scores": scores}
        models.store(pipeline.fit(train[0], train[1], **of_student), folder / "pipeline")
    models.write_models(folder_of(setting, "mixed"), models.mixed_data(setting.size(2000, 200)), ())


def requests_of(setting: Setting, kind: str, size: int) -> list[np.ndarray]:
    rows = models.load_rows(folder_of(setting, kind), N_REQUESTS * size)
    return [np.ascontiguousarray(part) for part in np.split(rows, N_REQUESTS)]


def answering(
    setting: Setting, kind: str, size: int, make: Callable[[Setting, str], Callable[..., Any]]
) -> Run:
    requests = requests_of(setting, kind, size)
    n_requests = setting.size(min(MOST_REQUESTS, MOST_ROWS // size), 200 if size == 1 else 50)
    return Requests(make(setting, kind), requests, n_requests)


def compiled(setting: Setting, kind: str, engine: str, model: str = "student") -> Any:
    from skdistill.serving import compile_scorer

    stored = models.stored(folder_of(setting, kind) / model)
    return compile_scorer(stored, engine, n_threads=setting.threads)


def trees(setting: Setting, kind: str) -> Any:
    booster = models.stored(folder_of(setting, kind) / f"trees {FEW}").booster_
    return lambda X: booster.predict(X, num_threads=setting.threads)


def onnx(setting: Setting, kind: str) -> Any:
    student = models.stored(folder_of(setting, kind) / "student")
    return models.onnx_by_hand(student, setting.threads)


def pytorch(setting: Setting, kind: str) -> Any:
    student = models.stored(folder_of(setting, kind) / "student")
    return models.torch_by_hand(student, setting.threads)


def dictionaries(frame: Any) -> list[dict[str, Any]]:
    """Rows as a service gets them, None where a value is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def frames_of(setting: Setting, size: int) -> list[Any]:
    """Frames of rows that no model has seen."""
    frame = models.stored(folder_of(setting, "mixed") / "test")[0]
    frame = frame.iloc[np.resize(np.arange(len(frame)), N_REQUESTS * size)]
    starts = range(0, len(frame), size)
    return [frame[start : start + size].reset_index(drop=True) for start in starts]


def mixed_compiled(setting: Setting, form: str, size: int) -> Run:
    from skdistill.serving import compile_scorer

    student = models.stored(folder_of(setting, "mixed") / "student")
    scorer = compile_scorer(student, n_threads=setting.threads)
    frames, n_requests = frames_of(setting, size), setting.size(1000, 100)
    if form == "dictionaries":
        return Requests(scorer.rows, [dictionaries(frame) for frame in frames], n_requests)
    if form == "codes":
        codes = [scorer.encode(frame) for frame in frames]
        return Requests(lambda pair: scorer(*pair), codes, n_requests)
    return Requests(scorer, frames, n_requests)


def mixed_trees(setting: Setting, form: str, size: int) -> Run:
    import pandas as pd

    ranker = models.stored(folder_of(setting, "mixed") / f"trees {FEW}")
    booster, threads = ranker.booster_, setting.threads
    frames, n_requests = frames_of(setting, size), setting.size(200, 15)
    types = frames[0].dtypes
    if form == "a frame":
        return Requests(lambda X: ranker.predict(X, num_threads=threads), frames, n_requests)
    if form == "dictionaries" and size > 1:
        return Requests(
            lambda rows: ranker.predict(pd.DataFrame(rows).astype(types), num_threads=threads),
            [dictionaries(frame) for frame in frames], n_requests,
        )  # fmt: skip
    # Codes are the least that LightGBM takes. One dictionary is compared with that too.
    arrays = []
    for frame in frames:
        for name in frame.select_dtypes("category"):
            frame[name] = frame[name].cat.codes.replace(-1, np.nan)
        arrays.append(np.ascontiguousarray(frame, dtype=np.float64))
    return Requests(lambda X: booster.predict(X, num_threads=threads), arrays, n_requests)


def contender(
    name: str, make: Any, kind: str, size: int, needs: tuple[str, ...] = (),
    goal: float | None = None, floor: float | None = None, agrees: Agreement | None = None,
) -> Contender:  # fmt: skip
    prepare = partial(answering, kind=kind, size=size, make=make)
    return Contender(name, prepare, needs, goal, floor, agrees)


def comparison(kind: str, size: int, engine: str) -> Comparison:
    """Requests of one size, by one engine."""
    rows = "1 row" if size == 1 else f"{size} rows"
    is_numpy = engine == "numpy"
    name = "NumPy" if is_numpy else engine
    runtime_goal, runtime_floor = (1.1, 0.5 if size >= 300 else None) if is_numpy else (1.0, None)
    return Comparison(
        f"{rows}, {kind}, {name}",
        "request",
        contender(f"compiled scorer, {name}", partial(compiled, engine=engine), kind, size),
        [
            contender(TREES, trees, kind, size, floor=0.67 if size == 1 else 8),
            contender(
                "ONNX Runtime", onnx, kind, size, RUNTIME, runtime_goal, runtime_floor, SCORES
            ),
            contender("PyTorch", pytorch, kind, size, ("torch",), agrees=SCORES),
        ],
        in_short=is_numpy and kind == KINDS[0] and size in (1, 300),
        starts=2,
    )


def mixed_comparison(form: str, size: int, floor: float) -> Comparison:
    rows = "1 row" if size == 1 else f"{size} rows"
    return Comparison(
        f"{rows} of a mixed table, {form}",
        "request",
        Contender("compiled scorer", partial(mixed_compiled, form=form, size=size)),
        [Contender(TREES, partial(mixed_trees, form=form, size=size), goal=2 * floor, floor=floor)],
    )


BENCHMARK = Benchmark(
    name="requests",
    title="Answer requests",
    about=(
        "Requests of a few rows, one after the other: the median (p50) and the 99th percentile "
        "(p99) of the time that they take. The model and the tables are those of the benchmark "
        "of scoring. A mixed table has 20 columns of numbers, 4 of categories and missing "
        "values; a request is a data frame, a list of dictionaries, or the codes that were made "
        "of it in advance. LightGBM answers one dictionary from codes, the least work that it "
        "can do."
    ),
    comparisons=[
        *(
            comparison(kind, size, engine)
            for kind in KINDS
            for size in SIZES
            for engine in ("numpy", "auto")
        ),
        Comparison(
            "1 row, a Pipeline, NumPy",
            "request",
            contender(
                "compiled scorer, NumPy", partial(compiled, engine="numpy", model="pipeline"),
                KINDS[0], 1,
            ),
            [contender(TREES, trees, KINDS[0], 1, goal=1.0, floor=0.67)],
            in_short=False,
        ),
        *(mixed_comparison(*what, floor) for what, floor in MIXED.items()),
    ],
    data=data,
)  # fmt: skip
