"""Warn of columns whose numbers are not those that a LightGBM model was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skdistill.inputs.column_reading import as_floats, column_of
from skdistill.inputs.columns import column_names
from skdistill.inputs.number_ranges import (
    MANY_ROWS,
    NumberRanges,
    Range,
    warn_of_other_ranges,
)
from skdistill.teachers.boosters import is_lightgbm_booster
from skdistill.user_warnings import warn_user


def warn_of_ranges(booster: Any, X: Any) -> None:
    """Warn of columns that are empty, or most of whose numbers a model was not trained on.

    Parameters
    ----------
    booster : lightgbm.Booster, or any other model
        The model. Only the files of LightGBM hold ranges.
    X : table of shape (n_rows, n_features)
        The columns of the model, in its order. Few rows are not judged.
    """
    if not is_lightgbm_booster(booster) or X.shape[0] < MANY_ROWS or sparse.issparse(X):
        return
    known = booster.dump_model(num_iteration=1)["feature_infos"]
    names = column_names(X) or range(X.shape[1])
    ranges: dict[Any, Range] = {}
    columns = []
    for place, (trained, name) in enumerate(zip(booster.feature_name(), names, strict=True)):
        of_fit = known.get(trained)
        # A column of categories has values, and one that the model could not use is not known.
        is_number = of_fit is not None and not of_fit["values"]
        numbers = as_floats(column_of(X, place, name)) if is_number else None
        if numbers is not None:
            ranges[name] = of_fit["min_value"], of_fit["max_value"]
            columns.append(numbers)
    if not columns:
        return
    outside = NumberRanges.of(list(ranges.values())).left_by(np.column_stack(columns))
    read = list(ranges)
    warn_of_other_ranges({read[place]: ranges[read[place]] for place in outside}, "teacher")
    empty = [name for name, numbers in zip(read, columns, strict=True) if np.isnan(numbers).all()]
    if empty:
        warn_user(
            f"The columns {empty} hold no value in any row, but the teacher was trained on numbers "
            "there."
        )
