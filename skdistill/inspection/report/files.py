"""report_table: a report on tables in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skdistill.inspection.models import unwrapped
from skdistill.inspection.report.build import distillation_report
from skdistill.inspection.report.document import DistillationReport
from skdistill.public_names import set_module
from skdistill.ranker import DistilledRanker
from skdistill.serving.batch.table_scorer import TableScorer, table_scorer
from skdistill.serving.batch.teacher_scores import check_given_once, columns_of_teacher
from skdistill.tables.columns import TableColumns, column_of, filled
from skdistill.tables.csv import CsvOptions
from skdistill.tables.frames import read_frame
from skdistill.tables.reading import Paths, find_files
from skdistill.tables.shard import TableFile
from skdistill.tables.types import is_category
from skdistill.teachers.asking import score_rows


@set_module("skdistill.inspection")
def report_table(
    model: Any,
    inputs: Paths,
    *,
    label_column: str,
    query_column: str,
    teacher: Any = None,
    teacher_column: str | None = None,
    train: Paths | None = None,
    slices: Sequence[str] = (),
    k: int = 10,
    csv_options: CsvOptions | None = None,
    verbose: bool = False,
) -> DistillationReport:
    """Report on a student as :func:`distillation_report` does, from tables in files.

    All rows are held in memory.

    Parameters
    ----------
    model : student, DistilledRanker, or Pipeline that ends in either
        A fitted model.
    inputs : path, or sequence of paths
        Files, folders or globs of Parquet, CSV, JSON lines or Arrow tables, with rows that the
        model was not fitted on.
    label_column : str
        Column of relevance labels. Rows without one are left out.
    query_column : str
        Column of query ids.
    teacher : model, optional
        The fitted teacher. If it reads columns that the model does not, only its scores are
        compared, and not its first trees.
    teacher_column : str, optional
        Column of teacher scores, instead of a teacher.
    train : path, or sequence of paths, optional
        Tables that the model was fitted on.
    slices : sequence of str, default=()
        Columns by which quality is broken down.
    k : int, default=10
        Number of top places that count.
    csv_options : CsvOptions, optional
        Delimiter, decimal point and encoding of CSV files.
    verbose : bool, default=False
        Print to the standard error what was done.

    Returns
    -------
    DistillationReport

    Raises
    ------
    TableError
        If a table cannot be read, lacks a column, or has no rows.
    ValueError
        If both a teacher and a column of its scores are given, or all rows are one query.
    ImportError
        If PyArrow or pandas is not installed (extras ``serving`` and ``data``).
    """
    check_given_once(teacher, teacher_column)
    model = unwrapped(model)
    if isinstance(model, DistilledRanker) and model.student_columns is not None:
        # Files are not asked for the columns that only the teacher has read.
        if teacher_column is None and teacher is None:
            teacher = getattr(model, "teacher_", None)
        model = model.export_student()
    reader = _Reader(table_scorer(model), query_column, label_column)
    numbers = [] if teacher_column is None else [teacher_column]
    files = find_files(inputs, csv_options)
    first = filled(files)[0]
    of_teacher = columns_of_teacher(teacher, first, [query_column, label_column])
    table, frame = reader.read(files, "inputs", [*of_teacher, *slices], numbers)
    arguments: dict[str, Any] = {}
    if train is not None:
        rows, whole = reader.read(find_files(train, csv_options), "train", [], [])
        arguments = {
            "X_train": rows,
            "y_train": whole[label_column].to_numpy(dtype=float),
            "qid_train": column_of(whole, query_column),
        }
    if reader.reads(of_teacher):
        arguments |= {"teacher": teacher, "teacher_scores": column_of(frame, teacher_column)}
    else:
        arguments["teacher_scores"] = score_rows(teacher, frame)
    return distillation_report(
        model,
        table,
        frame[label_column].to_numpy(dtype=float),
        qid=column_of(frame, query_column),
        slices={name: frame[name] for name in slices},
        k=k,
        verbose=verbose,
        **arguments,
    )


@dataclass(frozen=True)
class _Reader:
    """Reads tables with the columns of a model."""

    scorer: TableScorer
    query_column: str
    label_column: str

    def reads(self, columns: Sequence[str]) -> bool:
        """Whether the model reads these columns; one without names reads any."""
        return self.scorer.features is None or set(columns) <= set(self.scorer.features)

    def read(
        self, files: list[TableFile], name: str, further: Sequence[str], numbers: Sequence[str]
    ) -> tuple[Any, Any]:
        """Read the table of the model, and a frame that also has labels and further columns."""
        targets = [self.query_column, self.label_column, *numbers]
        features = self.scorer.features
        if features is None:
            n_features = self.scorer.n_features
            features = TableColumns.match(
                files, features=None, n_features=n_features, targets=targets
            ).features
        kinds = dict(zip(features, self.scorer.kinds, strict=True))
        asked = list(dict.fromkeys([*features, *further]))
        columns = TableColumns.match(
            files,
            features=asked,
            n_features=len(asked),
            targets=targets,
            numbers=targets[1:],
            kinds=[kinds.get(column) for column in asked],
        )
        frame = read_frame(files, columns, name)
        # Text takes longer to read than the categories of the files, which a service would have.
        schema = filled(files)[0].schema
        categories = [column for column in features if is_category(schema.field(column).type)]
        frame = frame.astype(dict.fromkeys(categories, "category"))
        table = frame[features]
        return table if self.scorer.features is not None else table.to_numpy(), frame
