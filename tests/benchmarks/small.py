"""A benchmark whose contenders write down what they do, and misbehave in the known ways."""

import json
import os
import sys
import time

import numpy as np

from benchmarks.agreement import Close
from benchmarks.declaring import Benchmark, Comparison, Contender, Requests, Timed

SECONDS = 0.002


def note(setting, name, event):
    """Append a line to the diary that all contenders share."""
    entry = {"name": name, "event": event, "pid": os.getpid(), "modules": len(sys.modules)}
    with (setting.folder / "diary").open("a") as diary:
        diary.write(json.dumps(entry) + "\n")


class Noted(Timed):
    """Note each measurement."""

    def measure(self):
        note(*self.noted, "measure")
        return super().measure()


def prepare(name, factor=1.0, result=1.0):
    """Make a contender that sleeps for a multiple of the usual time."""

    def run(setting):
        note(setting, name, "prepare")

        def call():
            time.sleep(SECONDS * factor)
            return np.array([result, 2.0])

        noted = Noted(call, quality={"NDCG": factor})
        noted.noted = setting, name
        return noted

    return run


def dies(setting):
    print("the last words", file=sys.stderr)
    os.kill(os.getpid(), 9)


def dies_later(setting):
    calls = iter([1.0, 1.0])
    return Timed(lambda: next(calls, None) or os._exit(3), before=lambda: None)


def raises(setting):
    raise ValueError("no such model")


def environment(setting):
    """Return the numbers of threads and of cores as the result."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
    found = [*(int(os.environ[name]) for name in names), len(os.sched_getaffinity(0))]
    return Timed(lambda: np.array(found))


def answers(setting):
    return Requests(lambda x: x, [1, 2], n_requests=10)


def write_data(setting):
    (setting.folder / "made").write_text(str(os.getpid()))


OURS = Contender("ours", prepare("ours"))
SAME = Close(1e-6, 1e-6)
BENCHMARK = Benchmark(
    "small",
    "A small one",
    "Contenders sleep.",
    [
        Comparison(
            "sleep",
            "call",
            OURS,
            [
                Contender("slower", prepare("slower", 3.0), goal=2.0, floor=1.2, agrees=SAME),
                Contender("equal", prepare("equal"), goal=1.5, agrees=SAME),
                Contender("other result", prepare("other result", result=1.5), agrees=SAME),
                Contender("absent", prepare("absent"), needs=("no_such_library",)),
                Contender("dead", dies),
                Contender("dead later", dies_later),
                Contender("broken", raises),
            ],
        ),
        Comparison("ours is broken", "call", Contender("ours", raises), [Contender("it", dies)]),
        Comparison(
            "threads", "call", Contender("ours", environment),
            [Contender("one thread", prepare("it"), threads=(1,))],
        ),
        Comparison("requests", "request", Contender("ours", answers), [Contender("it", answers)]),
    ],
    data=write_data,
)  # fmt: skip
