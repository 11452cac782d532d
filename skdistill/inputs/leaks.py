"""Find columns of a table that hold what a model is to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.column_reading import as_floats, column_of
from skdistill.inputs.columns import as_table, column_names, take_rows
from skdistill.user_warnings import warn_user

# Rows that nearly all other columns differ in.
FIRST_ROWS = 64


def warn_of_leaks(
    X: Any, labels: NDArray[np.float64] | None, teacher_scores: NDArray[np.float64] | None
) -> None:
    """Warn of columns that equal what a model is to learn, which it will lack where it is served.

    Parameters
    ----------
    X : table of shape (n_rows, n_columns)
        What the model reads.
    labels : ndarray of shape (n_rows,) or (n_rows, n_objectives), or None
        Labels, NaN where there is none.
    teacher_scores : ndarray of shape (n_rows,) or None
        Scores of a teacher.
    """
    for name, target in {"y": labels, "teacher_scores": teacher_scores}.items():
        for values in () if target is None else np.atleast_2d(target.T):
            leaked = columns_equal_to(as_table(X), values)
            if leaked:
                warn_user(
                    f"The columns {leaked} of X equal {name} in all rows. A model that reads what "
                    "it is to learn is perfect until it is served. Leave them out of X."
                )


def columns_equal_to(X: Any, values: NDArray[np.float64]) -> list[Any]:
    """Find the columns of numbers that equal given values in all rows.

    Parameters
    ----------
    X : array or data frame of shape (n_rows, n_columns)
        A table. The columns of a CSR matrix are not compared.
    values : ndarray of shape (n_rows,)
        Such as labels. Rows with NaN are left out.

    Returns
    -------
    list
        Names, or positions in an array. None are found if all values are the same.
    """
    rows = np.flatnonzero(~np.isnan(values))
    if sparse.issparse(X) or not len(rows) or (values[rows] == values[rows[0]]).all():
        return []
    names = column_names(X)
    first = rows[:FIRST_ROWS]
    part = take_rows(X, first)
    return [
        name
        for position, name in enumerate(range(X.shape[1]) if names is None else names)
        if _equal(column_of(part, position, name), slice(None), values[first])
        and _equal(column_of(X, position, name), rows, values[rows])
    ]


def _equal(column: Any, rows: Any, values: NDArray[np.float64]) -> bool:
    """Whether some rows of a column are numbers that equal these values."""
    numbers = as_floats(column)
    return numbers is not None and bool((numbers[rows] == values).all())
