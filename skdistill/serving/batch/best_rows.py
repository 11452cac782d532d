"""Keep the best rows of each query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import positions_within


def best_rows(query: NDArray[Any], scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Find the ``k`` best rows of each query; of equal scores, the earlier row wins.

    Parameters
    ----------
    query : ndarray of shape (n_rows,)
        Query ids of a sortable type, in any order.
    scores : ndarray of shape (n_rows,)
        Scores, higher is better.
    k : int
        Number of rows per query.

    Returns
    -------
    ndarray of shape (n_kept,), int64
        Positions of the rows, ascending.
    """
    code = np.unique(query, return_inverse=True)[1].ravel()
    # lexsort is stable, so rows of one query and score keep their order.
    order = np.lexsort((-scores, code))
    place = positions_within(np.bincount(code))
    return np.sort(order[place < k])
