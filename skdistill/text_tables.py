"""Small tables and numbers as text, Markdown and HTML."""

from __future__ import annotations

import re
from html import escape
from typing import Any

# A number, alone, as a factor, or before its interval.
NUMBER = re.compile(r"[-−+]?[\d.,]+(e[-+]?\d+)?×?( \[.*\])?$")

Rows = list[list[Any]]


class Table(Rows):
    """Rows that print as aligned text, and show as a table in a notebook."""

    def __str__(self) -> str:
        return text_table(self)

    def _repr_html_(self) -> str:
        return html(self)


def shown(value: Any) -> str:
    """Return a cell as text: four decimals, or none for numbers of a thousand or more.

    Parameters
    ----------
    value : object
        The cell.

    Returns
    -------
    str
    """
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.4f}"


def interval(ratio: tuple[float, float, float]) -> str:
    """Return a ratio with the ends of its interval as text; nothing if it is undefined.

    Parameters
    ----------
    ratio : RatioInterval, or tuple of three float
        The ratio, and the low and the high end.

    Returns
    -------
    str
    """
    middle, low, high = ratio
    return "" if middle != middle else f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def text_table(rows: Rows) -> str:
    """Return rows, the first of which is the heading, as aligned text.

    Parameters
    ----------
    rows : list of list
        Cells.

    Returns
    -------
    str
    """
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    layout = list(zip(widths, _hold_numbers(cells), strict=True))
    lines = [
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, (width, is_number) in zip(row, layout, strict=True)
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown(rows: Rows) -> str:
    """Return rows, the first of which is the heading, as a table in Markdown.

    Parameters
    ----------
    rows : list of list
        Cells.

    Returns
    -------
    str
    """
    heading, *body = cells = [[shown(cell).replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---:" if is_number else "---" for is_number in _hold_numbers(cells)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heading, rule, *body])


def html(rows: Rows) -> str:
    """Return rows, the first of which is the heading, as a table in HTML.

    Parameters
    ----------
    rows : list of list
        Cells.

    Returns
    -------
    str
    """
    heading, *body = cells = [[escape(shown(cell)) for cell in row] for row in rows]
    # Each cell says its side, because notebooks move text to the right.
    styles = [
        f'style="text-align: {"right" if is_number else "left"}"'
        for is_number in _hold_numbers(cells)
    ]

    def tagged(row: list[str], tag: str) -> list[str]:
        return [f"<{tag} {how}>{cell}</{tag}>" for cell, how in zip(row, styles, strict=True)]

    lines = ["<table>", "<thead><tr>", *tagged(heading, "th"), "</tr></thead>"]
    for row in body:
        lines += ["<tr>", *tagged(row, "td"), "</tr>"]
    return "\n".join([*lines, "</table>"])


def _hold_numbers(cells: list[list[str]]) -> list[bool]:
    """Whether a column holds numbers, which stand on the right; the first one names the rows."""
    columns = list(zip(*cells[1:], strict=True)) or [()] * len(cells[0])
    return [
        place > 0 and all(NUMBER.match(cell) for cell in column if cell)
        for place, column in enumerate(columns)
    ]
