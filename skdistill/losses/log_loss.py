"""Log-loss of a logit against a probability, for single rows and for pairs alike."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from skdistill.protocols import Array


def log_loss(logit: Array, probability: Array) -> tuple[Array, Array]:
    """Loss of each logit, and its slope; no overflow for logits of either sign."""
    loss = np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit))) - probability * logit
    return loss, expit(logit) - probability
