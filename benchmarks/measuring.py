"""Measure a comparison: contenders in fresh processes, equal results first, then in turns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.declaring import Comparison, Contender, Setting
from benchmarks.worker import ContenderError, Worker

# Rounds of each start, and starts: fresh processes differ in where their memory lies.
ROUNDS, STARTS = 5, 3
# Threads of a pool spin for a while after their work; with several threads everyone waits for that.
SETTLING_SECONDS = 0.05

# What the table names if a comparison has no other contenders.
ALONE = "itself"

Costs = dict[str, float]


@dataclass
class Row:
    """What was found about one contender, for one quantity. Costs are per unit of work.

    ``ratio`` is the median over the rounds of its cost divided by ours, ``low`` and ``high`` are
    the quartiles. Without a ratio, ``status`` says why: "not installed", "failed", "unequal" or
    "left out".
    """

    comparison: str
    against: str
    threads: int
    unit: str
    quantity: str = "time"
    status: str = "measured"
    note: str = ""
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: float | None = None
    at_most: float | None = None
    floor: float | None = None
    recorded: float | None = None
    is_bound: bool = False
    quality: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return what identifies the row among those of a benchmark."""
        return f"{self.comparison} | {self.against} | {self.quantity} | {self.threads}"

    @property
    def missed_goal(self) -> bool:
        too_slow = self.ratio is not None and self.goal is not None and self.ratio < self.goal
        too_long = self.ours is not None and self.at_most is not None and self.ours > self.at_most
        return too_slow or too_long

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"missed_goal": self.missed_goal}


