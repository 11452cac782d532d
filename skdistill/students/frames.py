"""Training students on data frames, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skdistill.tables.columns import column_of


@dataclass(frozen=True)
class Targets:
    """Columns of a data frame that a student learns from.

    Parameters
    ----------
    query : str
        Column with the query ids.
    label, teacher : str or None
        Columns with the labels and with a teacher's scores; at least one of them.
    """

    query: str
    label: str | None
    teacher: str | None

    def __post_init__(self) -> None:
        if self.label is None and self.teacher is None:
            raise ValueError(
                "There is nothing to learn from. Pass label_column, teacher_column, or both."
            )

    @property
    def numbers(self) -> list[str]:
        """The columns of labels and scores that there are."""
        return [name for name in (self.label, self.teacher) if name is not None]

    def partial_fit(self, student: Any, frame: Any, features: Sequence[str]) -> None:
        """Train a student on the rows of a frame once."""
        student.partial_fit(
            frame[list(features)],
            column_of(frame, self.label),
            qid=frame[self.query],
            teacher_scores=column_of(frame, self.teacher),
        )
