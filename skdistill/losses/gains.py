"""What a label is worth: the exponential gain of NDCG."""

from __future__ import annotations

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.protocols import Array


def relative_gain(labels: Array, queries: Queries) -> Array:
    """Gain ``2^y - 1`` of each row, divided by ``2^y`` of its query's largest label.

    Ratios of gains within a query are all that a ranking loss needs, and these can't overflow.

    Raises
    ------
    ValueError
        When a label is negative: it has no gain.
    """
    if labels.size and labels.min() < 0:
        row = int(np.argmin(labels))
        raise ValueError(
            f"A relevance must be 0 or more to have a gain: the smallest label is {labels[row]:.6g}"
            ". Shift the labels, or use the pointwise or margin loss."
        )
    # Most rows of most lists are irrelevant and gain 0: the others alone are looked at.
    gains = np.zeros_like(labels)
    relevant = np.flatnonzero(labels > 0)
    segment = queries.segment_of(relevant)
    highest = np.zeros(queries.n_queries, dtype=labels.dtype)
    np.maximum.at(highest, segment, labels[relevant])
    highest = highest[segment]
    gains[relevant] = np.exp2(labels[relevant] - highest) - np.exp2(-highest)
    return gains
