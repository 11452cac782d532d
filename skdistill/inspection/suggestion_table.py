"""What a suggestion says, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.extras import import_extra
from skdistill.metrics import RatioInterval
from skdistill.public_names import set_module
from skdistill.ranker import DistilledRanker
from skdistill.text_tables import Rows, Table, html, interval, markdown, text_table


@dataclass(frozen=True)
class ShapeReport:
    """A student in a suggestion.

    Attributes
    ----------
    name : str
        Its name.
    microseconds : float
        Predicted time of a request.
    fits : bool
        Whether that is within the budget.
    ndcg : float
        NDCG on the held-out queries, after a training on all other rows; NaN if it was given up
        before.
    ratio : RatioInterval
        Of the teacher's NDCG, with the 95% interval of a paired bootstrap over queries; NaN without
        NDCG.
    """

    name: str
    microseconds: float
    fits: bool
    ndcg: float
    ratio: RatioInterval


@set_module("skdistill.inspection")
@dataclass(frozen=True, repr=False)
class StudentSuggestion:
    """The student to take for a latency budget, and what the others would cost.

    Attributes
    ----------
    best : str
        Name of the shape with the highest NDCG among those within the budget.
    ranker : DistilledRanker
        Unfitted, with the best student. Give it a teacher, or pass ``teacher_scores`` to ``fit``.
    shapes : list of ShapeReport
        All shapes, the fastest first.
    teacher_ndcg : float
        NDCG of the teacher on the held-out queries.
    latency_us : float
        The budget of a request, in microseconds.
    request_rows : int
        Number of rows of a request.
    reading_us : float
        What reading a request of a data frame takes besides, in microseconds; 0 for arrays.
    k : int
        Number of top places that count.
    """

    best: str
    ranker: DistilledRanker
    shapes: list[ShapeReport]
    teacher_ndcg: float
    latency_us: float
    request_rows: int
    reading_us: float
    k: int

    def rows(self) -> Rows:
        """Return the table of the shapes.

        Returns
        -------
        list of list
            The heading, then a row per shape.
        """
        heading: list[Any] = ["student", "us/request", "ns/row", f"NDCG@{self.k}", "of teacher", ""]
        table = Table([heading])
        for shape in self.shapes:
            note = "" if shape.fits else "too slow"
            if shape.fits and np.isnan(shape.ndcg):
                note = "given up"
            if shape.name == self.best:
                note = "best"
            table.append(
                [
                    *(shape.name, f"{shape.microseconds:.1f}"),
                    f"{1000 * shape.microseconds / self.request_rows:.0f}",
                    shape.ndcg,
                    "" if np.isnan(shape.ndcg) else interval(shape.ratio),
                    note,
                ]
            )
        return table

    def summary(self) -> str:
        """Say which student to take.

        Returns
        -------
        str
        """
        best = next(shape for shape in self.shapes if shape.name == self.best)
        reading = ""
        if self.reading_us:
            reading = (
                f" Reading a data frame of these rows takes another {self.reading_us:.0f} "
                "microseconds, whatever the student. A service that gets dictionaries passes them "
                "to CompiledScorer.rows, and makes no data frame."
            )
        return (
            f"Take {self.best!r}: {best.microseconds:.1f} of {self.latency_us:g} microseconds for "
            f"a request of {self.request_rows} rows, {interval(best.ratio)} of the teacher's "
            f"NDCG@{self.k} {self.teacher_ndcg:.4f}. If the teacher was fitted on these queries, "
            f"it remembers them, and all ratios are too low.{reading}"
        )

    def frame(self) -> Any:
        """Return the table of the shapes as a data frame.

        Returns
        -------
        DataFrame
            A row per shape.

        Raises
        ------
        ImportError
            If pandas is not installed (extra ``data``).
        """
        pandas = import_extra("pandas", "data", "StudentSuggestion.frame")
        columns = {
            "microseconds": [shape.microseconds for shape in self.shapes],
            "fits": [shape.fits for shape in self.shapes],
            "ndcg": [shape.ndcg for shape in self.shapes],
            "ratio": [shape.ratio.ratio for shape in self.shapes],
        }
        names = pandas.Index([shape.name for shape in self.shapes], name="student")
        return pandas.DataFrame(columns, index=names)

    def to_markdown(self) -> str:
        """Return the suggestion as Markdown.

        Returns
        -------
        str
        """
        return f"{self.summary()}\n\n{markdown(self.rows())}\n"

    def __str__(self) -> str:
        return f"{self.summary()}\n\n{text_table(self.rows())}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{self.summary()}</p>\n{html(self.rows())}"
