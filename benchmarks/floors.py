"""Ratios that a run must reach: those that were recorded, and fixed floors.

Ratios depend on the instruction set: matrix products gain more from wide registers than trees do.
So they are recorded for each, by the short form itself, because small tables have other ratios.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import machine
from benchmarks.measuring import Row

RECORDED = Path(__file__).with_name("recorded.json")
# A ratio below this fraction of the recorded one is a lost optimisation, not noise.
FRACTION = 0.7
# Quantities whose names end so decide nothing: too few requests lie in the tail of a short run.
UNDECIDED = "p99"
# Seconds to wait for the load of what ran before to go away.
PATIENCE = 90.0


def read_recorded(path: Path) -> dict[str, dict[str, float]]:
    """Return the recorded ratios, by instruction set and by benchmark and row."""
    recorded: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    return recorded


def record(name: str, rows: list[Row], instruction_set: str, path: Path) -> None:
    """Store the ratios of a short run, or those recorded before where they are lower.

    So several runs record what noise leaves of a ratio.
    """
    recorded = read_recorded(path)
    own = recorded.setdefault(instruction_set, {})
    for row in rows:
        if row.ratio is not None and not row.quantity.endswith(UNDECIDED):
            key = f"{name} | {row.key}"
            own[key] = min(float(f"{row.ratio:.3g}"), own.get(key, float("inf")))
    path.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


def add_recorded(name: str, rows: list[Row], instruction_set: str, path: Path) -> list[Row]:
    """Note in each row the ratio that was recorded for it."""
    own = read_recorded(path).get(instruction_set, {})
    for row in rows:
        row.recorded = own.get(f"{name} | {row.key}")
    return rows


def too_low(row: Row) -> bool:
    """Whether a ratio lies below its floor, or too far below the recorded one."""
    if row.ratio is None or row.quantity.endswith(UNDECIDED):
        return False
    return row.ratio < max(row.floor or 0.0, FRACTION * (row.recorded or 0.0))


def problems(rows: list[Row]) -> list[str]:
    """Say which rows fail a run: errors, unequal results and ratios that are too low."""
    found = []
    for row in rows:
        if row.status in ("failed", "unequal"):
            found.append(f"{row.key}: {row.status}: {row.note}")
        elif too_low(row):
            recorded = "" if row.recorded is None else f", recorded is {row.recorded:.2f}"
            floor = "" if row.floor is None else f", the floor is {row.floor:.2f}"
            found.append(f"{row.key}: the ratio is {row.ratio:.2f}{recorded}{floor}")
    return found


def is_quiet(
    limit: float,
    patience: float,
    load: Callable[[], float] = machine.load,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait until the load of the last minute is at most a limit; False if it stays above it.

    Parameters
    ----------
    limit : float
    patience : float
        Seconds to wait. The load counts processes that ended in the last minute.
    load, sleep : callable
        How to ask for the load and how to wait.
    """
    waited = 0.0
    while load() > limit:
        if waited >= patience:
            return False
        sleep(5.0)
        waited += 5.0
    return True
