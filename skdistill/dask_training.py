"""Train on a Dask cluster: fit a LightGBM teacher, score tables with it, and train a student."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from skdistill.extras import import_extra
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.students.averaging import mean_student
from skdistill.students.estimator import StudentEstimator
from skdistill.students.frames import Targets
from skdistill.tables.columns import refuse_targets
from skdistill.teachers import score_rows

Student = TypeVar("Student", bound=StudentEstimator)


def fit_teacher_dask(
    teacher: Any, frame: Any, *, features: Sequence[str], label_column: str, query_column: str
) -> Any:
    """Train LightGBM's Dask ranker on a Dask data frame.

    The ranker requires rows sorted by query and the size of each query. This function sorts the
    rows of each partition and counts them.

    Parameters
    ----------
    teacher : lightgbm.DaskLGBMRanker
        The ranker, which is fitted in place.
    frame : dask.dataframe.DataFrame
        The training rows. All rows of a query must be in one partition.
    features : sequence of str
        Columns that the teacher sees.
    label_column : str
        Column with the labels.
    query_column : str
        Column with the query ids.

    Returns
    -------
    lightgbm.LGBMRanker
        The fitted model without Dask.

    Raises
    ------
    TableError
        If the label or the query is among the features.
    """
    refuse_targets(features, [label_column, query_column])
    together = frame.map_partitions(_by_query, query_column, meta=frame._meta).persist()
    sizes = together[query_column].map_partitions(_sizes, meta=(query_column, "int64"))
    teacher.fit(together[list(features)], together[label_column], group=sizes)
    return teacher.to_local()


def label_dask(
    teacher: Any, frame: Any, *, features: Sequence[str], column: str = "teacher_score"
) -> Any:
    """Score a Dask data frame with a fitted teacher, lazily.

    Parameters
    ----------
    teacher : estimator, Booster or callable
        A fitted teacher of any kind that :class:`DistilledRanker` takes.
    frame : dask.dataframe.DataFrame
        The rows to score, in any order and partitions.
    features : sequence of str
        Columns that the teacher may see, in any order if it was fitted with column names.
    column : str, default="teacher_score"
        Name of the new column.

    Returns
    -------
    dask.dataframe.DataFrame
        ``frame`` with a column of scores, float64.
    """
    dask = import_extra("dask", "dask", "label_dask")
    meta = frame._meta.assign(**{column: np.empty(0)})
    shared = dask.delayed(teacher, pure=True)
    return frame.map_partitions(_labelled, shared, list(features), column, meta=meta)


def fit_student_dask(
    student: Student,
    frame: Any,
    *,
    features: Sequence[str],
    query_column: str | None = None,
    label_column: str | None = None,
    teacher_column: str | None = None,
    n_rounds: int = 10,
    n_replicas: int | None = None,
    server_learning_rate: float | None = None,
) -> Student:
    """Train a student with replicas on the workers, which are averaged after each round.

    A round is an epoch. Each replica starts from the average of the previous round and trains on
    its partitions with ``partial_fit``. A replica depends on that average and on its partitions
    only. If a worker dies, its work is therefore repeated elsewhere with the same result.

    Parameters
    ----------
    student : LinearRanker, FactorizationMachineRanker, MLPRanker or MultiObjectiveRanker
        The student, which is not changed. If it is not fitted, it is first trained on the first
        partition, which determines how the columns are scaled. A student of several objectives may
        have one that learns from labels.
    frame : dask.dataframe.DataFrame
        The training rows. All rows of a query must be in one partition.
    features : sequence of str
        Columns that the student sees.
    query_column : str, optional
        Column with the query ids. Required unless no loss compares rows ("logistic", "pointwise").
    label_column : str, optional
        Column with the labels. Required unless there is a ``teacher_column``.
    teacher_column : str, optional
        Column with a teacher's scores. Required unless there is a ``label_column``.
    n_rounds : int, default=10
        Number of rounds.
    n_replicas : int, optional
        Number of replicas, by default the number of partitions. With fewer replicas, each takes
        more steps between two averages.
    server_learning_rate : float, optional
        Step from the previous average in the direction of the new one; with 1, the new average is
        taken as it is. The default is the number of replicas: their changes then add up, and a
        round is worth about as much as an epoch on one machine.

    Returns
    -------
    student
        A fitted copy.

    Raises
    ------
    ValueError
        If neither ``label_column`` nor ``teacher_column`` is given, if ``query_column`` is
        required, if one of the three is among the features, or if ``partial_fit`` refuses the data.

    References
    ----------
    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017.
    Reddi et al., "Adaptive Federated Optimization", ICLR 2021.
    """
    dask = import_extra("dask", "dask", "fit_student_dask")
    targets = Targets(query_column, label_column, teacher_column)
    targets.check_queries(student)
    refuse_targets(features, targets.columns)
    parts = frame.to_delayed()
    n_replicas = min(n_replicas or len(parts), len(parts))
    taught = dask.delayed(_taught, pure=False)
    step = float(n_replicas) if server_learning_rate is None else server_learning_rate
    mean = student
    if not hasattr(student, "params_"):
        ((mean, _),) = dask.compute(taught(student, [parts[0]], targets, features))
    for _ in range(n_rounds):
        shared = dask.delayed(mean, pure=False)
        assigned = [parts[first::n_replicas] for first in range(n_replicas)]
        replicas = dask.compute(*(taught(shared, frames, targets, features) for frames in assigned))
        students, n_rows = zip(*replicas, strict=True)
        mean = mean_student(students, n_rows, start=mean, step=step)
    return mean


def _taught(
    student: Any, frames: list[Any], targets: Targets, features: Sequence[str]
) -> tuple[Any, int]:
    """Train a copy of a student on each frame once; return it and its number of rows."""
    student = copy.deepcopy(student)
    for frame in filter(len, frames):
        targets.partial_fit(student, frame, features)
    return student, sum(map(len, frames))


def _by_query(frame: Any, query_column: str) -> Any:
    """Sort the rows of a partition by query."""
    if not len(frame):
        return frame
    order = sort_by_query(check_qid(frame[query_column], len(frame)), len(frame))[1]
    return frame if order is None else frame.iloc[order]


def _sizes(query: Any) -> Any:
    """Count the rows of each query of a partition."""
    if not len(query):
        return query.iloc[:0].astype("int64")
    sizes = sort_by_query(check_qid(query, len(query)), len(query))[0].sizes
    return type(query)(sizes, name=query.name)


def _labelled(frame: Any, teacher: Any, features: list[str], column: str) -> Any:
    """Add the column of scores to a partition."""
    scores = score_rows(teacher, frame[features]) if len(frame) else np.empty(0)
    return frame.assign(**{column: scores})
