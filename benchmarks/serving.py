"""Time compiled scorers against ONNX Runtime, LightGBM and bare products, and score a large table.

All figures of a printed table are measured in the same run, in turn. ``--short`` is for continuous
integration: fewer repeats, a smaller table, and floors well below the documented figures, so that a
lost optimisation fails but a noisy machine does not.
"""

import argparse
import cProfile
import pstats
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import lightgbm
import numpy as np
import onnxruntime
import pyarrow as pa
import tables
from pyarrow import parquet
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from timing import median_times

from skdistill.serving import compile_scorer, load, save, score_table, to_onnx
from skdistill.students import MLPRanker
from skdistill.tables.reading import FORMATS

N_FEATURES = 136
BLOCK = 1024
TO_ROWS = "<built-in method numpy.ascontiguousarray>"
NAMES = [f"f{number}" for number in range(N_FEATURES)]


def onnx_by_hand(model):
    """Score an exported model as a user would: one thread, one session, one call per block."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        to_onnx(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda X: session.run(None, {name: X})[0]


def bare_products(weights):
    """Compute the matrix products of a network alone, which no scorer can beat."""
    buffers = [np.empty((BLOCK, w.shape[1]), dtype=np.float32) for w in weights]

    def products(X):
        for w, buffer in zip(weights, buffers, strict=True):
            X = np.matmul(X, w, out=buffer[: len(X)])
        return X

    return products


def over(call, blocks):
    """Call once per block, like consecutive requests."""

    def run():
        for block in blocks:
            call(block)

    return run


def fitted(kind, n_rows=4000):
    """A (64, 32) student of columns with or without a heavy tail, and rows to score."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, N_FEATURES)).astype(np.float32)
    if kind == "squash":
        X = np.sinh(3 * X)
    student = MLPRanker((64, 32), max_iter=1, random_state=0)
    student.fit(X[:4000], rng.integers(0, 5, 4000), qid=np.repeat(np.arange(40), 100))
    return student, X


def make_booster():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((20_000, N_FEATURES)).astype(np.float32)
    y = np.clip(X[:, 0] + rng.standard_normal(len(X)) + 2, 0, 4).astype(int)
    ranker = lightgbm.LGBMRanker(n_estimators=300, num_leaves=64, min_child_samples=5, verbose=-1)
    return ranker.fit(X, y, group=np.full(200, 100)).booster_


def engines(short):
    """Time different ways to score the same network."""
    repeats = 5 if short else 25
    booster = make_booster()
    failures = []
    rng = np.random.default_rng(0)
    sizes = (N_FEATURES, 64, 32, 1)
    products = bare_products([rng.standard_normal(s).astype(np.float32) for s in pairwise(sizes)])
    for kind in ("no squash", "squash"):
        student, X = fitted(kind, 40_960)
        ways = {
            "NumPy scorer": compile_scorer(student, "numpy"),
            "auto scorer": compile_scorer(student),
            "ONNX Runtime by hand": onnx_by_hand(student),
            "bare products": products,
        }
        for n_rows in (BLOCK, 300):
            blocks = [np.ascontiguousarray(X[i : i + n_rows]) for i in range(0, 20_480, n_rows)]
            n_all = sum(map(len, blocks))
            times = median_times({n: over(call, blocks) for n, call in ways.items()}, repeats)
            trees = median_times(
                {"trees": lambda X=X: booster.predict(X[:2048], num_threads=1)}, 3
            )["trees"]
            print(f"\n{kind}, {n_rows} rows per call (NumPy {ways['NumPy scorer'].engine}, "
                  f"auto {ways['auto scorer'].engine})")  # fmt: skip
            print(f"{'':22s} {'rows/s':>12s} {'us/call':>10s} {'of ONNX':>8s} {'of LightGBM':>12s}")
            by_hand = times["ONNX Runtime by hand"]
            for name, seconds in times.items():
                print(
                    f"{name:22s} {n_all / seconds:12,.0f} {1e6 * seconds / len(blocks):10.1f} "
                    f"{by_hand / seconds:8.2f} {trees / 2048 * n_all / seconds:12.0f}"
                )
            floor = 0.5 if short else 0.8
            if by_hand / times["NumPy scorer"] < floor:
                failures.append(f"{kind}, {n_rows} rows: NumPy is below {floor} of ONNX Runtime")
    return failures, booster


