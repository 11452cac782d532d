"""A report, and how it is shown: as text, Markdown, HTML and JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import Any

import numpy as np

from skdistill.extras import import_extra
from skdistill.inspection.points import ParetoPoint
from skdistill.inspection.report.findings import (
    LOOK,
    NEEDS_MODEL,
    NEEDS_TEACHER,
    NEEDS_TRAIN,
    OK,
    SKIPPED,
    Check,
    Fidelity,
    QueryReport,
    SliceReport,
)
from skdistill.metrics import RatioInterval
from skdistill.public_names import set_module
from skdistill.text_tables import Rows, Table, html, interval, markdown, text_table

# Letters of a line of text.
WIDTH = 100
# A page that suits the light and the dark of the reader's browser.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Distillation report</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ max-width: 70em; margin: 2em auto; padding: 0 1em; overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.25em 0.7em; border-bottom: 1px solid #8884; vertical-align: top; }}
</style></head><body>
<h1>Distillation report</h1>
{body}
</body></html>"""


@set_module("skdistill.inspection")
@dataclass(frozen=True, repr=False)
class DistillationReport:
    """What a student is worth: quality, fidelity, speed and size, slices, queries and checks.

    It prints as text, and shows as tables in a notebook.

    Attributes
    ----------
    points : list of ParetoPoint
        The models: the teacher if there is one, the student, and smaller trees. The ratios are to
        the first one.
    sizes : dict of str to int
        Bytes of the pickled model, by name; models that cannot be pickled are left out.
    fidelity : Fidelity or None
        Agreement of student and teacher; None without a teacher.
    slices : list of SliceReport
        Parts of the table.
    queries : list of QueryReport
        Queries on which student and teacher disagree most, the worst first.
    checks : list of Check
        What was checked.
    k : int
        Number of top places that count.
    n_rows, n_queries : int
        Number of rows with a label, and of their queries.
    """

    points: list[ParetoPoint]
    sizes: dict[str, int]
    fidelity: Fidelity | None
    slices: list[SliceReport]
    queries: list[QueryReport]
    checks: list[Check]
    k: int
    n_rows: int
    n_queries: int

    @property
    def to_look_at(self) -> list[Check]:
        """Checks that need attention."""
        return [check for check in self.checks if check.status == LOOK]

    def rows(self) -> Rows:
        """Return the table of the models.

        Returns
        -------
        list of list
            The heading, then a row per model.
        """
        first = self.points[0]
        heading: list[Any] = [
            "model",
            "kind",
            f"NDCG@{self.k}",
            f"of {first.name}",
            "ns/row",
            "speed",
            "kB",
        ]
        table = Table([heading])
        for point in self.points:
            size = self.sizes.get(point.name)
            table.append(
                [
                    *(point.name, point.kind, point.quality),
                    "" if point is first else interval(point.ratio),
                    _number(1e9 * point.cost.seconds, ",.0f"),
                    _number(first.cost.seconds / point.cost.seconds, ".3g", "×"),
                    "" if size is None else f"{size / 1000:,.0f}",
                ]
            )
        return table

    def slice_rows(self) -> Rows:
        """Return the table of the slices.

        Returns
        -------
        list of list
            The heading, then a row per slice.
        """
        heading = ["slice", "value", "queries", "rows", f"NDCG@{self.k}", "of teacher", "tau"]
        table = [
            [
                *(part.name, part.value, part.n_queries, part.n_rows, part.ndcg),
                *(interval(part.ratio), part.tau),
            ]
            for part in self.slices
        ]
        return Table([heading, *table])

    def query_rows(self) -> Rows:
        """Return the table of the queries on which student and teacher disagree most.

        Returns
        -------
        list of list
            The heading, then a row per query.
        """
        heading = ["query", "rows", "tau", f"NDCG@{self.k}", "teacher's"]
        table = [[str(q.query), q.n_rows, q.tau, q.ndcg, q.teacher_ndcg] for q in self.queries]
        return Table([heading, *table])

    def check_rows(self) -> Rows:
        """Return the table of the checks, those that need attention first.

        Returns
        -------
        list of list
            The heading, then a row per check.
        """
        order = [LOOK, OK, SKIPPED]
        checks = sorted(self.checks, key=lambda check: order.index(check.status))
        return Table([["", "check", "finding"], *([c.status, c.name, c.message] for c in checks)])

    def summary(self) -> str:
        """Say in a few sentences what the student is worth.

        Returns
        -------
        str
        """
        first = self.points[0]
        student = next(point for point in self.points if point.name == "student")
        times = first.cost.seconds / student.cost.seconds
        text = f"{self.n_rows:,} rows in {self.n_queries:,} queries. "
        text += f"The student's NDCG@{self.k} is {student.quality:.4f}"
        if student is first:
            text += "."
        else:
            text += f", {interval(student.ratio)} of the teacher's" + (
                f", at {times:.3g} times its speed." if times == times else "."
            )
        if self.fidelity is not None:
            text += (
                f" Kendall's tau with the teacher is {self.fidelity.tau:.3f}; "
                f"{self.fidelity.recall:.1%} of the teacher's top {self.k} are in the student's."
            )
        return text + self._outcome()

    def _outcome(self) -> str:
        """Say what the checks have found, and whether the training rows would allow more."""
        n_made = sum(check.status != SKIPPED for check in self.checks)
        n = len(self.to_look_at)
        names = ", ".join(check.name for check in self.to_look_at)
        text = ""
        if n_made:
            verb = "needs" if n <= 1 else "need"
            text += f" Checks: {n or 'none'} of {n_made} {verb} attention"
            text += f": {names}." if n else "."
        lacking = {
            "the training rows: X_train=, y_train=, qid_train= (--train)": NEEDS_TRAIN,
            "the teacher: teacher= (--teacher)": NEEDS_TEACHER,
            "a teacher that reads the table: teacher= (--teacher)": NEEDS_MODEL,
        }
        for what, message in lacking.items():
            n_lacking = sum(check.message.endswith(message) for check in self.checks)
            if n_lacking:
                verb = "was" if n_lacking == 1 else "were"
                text += f" {n_lacking} more {verb} skipped for lack of {what}."
        return text

    def frame(self) -> Any:
        """Return the table of the models as a data frame.

        Returns
        -------
        DataFrame
            A row per model.

        Raises
        ------
        ImportError
            If pandas is not installed (extra ``data``).
        """
        pandas = import_extra("pandas", "data", "DistillationReport.frame")
        columns = {
            "kind": [point.kind for point in self.points],
            "ndcg": [point.quality for point in self.points],
            "ratio": [point.ratio.ratio for point in self.points],
            "ratio_low": [point.ratio.low for point in self.points],
            "ratio_high": [point.ratio.high for point in self.points],
            "seconds_per_row": [point.cost.seconds for point in self.points],
            "bytes": [self.sizes.get(point.name, np.nan) for point in self.points],
        }
        names = pandas.Index([point.name for point in self.points], name="model")
        return pandas.DataFrame(columns, index=names)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as dictionaries and lists that JSON can hold.

        Returns
        -------
        dict
            With the keys "k", "n_rows", "n_queries", "models", "fidelity", "slices", "queries" and
            "checks". NaN becomes None.
        """
        models = [
            {
                "name": point.name,
                "kind": point.kind,
                "ndcg": point.quality,
                "ratio": _ends(point.ratio),
                "seconds_per_row": vars(point.cost),
                "bytes": self.sizes.get(point.name),
            }
            for point in self.points
        ]
        slices = [vars(part) | {"ratio": _ends(part.ratio)} for part in self.slices]
        return _plain(
            {
                "k": self.k,
                "n_rows": self.n_rows,
                "n_queries": self.n_queries,
                "models": models,
                "fidelity": None if self.fidelity is None else vars(self.fidelity),
                "slices": slices,
                "queries": [vars(query) for query in self.queries],
                "checks": [vars(check) for check in self.checks],
            }
        )

    def to_json(self) -> str:
        """Return the figures as JSON.

        Returns
        -------
        str
        """
        return json.dumps(self.to_dict(), indent=2)

    def to_markdown(self) -> str:
        """Return the report as Markdown.

        Returns
        -------
        str
        """
        parts = [self.summary()]
        parts += [f"### {title}\n\n{markdown(rows)}" for title, rows in self._tables()]
        return "\n\n".join(parts) + "\n"

    def shown_as(self, style: str) -> str:
        """Return the report in a format.

        Parameters
        ----------
        style : {"text", "markdown", "html", "json"}
            The format. That of HTML is a whole page.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If there is no such format.
        """
        if style == "html":
            return PAGE.format(body=self._repr_html_())
        shown = {"text": self.__str__, "markdown": self.to_markdown, "json": self.to_json}
        if style not in shown:
            raise ValueError(f"style must be one of {[*shown, 'html']}, got {style!r}.")
        return shown[style]()

    def __str__(self) -> str:
        parts = [self.summary()]
        for title, rows in self._tables():
            shown = _listed(rows) if title == "Checks" else text_table(rows)
            parts.append(f"{title}\n\n{shown}")
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(self.summary())}</p>"]
        parts += [f"<h4>{title}</h4>\n{html(rows)}" for title, rows in self._tables()]
        return "\n".join(parts)

    def _tables(self) -> list[tuple[str, Rows]]:
        """Tables that have rows, with their titles."""
        tables = [
            ("Checks", self.check_rows()),
            ("Models", self.rows()),
            ("Slices", self.slice_rows()),
            ("Queries on which student and teacher disagree most", self.query_rows()),
        ]
        return [(title, rows) for title, rows in tables if len(rows) > 1]


def _ends(ratio: RatioInterval) -> dict[str, float]:
    return {"ratio": ratio.ratio, "low": ratio.low, "high": ratio.high}


def _number(value: float, form: str, unit: str = "") -> str:
    return "" if np.isnan(value) else format(value, form) + unit


def _listed(rows: Rows) -> str:
    """Return checks as paragraphs, whose messages are too long for a column of a terminal."""
    return "\n".join(
        fill(
            f"{status:>11}  {name}: {message}",
            WIDTH,
            subsequent_indent=" " * 13,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for status, name, message in rows[1:]
    )


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
