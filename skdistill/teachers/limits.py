"""Limits of the libraries of teachers: what they refuse is split, or explained before a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.user_warnings import warn_user

# LightGBM's limit for its ranking objectives.
LARGEST_QUERY = 10_000
# Number of gains that LightGBM knows by itself, and of grades that XGBoost raises 2 to.
N_GAINS = {"lightgbm": 31, "xgboost": 32}
RANKING_OBJECTIVES = {
    "lightgbm": (None, "lambdarank", "rank_xendcg"),
    "xgboost": (None, "rank:ndcg"),
}
STOPPING_PARAMETERS = (
    "early_stopping_rounds",
    "early_stopping_round",
    "early_stopping",
    "n_iter_no_change",
)


def library_of(learner: Any) -> str | None:
    """Name the library of a learner: "lightgbm", "xgboost" or, for all others, None."""
    roots = {base.__module__.partition(".")[0] for base in type(learner).__mro__}
    return next((library for library in N_GAINS if library in roots), None)


def list_sizes(learner: Any, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of rows of a learner's lists: LightGBM's longest queries are split.

    The rows of a query have no order that means anything, so that each part is a random sample.
    """
    is_long = sizes > LARGEST_QUERY
    if library_of(learner) != "lightgbm" or not is_long.any():
        return sizes
    warn_user(
        f"LightGBM takes at most {LARGEST_QUERY} rows per query. For the teacher "
        f"{type(learner).__name__}, {is_long.sum()} queries with up to {sizes.max()} rows are "
        "split into lists. The student is trained on whole queries.",
    )
    n_parts = -(-sizes // LARGEST_QUERY)
    part = np.concatenate([np.arange(n) for n in n_parts])
    whole, n = np.repeat(sizes, n_parts), np.repeat(n_parts, n_parts)
    return (whole * (part + 1)) // n - (whole * part) // n


def check_limits(learner: Any, labels: NDArray[np.float64], validates: bool) -> None:
    """Refuse what the library of a learner would refuse in words of its own.

    Parameters
    ----------
    learner : estimator
        The learner, not fitted.
    labels : ndarray of shape (n_rows,)
        Labels without NaN, of training and validation rows.
    validates : bool
        Whether the learner gets a validation table.

    Raises
    ------
    ValueError
        If a ranker of LightGBM or XGBoost does not take the labels, or stops early and gets no
        validation table.
    """
    library = library_of(learner)
    if library is None:
        return
    name, parameters = type(learner).__name__, learner.get_params()
    stopping = [one for one in STOPPING_PARAMETERS if (parameters.get(one) or 0) > 0]
    if stopping and not validates:
        raise ValueError(
            f"{name} has {stopping[0]}={parameters[stopping[0]]!r} and stops early by a validation "
            f"table. Pass X_val, y_val and qid_val to fit, or leave out {stopping[0]}."
        )
    if (
        not any(base.__name__.endswith("Ranker") for base in type(learner).__mro__)
        or parameters.get("objective") not in (RANKING_OBJECTIVES[library])
    ):
        return
    if library == "lightgbm" and (odd := labels[(labels % 1 != 0) | (labels < 0)]).size:
        raise ValueError(
            f"{name} takes integer labels of 0 or more, but y holds {odd[0]:.6g}. Turn labels into "
            "grades, such as 0 to 4, or use LGBMRegressor as teacher."
        )
    _check_gains(library, name, parameters, labels)


def _check_gains(
    library: str, name: str, parameters: dict[str, Any], labels: NDArray[np.float64]
) -> None:
    """Refuse labels that a ranker knows no gain of."""
    n_gains, largest = N_GAINS[library], int(labels.max(initial=0))
    gains = parameters.get("label_gain")
    if library == "lightgbm" and gains is not None:
        n_gains = len(gains.split(",") if isinstance(gains, str) else gains)
    if largest < n_gains or (library == "xgboost" and parameters.get("ndcg_exp_gain") is False):
        return
    way_out = "ndcg_exp_gain=False"
    if library == "lightgbm":
        way_out = f"label_gain=list(range({largest + 1}))"
    raise ValueError(
        f"{name} knows the gain 2^y - 1 of labels up to {n_gains - 1}, but y holds {largest}. Turn "
        f"labels into grades, such as 0 to 4, or set {way_out} to let gains grow like the labels."
    )
