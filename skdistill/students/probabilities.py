"""Rankers whose scores can be log-odds, which scikit-learn then takes for binary classifiers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.validation import check_is_fitted

from skdistill.base import RankingEstimator
from skdistill.losses import get_loss


def has_log_odds(estimator: Any) -> bool:
    """Check whether a loss of an estimator makes its scores log-odds.

    Raises
    ------
    AttributeError
        If none does, so that ``available_if`` explains why a method is missing.
    """
    losses = (estimator.loss, estimator.hard_loss)
    if any(get_loss(loss).is_log_odds for loss in losses if loss):
        return True
    raise AttributeError(
        f"predict_proba needs scores that are log-odds, but loss={estimator.loss!r} and "
        f"hard_loss={estimator.hard_loss!r} do not produce them. Use the loss 'logistic'."
    )


class ScoringClassifierTags(ClassifierTags):
    """Tags of a classifier whose ``predict`` returns scores, also inside a Pipeline or a search."""


class WithProbabilities(RankingEstimator):
    """Base class of rankers that have ``predict_proba`` with some of their parameters.

    With these parameters, scikit-learn's tools for binary classifiers take them, such as
    ``CalibratedClassifierCV``, ``CalibrationDisplay`` and ``scoring="roc_auc"``. ``predict``
    returns scores all the same.
    """

    predict_proba: Any

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Invalid parameters are reported by fit, and not by whoever asks for the tags.
        with suppress(ValueError, TypeError):
            if hasattr(self, "predict_proba"):
                tags.estimator_type = "classifier"
                tags.classifier_tags = ScoringClassifierTags(multi_class=False)
                tags.regressor_tags = None
        return tags

    @property
    def classes_(self) -> NDArray[np.int64]:
        """The labels 0 and 1, in the order of the columns of ``predict_proba``.

        Raises
        ------
        AttributeError
            If the ranker has no ``predict_proba``, or is not fitted.
        """
        assert self.predict_proba  # raises the AttributeError that says why there is none
        check_is_fitted(self)
        return np.array([0, 1])
