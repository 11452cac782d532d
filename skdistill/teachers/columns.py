"""Which columns of a table a fitted teacher reads; only this module depends on how libraries tell.

Columns are matched by name if both the teacher and the table have names. LightGBM itself reads a
table by position, whatever its columns are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skdistill._sklearn_compat import BaseSearchCV
from skdistill.inputs.columns import (
    column_names,
    positions_of_names,
    select_columns,
    take_columns,
    take_rows,
)
from skdistill.teachers.boosters import booster_names, booster_width, underscored
from skdistill.teachers.categories import columns_of_times, with_categories_of_model
from skdistill.teachers.limits import library_of
from skdistill.teachers.ranges import warn_of_ranges


def fitted_names(teacher: Any) -> list[str] | None:
    """Return the names of the columns that a teacher was fitted on.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        Fitted.

    Returns
    -------
    list of str, or None
        None if it has no names. Those that LightGBM and CatBoost make up for arrays, such as
        "Column_0", are names too: a file does not tell where they come from.
    """
    reader = _reader(teacher)
    # In this order: scikit-learn and XGBoost, LightGBM, CatBoost.
    for attribute in ("feature_names_in_", "feature_name_", "feature_names_"):
        names = getattr(reader, attribute, None)
        if names is not None:
            return [str(name) for name in names]
    return booster_names(reader)


def names_read_by(teacher: Any, names: Sequence[str]) -> list[str]:
    """Return those of some names of columns that a fitted teacher reads.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        The teacher; one that is not fitted, or has no names, reads none of them.
    names : sequence of str
        Names of the columns of a table.

    Returns
    -------
    list of str
    """
    expected = set(fitted_names(teacher) or ())
    return [name for name in names if expected & {name, underscored(name)}]


def names_lacking(teacher: Any, names: Sequence[str]) -> list[str]:
    """Return the names of columns that a fitted teacher needs, and that a table does not have.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        The teacher. One without names, or with names that were made up, lacks none: its columns
        are matched by position. Nor does a ColumnTransformer, which picks what it transforms.
    names : sequence of str
        Names of the columns of the table.

    Returns
    -------
    list of str
    """
    expected = fitted_names(teacher) or []
    if _is_made_up(expected) or isinstance(_reader(teacher), ColumnTransformer):
        return []
    present = {*names, *map(underscored, names)}
    return [name for name in expected if name not in present]


def teacher_positions(teacher: Any, X: Any) -> list[int]:
    """Find the columns of a table that a fitted teacher reads, in the teacher's order.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        Fitted.
    X : table of shape (n_rows, n_columns)
        A data frame may have further columns, in any order.

    Returns
    -------
    list of int
        All columns in order, if the teacher or the table has no names.

    Raises
    ------
    ValueError
        If a column is missing. If columns are matched by position, if their number differs.
    """
    everything = list(range(X.shape[1]))
    reader = _reader(teacher)
    names = column_names(X)
    expected = fitted_names(teacher)
    if names is None or expected is None:
        return _by_position(teacher, X, "the table" if names is None else "the teacher")
    present = [str(name) for name in names]
    if present == expected:
        return everything
    for names in (present, list(map(underscored, present))):
        positions = positions_of_names(names, expected)
        if positions is not None:
            return positions
    if isinstance(reader, ColumnTransformer):
        return everything  # it needs only the columns that it transforms, and picks them by name
    if _is_made_up(expected) or _is_made_up(present):
        return _by_position(teacher, X, "the teacher" if _is_made_up(expected) else "the table")
    raise ValueError(
        f"The teacher {type(reader).__name__} was fitted on columns that the table lacks: "
        f"{names_lacking(teacher, present)}. The table has {present}. Add or rename columns; "
        "to keep one from the student alone, leave it out of student_columns; "
        "further columns and another order do no harm. If they are computed from others, such as "
        "the month of a date, put the step that does so in front: "
        "make_pipeline(FunctionTransformer(compute), model). Or give "
        "the teacher's scores: teacher_scores= in Python, a column of the table in a recipe or on "
        "the command line (--teacher-column). If the columns are "
        "those of the teacher under other names, in the order of its fit, pass an array "
        "(X.to_numpy())."
    )


def positions_among(teacher: Any, X: Any, columns: list[int] | None) -> list[int]:
    """Find the columns that a fitted teacher reads, among those of a table that it may see.

    Parameters
    ----------
    teacher, X
        As for :func:`teacher_positions`.
    columns : list of int, or None
        Positions of the columns that the teacher may see; None for all.

    Returns
    -------
    list of int
        Positions in X, in the teacher's order.

    Raises
    ------
    ValueError
        As for :func:`teacher_positions`, or if a column of a LightGBM model holds times.
    """
    row = select_columns(take_rows(X, np.zeros(1, np.int64)), columns)
    positions = teacher_positions(teacher, row)
    refuse_times(teacher, take_columns(row, positions))
    return positions if columns is None else [columns[position] for position in positions]


def refuse_times(teacher: Any, table: Any) -> None:
    """Raise a ValueError if a teacher is of LightGBM, and columns that it reads hold times.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        Fitted.
    table : table of shape (n_rows, n_teacher_columns)
        The columns that it reads.
    """
    reader = _reader(teacher)
    times = columns_of_times(table) if library_of(reader) == "lightgbm" else []
    if times:
        raise ValueError(
            f"The teacher {type(reader).__name__} was fitted on numbers, but the columns {times} "
            "hold times. Put the step that makes the same numbers of them in front: "
            "make_pipeline(FunctionTransformer(compute), model). Or pass the teacher's scores."
        )


def teacher_table(teacher: Any, X: Any) -> Any:
    """Take the columns of a table that a fitted teacher reads; X itself if these are all.

    A LightGBM model gets its own categories.

    Parameters
    ----------
    teacher, X
        As for :func:`teacher_positions`.

    Returns
    -------
    table of shape (n_rows, n_teacher_columns)

    Raises
    ------
    ValueError
        As for :func:`teacher_positions`.
    """
    positions = teacher_positions(teacher, X)
    table = X if positions == list(range(X.shape[1])) else take_columns(X, positions)
    reader = _reader(teacher)
    booster = getattr(reader, "booster_", reader)
    table = with_categories_of_model(booster, table)
    warn_of_ranges(booster, table)
    return table


def _reader(teacher: Any) -> Any:
    """Return the part of a teacher that reads the table, such as the first step of a Pipeline."""
    while True:
        if isinstance(teacher, FrozenEstimator):
            teacher = teacher.estimator
        elif isinstance(teacher, BaseSearchCV):
            teacher = teacher.best_estimator_
        elif isinstance(teacher, Pipeline):
            steps = [step for _, step in teacher.steps]
            teacher = next(s for s in steps if s is not None and not isinstance(s, str))
        else:
            return teacher


def _is_made_up(names: list[str]) -> bool:
    """Check for the names that LightGBM, CatBoost and pandas give to the columns of an array."""
    numbers = range(len(names))
    return names in ([f"Column_{n}" for n in numbers], [str(n) for n in numbers])


def _by_position(teacher: Any, X: Any, nameless: str) -> list[int]:
    """Take all columns in order, if they are as many as in the teacher's fit."""
    reader = _reader(teacher)
    n_columns = X.shape[1]
    expected = getattr(reader, "n_features_in_", booster_width(reader))
    if expected not in (None, n_columns) and not isinstance(reader, ColumnTransformer):
        raise ValueError(
            f"The teacher {type(reader).__name__} was fitted on {expected} columns, but the table "
            f"has {n_columns}. They are matched by position, because {nameless} has no column "
            "names. Pass the teacher's columns in the order of its fit, or fit it on a data frame "
            "and pass data frames."
        )
    return list(range(n_columns))
