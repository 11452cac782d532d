"""The mean of students that were trained separately from the same start."""

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
    """Average the parameters and optimizer states of students.

    Averaging after each round of separate training comes close to training in one place (McMahan et
    al.). With a ``step`` above 1, the parameters move beyond the mean, in its direction from the
    start (Reddi et al.).

    Parameters
    ----------
    students : sequence of StudentEstimator
        Students with the same parameters, each trained by ``partial_fit`` from the same start.
    weights : array-like of shape (n_students,)
        Weight of each student, such as the number of rows that it was trained on.
    start : StudentEstimator, optional
        The student that all of them started from. Required if ``step`` is not 1.
    step : float, default=1.0
        Factor of the move: parameters become ``start + step * (mean - start)``.

    Returns
    -------
    StudentEstimator
        A new student, from which ``partial_fit`` can continue.

    Raises
    ------
    ValueError
        If there is a ``step`` but no ``start`` to take it from.

    References
    ----------
    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017.
    Reddi et al., "Adaptive Federated Optimization", ICLR 2021.
    """
    if step != 1 and start is None:
        raise ValueError(
            f"step={step} moves the mean away from start. Pass start, or leave out step."
        )
    fractions = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    mean = copy.deepcopy(students[0])
    first, *others = [one.optimizer_ for one in (mean, *students[1:]) if one.optimizer_ is not None]
    first.average(others, fractions)
    if start is not None:
        for name, array in first.params.items():
            array += array.dtype.type(step - 1) * (array - start.params_[name])
    curves = [student.loss_curve_ for student in students]
    length = min(map(len, curves))
    epochs = zip(*(curve[:length] for curve in curves), strict=True)
    losses = [float(np.dot(fractions, epoch)) for epoch in epochs]
    mean.publish(Training(first.params, losses))
    return mean
