"""Score a Parquet table that need not fit into memory: against Parquet and a runtime by hand."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement import Close
from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting, Timed
from benchmarks.speed import models
from benchmarks.speed.models import FEW, LEAVES, folder_of, stored

NAMES = [f"f{number}" for number in range(models.N_FEATURES)]
KINDS = ("numbers", "mixed columns")
GROUP = 1 << 17  # rows of a row group, as Spark writes them
N_COMPARED = 10_000
SCORES = Close(1e-3, 1e-4)


def data(setting: Setting) -> None:
    """Fit models on named columns, and write the tables."""
    import pandas as pd

    n_rows = setting.size(10_000_000, 150_000)
    table = models.numeric_data(setting.size(500, 60), "no squash")
    table.X = pd.DataFrame(table.X, columns=NAMES)
    models.write_models(folder_of(setting, KINDS[0]), table, ())
    write_numbers(folder_of(setting, KINDS[0]) / "table.parquet", n_rows)
    mixed = models.mixed_data(setting.size(500, 100))
    models.write_models(folder_of(setting, KINDS[1]), mixed, ())
    write_mixed(folder_of(setting, KINDS[1]) / "table.parquet", mixed.X, n_rows)


def write_numbers(path: Path, n_rows: int) -> None:
    """Write standard normal columns and query ids."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    schema = pa.schema([("query", pa.int64()), *((name, pa.float32()) for name in NAMES)])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, n_rows, GROUP):
            n = min(GROUP, n_rows - start)
            columns = rng.standard_normal((len(NAMES), n), dtype=np.float32)
            query = (np.arange(start, start + n) // 100).astype(np.int64)
            writer.write_table(pa.table([query, *columns], schema=schema))


def write_mixed(path: Path, frame: Any, n_rows: int) -> None:
    """Write the rows of a frame again and again, its categories as dictionaries."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = pa.Table.from_pandas(frame, preserve_index=False)
    rows = rows.take(np.resize(np.arange(len(frame)), GROUP))
    with parquet.ParquetWriter(path, rows.schema) as writer:
        for start in range(0, n_rows, GROUP):
            writer.write_table(rows.slice(0, min(GROUP, n_rows - start)))


def first_scores(folder: Path, name: str) -> np.ndarray:
    """Read the first scores of the files that a run has written."""
    from pyarrow import parquet

    paths = sorted(Path(folder).rglob("*.parquet"))
    return parquet.read_table(paths[0], columns=[name])[name].to_numpy()[:N_COMPARED]


def run_over(setting: Setting, kind: str, name: str, score: Any, n_rows: int | None) -> Run:
    """Time a run from the table to files of scores in a folder."""
    from pyarrow import parquet

    folder = folder_of(setting, kind)
    out = setting.folder / f"out {name}"
    n_all = parquet.ParquetFile(folder / "table.parquet").metadata.num_rows

    def call() -> np.ndarray:
        score(folder / "table.parquet", out)
        return first_scores(out, "score")

    return Timed(call, n_rows or n_all, before=lambda: shutil.rmtree(out, ignore_errors=True))


def ours(setting: Setting, kind: str) -> Run:
    from skdistill.serving import score_table

    student = stored(folder_of(setting, kind) / "student")

    def score(table: Path, out: Path) -> None:
        score_table(student, table, out, n_jobs=setting.threads)

    return run_over(setting, kind, "ours", score, None)


def write_scores(table: Path, out: Path, score: Any, n_groups: int | None = None) -> None:
    """Read one row group after the other, and write the scores of each."""
    import pyarrow as pa
    from pyarrow import parquet

    out.mkdir()
    file = parquet.ParquetFile(table)
    schema = pa.schema([("score", pa.float32())])
    with parquet.ParquetWriter(out / "part.parquet", schema) as writer:
        for number in range(n_groups or file.num_row_groups):
            scores = score(file, number).astype(np.float32)
            writer.write_table(pa.table([scores], schema=schema))


def onnx(setting: Setting, kind: str) -> Run:
    """pyarrow and ONNX Runtime by hand: row groups, a matrix of columns, a session."""
    call = models.onnx_by_hand(stored(folder_of(setting, kind) / "student"), setting.threads)
    score_rows = models.in_blocks(call, 8192)
    many = setting.threads > 1

    def score_group(file: Any, number: int) -> np.ndarray:
        group = file.read_row_group(number, columns=NAMES, use_threads=many)
        rows = np.empty((group.num_rows, len(NAMES)), dtype=np.float32)
        for place, column in enumerate(group.columns):
            rows[:, place] = column.to_numpy()
        return score_rows(rows)

    score = partial(write_scores, score=score_group)
    return run_over(setting, kind, "onnx", score, None)


def polars(setting: Setting, kind: str) -> Run:
    """polars and ONNX Runtime by hand: batches of a lazy scan."""
    import polars as library

    call = models.onnx_by_hand(stored(folder_of(setting, kind) / "student"), setting.threads)
    score_rows = models.in_blocks(call, 8192)

    def score(table: Path, out: Path) -> None:
        out.mkdir()

        def score_batch(batch: Any) -> Any:
            rows = np.ascontiguousarray(batch.select(NAMES).to_numpy(), dtype=np.float32)
            return library.DataFrame({"score": score_rows(rows)})

        scan = library.scan_parquet(table).select(NAMES)
        scan = scan.map_batches(score_batch, schema={"score": library.Float32}, streamable=True)
        scan.sink_parquet(out / "part.parquet")

    return run_over(setting, kind, "polars", score, None)


def trees(setting: Setting, kind: str) -> Run:
    """pyarrow and LightGBM by hand, over so few row groups that it takes some seconds."""
    ranker = stored(folder_of(setting, kind) / f"trees {FEW}")
    threads = setting.threads
    names = NAMES if kind == KINDS[0] else None

    def score_group(file: Any, number: int) -> np.ndarray:
        frame = file.read_row_group(number, columns=names).to_pandas()
        return ranker.predict(frame, num_threads=threads)

    score = partial(write_scores, score=score_group, n_groups=1)
    return run_over(setting, kind, "trees", score, GROUP)


def comparison(kind: str) -> Comparison:
    theirs = [
        Contender(
            f"pyarrow and LightGBM, {FEW} trees of {LEAVES} leaves", partial(trees, kind=kind),
            ("pyarrow",), goal=20.0,
            in_short=False,
        )
    ]  # fmt: skip
    if kind == KINDS[0]:
        needs = ("onnxruntime", "onnx")
        theirs = [
            Contender(
                "pyarrow and ONNX Runtime", partial(onnx, kind=kind), ("pyarrow", *needs), 1.0,
                agrees=SCORES,
            ),
            Contender(
                "polars and ONNX Runtime", partial(polars, kind=kind), ("polars", *needs), 1.0,
                agrees=SCORES, in_short=False,
            ),
            *theirs,
        ]  # fmt: skip
    return Comparison(
        f"Parquet, {kind}", "row", Contender("score_table", partial(ours, kind=kind)), theirs,
        in_short=kind == KINDS[0], rounds=2,
    )  # fmt: skip


BENCHMARK = Benchmark(
    name="files",
    title="Score a table in files",
    about=(
        "Ten million rows of a Parquet file, from the file to files of scores, by `score_table`, "
        "which `skdistill score` calls. The numbers are 136 columns of float32, the mixed columns "
        "20 of numbers and 4 of categories. By hand, one row group after the other is read, scored "
        "and written; LightGBM is timed on a single row group."
    ),
    comparisons=[comparison(kind) for kind in KINDS],
    data=data,
)
