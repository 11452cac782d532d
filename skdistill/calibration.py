"""From scores to probabilities: log-odds, calibrators, and what down-sampling does to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

CALIBRATORS = ("isotonic", "sigmoid")


def check_binary(labels: NDArray[np.float64]) -> None:
    """Refuse labels that no calibrator can be fitted on.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If there are other labels than 0 and 1, or only one of them.
    """
    found = np.unique(labels)
    if not np.array_equal(found, [0, 1]):
        raise ValueError(
            "calibrate needs labels 0 and 1, both of them, on the held-out queries; found "
            f"{found[:5].tolist()}."
        )


def fit_calibrator(
    kind: str,
    scores: NDArray[Any],
    labels: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
) -> Any:
    """Fit a map from scores to probabilities.

    Parameters
    ----------
    kind : {"isotonic", "sigmoid"}
        Any non-decreasing step function, or Platt's two numbers, which need fewer rows.
    scores : ndarray of shape (n_rows,)
    labels : ndarray of shape (n_rows,)
        0 and 1.
    weight : ndarray of shape (n_rows,) or None

    Returns
    -------
    IsotonicRegression or LogisticRegression

    Raises
    ------
    ValueError
        As :func:`check_binary`.

    References
    ----------
    Zadrozny, Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates", KDD 2002. Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
    """
    check_binary(labels)
    if kind == "isotonic":
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        return isotonic.fit(scores, labels, sample_weight=weight)
    sigmoid = LogisticRegression(C=np.inf)
    return sigmoid.fit(scores[:, None], labels, sample_weight=weight)


def calibrated(calibrator: Any, scores: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of scores, shape (n_rows,)."""
    if isinstance(calibrator, IsotonicRegression):
        return calibrator.predict(scores)
    return calibrator.predict_proba(scores[:, None])[:, 1]


def undo_sampling(probability: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Probabilities among all rows, given those in a table that kept some of the negatives.

    ``p / (p + (1 - p) / rate)``: He et al., "Practical Lessons from Predicting Clicks on Ads at
    Facebook", ADKDD 2014.

    Parameters
    ----------
    probability : ndarray of shape (n_rows,)
    rate : float
        Fraction of the negatives that was kept.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If a probability lies outside [0, 1].
    """
    low, high = probability.min(), probability.max()
    if low < 0 or high > 1:
        raise ValueError(
            "sampling_rate corrects probabilities: the teacher's scores must lie in [0, 1], but "
            f"run from {low:.6g} to {high:.6g}. Use a classifier as teacher."
        )
    return probability / (probability + (1 - probability) / rate)


def importance_of_sample(labels: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """1 / (probability that a row was kept): 1 / rate for negatives, 1 for others."""
    return np.where(labels == 0, 1 / rate, 1.0)
