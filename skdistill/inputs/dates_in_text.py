"""Warn of columns of text that hold dates, which are read as categories."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np

from skdistill.inputs.column_kinds import column_kinds
from skdistill.inputs.column_reading import column_of, values_of
from skdistill.inputs.columns import column_names, take_rows
from skdistill.user_warnings import warn_user

# A column is told by its first rows. Dates begin or end with the year, with or without a time.
FIRST_ROWS = 64
DATE = re.compile(
    r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3\d{4})(,?[T ]\d{1,2}:\d{2}.*)?"
)


def warn_of_dates_in_text(X: Any, named: Collection[int] = ()) -> None:
    """Warn of columns of text that hold dates: as categories, later ones are unknown.

    Parameters
    ----------
    X : data frame or array of shape (n_rows, n_columns)
        The table that a model is trained on.
    named : collection of int
        Positions of columns that the user has named as categories.
    """
    names = column_names(X)
    if names is None:
        return
    first = take_rows(X, np.arange(min(FIRST_ROWS, X.shape[0])))
    kinds = enumerate(column_kinds(first) or ())
    texts = [place for place, kind in kinds if kind == "text" and place not in named]
    found = [names[place] for place in texts if _are_dates(column_of(first, place, names[place]))]
    if found:
        warn_user(
            f"The columns {found} of X hold dates as text, which is read as categories: later "
            "dates are unknown to the model. Convert them to have them read as times, for example "
            "by pandas.to_datetime (with dayfirst=True if the day comes first), or name them in "
            "categorical_features."
        )


def _are_dates(column: Any) -> bool:
    """Whether a column of text holds several dates, and nothing else."""
    cells = {cell for cell in values_of(column) if isinstance(cell, str)}
    return len(cells) > 1 and all(DATE.fullmatch(cell) for cell in cells)
