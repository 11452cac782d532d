"""Calibration of predicted probabilities."""

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
    """Compute the mean distance between predicted probabilities and observed frequencies.

    Predictions are divided into bins. The distance between the mean prediction and the fraction of
    positives in each bin is averaged over the bins, weighted by their rows.
    :func:`sklearn.calibration.calibration_curve` uses the same bins for a reliability curve.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels 0 and 1.
    y_prob : array-like of shape (n_rows,)
        Predicted probability of a 1.
    n_bins : int, default=10
        Number of bins.
    strategy : {"uniform", "quantile"}, default="uniform"
        Whether bins have equal width or equally many rows.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights.

    Returns
    -------
    float
        Between 0, which is perfect, and 1.

    Raises
    ------
    ValueError
        If the arrays differ in length, or a prediction lies outside [0, 1].

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
            "y_true and y_prob must hold one value per row each, got shapes "
            f"{labels.shape} and {predicted.shape}."
        )
    if not (predicted.min() >= 0 and predicted.max() <= 1):
        raise ValueError(
            "y_prob must lie in [0, 1], but ranges from "
            f"{predicted.min():.6g} to {predicted.max():.6g}."
        )
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, float)
    grid = np.linspace(0, 1, n_bins + 1)
    edges = grid if strategy == "uniform" else np.quantile(predicted, grid)
    member = np.searchsorted(edges[1:-1], predicted, side="right")
    gap = np.bincount(member, weight * (predicted - labels), minlength=n_bins)
    return float(np.abs(gap).sum() / weight.sum())
