"""Score tables in files with a teacher, which may read other columns than the model does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import take_rows
from skdistill.inputs.queries import Queries
from skdistill.serving.batch.table_scorer import TableScorer
from skdistill.tables.columns import TableColumns, check_there
from skdistill.tables.errors import TableError
from skdistill.tables.frames import read_frame
from skdistill.tables.shard import TableFile
from skdistill.teachers.asking import predicts_by_query, score_rows
from skdistill.teachers.columns import names_lacking, names_read_by, teacher_positions


def check_given_once(teacher: Any, teacher_column: str | None) -> None:
    """Raise a ValueError if both a teacher and a column of its scores are given."""
    if teacher is not None and teacher_column is not None:
        raise ValueError("The teacher is given twice: by teacher and by teacher_column.")


def columns_of_teacher(teacher: Any, file: TableFile, targets: Sequence[str]) -> list[str]:
    """Find the columns of a file that a teacher reads; first, check that it has the targets.

    A file that is read with another delimiter than its own has neither.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster, callable or None
        A fitted teacher, or none.
    file : TableFile
        File with rows.
    targets : sequence of str
        Columns of query ids, labels and the like.

    Returns
    -------
    list of str
        Empty if there is no teacher, or it knows no names of files: its columns are then matched
        by position.

    Raises
    ------
    TableError
        If the file lacks a column.
    """
    present = file.schema.names
    check_there(file.path, present, targets)
    lacking = names_lacking(teacher, present)
    if lacking:
        raise TableError(
            f"{file.path}: lacks the columns {lacking}, which the teacher was fitted on. If they "
            "are computed from others, such as the month of a date, write the teacher's scores "
            "into the table and name them: teacher_column (--teacher-column)."
        )
    return names_read_by(teacher, present)


class TeacherOfTables:
    """A fitted teacher, and the columns of tables that it reads.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        The teacher. One that knows no names of files gets the student's columns, in their order.
    files : list of TableFile
        Files with rows.
    scorer : TableScorer
        Scores the student.
    targets : sequence of str
        Columns that are no features.

    Raises
    ------
    TableError
        If a file lacks a column.
    ValueError
        If columns are matched by position, and the teacher reads another number of them.
    """

    def __init__(
        self, teacher: Any, files: list[TableFile], scorer: TableScorer, targets: Sequence[str]
    ) -> None:
        self.teacher, self.files = teacher, files
        features = columns_of_teacher(teacher, files[0], targets) or scorer.features
        kinds = dict(zip(scorer.features or [], scorer.kinds, strict=False))
        self.columns = TableColumns.match(
            files,
            features=features,
            n_features=scorer.n_features if features is None else len(features),
            targets=targets,
            kinds=None if features is None else [kinds.get(name) for name in features],
        )
        import pandas as pd

        # A teacher of another number of columns is told before the rows are scored.
        teacher_positions(teacher, pd.DataFrame(columns=self.columns.features))

    def scores(self, qid: NDArray[np.int64] | None) -> NDArray[np.float64]:
        """Score all rows of the tables, whose columns are then in memory.

        Parameters
        ----------
        qid : ndarray of shape (n_rows,), int64, or None
            Number of each row's query. A teacher whose ``predict`` takes ``qid`` gets it.

        Returns
        -------
        ndarray of shape (n_rows,), float64
        """
        table = read_frame(self.files, self.columns, "inputs")[self.columns.features]
        if qid is None or not predicts_by_query(self.teacher):
            return score_rows(self.teacher, table)
        order = np.argsort(qid, kind="stable")
        queries = Queries.from_sizes(np.unique(qid, return_counts=True)[1])
        scores = np.empty(len(qid))
        scores[order] = score_rows(self.teacher, take_rows(table, order), queries)
        return scores
