"""Equality of results, which is checked before anything is timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Agreement(Protocol):
    """A way to compare two results."""

    def complaint(self, ours: Any, theirs: Any) -> str | None:
        """Say how the results differ; None if they agree."""


@dataclass(frozen=True)
class Close:
    """Numbers that agree within a tolerance, NaN with NaN.

    Of arrays of different lengths the first values are compared.

    Parameters
    ----------
    rtol, atol : float
        Relative and absolute tolerance, as in NumPy.
    """

    rtol: float = 1e-4
    atol: float = 1e-5

    def complaint(self, ours: Any, theirs: Any) -> str | None:
        ours, theirs = np.ravel(ours), np.ravel(theirs)
        n = min(len(ours), len(theirs))
        if not n:
            return "one of the results is empty"
        ours, theirs = ours[:n].astype(np.float64), theirs[:n].astype(np.float64)
        if np.allclose(ours, theirs, rtol=self.rtol, atol=self.atol, equal_nan=True):
            return None
        worst = int(np.argmax(np.nan_to_num(np.abs(ours - theirs), nan=np.inf)))
        return f"value {worst} is {ours[worst]:.6g} for us and {theirs[worst]:.6g} for it"


@dataclass(frozen=True)
class SameItems:
    """Items of each query with the same scores in the same places; tied items may change places.

    Results are pairs of ids and scores, both of shape (n_queries, k).

    Parameters
    ----------
    tolerance : float
        Relative and absolute tolerance of scores.
    """

    tolerance: float = 1e-4

    def complaint(self, ours: Any, theirs: Any) -> str | None:
        n = min(len(ours[0]), len(theirs[0]))
        (ids, scores), (other_ids, other_scores) = (
            [np.asarray(each)[:n] for each in pair] for pair in (ours, theirs)
        )
        if ids.shape != other_ids.shape:
            return f"the shapes are {ids.shape} for us and {other_ids.shape} for it"
        near = np.isclose(scores, other_scores, rtol=self.tolerance, atol=self.tolerance)
        if not near.all():
            query, place = np.argwhere(~near)[0]
            return f"the scores of query {query} differ at place {place}"
        for query, (own, other) in enumerate(zip(ids, other_ids, strict=True)):
            cut = scores[query, -1] + self.tolerance * (1 + abs(scores[query, -1]))
            missing = set(own[scores[query] > cut].tolist()) - set(other.tolist())
            if missing:
                return f"it does not find item {min(missing)} of query {query}"
        return None
