"""The benchmarks and studies by name."""

from __future__ import annotations

from importlib import import_module

from benchmarks.declaring import Benchmark

BENCHMARKS = {
    name: f"benchmarks.speed.{name}"
    for name in (
        "scoring",
        "requests",
        "text_frames",
        "search",
        "cascade_request",
        "files",
        "training",
        "towers",
        "taught_towers",
        "sparse",
        "metrics",
        "start",
        "distillation",
        "scale",
    )
}
STUDIES = {
    name: f"benchmarks.studies.{name}"
    for name in (
        "quality",
        "pareto",
        "budget",
        "columns",
        "teaching",
        "remembering",
        "ids",
        "ties",
        "auction",
        "auction_cascade",
        "cascade",
        "implicit_feedback",
        "day",
        "ctr",
        "index_recall",
        "million",
        "replicas",
    )
}
# Studies whose short form continuous integration runs, to check that they run.
SHORT_STUDIES = (
    "index_recall",
    "million",
    "implicit_feedback",
    "day",
    "ctr",
    "quality",
    "pareto",
    "budget",
    "remembering",
    "ids",
)


def load_benchmark(place: str) -> Benchmark:
    """Return the benchmark that a module declares.

    Parameters
    ----------
    place : str
        Dotted name of the module.
    """
    benchmark: Benchmark = import_module(place).BENCHMARK
    return benchmark
