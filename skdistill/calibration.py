"""From scores to probabilities: log-odds, calibrators, and what down-sampling does to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

CALIBRATORS = ("isotonic", "sigmoid")


def fit_calibrator(
    kind: str,
    scores: NDArray[Any],
    labels: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
) -> Any:
    """A fitted map from scores to probabilities.

    Parameters
    ----------
    kind : {"isotonic", "sigmoid"}
        Any non-decreasing step function, or Platt's two numbers, which need fewer rows.
    scores, labels : ndarray of shape (n_rows,)
        Labels 0 and 1.
    weight : ndarray of shape (n_rows,) or None

    Raises
    ------
    ValueError
        When there are other labels, or only one.

    References
    ----------
    Zadrozny, Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates", KDD 2002. Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
    """
    found = np.unique(labels)
    if not np.array_equal(found, [0, 1]):
        raise ValueError(
            f"calibrate needs labels 0 and 1, both of them, on the held-out queries; found "
            f"{found[:5].tolist()}."
        )
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
    """Probabilities among all rows, given those where a share ``rate`` of the negatives was kept.

    ``p / (p + (1 - p) / rate)``: He et al., "Practical Lessons from Predicting Clicks on Ads at
    Facebook", ADKDD 2014.
    """
    return probability / (probability + (1 - probability) / rate)
