"""Tables of a run: one document, stored as JSON and rendered as Markdown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.declaring import Benchmark
from benchmarks.machine import machine_line
from benchmarks.measuring import ALONE, Row

SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
HEADER = ("", "against", "threads", "ours", "its", "ratio", "quartiles", "goal", "quality")


def document(machine: dict[str, Any], short: bool) -> dict[str, Any]:
    """Return an empty document."""
    return {"machine": machine, "form": "short" if short else "long", "benchmarks": []}


def add(found: dict[str, Any], benchmark: Benchmark, rows: list[Row]) -> None:
    """Add the rows of a benchmark to a document."""
    found["benchmarks"].append(
        {
            "name": benchmark.name,
            "title": benchmark.title,
            "about": benchmark.about,
            "rows": [row.as_dict() for row in rows],
        }
    )


def seconds(value: float) -> str:
    """Write seconds with three digits and a unit that suits them."""
    scale, unit = next((each for each in SCALES if value >= each[0]), SCALES[-1])
    return f"{value / scale:.3g} {unit}"


def number(value: float) -> str:
    """Write a ratio with as many digits as mean something."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cost(row: dict[str, Any], value: float) -> str:
    """Write a cost of a row."""
    if row["quantity"] == "memory":
        return f"{value:.0f} MB"
    if row["quantity"].startswith(("exponent", "memory of")):
        return f"{value:.2f}"
    return f"{seconds(value)}/{row['unit']}"


def goal_text(row: dict[str, Any]) -> str:
    goals = []
    if row["goal"] is not None:
        goals.append(f"{number(row['goal'])}")
    if row["at_most"] is not None:
        goals.append(f"ours at most {cost(row, row['at_most'])}")
    return ", ".join(goals) + (" **missed**" if row["missed_goal"] else "")


def quality_text(row: dict[str, Any]) -> str:
    if not row["quality"]:
        return ""
    ours, theirs = row["quality"]["ours"], row["quality"]["theirs"]
    names = [name for name in ours if name in theirs]
    return ", ".join(f"{name} {ours[name]:.4f}, its {theirs[name]:.4f}" for name in names)


def of_others(row: dict[str, Any]) -> list[str]:
    spread = f"{number(row['low'])} to {number(row['high'])}"
    return [cost(row, row["theirs"]), number(row["ratio"]), spread]


def cells(row: dict[str, Any]) -> list[str]:
    name = row["comparison"]
    if row["quantity"] != "time":
        name += f", {row['quantity']}"
    against = f"*{row['against']}*" if row["is_bound"] else row["against"]
    start = [name, against, str(row["threads"])]
    if row["ratio"] is None:
        note = " ".join(row["note"].split())  # a cell has one line
        return [*start, *[""] * 4, goal_text(row), f"{row['status']}: {note}"]
    return [
        *start,
        cost(row, row["ours"]),
        *(of_others(row) if row["against"] != ALONE else [""] * 3),
        goal_text(row),
        quality_text(row),
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Render rows as a table of Markdown; a name that repeats is written once."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    above = None
    for row in rows:
        texts = cells(row)
        above, texts[0] = texts[0], "" if texts[0] == above else texts[0]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def section(found: dict[str, Any], benchmark: dict[str, Any]) -> str:
    """Render what a run found about one benchmark."""
    form = " The short form: small tables, few rounds." if found["form"] == "short" else ""
    return (
        f"{benchmark['about']}{form}\n\n{table(benchmark['rows'])}\n\n"
        f"{machine_line(found['machine'])}."
    )


def markdown(found: dict[str, Any]) -> str:
    """Render a whole document."""
    parts = [
        f"## {benchmark['title']}\n\n{section(found, benchmark)}\n"
        for benchmark in found["benchmarks"]
    ]
    return "\n".join(parts)


def write(found: dict[str, Any], folder: Path) -> None:
    """Write ``benchmarks.json`` and ``benchmarks.md`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "benchmarks.md").write_text(markdown(found), encoding="utf-8")


def fill_page(found: dict[str, Any], page: str) -> str:
    """Put the sections of a document between the markers of a page.

    Parameters
    ----------
    found : dict
    page : str
        Text with ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` for each benchmark.

    Raises
    ------
    ValueError
        If the page has no markers for a benchmark.
    """
    for benchmark in found["benchmarks"]:
        begin, end = (f"<!-- {benchmark['name']}: {edge} -->" for edge in ("begin", "end"))
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = f"{begin}\n{section(found, benchmark)}\n{end}"
        page, n_places = pattern.subn(lambda _, text=text: text, page)
        if n_places != 1:
            raise ValueError(f"The page has {n_places} places for {benchmark['name']}, not one.")
    return page
