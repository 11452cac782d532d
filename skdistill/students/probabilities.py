"""Rankers whose scores can be log-odds, which scikit-learn then takes for binary classifiers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.validation import check_is_fitted

from skdistill.base import RankingEstimator
from skdistill.losses import LOSSES
from skdistill.protocols import Loss


@cache
def _makes_log_odds(kind: Callable[[], Loss]) -> bool:
    """Whether the scores of a registered kind of loss are log-odds."""
    return kind().is_log_odds


def is_log_odds(loss: str | Loss | None) -> bool:
    """Check whether a loss makes scores log-odds; invalid ones do not."""
    if isinstance(loss, str):
        # Tags ask this at each prediction, and making a loss costs as much as scoring a row.
        return loss in LOSSES and _makes_log_odds(LOSSES[loss])
    return getattr(loss, "is_log_odds", False)


def check_probabilities(ranker: WithProbabilities) -> bool:
    """Check whether a ranker has probabilities, for ``available_if``.

    Raises
    ------
    AttributeError
        If it has none, with the parameters that are why.
    """
    if ranker.has_probabilities:
        return True
    raise AttributeError(
        f"predict_proba needs scores that are log-odds, but loss={ranker.loss!r}, "
        f"hard_loss={ranker.hard_loss!r} and alpha={ranker.alpha!r} do not produce them. Use the "
        "loss 'logistic', with a weight above 0."
    )


class ScoringClassifierTags(ClassifierTags):
    """Tags of a classifier whose ``predict`` returns scores, also inside a Pipeline or a search."""


class WithProbabilities(RankingEstimator):
    """Base class of rankers that have ``predict_proba`` with some of their parameters.

    With these parameters, scikit-learn's tools for binary classifiers take them, such as
    ``CalibratedClassifierCV``, ``CalibrationDisplay`` and ``scoring="roc_auc"``. ``predict``
    returns scores all the same.
    """

    loss: str | Loss
    hard_loss: str | Loss | None
    alpha: float | str

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.has_probabilities:
            tags.estimator_type = "classifier"
            tags.classifier_tags = ScoringClassifierTags(multi_class=False)
            tags.regressor_tags = None
        return tags

    @property
    def has_probabilities(self) -> bool:
        """Whether the parameters make the scores log-odds, so that there is ``predict_proba``."""
        return is_log_odds(self.loss) or is_log_odds(self.hard_loss)

    @property
    def classes_(self) -> NDArray[np.int64]:
        """The labels 0 and 1, in the order of the columns of ``predict_proba``.

        Raises
        ------
        AttributeError
            If the ranker has no ``predict_proba``, or is not fitted.
        """
        check_probabilities(self)
        check_is_fitted(self)
        return np.array([0, 1])