def one_row(booster, short):
    """Score one row at a time, as a service that ranks single candidates does."""
    failures = []
    repeats = 7 if short else 31
    print(f"\n{'one row':50s} {'us':>7s} {'of Booster':>11s}")
    for kind in ("no squash", "squash"):
        student, X = fitted(kind)
        pipeline = make_pipeline(StandardScaler(), MLPRanker((64, 32), max_iter=1, random_state=0))
        rng = np.random.default_rng(0)
        pipeline.fit(
            X, rng.integers(0, 5, len(X)), mlpranker__qid=np.repeat(np.arange(len(X) // 100), 100)
        )
        rows = [np.ascontiguousarray(X[i : i + 1]) for i in range(200)]
        ways = {
            f"{name}, {engine}": compile_scorer(model, engine)
            for name, model in (("student", student), ("Pipeline", pipeline))
            for engine in ("numpy", "onnxruntime")
        }
        calls = {name: over(call, rows) for name, call in ways.items()}
        calls["Booster.predict"] = over(lambda x: booster.predict(x, num_threads=1), rows)
        times = median_times(calls, repeats)
        for name, seconds in times.items():
            ratio = seconds / times["Booster.predict"]
            print(f"{kind}, {name:38s} {1e6 * seconds / len(rows):7.1f} {ratio:11.2f}")
            if "predict" not in name and ratio > (1.5 if short else 1):
                failures.append(f"one row, {kind}, {name}: slower than the Booster")
    return failures


def threads(short):
    """Compare two threads with one on a table that is larger than the caches."""
    student, X = fitted("no squash", 200_000)
    ways = {n: compile_scorer(student, "numpy", n_threads=n) for n in (1, 2)}
    out = np.empty(len(X), np.float32)
    times = median_times(
        {n: lambda s=s: s.into(X, out) for n, s in ways.items()}, 3 if short else 15
    )
    speedup, speed = times[1] / times[2], len(X) / times[2]
    print(f"\ntwo threads: {speedup:.2f} times as fast as one ({speed:,.0f} rows/s)")
    return []


def write_table(path, n_rows):
    """Write standard normal columns and query ids, in row groups of 128 Ki rows as Spark does."""
    rng = np.random.default_rng(0)
    schema = pa.schema([("query", pa.int64()), *((name, pa.float32()) for name in NAMES)])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, n_rows, 1 << 17):
            n = min(1 << 17, n_rows - start)
            columns = rng.standard_normal((N_FEATURES, n), dtype=np.float32)
            query = (np.arange(start, start + n) // 100).astype(np.int64)
            writer.write_table(pa.table([query, *columns], schema=schema))


def table(short):
    """Score a Parquet table larger than memory: peak memory, speed, and where the time goes."""
    n_rows = 500_000 if short else 10_000_000
    folder = Path(tempfile.mkdtemp())
    try:
        write_table(folder / "table.parquet", n_rows)
        size = (folder / "table.parquet").stat().st_size
        rng = np.random.default_rng(0)
        X = rng.standard_normal((4000, N_FEATURES)).astype(np.float32)
        import pandas as pd

        student = MLPRanker((64, 32), max_iter=1, random_state=0).fit(
            pd.DataFrame(X, columns=NAMES),
            rng.integers(0, 5, 4000),
            qid=np.repeat(np.arange(40), 100),
        )
        save(student, folder / "student.skd")
        # A separate process, so that its peak memory is that of the run alone.
        run = subprocess.run(
            [sys.executable, __file__, "--profile", str(folder)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        print(f"\nscore_table of {n_rows:,} rows, {size / 2**30:.2f} GiB of Parquet, one job")
        print(run.stdout)
    finally:
        shutil.rmtree(folder)
    return []


def timed(read):
    """Wrap a reader so that it sums up the seconds of its batches; also return the sum."""
    seconds = [0.0]

    def batches(shard, schema):
        reader = read(shard, schema)
        while True:
            start = time.perf_counter()
            batch = next(reader, None)
            seconds[0] += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    return batches, seconds


def profile(folder):
    """Score the table in a folder and print where the time goes."""
    student = load(folder / "student.skd")
    parquet = FORMATS[".parquet"]
    parquet.batches, reading = timed(parquet.batches)
    profiler = cProfile.Profile()
    start = time.perf_counter()
    profiler.enable()
    progress = score_table(student, folder / "table.parquet", folder / "out")
    profiler.disable()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = {key[2]: value[3] for key, value in pstats.Stats(profiler).stats.items()}
    print(f"{progress.n_rows / seconds:,.0f} rows/s, {seconds:.1f} s, peak memory {peak:.0f} MiB")
    places = {
        "reading Parquet, in a thread": reading[0],
        "  of it, waited for": spent["result"],
        "columns to rows": spent["_matrix"] + spent[TO_ROWS],
        "looking for NaN": spent["unfit"],
        "scoring": spent["into"],
        "writing": spent["write_table"],
    }
    for name, part in places.items():
        print(f"  {name:30s} {part:7.2f} s {part / seconds:6.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer repeats, low floors")
    parser.add_argument("--profile", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.profile is not None:
        return profile(options.profile)
    failures = threads(options.short)
    with threadpool_limits(1):
        slower, booster = engines(options.short)
        failures += slower + one_row(booster, options.short)
    failures += tables.speed(options.short)
    failures += table(options.short)
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
