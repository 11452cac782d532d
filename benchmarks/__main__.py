"""Run benchmarks of skdistill against its peers.

    python -m benchmarks --list
    python -m benchmarks                              # all benchmarks of speed
    python -m benchmarks scoring search --threads 1 2
    python -m benchmarks --short                      # what continuous integration runs
    python -m benchmarks quality --seeds 2            # a study, with options of its own

Each contender is prepared in a fresh process with its threads pinned. Results are compared first;
then the contenders are measured in turns: ours, theirs, ours, and so on. A table shows the median
of the ratios of the rounds, and their quartiles. The short form fails if a ratio lies below a floor
or below 0.7 of the recorded one, and is skipped if the machine is busy. Without names it also runs
the short forms of the studies, which only check that these run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks import floors, machine, report
from benchmarks.catalogue import BENCHMARKS, SHORT_STUDIES, STUDIES, load_benchmark
from benchmarks.declaring import Benchmark, Comparison, Setting
from benchmarks.measuring import Row, compare
from benchmarks.worker import ROOT, Worker, pinned

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks; all by default")
    parser.add_argument("--list", action="store_true", help="list benchmarks and studies")
    parser.add_argument("--short", action="store_true", help="small tables, few rounds, floors")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument("--rounds", type=int, help="measurements of each contender after a start")
    parser.add_argument("--only", help="only comparisons whose name contains this")
    parser.add_argument("--out", type=Path, help="folder for benchmarks.json and benchmarks.md")
    parser.add_argument("--write-docs", action="store_true", help=f"fill the tables of {PAGE.name}")
    parser.add_argument(
        "--record",
        action="store_true",
        help="record the ratios of a short run where none lower are recorded",
    )
    parser.add_argument(
        "--max-load", type=float, default=machine.cores(), metavar="LOAD",
        help="load of the last minute above which a short run is skipped; the cores by default",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=floors.PATIENCE, metavar="SECONDS",
        help="how long to wait for the load to fall, because it counts what has just ended",
    )  # fmt: skip
    parser.add_argument(
        "--recorded", type=Path, default=floors.RECORDED, metavar="FILE",
        help="where ratios of the short form are recorded",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there are no benchmarks {unknown}, but {[*BENCHMARKS]}; see --list")
    if options.record and not options.short:
        parser.error("--record stores ratios of the short form: add --short")
    if options.write_docs and options.short:
        parser.error("--write-docs is for the long form")
    return options


def show_list() -> None:
    print("Benchmarks of speed:")
    for name, place in BENCHMARKS.items():
        print(f"  {name:18s} {load_benchmark(place).title}")
    print("\nStudies of quality, each with options of its own (NAME --help):")
    for name, place in STUDIES.items():
        print(f"  {name:18s} {(import_module(place).__doc__ or '').splitlines()[0]}")


def run(place: str, options: argparse.Namespace) -> tuple[Benchmark, list[Row]]:
    """Run the comparisons of a benchmark for each number of threads."""
    benchmark = load_benchmark(place)
    chosen = [
        each
        for each in benchmark.comparisons
        if (each.in_short or not options.short) and (options.only or "") in each.name
    ]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen and benchmark.data is not None:
            with Worker(f"data of {benchmark.name}", 0) as worker:
                worker.ask("data", place, Setting(folder, 0, options.short))
        for threads in options.threads:
            setting = Setting(folder, threads, options.short)
            for comparison in chosen:
                rows += checked(place, benchmark.name, comparison, setting, options)
    return benchmark, rows


def checked(
    place: str, name: str, comparison: Comparison, setting: Setting, options: argparse.Namespace
) -> list[Row]:
    """Measure a comparison; a short one whose ratio is too low is measured once more."""

    def measure() -> list[Row]:
        rows = compare(place, comparison, setting, options.rounds)
        if not setting.short or options.record:
            return rows
        return floors.add_recorded(name, rows, machine.processor()[1], options.recorded)

    rows = measure()
    if setting.short and any(map(floors.too_low, rows)):
        print(f"{comparison.name}: a ratio is too low, it is measured once more.", flush=True)
        rows = measure()
    return rows


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in STUDIES:
        import_module(STUDIES[arguments[0]]).main(arguments[1:])
        return 0
    options = read_options(arguments)
    if options.list:
        show_list()
        return 0
    failures = []
    if options.short and not options.names:
        failures += run_short_studies()
    if options.short and not floors.is_quiet(options.max_load, options.patience):
        load = machine.load()
        print(f"Skipped: the load is {load:.1f}, above {options.max_load:g}. Nothing was measured.")
    else:
        failures += run_all(options)
    if failures:
        print("\nFailed:", *failures, sep="\n  ")
    return int(bool(failures))


def run_short_studies() -> list[str]:
    """Run the short forms of the studies, and return what failed. Their load does not matter."""
    failures = []
    for name in SHORT_STUDIES:
        start = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks", name, "--short"]
        run = subprocess.run(
            command, env=pinned(1), cwd=ROOT, capture_output=True, text=True, check=False
        )
        print(f"study {name}: {time.perf_counter() - start:.0f} s", flush=True)
        if run.returncode:
            print(run.stdout, run.stderr, sep="\n", flush=True)
            failures.append(f"study {name}: exit code {run.returncode}")
    return failures


def run_all(options: argparse.Namespace) -> list[str]:
    """Run the benchmarks that were asked for, and return what failed."""
    described = machine.describe()
    print(report.machine_line(described), flush=True)
    instruction_set = described["instruction_set"]
    if options.short and instruction_set not in floors.read_recorded(options.recorded):
        print(f"No ratios are recorded for {instruction_set}: only fixed floors count.")
    found, failures = report.document(described, options.short), list[str]()
    for name in options.names or BENCHMARKS:
        start = time.perf_counter()
        benchmark, rows = run(BENCHMARKS[name], options)
        if not rows:
            print(f"\n{name}: nothing of it is in the short form, or has such a name.")
            continue
        report.add(found, benchmark, rows)
        print(f"\n## {benchmark.title}\n\n{report.section(found, found['benchmarks'][-1])}")
        print(f"\n{name}: {time.perf_counter() - start:.0f} s", flush=True)
        if options.record:
            floors.record(name, rows, instruction_set, options.recorded)
        failures += [f"{name} | {problem}" for problem in floors.problems(rows)]
        if options.out is not None:
            report.write(found, options.out)
        if options.write_docs:
            PAGE.write_text(report.fill_page(found, PAGE.read_text("utf-8")), "utf-8")
    rows_of_all = [row for benchmark in found["benchmarks"] for row in benchmark["rows"]]
    n_measured = sum(row["ratio"] is not None for row in rows_of_all)
    print(f"\n{n_measured} ratios measured, {len(failures)} failed", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
