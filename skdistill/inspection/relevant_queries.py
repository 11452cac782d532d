"""Queries on which rankings can be compared: those with a relevant row."""

from __future__ import annotations

import numpy as np

from skdistill.inputs.ranking_data import RankingData

FEWEST = 2


def require_relevant_queries(data: RankingData, purpose: str) -> None:
    """Refuse rows whose intervals would mean nothing, before anything is fitted or timed.

    Parameters
    ----------
    data : RankingData
        Rows sorted by query, with labels.
    purpose : str
        What compares rankings, as the subject of the message.

    Raises
    ------
    ValueError
        If fewer than two queries have a relevant row.
    """
    assert data.labels is not None  # the caller has passed them
    n_relevant = int((data.queries.max(np.nan_to_num(data.labels)) > 0).sum())
    if n_relevant < FEWEST:
        raise ValueError(
            f"{purpose} needs {FEWEST} queries or more with a relevant row (label above 0), for "
            f"NDCG and its interval, but {n_relevant} of {data.queries.n_queries} have one. Check "
            "y and qid, or pass more queries."
        )
