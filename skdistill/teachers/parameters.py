"""Names of the parameters that an estimator takes, also where its signature hides them."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def parameter_names(estimator: type, asked: Iterable[str]) -> set[str]:
    """Return the names of the parameters that an estimator's constructor takes.

    LightGBM and XGBoost take any keyword and hand it to their libraries, which ignore names that
    they do not know.

    Parameters
    ----------
    estimator : type
        A class of estimators.
    asked : iterable of str
        Names that may be parameters.

    Returns
    -------
    set of str
        The names in the signature. For LightGBM, also those of ``asked`` that the library knows;
        for XGBoost, also all that it knows.
    """
    parameters = inspect.signature(estimator).parameters.values()
    names = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
    if all(one.kind is not one.VAR_KEYWORD for one in parameters):
        return names
    library = estimator.__module__.partition(".")[0]
    if library == "lightgbm":
        return names | {name for name in set(asked) - names if _lightgbm_knows(name)}
    return names | _of_xgboost(estimator) if library == "xgboost" else names


def _lightgbm_knows(name: str) -> bool:
    """Whether LightGBM knows a parameter, or an alias of one; it warns of others."""
    from lightgbm import Dataset

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that a Dataset takes in another way
        # An empty value is that of a parameter that is not set.
        Dataset(np.zeros((2, 1)), params={name: "", "verbosity": 1}).construct()
    return f"Unknown parameter: {name}" not in printed.getvalue()


def _of_xgboost(estimator: Any) -> set[str]:
    """Names in the configuration of XGBoost's boosters."""
    import xgboost

    unset = estimator().get_params()
    matrix = xgboost.DMatrix(np.zeros((2, 1)), label=[0, 1], qid=[0, 0])
    names = set(unset)
    for booster in ("gbtree", "dart", "gblinear"):
        options = {"booster": booster, "objective": unset["objective"]}
        made = xgboost.train(options, matrix, num_boost_round=0)
        names |= set(_leaves(json.loads(made.save_config())))
    return names


def _leaves(node: Any) -> Iterator[str]:
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for name, value in children:
        if isinstance(value, dict | list):
            yield from _leaves(value)
        elif isinstance(name, str):
            yield name
