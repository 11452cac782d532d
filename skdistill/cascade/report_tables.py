"""What a report of a cascade says, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.extras import import_extra
from skdistill.metrics import RatioInterval
from skdistill.public_names import set_module
from skdistill.text_tables import html, interval, markdown, text_table


@dataclass(frozen=True)
class StageReport:
    """What one stage does to the items that should come through.

    Attributes
    ----------
    name : str
        Name of the stage.
    size : int
        Number of items that it returns.
    recall : float
        Fraction of the wanted items that are left behind it.
    recall_of_input : float
        The same, of the wanted items that reached it.
    lost : float
        Fraction of the wanted items that it was the first to drop.
    ceiling : float
        NDCG@k if all later stages were perfect.
    as_teacher : float
        NDCG@k if this stage alone ranked by the teacher's scores.
    tau, overlap : float
        Kendall's tau and rank-biased overlap with the next stage on the items that this one gets,
        of the last stage with the teacher.
    agreement : float
        Of the pairs of items that the last stage gets: the fraction that this stage orders as the
        last one does.
    p50, p99 : float
        Microseconds of the stage in requests of one query.
    curve : ndarray of shape (width,), float64
        Fraction of the wanted items among the first 1, 2, ... items of the stage.
    """

    name: str
    size: int
    recall: float
    recall_of_input: float
    lost: float
    ceiling: float
    as_teacher: float
    tau: float
    overlap: float
    agreement: float
    p50: float
    p99: float
    curve: NDArray[np.float64]


@dataclass(frozen=True)
class RivalReport:
    """A cascade beside the one that is reported.

    Attributes
    ----------
    name : str
        What it is.
    ndcg, recall : float
        Its NDCG@k and its recall of the wanted items.
    ndcg_ratio, recall_ratio : RatioInterval
        Of the reported cascade over this one, with the 95% interval of a paired bootstrap over
        queries.
    agreement : dict of str to float
        By stage before the last: fraction of pairs that it orders as the last stage does.
    """

    name: str
    ndcg: float
    recall: float
    ndcg_ratio: RatioInterval
    recall_ratio: RatioInterval
    agreement: dict[str, float]


STAGE_COLUMNS = {
    "stage": "name",
    "size": "size",
    "recall": "recall",
    "of its input": "recall_of_input",
    "lost here": "lost",
    "ceiling": "ceiling",
    "if teacher": "as_teacher",
    "tau": "tau",
    "RBO": "overlap",
    "agrees": "agreement",
    "p50 us": "p50",
    "p99 us": "p99",
}


@set_module("skdistill.cascade")
@dataclass(frozen=True, repr=False)
class CascadeReport:
    """Where a cascade loses what it should return.

    Attributes
    ----------
    stages : list of StageReport
        The stages in their order. The fractions that they lose and the recall of the last one sum
        to 1.
    rivals : list of RivalReport
        Other cascades on the same queries.
    ndcg : float
        NDCG@k of the cascade.
    recall : float
        Fraction of the teacher's best k items that it returns.
    teacher_ndcg : float
        NDCG@k of the teacher's order of the whole catalogue.
    k : int
        Number of items that count.
    n_queries : int
        Number of queries.
    truth : {"labels", "teacher"}
        What NDCG takes for the truth.
    """

    stages: list[StageReport]
    rivals: list[RivalReport]
    ndcg: float
    recall: float
    teacher_ndcg: float
    k: int
    n_queries: int
    truth: str

    def rows(self) -> list[list[Any]]:
        """Return the table of the stages.

        Returns
        -------
        list of list
            The heading, then a row per stage.
        """
        table: list[list[Any]] = [list(STAGE_COLUMNS)]
        for stage in self.stages:
            table.append([getattr(stage, attribute) for attribute in STAGE_COLUMNS.values()])
        return table

    def rival_rows(self) -> list[list[Any]]:
        """Return the table of the rivals.

        Returns
        -------
        list of list
            The heading, then a row per rival; empty if there are none.
        """
        if not self.rivals:
            return []
        names = list(self.rivals[0].agreement)
        heading = [f"NDCG@{self.k}", "ours/its", "recall", "ours/its"]
        table: list[list[Any]] = [["rival", *heading, *(f"{name} agrees" for name in names)]]
        for rival in self.rivals:
            table.append(
                [
                    rival.name,
                    *(rival.ndcg, interval(rival.ndcg_ratio)),
                    *(rival.recall, interval(rival.recall_ratio)),
                    *(rival.agreement.get(name, float("nan")) for name in names),
                ]
            )
        return table

    def summary(self) -> str:
        """Say what the cascade keeps, which stage loses most, and which rivals rank better.

        Returns
        -------
        str
        """
        worst = max(self.stages, key=lambda stage: stage.lost)
        better = [rival for rival in self.rivals if rival.ndcg_ratio.high < 1]
        return (
            f"{self.n_queries} queries. Recall of the teacher's top {self.k}: {self.recall:.4f}. "
            f"NDCG@{self.k} by {self.truth}: {self.ndcg:.4f}, of the teacher over the whole "
            f"catalogue {self.teacher_ndcg:.4f}. The stage {worst.name!r} loses most: "
            f"{worst.lost:.4f}."
        ) + "".join(
            f" The rival {rival.name!r} ranks better: ours is {interval(rival.ndcg_ratio)} of its "
            "NDCG."
            for rival in better
        )

    def frame(self) -> Any:
        """Return the table of the stages as a data frame.

        Returns
        -------
        DataFrame
            A row per stage.

        Raises
        ------
        ImportError
            If pandas is not installed (extra ``data``).
        """
        pandas = import_extra("pandas", "data", "CascadeReport.frame")
        heading, *rows = self.rows()
        return pandas.DataFrame(rows, columns=heading).set_index("stage")

    def to_markdown(self) -> str:
        """Return the report as Markdown.

        Returns
        -------
        str
        """
        parts = [self.summary(), markdown(self.rows())]
        if self.rivals:
            parts.append(markdown(self.rival_rows()))
        return "\n\n".join(parts)

    def __str__(self) -> str:
        parts = [self.summary(), text_table(self.rows())]
        if self.rivals:
            parts.append(text_table(self.rival_rows()))
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<p>{self.summary()}</p>", html(self.rows())]
        if self.rivals:
            parts.append(html(self.rival_rows()))
        return "\n".join(parts)
