"""Training on a Dask cluster: the teacher by LightGBM's own ranker, its labels, and the student."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from skdistill.extras import import_extra
from skdistill.students.averaging import mean_student
from skdistill.students.estimator import StudentEstimator
from skdistill.tables.columns import column_of
from skdistill.teachers import score_rows

Student = TypeVar("Student", bound=StudentEstimator)


def fit_teacher_dask(
    teacher: Any, frame: Any, *, features: Sequence[str], label_column: str, query_column: str
) -> Any:
    """Train LightGBM's Dask ranker, which wants rows by query and the size of each.

    Parameters
    ----------
    teacher : lightgbm.DaskLGBMRanker
        Fitted in place.
    frame : dask.dataframe.DataFrame
        Every query within one partition.
    features : sequence of str
    label_column, query_column : str

    Returns
    -------
    lightgbm.LGBMRanker
        The same model without Dask.
    """
    together = frame.map_partitions(_by_query, query_column, meta=frame._meta).persist()
    sizes = together[query_column].map_partitions(_sizes, meta=(query_column, "int64"))
    teacher.fit(together[list(features)], together[label_column], group=sizes)
    return teacher.to_local()


def label_dask(
    teacher: Any, frame: Any, *, features: Sequence[str], column: str = "teacher_score"
) -> Any:
    """Have a fitted teacher score a Dask frame, lazily.

    Parameters
    ----------
    teacher : estimator or lightgbm.Booster
        Whatever :class:`DistilledRanker` takes.
    frame : dask.dataframe.DataFrame
    features : sequence of str
        Columns that the teacher sees.
    column : str, default="teacher_score"
        Name of the scores.

    Returns
    -------
    dask.dataframe.DataFrame
        ``frame`` with one column more, float64.
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
    query_column: str,
    label_column: str | None = None,
    teacher_column: str | None = None,
    n_rounds: int = 10,
    n_replicas: int | None = None,
    server_learning_rate: float | None = None,
) -> Student:
    """Train a student where the data is: replicas on the workers, averaged after each round.

    A round is an epoch: every replica goes through its own partitions by ``partial_fit``, from the
    mean of all replicas after the round before. Replicas are functions of that mean and of their
    partitions alone, so that what a worker that dies had done is done again elsewhere, alike.

    Parameters
    ----------
    student : LinearRanker, FactorizationMachineRanker, MLPRanker or MultiObjectiveRanker
        Not changed. One that is not fitted is started on the first partition, which gives it squash
        and scale of the columns.
    frame : dask.dataframe.DataFrame
        Every query within one partition.
    features : sequence of str
    query_column : str
    label_column, teacher_column : str, optional
        At least one of them: what the student learns from.
    n_rounds : int, default=10
    n_replicas : int, optional
        By default the number of partitions. Fewer take more steps apart each.
    server_learning_rate : float, optional
        How far to go in the direction of the mean; 1 is the mean itself. By default the number of
        replicas, so that what they learn adds up and a round of theirs is worth an epoch in one
        place.

    Returns
    -------
    student
        A fitted copy.

    Raises
    ------
    ValueError
        Without either target, and as ``partial_fit``.
    """
    dask = import_extra("dask", "dask", "fit_student_dask")
    if label_column is None and teacher_column is None:
        raise ValueError("Name label_column or teacher_column, or both: what to learn from.")
    targets = list(features), query_column, label_column, teacher_column
    parts = frame.to_delayed()
    n_replicas = min(n_replicas or len(parts), len(parts))
    taught = dask.delayed(_taught, pure=False)
    step = float(n_replicas) if server_learning_rate is None else server_learning_rate
    mean = student
    if not hasattr(student, "params_"):
        ((mean, _),) = dask.compute(taught(student, [parts[0]], targets))
    for _ in range(n_rounds):
        shared = dask.delayed(mean, pure=False)
        shares = [parts[first::n_replicas] for first in range(n_replicas)]
        replicas = dask.compute(*(taught(shared, share, targets) for share in shares))
        students, n_rows = zip(*replicas, strict=True)
        mean = mean_student(students, n_rows, start=mean, step=step)
    return mean


def _taught(student: Any, frames: list[Any], targets: tuple[Any, ...]) -> tuple[Any, int]:
    """A copy of a student after one look at each frame; and how many rows it saw."""
    features, query_column, label_column, teacher_column = targets
    student = copy.deepcopy(student)
    for frame in filter(len, frames):
        student.partial_fit(
            frame[features],
            column_of(frame, label_column),
            qid=frame[query_column].to_numpy(),
            teacher_scores=column_of(frame, teacher_column),
        )
    return student, sum(map(len, frames))


def _by_query(frame: Any, query_column: str) -> Any:
    return frame.sort_values(query_column, kind="stable")


def _sizes(query: Any) -> Any:
    return query.groupby(query, sort=True).size()


def _labelled(frame: Any, teacher: Any, features: list[str], column: str) -> Any:
    scores = score_rows(teacher, frame[features]) if len(frame) else np.empty(0)
    return frame.assign(**{column: scores})
