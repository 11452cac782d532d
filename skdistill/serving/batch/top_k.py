"""The best rows of each query in tables that are read piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import positions_within


def best_rows(query: NDArray[Any], scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Rows among their query's ``k`` best, ascending; of equal scores the earlier one is better.

    Parameters
    ----------
    query : ndarray of shape (n_rows,)
        Ids of a sortable type, in any order.
    scores : ndarray of shape (n_rows,)
    k : int

    Returns
    -------
    ndarray of shape (n_kept,), int64
    """
    code = np.unique(query, return_inverse=True)[1].ravel()
    # lexsort is stable, so rows of one query and score keep their order.
    order = np.lexsort((-scores, code))
    place = positions_within(np.bincount(code))
    return np.sort(order[place < k])
