"""Conversion of scores to probabilities, and their correction for down-sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

CALIBRATORS = ("isotonic", "sigmoid")


def check_binary(labels: NDArray[np.float64]) -> None:
    """Check that a calibrator can be fitted on labels.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
        Labels without NaN.

    Raises
    ------
    ValueError
        If the labels are not 0 and 1, or are all equal.
    """
    found = np.unique(labels)
    if not np.array_equal(found, [0, 1]):
        raise ValueError(
            "calibrate needs labels 0 and 1, both of them, in the held-out queries; found "
            f"{found[:5].tolist()}. Pass grades as y > 0, and more queries if one is missing."
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
        "isotonic" fits any non-decreasing step function. "sigmoid" fits the two parameters of
        Platt scaling, which need fewer rows.
    scores : ndarray of shape (n_rows,)
        Score of each row.
    labels : ndarray of shape (n_rows,)
        Labels 0 and 1.
    weight : ndarray of shape (n_rows,) or None
        Row weights.

    Returns
    -------
    IsotonicRegression or LogisticRegression

    Raises
    ------
    ValueError
        If the labels are not 0 and 1, or are all equal.

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


@dataclass(frozen=True)
class SigmoidMap:
    """Maps scores to the sigmoid of ``slope * score + intercept``."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        return expit(self.slope * scores.astype(np.float64) + self.intercept)


@dataclass(frozen=True)
class InterpolatedMap:
    """Maps scores by straight lines between points; beyond them, as the nearest one."""

    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    def __call__(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        return np.interp(scores, self.scores, self.probabilities)


ProbabilityMap = SigmoidMap | InterpolatedMap


def probability_map(calibrator: Any) -> ProbabilityMap:
    """Return the function that turns scores into probabilities.

    Parameters
    ----------
    calibrator : IsotonicRegression, LogisticRegression or None
        Fitted by ``fit_calibrator``. None if scores are log-odds.

    Returns
    -------
    callable
        Takes scores of shape (n_rows,), and returns as many probabilities, float64.
    """
    if calibrator is None:
        return SigmoidMap()
    if isinstance(calibrator, IsotonicRegression):
        return InterpolatedMap(
            calibrator.X_thresholds_.astype(np.float64), calibrator.y_thresholds_.astype(np.float64)
        )
    return SigmoidMap(float(calibrator.coef_[0, 0]), float(calibrator.intercept_[0]))


def undo_sampling(probability: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Correct probabilities for a table in which only some of the negatives were kept.

    The probability among all rows is ``p / (p + (1 - p) / rate)``.

    Parameters
    ----------
    probability : ndarray of shape (n_rows,)
        Probabilities among the rows that were kept.
    rate : float
        Fraction of the negatives that was kept.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If a probability lies outside [0, 1].

    References
    ----------
    He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014.
    """
    low, high = probability.min(), probability.max()
    if low < 0 or high > 1:
        raise ValueError(
            "sampling_rate corrects probabilities: the teacher's scores must lie in [0, 1], but "
            f"range from {low:.6g} to {high:.6g}. Use a classifier as teacher."
        )
    return probability / (probability + (1 - probability) / rate)


def undo_sampling_in_weights(
    weight: NDArray[np.float64] | None, labels: NDArray[np.float64] | None, rate: float
) -> NDArray[np.float64] | None:
    """Return row weights that compensate for negatives of which only a fraction was kept."""
    if rate == 1 or labels is None:
        return weight
    importance = np.where(labels == 0, 1 / rate, 1.0)
    return importance if weight is None else weight * importance
