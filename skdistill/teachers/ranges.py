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
    ranges = booster.dump_model(num_iteration=1)["feature_infos"]
    names = column_names(X) or range(X.shape[1])
    outside: dict[Any, Range] = {}
    empty = []
    for place, (trained, name) in enumerate(zip(booster.feature_name(), names, strict=True)):
        known = ranges.get(trained, {"values": True})
        numbers = None if known["values"] else as_floats(column_of(X, place, name))
        if numbers is None:
            continue
        of_fit = known["min_value"], known["max_value"]
        if np.isnan(numbers).all():
            empty.append(name)
        elif NumberRanges.of([of_fit]).left_by(numbers[:, None]):
            outside[name] = of_fit
    warn_of_other_ranges(list(outside), list(outside.values()), "teacher")
    if empty:
        warn_user(
            f"The columns {empty} hold no value in any row, but the teacher was trained on numbers "
            "there."
        )
