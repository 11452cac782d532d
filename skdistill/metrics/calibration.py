"""Whether predicted probabilities are the frequencies they claim to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from skdistill.metrics.ordering import check_choice


def expected_calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    n_bins: int = 10,
    strategy: str = "uniform",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean distance, over bins of predictions, between the mean prediction and the share of 1s.

    :func:`sklearn.calibration.calibration_curve` draws the same bins as a reliability curve.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        0 and 1.
    y_prob : array-like of shape (n_rows,)
    n_bins : int, default=10
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or of equally many rows.
    sample_weight : array-like of shape (n_rows,), optional

    Returns
    -------
    float
        Bins count by their weight.

    Raises
    ------
    ValueError
        For arrays of different lengths and predictions outside [0, 1].

    References
    ----------
    Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
    AAAI 2015.

    Examples
    --------
    >>> from skdistill.metrics import expected_calibration_error
    >>> round(expected_calibration_error([0, 0, 1, 1], [0.1, 0.1, 0.8, 0.8]), 3)
    0.15
    """
    check_choice("strategy", strategy, ("uniform", "quantile"))
    labels, predicted = np.asarray(y_true, dtype=float), np.asarray(y_prob, dtype=float)
    if labels.shape != predicted.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"y_true and y_prob must hold one value a row each: got {labels.shape} and "
            f"{predicted.shape}."
        )
    if not (predicted.min() >= 0 and predicted.max() <= 1):
        raise ValueError(
            "y_prob must lie in [0, 1], but runs from "
            f"{predicted.min():.6g} to {predicted.max():.6g}."
        )
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, float)
    shares = np.linspace(0, 1, n_bins + 1)
    edges = shares if strategy == "uniform" else np.quantile(predicted, shares)
    member = np.searchsorted(edges[1:-1], predicted, side="right")
    gap = np.bincount(member, weight * (predicted - labels), minlength=n_bins)
    return float(np.abs(gap).sum() / weight.sum())
