"""The mean of students that were trained apart from the same start."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from skdistill.students.estimator import StudentEstimator
from skdistill.training.loop import Training

Student = TypeVar("Student", bound=StudentEstimator)


def mean_student(
    students: Sequence[Student],
    weights: ArrayLike,
    *,
    start: Student | None = None,
    step: float = 1.0,
) -> Student:
    """A student whose parameters are the weighted mean of others', and the optimizer's state too.

    Averaging after each round of steps apart comes close to training in one place (McMahan et al.,
    "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017); with
    a ``step`` beyond 1 the mean goes on in the direction that it took from the start (Reddi et al.,
    "Adaptive Federated Optimization", ICLR 2021).

    Parameters
    ----------
    students : sequence of StudentEstimator
        Of the same settings, each after ``partial_fit`` from the same student.
    weights : array-like of shape (n_students,)
        Such as the rows that each has seen.
    start : StudentEstimator, optional
        What they started from; needed for another ``step`` than 1.
    step : float, default=1.0
        Parameters become ``start + step * (mean - start)``.

    Returns
    -------
    StudentEstimator
        A new one; ``partial_fit`` goes on from there.
    """
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    mean = copy.deepcopy(students[0])
    first, *others = [one.optimizer_ for one in (mean, *students[1:]) if one.optimizer_ is not None]
    first.average(others, shares)
    if start is not None:
        for name, array in first.params.items():
            array += array.dtype.type(step - 1) * (array - start.params_[name])
    curves = [student.loss_curve_ for student in students]
    length = min(map(len, curves))
    epochs = zip(*(curve[:length] for curve in curves), strict=True)
    losses = [float(np.dot(shares, epoch)) for epoch in epochs]
    mean.publish(Training(first.params, losses))
    return mean
