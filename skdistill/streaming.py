"""Train students on files that are larger than memory, reading some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from sklearn.utils import check_random_state

from skdistill.students.estimator import StudentEstimator
from skdistill.students.frames import Targets
from skdistill.tables.columns import TableColumns, training_columns
from skdistill.tables.csv import CsvOptions
from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.query_codes import query_codes
from skdistill.tables.reading import Paths, find_files, read_batches
from skdistill.tables.shard import Shard

Student = TypeVar("Student", bound=StudentEstimator)


def fit_from_files(
    student: Student,
    inputs: Paths,
    *,
    query_column: str | None = None,
    label_column: str | None = None,
    teacher_column: str | None = None,
    features: Sequence[str] | None = None,
    n_epochs: int = 1,
    csv_options: CsvOptions | None = None,
    random_state: Any = None,
) -> Student:
    """Train a student with ``partial_fit`` on tables in files, in bounded memory.

    The rows that are read first determine how the columns are scaled. Shards, such as the row
    groups of a Parquet file, are read in a new random order in each epoch; the rows of a shard are
    read in their order.

    Parameters
    ----------
    student : LinearRanker, FactorizationMachineRanker, MLPRanker or MultiObjectiveRanker
        The student, which is changed in place. A fitted one continues from its parameters. A
        student of several objectives may have one that learns from labels.
    inputs : path, or sequence of paths
        Parquet, CSV, JSON lines or Arrow files, folders or glob patterns. The rows of a query must
        be adjacent. If a query extends over two shards, its parts are taken as two queries.
    query_column : str, optional
        Column with the query ids. Required unless no loss compares rows ("logistic", "pointwise").
    label_column : str, optional
        Column with the labels. Required unless there is a ``teacher_column``.
    teacher_column : str, optional
        Column with a teacher's scores. Required unless there is a ``label_column``.
    features : sequence of str, optional
        Columns that the student sees; by default all other columns of numbers.
    n_epochs : int, default=1
        Number of passes over the files.
    csv_options : CsvOptions, optional
        Delimiter, decimal point and encoding of CSV files.
    random_state : int, RandomState or None, default=None
        Pass an int for the same order of shards in every call.

    Returns
    -------
    student
        The student that was passed, fitted.

    Raises
    ------
    TableError
        If a file cannot be read or lacks a column, or the features name a column of the others.
    ValueError
        If neither ``label_column`` nor ``teacher_column`` is given, if ``query_column`` is
        required, or if ``partial_fit`` refuses the data.
    """
    targets = Targets(query_column, label_column, teacher_column)
    targets.check_queries(student)
    files = find_files(inputs, csv_options)
    columns = training_columns(files, query_column, targets.numbers, features, ignore=())
    shards = [shard for file in files for shard in file.shards()]
    rng = check_random_state(random_state)
    for _ in range(n_epochs):
        for number in rng.permutation(len(shards)):
            for frame in _whole_queries(shards[number], columns, query_column):
                targets.partial_fit(student, frame, columns.features)
    return student


def _whole_queries(shard: Shard, columns: TableColumns, query_column: str | None) -> Iterator[Any]:
    """Yield the rows of a shard as data frames of whole queries, which may be single rows."""
    table = pyarrow_extra().Table
    begun: list[Any] = []
    for _, read in read_batches(shard, columns.csv_types):
        batch = columns.conform(read, shard.path)
        if query_column is None:
            yield batch.to_pandas()
            continue
        query = query_codes(batch.column(query_column))
        others = np.flatnonzero(query != query[-1])
        # The last query may continue in the next batch.
        cut = int(others[-1]) + 1 if len(others) else 0
        if cut:
            yield table.from_batches([*begun, batch.slice(0, cut)]).to_pandas()
            begun = []
        begun.append(batch.slice(cut))
    if begun:
        yield table.from_batches(begun).to_pandas()
