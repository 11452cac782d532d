"""The exponential gain of labels, as in NDCG."""

from __future__ import annotations

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.protocols import Array


def relative_gain(labels: Array, queries: Queries) -> Array:
    """Compute the gain ``2^y - 1`` of each row, relative to its query's largest label.

    The gain is divided by ``2^y`` of that label. Ranking losses need only the ratios of gains
    within a query, and these cannot overflow.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,), float64
        Relevance, 0 or more.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        Between 0 and 1.

    Raises
    ------
    ValueError
        If a label is negative.
    """
    if labels.size and labels.min() < 0:
        row = int(np.argmin(labels))
        raise ValueError(
            "y must hold relevance labels of 0 or more, because a negative label has no gain: the "
            f"smallest label is {labels[row]:.6g}. Shift the labels, or use the loss 'pointwise' "
            "or 'margin'."
        )
    # Most rows of most lists are irrelevant and gain 0, so only the others are computed.
    gains = np.zeros_like(labels)
    relevant = np.flatnonzero(labels > 0)
    segment = queries.segment_of(relevant)
    highest = np.zeros(queries.n_queries, dtype=labels.dtype)
    np.maximum.at(highest, segment, labels[relevant])
    highest = highest[segment]
    gains[relevant] = np.exp2(labels[relevant] - highest) - np.exp2(-highest)
    return gains
