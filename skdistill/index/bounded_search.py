"""Search for the best items of one query by upper bounds of their scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdistill.index.block_search import SearchedItems, reached
from skdistill.index.score_bounds import ScoreBounds

# Items that are scored to find a bar: so many per item that is returned, and some more. With fewer,
# too many items reach the bar.
TRIED, MORE_TRIED = 2, 128
# Multiplications to save per such item, and the largest share of the items that may reach the bar.
# Otherwise to score all items takes less time.
SAVED_PER_TRIED, LARGEST_SHARE = 4000, 1 / 16


def n_tried(k: int) -> int:
    """Return the number of items that are scored to find a bar for the k best."""
    return TRIED * k + MORE_TRIED


def bounds_pay(bounds: ScoreBounds, k: int) -> bool:
    """Whether to search for the k best items of a query by bounds."""
    return bounds.n_saved >= SAVED_PER_TRIED * n_tried(k)


def search_by_bounds(
    query: NDArray[np.float32],
    found: NDArray[np.int64],
    scores: NDArray[np.float32],
    searched: SearchedItems,
    bounds: ScoreBounds,
) -> bool:
    """Fill ``found`` and ``scores`` of one query, as ``searched`` does, if that takes less time.

    The scores of the items with the largest bounds give a bar that k scores reach. No item whose
    bound lies below the bar is among the best, so that few items are scored.

    Parameters
    ----------
    query : ndarray of shape (1, embedding_dim)
    found, scores : ndarray of shape (1, k)
        To be filled with item rows and scores, best first; they hold -1 and -inf.
    searched : SearchedItems
        All items, without ``positions``.
    bounds : ScoreBounds
        Those of the items.

    Returns
    -------
    bool
        Whether they are filled. They are not if too many items reach the bar, or fewer than k may
        be returned.
    """
    k = scores.shape[1]
    most = LARGEST_SHARE * len(searched)
    upper = np.dot(bounds.heads, bounds.of_queries(query)[0])
    searched.finish(0, upper[:, None])
    likely = reached(upper, n_tried(k))
    item = np.flatnonzero(upper >= likely)
    if likely == -np.inf or not k <= len(item) <= most:
        return False
    of_items = searched.scores_of(query, item)
    bar = np.partition(of_items, -k)[-k] - bounds.slack(query, searched.shift)[0]
    others = np.flatnonzero(upper >= bar)
    if len(others) > most:
        return False
    others = others[upper[others] < likely]
    item = np.concatenate([item, others])
    of_items = np.concatenate([of_items, searched.scores_of(query, others)])
    # The first of equal scores is that of the first position.
    best = np.lexsort((item, -of_items))[:k]
    found[0], scores[0] = item[best], of_items[best]
    return True
