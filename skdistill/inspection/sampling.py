"""Samples of whole queries, for what would take too long on a large table."""

from __future__ import annotations

import numpy as np

from skdistill.inputs.ranking_data import RankingData


def some_queries(data: RankingData, n_rows: int, seed: int) -> RankingData:
    """Choose queries of about so many rows; all if there are no more.

    Parameters
    ----------
    data : RankingData
        Rows sorted by query.
    n_rows : int
        Number of rows.
    seed : int
        Seeds the choice.

    Returns
    -------
    RankingData
    """
    if data.n_rows <= n_rows:
        return data
    shuffled = np.random.default_rng(seed).permutation(data.queries.n_queries)
    n_chosen = int(np.searchsorted(np.cumsum(data.queries.sizes[shuffled]), n_rows)) + 1
    return data.take_queries(np.sort(shuffled[:n_chosen]))
