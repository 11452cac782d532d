"""Small tables and numbers as text, Markdown and HTML."""

from __future__ import annotations

from html import escape
from typing import Any

Rows = list[list[Any]]


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
    lines = []
    for row in cells:
        first, *rest = (
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


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
    heading, *body = [[shown(cell).replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---", *("---:" for _ in heading[1:])]
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
    heading, *body = [[escape(shown(cell)) for cell in row] for row in rows]
    lines = ["<table>", "<thead><tr>", *(f"<th>{cell}</th>" for cell in heading), "</tr></thead>"]
    for row in body:
        lines += ["<tr>", *(f"<td>{cell}</td>" for cell in row), "</tr>"]
    return "\n".join([*lines, "</table>"])
