"""Which of the items that a stage has scored go on to the next stage."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.public_names import set_module


@set_module("skdistill.cascade")
@dataclass(frozen=True)
class Cut:
    """What a stage of a :class:`RankingCascade` passes on.

    Parameters
    ----------
    size : int
        Largest number of items per query.
    min_score : float, optional
        Items with a lower score are dropped. In a cascade with offsets, the limits apply to score
        plus offset, such as log bid + log probability.
    max_drop : float, optional
        Items whose score is lower than the query's best score by more than this are dropped.

    Examples
    --------
    >>> from skdistill.cascade import Cut
    >>> Cut(50, max_drop=4.0)
    Cut(size=50, min_score=None, max_drop=4.0)
    """

    size: int
    min_score: float | None = None
    max_drop: float | None = None

    @classmethod
    def of(cls, given: Any, stage: str) -> Cut:
        """Check what the user gave as the third entry of a stage.

        Parameters
        ----------
        given : int or Cut
            The entry.
        stage : str
            Name of the stage, for messages.

        Returns
        -------
        Cut

        Raises
        ------
        ValueError
            If it is not a positive number of items, or a limit is not a finite number.
        """
        cut = given if isinstance(given, cls) else cls(given)
        if not isinstance(cut.size, Integral) or isinstance(cut.size, bool) or cut.size < 1:
            raise ValueError(
                f"The stage {stage!r} must return a positive number of items per query, an int or "
                f"a Cut, got {given!r}."
            )
        for name in ("min_score", "max_drop"):
            limit = getattr(cut, name)
            if limit is not None and (not isinstance(limit, Real) or not np.isfinite(limit)):
                raise ValueError(f"{name} of the stage {stage!r} must be finite, got {limit!r}.")
        if cut.max_drop is not None and cut.max_drop < 0:
            raise ValueError(f"max_drop of the stage {stage!r} must be 0 or more.")
        return cut

    def passes(self, scores: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Tell which items the limits on scores let pass.

        Parameters
        ----------
        scores : ndarray of shape (n_queries, width)
            Best first.

        Returns
        -------
        ndarray of shape (n_queries, width), bool, or None
            None if there are no limits.
        """
        if self.min_score is None and self.max_drop is None:
            return None
        passes = np.ones(scores.shape, dtype=bool)
        if self.min_score is not None:
            passes &= scores >= self.min_score
        if self.max_drop is not None and scores.shape[1]:
            # Not best - score <= max_drop: padding has -inf in all its places.
            passes &= scores >= scores[:, :1] - self.max_drop
        return passes
