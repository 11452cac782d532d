"""What a label is worth: the exponential gain of NDCG."""

from __future__ import annotations

import numpy as np

from skdistill.protocols import Array
from skdistill.queries import Queries


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
    highest = queries.spread(queries.max(labels))
    return np.exp2(labels - highest) - np.exp2(-highest)