class Contest:
    """Contenders of one comparison that are ready to be measured.

    Parameters
    ----------
    place : str
        Module of the benchmark.
    comparison : Comparison
    setting : Setting
    """

    def __init__(self, place: str, comparison: Comparison, setting: Setting) -> None:
        self.place, self.comparison, self.setting = place, comparison, setting
        self.ours = comparison.ours.name
        self.workers: dict[str, Worker] = {}
        self.results: dict[str, Any] = {}
        self.qualities: dict[str, dict[str, float]] = {}
        self.memory: dict[str, float] = {}
        # Costs of us and of the other, one after the other.
        self.pairs: dict[str, list[tuple[Costs, Costs]]] = {}
        # Reasons why a contender is not measured: status and note.
        self.absent: dict[str, tuple[str, str]] = {}

    def start(self) -> None:
        """Start all contenders that can be measured, ours first.

        Raises
        ------
        ContenderError
            If ours cannot be prepared.
        """
        for contender in self.comparison.theirs:
            reason = self._reason(contender)
            if reason is not None:
                self.absent[contender.name] = reason
        names = [each.name for each in self.comparison.theirs]
        if names and self.absent.keys() >= set(names):
            return  # nobody is left to be compared with
        for contender in (self.comparison.ours, *self.comparison.theirs):
            if contender.name not in self.absent:
                self._enter(contender)
            if self.ours in self.absent:
                raise ContenderError(self.absent[self.ours][1])

    def stop(self) -> None:
        """End all processes."""
        while self.workers:
            self.workers.popitem()[1].close()

    def _reason(self, contender: Contender) -> tuple[str, str] | None:
        """Say why a contender is not even started, if so."""
        missing = contender.missing()
        if missing:
            return "not installed", f"needs {', '.join(missing)}; {contender.install}"
        if contender.threads is not None and self.setting.threads not in contender.threads:
            return "left out", f"not with {self.setting.threads} threads"
        if self.setting.short and not contender.in_short:
            return "left out", "not in the short form"
        return None

    def _enter(self, contender: Contender) -> None:
        """Start a contender in a process of its own; note why if that fails."""
        try:
            self._prepare(contender)
        except ContenderError as error:
            self.drop(contender.name, "failed", str(error))

    def _prepare(self, contender: Contender) -> None:
        worker = Worker(contender.name, self.setting.threads)
        self.workers[contender.name] = worker
        self.qualities[contender.name] = worker.ask(
            "prepare", self.place, self.comparison.name, contender.name, self.setting
        )
        result = self.results[contender.name] = worker.ask("warm")
        if contender.agrees is not None:
            other = self.results.get(contender.agrees_with or self.ours)
            if other is None:
                self.drop(contender.name, "failed", f"{contender.agrees_with} has no result")
                return
            complaint = contender.agrees.complaint(other, result)
            if complaint is not None:
                self.drop(contender.name, "unequal", complaint)

    def drop(self, name: str, status: str, note: str) -> None:
        self.absent[name] = status, note
        worker = self.workers.pop(name, None)
        if worker is not None:
            worker.close()

    def measure(self, n_rounds: int) -> None:
        """Measure in turns: ours, theirs, ours, and so on; ours alone if there are no others."""
        for _ in range(n_rounds):
            if not self.comparison.theirs and self.workers:
                ours = self._turn(self.ours)
                self.pairs.setdefault(ALONE, []).append((ours, ours))
            for name in [name for name in self.workers if name != self.ours]:
                ours = self._turn(self.ours)
                try:
                    self.pairs.setdefault(name, []).append((ours, self._turn(name)))
                except ContenderError as error:
                    self.drop(name, "failed", str(error))
        self.memory |= {name: worker.ask("memory") for name, worker in self.workers.items()}

    def _turn(self, name: str) -> Costs:
        if self.setting.threads > 1:
            time.sleep(SETTLING_SECONDS)
        costs: Costs = self.workers[name].ask("measure")
        return costs

    def rows(self) -> list[Row]:
        """Summarise the rounds, one quantity after the other."""
        alone = Contender(ALONE, self.comparison.ours.prepare)
        contenders = self.comparison.theirs or [alone]
        rows = [row for contender in contenders for row in self._rows_of(contender)]
        quantities = list(dict.fromkeys(row.quantity for row in rows if row.ratio is not None))
        first = quantities[0] if quantities else "time"
        for row in rows:
            row.quantity = row.quantity if row.ratio is not None else first
        return sorted(rows, key=lambda row: (*quantities, first).index(row.quantity))

    def _rows_of(self, contender: Contender) -> Iterator[Row]:
        row = Row(
            comparison=self.comparison.name,
            against=contender.name,
            threads=self.setting.threads,
            unit=self.comparison.unit,
            goal=contender.goal,
            floor=contender.floor,
            is_bound=contender.is_bound,
        )
        if contender.name in self.absent:
            row.status, row.note = self.absent[contender.name]
            yield row
            return
        name = contender.name if self.comparison.theirs else self.ours
        row.quality = {"ours": self.qualities[self.ours], "theirs": self.qualities[name]}
        row.memory = {"ours": self.memory[self.ours], "theirs": self.memory[name]}
        pairs = self.pairs[contender.name]
        for quantity in pairs[0][0]:
            yield with_ratio(row, quantity, pairs, self.comparison.at_most)


def with_ratio(
    row: Row, quantity: str, pairs: list[tuple[Costs, Costs]], at_most: dict[str, float]
) -> Row:
    """Return a copy of a row with the costs and the ratios of one quantity."""
    ours, theirs = (np.array([pair[who][quantity] for pair in pairs]) for who in (0, 1))
    low, ratio, high = np.quantile(theirs / ours, [0.25, 0.5, 0.75]).tolist()
    measured = {
        "quantity": quantity,
        "ours": float(np.median(ours)),
        "theirs": float(np.median(theirs)),
        "ratio": ratio,
        "low": low,
        "high": high,
        "at_most": at_most.get(quantity),
    }
    return Row(**(asdict(row) | measured))


def compare(
    place: str, comparison: Comparison, setting: Setting, n_rounds: int | None = None
) -> list[Row]:
    """Measure a comparison; an error of ours makes all its rows failed ones.

    The long form starts the contenders several times.
    """
    contest = Contest(place, comparison, setting)
    try:
        for _ in range(setting.size(comparison.starts or STARTS, 1)):
            contest.start()
            contest.measure(n_rounds or comparison.rounds or ROUNDS)
            contest.stop()
    except ContenderError as error:
        contest.absent |= {
            name: ("failed", str(error))
            for name in [each.name for each in comparison.theirs] or [ALONE]
            if name not in contest.absent
        }
    finally:
        contest.stop()
    return contest.rows()
