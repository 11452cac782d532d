"""The gain of labels, as in NDCG."""

from __future__ import annotations

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.metrics.gains import exponential_gain
from skdistill.protocols import Array


def gain_of_labels(labels: Array, queries: Queries) -> Array:
    """Compute the gain ``2^y - 1`` of each row, relative to that of its query's largest label.

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
    refuse_negative(labels)
    return exponential_gain(labels, queries)


def refuse_negative(labels: Array) -> None:
    """Refuse labels below 0, of which losses that tell relevant rows from others know no meaning.

    Raises
    ------
    ValueError
        If a label is negative.
    """
    if labels.size and labels.min() < 0:
        row = int(np.argmin(labels))
        raise ValueError(
            "y must hold relevance labels of 0 or more, because a negative label has no gain: the "
            f"smallest label is {labels[row]:.6g}. Shift the labels, or use the loss 'pointwise', "
            "'pairwise' or 'margin'."
        )
