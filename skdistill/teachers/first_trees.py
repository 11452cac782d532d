"""The first trees of a boosted model: the cheapest ranker that a teacher offers."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from skdistill.inputs.pipelines import last_step, thawed, with_last_step
from skdistill.teachers.boosters import is_lightgbm_booster, is_xgboost_booster

# More than any model has.
MANY = 1 << 30


def first_trees(model: Any, n_trees: int) -> Any:
    """Cut a boosted model to its first iterations.

    Boosting adds trees one by one, so that the first of them are a ranker themselves: usually the
    strongest rival of a student of the same cost.

    Parameters
    ----------
    model : Booster, fitted estimator of LightGBM or XGBoost, or Pipeline that ends in either
        The model. It is not changed.
    n_trees : int
        Number of boosting iterations to keep; all if the model has fewer.

    Returns
    -------
    Booster or Pipeline
        A model of its own, with the names and categories of the columns; in a Pipeline behind the
        same steps, if the model is one.

    Raises
    ------
    TypeError
        If the model is not one of LightGBM or XGBoost.
    ValueError
        If ``n_trees`` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from lightgbm import LGBMRanker
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.teachers import first_trees
    >>> data = make_ranking(n_queries=20, random_state=0)
    >>> model = LGBMRanker(n_estimators=30, verbose=-1)
    >>> model = model.fit(data.X, data.y, group=np.bincount(data.qid))
    >>> first_trees(model, 5).num_trees()
    5
    """
    if not isinstance(n_trees, Integral) or n_trees < 1:
        raise ValueError(f"n_trees must be an int of at least 1, got {n_trees!r}.")
    whole, booster = thawed(model), _booster_of(model)
    if is_lightgbm_booster(booster):
        import lightgbm

        # best_iteration is that of early stopping: no tree after it is ever used.
        kept = n_trees if booster.best_iteration <= 0 else min(n_trees, booster.best_iteration)
        cut: Any = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=kept))
    elif is_xgboost_booster(booster):
        cut = booster[: min(n_trees, booster.num_boosted_rounds())]
    else:
        raise TypeError(
            f"first_trees cuts models of LightGBM and XGBoost, got {type(booster).__name__}, whose "
            "trees cannot be taken one after the other."
        )
    return with_last_step(whole, cut)


def number_of_trees(model: Any) -> int:
    """Count the boosting iterations of a model of LightGBM or XGBoost.

    Parameters
    ----------
    model : Booster, fitted estimator of LightGBM or XGBoost, or Pipeline that ends in either
        After early stopping, only those up to the best iteration count.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If the model is not one of LightGBM or XGBoost.
    """
    booster = last_step(first_trees(model, MANY))
    if is_xgboost_booster(booster):
        return int(booster.num_boosted_rounds())
    return int(booster.current_iteration())


def _booster_of(model: Any) -> Any:
    """Return the Booster of a fitted estimator, or of the last step of a Pipeline."""
    inner = thawed(last_step(thawed(model)))
    for attribute in ("booster_", "get_booster"):
        if hasattr(inner, attribute):
            booster = getattr(inner, attribute)
            return booster() if callable(booster) else booster
    return inner
