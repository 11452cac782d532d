"""Calibration of predicted probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from skdistill.inputs.checks import check_k, check_weights, refuse_masked, single_column
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
        Labels 0 and 1, or probabilities.
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
        If the arrays differ in length, a label or a prediction is NaN or lies outside [0, 1], a
        weight is negative or all are 0, or an option is invalid.

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
    refuse_masked("y_true", y_true, "y_true.filled(...), or leave out their rows")
    refuse_masked("y_prob", y_prob, "y_prob.filled(...), or leave out their rows")
    labels, predicted = (
        single_column(np.asarray(values, dtype=float)) for values in (y_true, y_prob)
    )
    if labels.shape != predicted.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            "y_true and y_prob must hold one value per row each, got shapes "
            f"{labels.shape} and {predicted.shape}."
        )
    check_k(n_bins, "n_bins")
    for name, values in (("y_true", labels), ("y_prob", predicted)):
        inside = (values >= 0) & (values <= 1)
        if not inside.all():
            row = int(np.argmin(inside))
            raise ValueError(f"{name} must lie in [0, 1]: row {row} holds {values[row]:.6g}.")
    weight = np.ones(len(labels))
    if sample_weight is not None:
        weight = check_weights(sample_weight, len(labels))
        if not weight.any():
            raise ValueError("sample_weight is zero in every row: the error is undefined.")
    weight = weight / weight.sum()
    grid = np.linspace(0, 1, n_bins + 1)
    edges = grid if strategy == "uniform" else np.quantile(predicted, grid)
    member = np.searchsorted(edges[1:-1], predicted, side="right")
    gap = np.bincount(member, weight * (predicted - labels), minlength=n_bins)
    return min(float(np.abs(gap).sum()), 1.0)
