"""Start: importing the package, its memory at rest and the command line, in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial

from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting, Timed

SCORER = "from skdistill.serving import compile_scorer"
STUDENTS = "from skdistill.students import MLPRanker"
MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"


def statement(setting: Setting, code: str) -> Run:
    """Time a process that runs a statement and ends."""
    command = [sys.executable, "-c", code]
    return Timed(partial(subprocess.run, command, check=True, capture_output=True))


def command_line(setting: Setting) -> Run:
    command = [sys.executable, "-m", "skdistill", "--help"]
    return Timed(partial(subprocess.run, command, check=True, capture_output=True))


@dataclass
class Memory:
    """Peak memory of a process after a statement, in megabytes."""

    code: str
    quality: dict[str, float] = field(default_factory=dict)

    def warm(self) -> None:
        self.measure()

    def measure(self) -> dict[str, float]:
        command = [sys.executable, "-c", f"{self.code}\n{MEMORY}"]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        return {"memory": float(run.stdout)}


def memory(setting: Setting, code: str) -> Run:
    return Memory(code)


def imported(code: str) -> list[Comparison]:
    """Time and memory of an import beside those of scikit-learn."""
    theirs = "import sklearn"
    comparisons = []
    for prepare, name in ((statement, "run `{}`"), (memory, "import `{}`")):
        other = partial(prepare, code=theirs)
        comparisons.append(
            Comparison(
                name.format(code), "process", Contender(code, partial(prepare, code=code)),
                [Contender(theirs, other, goal=round(1 / 1.3, 3))],
                in_short=prepare is statement and code == STUDENTS,
            )
        )  # fmt: skip
    return comparisons


BENCHMARK = Benchmark(
    name="start",
    title="Start",
    about=(
        "A Python process that imports and ends, including the start of the interpreter. The "
        "goal of 0.769 means 1.3 times as long as `import sklearn`, which comes with the "
        "package."
    ),
    comparisons=[
        *(each for code in ("import skdistill", STUDENTS, SCORER) for each in imported(code)),
        Comparison(
            "`skdistill --help`", "process", Contender("skdistill", command_line),
            [Contender("import sklearn", partial(statement, code="import sklearn"))],
            at_most={"time": 0.5}, in_short=False,
        ),
    ],
)  # fmt: skip
