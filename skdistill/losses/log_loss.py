"""Log-loss of logits against probabilities, used for single rows and for pairs."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from skdistill.protocols import Array


def log_loss(logit: Array, probability: Array) -> tuple[Array, Array]:
    """Compute the loss of each logit and its slope, without overflow for any logit."""
    loss = np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit))) - probability * logit
    return loss, expit(logit) - probability
