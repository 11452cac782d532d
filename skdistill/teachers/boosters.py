"""Models of LightGBM and XGBoost themselves, without scikit-learn around them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import column_names

# Parts of the names that LightGBM's parameters of prediction, and their aliases, have.
OF_PREDICTION = ("pred", "thread", "raw", "contrib", "leaf_index", "iteration")


def is_lightgbm_booster(model: Any) -> bool:
    """Check whether this is a ``lightgbm.Booster``, without importing LightGBM."""
    return type(model).__module__.startswith("lightgbm") and hasattr(model, "num_feature")


def is_plain_lightgbm(model: Any) -> bool:
    """Check for an LGBMRanker or LGBMRegressor that scores as its Booster does."""
    kind = type(model)
    names = "LGBMRanker", "LGBMRegressor"
    if kind.__module__ != "lightgbm.sklearn" or kind.__name__ not in names:
        return False
    further = model.get_params().keys() - kind().get_params().keys()
    return not any(part in name for name in further for part in OF_PREDICTION)


def is_xgboost_booster(model: Any) -> bool:
    """Check whether this is an ``xgboost.Booster``, without importing XGBoost."""
    return type(model).__module__.startswith("xgboost") and hasattr(model, "num_features")


def booster_names(model: Any) -> list[str] | None:
    """Return the names of a Booster's columns; None if it has none, or is no Booster."""
    if is_lightgbm_booster(model):
        return list(model.feature_name())
    if is_xgboost_booster(model) and model.feature_names is not None:
        return list(model.feature_names)
    return None


def underscored(name: str) -> str:
    """Return the name of a column as LightGBM stores it, with underscores for blanks."""
    return name.replace(" ", "_")


def booster_width(model: Any) -> int | None:
    """Return the number of a Booster's columns; None if it is no Booster."""
    if is_lightgbm_booster(model):
        return model.num_feature()
    return model.num_features() if is_xgboost_booster(model) else None


def best_trees(booster: Any) -> Any:
    """Return an XGBoost Booster without the trees that came after its best iteration."""
    best = booster.attr("best_iteration")
    return booster if best is None else booster[: int(best) + 1]


def xgboost_scores(booster: Any, X: Any) -> NDArray[Any]:
    """Score rows with an XGBoost Booster, which scikit-learn's estimators do by themselves."""
    from xgboost import DMatrix

    named = {}
    if column_names(X) is None:
        named = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    best = booster.attr("best_iteration")
    trees = (0, 0 if best is None else int(best) + 1)  # (0, 0) means all
    matrix = DMatrix(X, enable_categorical=True, **named)
    return np.asarray(booster.predict(matrix, iteration_range=trees))
