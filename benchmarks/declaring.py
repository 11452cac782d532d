"""What a benchmark declares: contenders, what they do, and what is wanted of the ratio."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from benchmarks.agreement import Agreement

T = TypeVar("T")

# Seconds that the calls of one measurement take together, at least.
LEAST_SECONDS = 0.05
# A first call that takes so long is not followed by a second one to find out how many to time.
LONG_SECONDS = 1.0


@dataclass(frozen=True)
class Setting:
    """Where and how a contender runs.

    Parameters
    ----------
    folder : Path
        Holds the files that the benchmark's ``data`` wrote.
    threads : int
        Number of threads, and of the processor's cores that the process may use.
    short : bool
        Whether this is the short form, for continuous integration.
    """

    folder: Path
    threads: int
    short: bool

    def size(self, long: T, short: T) -> T:
        """Choose a size by the form of the run."""
        return short if self.short else long


class Run(Protocol):
    """What a contender has prepared. Lower costs are better."""

    quality: dict[str, float]

    def warm(self) -> Any:
        """Do the work once, and return what other contenders' results are compared with."""

    def measure(self) -> dict[str, float]:
        """Measure once: the costs of a unit of work, by quantity."""


@dataclass
class Timed:
    """A call whose seconds per unit of work are measured.

    Parameters
    ----------
    call : callable
        Does the work. It is called several times per measurement if it is quick.
    work : float
        Number of units, such as rows, in one call.
    quality : dict
        What the model is worth, by the name of the metric.
    before : callable, optional
        Called before each call, outside the timed part.
    result : callable, optional
        Returns what is compared with others' results; by default the call itself does.
    """

    call: Callable[[], Any]
    work: float = 1.0
    quality: dict[str, float] = field(default_factory=dict)
    before: Callable[[], None] | None = None
    result: Callable[[], Any] | None = None
    n_calls: int = 1

    def warm(self) -> Any:
        self.prepare()
        start = time.perf_counter()
        result = self.call()
        if time.perf_counter() - start < LONG_SECONDS and self.before is None:
            # The first call may have been slow because it was the first.
            n_calls = np.ceil(LEAST_SECONDS / max(self.once(), 1e-9))
            self.n_calls = int(np.clip(n_calls, 1, 100_000))
        return result if self.result is None else self.result()

    def prepare(self) -> None:
        if self.before is not None:
            self.before()

    def once(self) -> float:
        self.prepare()
        start = time.perf_counter()
        self.call()
        return time.perf_counter() - start

    def measure(self) -> dict[str, float]:
        if self.before is not None:
            return {"time": self.once() / self.work}
        start = time.perf_counter()
        for _ in range(self.n_calls):
            self.call()
        seconds = time.perf_counter() - start
        return {"time": seconds / self.n_calls / self.work}


@dataclass
class Requests:
    """Requests that follow each other; their median and 99th percentile are measured.

    Parameters
    ----------
    ask : callable
        Answers one request.
    requests : sequence
        Different requests, so that no answer is in the caches of the processor already.
    n_requests : int
        Number of requests in one measurement.
    """

    ask: Callable[[Any], Any]
    requests: Sequence[Any]
    n_requests: int = 500
    quality: dict[str, float] = field(default_factory=dict)

    def warm(self) -> Any:
        for request in self.requests:
            self.ask(request)
        return self.ask(self.requests[0])

    def measure(self) -> dict[str, float]:
        seconds = np.empty(self.n_requests)
        for number in range(self.n_requests):
            request = self.requests[number % len(self.requests)]
            start = time.perf_counter()
            self.ask(request)
            seconds[number] = time.perf_counter() - start
        p50, p99 = np.quantile(seconds, [0.5, 0.99])
        return {"p50": float(p50), "p99": float(p99)}


@dataclass(frozen=True)
class Contender:
    """One way to do the work; it is prepared in a process of its own.

    Parameters
    ----------
    name : str
        What the table calls it.
    prepare : callable
        Makes a Run. It imports what it needs itself.
    needs : tuple of str
        Modules without which it is listed as not installed.
    install : str
        How to install them.
    goal : float, optional
        Ratio of its cost to ours that is wanted.
    floor : float, optional
        Ratio below which a run fails, on any machine.
    agrees : Agreement, optional
        How its result has to agree with ours. None is for another model or for a bound.
    agrees_with : str, optional
        The contender with whose result its own has to agree, instead of ours.
    is_bound : bool
        Whether it is a part of the work that nobody can leave out, such as the matrix products.
    in_short : bool
        Whether the short form runs it.
    threads : tuple of int, optional
        Numbers of threads that it can be told; any by default.
    """

    name: str
    prepare: Callable[[Setting], Run]
    needs: tuple[str, ...] = ()
    goal: float | None = None
    floor: float | None = None
    agrees: Agreement | None = None
    agrees_with: str | None = None
    is_bound: bool = False
    in_short: bool = True
    threads: tuple[int, ...] | None = None
    install: str = "the extra `benchmarks` brings it"

    def missing(self) -> list[str]:
        """Return the modules that it needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


@dataclass(frozen=True)
class Comparison:
    """Our way to do the work, and other ways.

    Parameters
    ----------
    name : str
        The work.
    unit : str
        What costs are divided by: "row", "query", "request", "call".
    ours : Contender
    theirs : sequence of Contender
    in_short : bool
        Whether the short form runs it.
    at_most : dict
        Our costs that are wanted, by quantity, in seconds; whatever others take.
    rounds : int, optional
        Number of measurements of each contender after a start, instead of the usual one.
    starts : int, optional
        Number of times that the long form starts the contenders, instead of the usual one: fewer
        for work that takes minutes.
    """

    name: str
    unit: str
    ours: Contender
    theirs: Sequence[Contender]
    in_short: bool = True
    at_most: dict[str, float] = field(default_factory=dict)
    rounds: int | None = None
    starts: int | None = None


@dataclass(frozen=True)
class Benchmark:
    """Comparisons that share their data.

    Parameters
    ----------
    name : str
        How the command line calls it.
    title : str
        Heading of its table.
    about : str
        What is measured: a paragraph above the table.
    comparisons : sequence of Comparison
    data : callable, optional
        Writes the data into ``setting.folder``, in a process of its own.
    """

    name: str
    title: str
    about: str
    comparisons: Sequence[Comparison]
    data: Callable[[Setting], None] | None = None

    def comparison(self, name: str) -> Comparison:
        return next(each for each in self.comparisons if each.name == name)
