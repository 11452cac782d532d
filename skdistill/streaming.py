"""Training from tables that are larger than memory: files, read some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from sklearn.utils import check_random_state

from skdistill.students.estimator import StudentEstimator
from skdistill.tables.columns import TableColumns, column_of, training_columns
from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.reading import Paths, find_files, read_batches, shards_of
from skdistill.tables.shard import Shard

Student = TypeVar("Student", bound=StudentEstimator)


def fit_from_files(
    student: Student,
    inputs: Paths,
    *,
    query_column: str,
    label_column: str | None = None,
    teacher_column: str | None = None,
    features: Sequence[str] | None = None,
    n_epochs: int = 1,
    random_state: Any = None,
) -> Student:
    """Train a student by ``partial_fit`` over tables in files, in bounded memory.

    Squash and scale of the columns come from the rows that are read first. Shards are read in
    another order each epoch, their rows in order.

    Parameters
    ----------
    student : LinearRanker, FactorizationMachineRanker, MLPRanker or MultiObjectiveRanker
        Changed in place; one that is fitted goes on from where it is.
    inputs : path, or sequence of paths
        Parquet, CSV or Arrow: files, folders and globs. Rows of a query must stand together; one
        that the end of a shard cuts in two is learnt from as two.
    query_column : str
    label_column, teacher_column : str, optional
        At least one of them: what the student learns from.
    features : sequence of str, optional
        By default all columns of numbers that are left.
    n_epochs : int, default=1
    random_state : int, RandomState or None, default=None
        Of the order of the shards.

    Returns
    -------
    student

    Raises
    ------
    TableError
        For files that cannot be read or lack a column.
    ValueError
        Without either target, and as ``partial_fit``.
    """
    if label_column is None and teacher_column is None:
        raise ValueError("Name label_column or teacher_column, or both: what to learn from.")
    files = find_files(inputs)
    targets = [name for name in (query_column, label_column, teacher_column) if name is not None]
    columns = training_columns(files, targets, features, ignore=())
    shards = [shard for file in files for shard in shards_of(file)]
    rng = check_random_state(random_state)
    for _ in range(n_epochs):
        for number in rng.permutation(len(shards)):
            for frame in _whole_queries(shards[number], columns, query_column):
                student.partial_fit(
                    frame[columns.features],
                    column_of(frame, label_column),
                    qid=frame[query_column].to_numpy(),
                    teacher_scores=column_of(frame, teacher_column),
                )
    return student


def _whole_queries(shard: Shard, columns: TableColumns, query_column: str) -> Iterator[Any]:
    """A shard's rows as frames, some at a time, cut between queries."""
    table = pyarrow_extra().Table
    begun: list[Any] = []
    for _, batch in read_batches(shard, columns.csv_types):
        query = batch.column(query_column).to_numpy(zero_copy_only=False)
        others = np.flatnonzero(query != query[-1])
        # The last query may go on in the next batch.
        cut = int(others[-1]) + 1 if len(others) else 0
        if cut:
            yield table.from_batches([*begun, batch.slice(0, cut)]).to_pandas()
            begun = []
        begun.append(batch.slice(cut))
    if begun:
        yield table.from_batches(begun).to_pandas()
