"""Find columns of a table that hold what a model is to learn."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.column_reading import as_floats, column_of
from skdistill.inputs.columns import as_table, column_names, take_rows
from skdistill.user_warnings import warn_user

# Rows that nearly all other columns differ in.
FIRST_ROWS = 64
# A column is told by labels of at most so many values, if at least so many rows do not hold its
# most frequent number.
MOST_LABELS, LEAST_ROWS = 20, 10


def warn_of_leaks(
    X: Any, labels: NDArray[np.float64] | None, teacher_scores: NDArray[np.float64] | None
) -> None:
    """Warn of columns that hold what a model is to learn, which it will lack where it is served.

    Parameters
    ----------
    X : table of shape (n_rows, n_columns)
        What the model reads. The columns of a CSR matrix are not compared.
    labels : ndarray of shape (n_rows,) or (n_rows, n_objectives), or None
        Labels, NaN where there is none.
    teacher_scores : ndarray of shape (n_rows,) or None
        Scores of a teacher.
    """
    if sparse.issparse(X):
        return  # its columns are ids, and too many
    table = as_table(X)
    for name, target in {"y": labels, "teacher_scores": teacher_scores}.items():
        for values in () if target is None else np.atleast_2d(target.T):
            leaked = columns_told_by(table, values)
            if leaked:
                warn_user(
                    f"The columns {leaked} of X equal {name}, or follow from it in all rows. A "
                    "model that reads what it is to learn is perfect until it is served. Leave "
                    "them out of X."
                )


def columns_told_by(X: Any, values: NDArray[np.float64]) -> list[Any]:
    """Find the columns of numbers that are known as soon as given values are.

    Parameters
    ----------
    X : array or data frame of shape (n_rows, n_columns)
        A table.
    values : ndarray of shape (n_rows,)
        Such as labels. Rows with NaN are left out.

    Returns
    -------
    list
        Names, or positions in an array, of the columns that equal the values, or that have one
        number for each of a few values, such as whether a grade is above 0. None are found if all
        values are the same.
    """
    rows = np.flatnonzero(~np.isnan(values))
    if not len(rows) or (values[rows] == values[rows[0]]).all():
        return []
    names = column_names(X)
    first = rows[:FIRST_ROWS]
    part = take_rows(X, first)
    few, all_ = _Values(values[first]), _Values(values[rows])

    def is_told(position: int, name: Any) -> bool:
        numbers = as_floats(column_of(part, position, name))
        if numbers is None or not (few.equal(numbers) or few.tell(numbers)):
            return False
        numbers = as_floats(column_of(X, position, name))
        assert numbers is not None  # the column has numbers in the first rows
        numbers = numbers[rows]
        return all_.equal(numbers) or (all_.tell(numbers) and _varies(numbers))

    columns = enumerate(range(X.shape[1]) if names is None else names)
    return [name for position, name in columns if is_told(position, name)]


class _Values:
    """Values with which columns are compared, sorted once if at all."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Rows in the order of their values."""
        return np.argsort(self.values, kind="stable")

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each value starts in this order."""
        ordered = self.values[self.order]
        return np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))

    def equal(self, numbers: NDArray[Any]) -> bool:
        """Whether a column equals the values."""
        return bool((numbers == self.values).all())

    def tell(self, numbers: NDArray[Any]) -> bool:
        """Whether a column has one number wherever the value is the same, of a few values."""
        if len(self.starts) > MOST_LABELS:
            return False
        ordered = numbers[self.order]
        least = np.minimum.reduceat(ordered, self.starts)
        return bool((least == np.maximum.reduceat(ordered, self.starts)).all())


def _varies(numbers: NDArray[Any]) -> bool:
    """Whether enough rows do not hold the most frequent number."""
    counts = np.unique(numbers, return_counts=True)[1]
    return bool(len(numbers) - counts.max() >= LEAST_ROWS)
