"""Keep the best rows of each query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import positions_within


def best_rows(query: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Find the ``k`` best rows of each query; of equal scores, the earlier row wins.

    Parameters
    ----------
    query : ndarray of shape (n_rows,), int64
        Number of each row's query, in any order.
    scores : ndarray of shape (n_rows,)
        Scores, higher is better.
    k : int
        Number of rows per query.

    Returns
    -------
    ndarray of shape (n_kept,), int64
        Positions of the rows, ascending.
    """
    # lexsort is stable, so rows of one query and score keep their order.
    order = np.lexsort((-scores, query))
    place = positions_within(np.bincount(query))
    return np.sort(order[place < k])
