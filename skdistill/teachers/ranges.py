"""Warn of columns whose numbers are not those that a LightGBM model was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skdistill.inputs.column_reading import as_floats, column_of
from skdistill.inputs.columns import column_names
from skdistill.inputs.unknown_categories import MANY_ROWS
from skdistill.teachers.boosters import is_lightgbm_booster
from skdistill.user_warnings import warn_user

# Later rows may lie outside the range of the training rows, but not most of them.
LARGEST_SHARE = 0.5


def warn_of_ranges(booster: Any, X: Any) -> None:
    """Warn if a column holds none of the numbers that a model was trained on, or hardly any.

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
    outside, empty = [], []
    for place, (trained, name) in enumerate(zip(booster.feature_name(), names, strict=True)):
        known = ranges.get(trained, {"values": True})
        numbers = None if known["values"] else as_floats(column_of(X, place, name))
        if numbers is None:
            continue
        numbers = numbers[np.isfinite(numbers)]
        least, most = known["min_value"], known["max_value"]
        if not len(numbers):
            empty.append(name)
        elif ((numbers < least) | (numbers > most)).mean() > LARGEST_SHARE:
            outside.append(f"{name!r} (trained on {least:.6g} to {most:.6g})")
    if outside:
        warn_user(
            "Most numbers in these columns are outside the range that the teacher was trained on: "
            f"{', '.join(outside)}. Are they in another unit, or computed differently?"
        )
    if empty:
        warn_user(
            f"The columns {empty} are missing in all rows, but the teacher was trained on numbers "
            "there."
        )
