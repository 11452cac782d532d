"""Which function for tables in files takes which model."""

from __future__ import annotations

from typing import Any

from skdistill.cascade.fitted import FittedCascade
from skdistill.towers.fitted import FittedTowers


def other_model(expected: str, model: Any) -> TypeError:
    """Make the error about a model that another function takes.

    Parameters
    ----------
    expected : str
        Says which models are taken.
    model : object
        What came instead.

    Returns
    -------
    TypeError
        It names the function that takes the model, if there is one.
    """
    if isinstance(model, FittedCascade):
        way_out = " Use rank_table (skdistill rank), and cascade_report to evaluate a cascade."
    elif isinstance(model, FittedTowers):
        way_out = " Use retrieve_table (skdistill retrieve)."
    elif hasattr(model, "predict"):
        way_out = " Use score_table (skdistill score)."
    else:
        way_out = ""
    return TypeError(f"{expected}, got {type(model).__name__}.{way_out}")
