"""Gains of labels, relative to the largest gain of their query.

NDCG and the losses derived from it depend only on the ratios of gains within a query. The gains
themselves overflow: ``2^y - 1`` is infinite from a label of 1024 on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import Queries

LOG_2 = float(np.log(2))


def exponential_gain(labels: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
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
        Between 0 and 1; all 0 in a query without a relevant row.
    """
    # (2^y - 1) / (2^h - 1) = 2^(y - h) (1 - 2^-y) / (1 - 2^-h), where no factor overflows or
    # cancels, however large or small the labels are.
    gains, relevant, highest = _relevant(labels, queries)
    y = labels[relevant]
    saturation = np.expm1(-LOG_2 * y) / np.expm1(-LOG_2 * highest)
    gains[relevant] = np.exp2(y - highest) * saturation
    return gains


def linear_gain(labels: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
    """Compute the gain ``y`` of each row, relative to that of its query's largest label.

    Parameters and result are those of :func:`exponential_gain`.
    """
    gains, relevant, highest = _relevant(labels, queries)
    gains[relevant] = labels[relevant] / highest
    return gains


GAINS = {"exponential": exponential_gain, "linear": linear_gain}


def _relevant(
    labels: NDArray[np.float64], queries: Queries
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return zeros for all rows, the relevant rows, and the largest label of their queries."""
    # Most rows of most lists are irrelevant and gain 0, so only the others are computed.
    relevant = np.flatnonzero(labels > 0)
    highest = queries.spread(queries.max(labels))[relevant]
    return np.zeros(len(labels)), relevant, highest
