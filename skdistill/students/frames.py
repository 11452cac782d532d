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
    query : str or None
        Column with the query ids; None if each row is taken by itself.
    label, teacher : str or None
        Columns with the labels and with a teacher's scores; at least one of them.
    """

    query: str | None
    label: str | None
    teacher: str | None

    def __post_init__(self) -> None:
        if self.label is None and self.teacher is None:
            raise ValueError(
                "There is nothing to learn from. Pass label_column, teacher_column, or both."
            )

    def check_queries(self, student: Any) -> None:
        """Check that there are queries if the student compares rows.

        Raises
        ------
        ValueError
            If there are none.
        """
        if self.query is None and student.needs_queries:
            raise ValueError(
                "query_column=None takes each row by itself, but a loss of "
                f"{type(student).__name__} compares the rows of a query. Pass query_column, or use "
                "the loss 'logistic' or 'pointwise'."
            )

    @property
    def columns(self) -> list[str]:
        """The columns of queries, labels and scores that there are."""
        return [name for name in (self.query, self.label, self.teacher) if name is not None]

    @property
    def numbers(self) -> list[str]:
        """The columns of labels and scores that there are."""
        return [name for name in (self.label, self.teacher) if name is not None]

    def partial_fit(self, student: Any, frame: Any, features: Sequence[str]) -> None:
        """Train a student on the rows of a frame once."""
        student.partial_fit(
            frame[list(features)],
            column_of(frame, self.label),
            qid=column_of(frame, self.query),
            teacher_scores=column_of(frame, self.teacher),
        )
