"""Labels as losses compare them: their gain, as in NDCG, and their grades."""

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
    if labels.size and labels.min() < 0:
        row = int(np.argmin(labels))
        raise ValueError(
            "y must hold relevance labels of 0 or more, because a negative label has no gain: the "
            f"smallest label is {labels[row]:.6g}. Shift the labels, or use the loss 'pointwise' "
            "or 'margin'."
        )
    return exponential_gain(labels, queries)


def grades_of_labels(labels: Array, queries: Queries) -> Array:
    """Reduce the gaps between neighbouring labels of a query to one grade at most.

    The order of the labels, their ties and all smaller gaps remain. A gap of one grade is certain
    already, and labels of any size fit into float32 this way.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,), float64
        Relevance.
    queries : Queries
        Segments of the rows.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        0 for the smallest label of each query.
    """
    ascending = queries.sort_descending(-labels)
    ordered = labels[ascending]
    grades = np.zeros(len(labels))
    # The difference of two labels may overflow, but not that of their halves.
    half_gap = ordered[1:] / 2 - ordered[:-1] / 2
    grades[1:] = np.cumsum(2 * np.clip(half_gap, 0, 0.5))
    grades -= queries.spread(grades[queries.starts])
    result = np.empty_like(grades)
    result[ascending] = grades
    return result
