"""Models with their quality and their cost, measured beside a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inspection.models import BEGINNING, COMPILED, KINDS, STUDENT, TREES
from skdistill.inspection.row_costs import RowCost
from skdistill.metrics import RatioInterval, bootstrap_ratio, ndcg_score, per_query

# Kinds of smaller trees.
SMALLER = (BEGINNING, TREES, COMPILED)


@dataclass(frozen=True)
class ParetoPoint:
    """A model with its quality and its cost.

    Attributes
    ----------
    name : str
        Its name.
    kind : str
        What it is: "teacher", "first trees of the teacher", "small trees", "compiled trees",
        "student" or "other model".
    values : ndarray of shape (n_queries,), float64
        NDCG of each query; NaN for queries without a relevant row.
    ratio : RatioInterval
        Mean of the values over that of the reference, with the 95% interval of a paired bootstrap
        over queries.
    cost : RowCost
        Seconds per row.
    """

    name: str
    kind: str
    values: NDArray[np.float64]
    ratio: RatioInterval
    cost: RowCost

    @property
    def quality(self) -> float:
        """Mean of the values."""
        return float(np.nanmean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the ratio, times the quality of the reference."""
        # A ratio of 0 says nothing of the reference.
        level = self.quality / self.ratio.ratio if self.ratio.ratio else 0.0
        return self.ratio.low * level, self.ratio.high * level


def measured_points(
    y: ArrayLike,
    scores: Mapping[str, ArrayLike],
    costs: Mapping[str, RowCost],
    kinds: Mapping[str, str],
    qid: ArrayLike | None,
    *,
    k: int,
    random_state: Any,
    offset: ArrayLike | None = None,
) -> list[ParetoPoint]:
    """Measure models whose scores and costs are known; the first one is the reference.

    Raises
    ------
    ValueError
        If the arguments do not match, or a kind is unknown.
    """
    unknown = sorted(set(kinds.values()) - set(KINDS))
    if unknown:
        raise ValueError(f"kinds must be among {list(KINDS)}, got {unknown}.")
    if set(costs) != set(scores):
        raise ValueError(
            f"costs and scores must be of the same models, got {sorted(costs)} and "
            f"{sorted(scores)}."
        )
    values = {
        name: per_query(ndcg_score, y, of, qid, k=k, offset=offset) for name, of in scores.items()
    }
    reference = next(iter(values.values()))
    return [
        ParetoPoint(
            name,
            kinds.get(name, STUDENT),
            of,
            bootstrap_ratio(of, reference, random_state=random_state),
            costs[name],
        )
        for name, of in values.items()
    ]


def beaten_by_trees(
    points: Sequence[ParetoPoint], random_state: Any, most_time: float = 1.0
) -> dict[str, ParetoPoint]:
    """Find the students that a smaller tree beats.

    A tree beats a student if it takes at most ``most_time`` times as long, and its NDCG is higher
    by more than the 95% interval of a paired bootstrap over queries.

    Returns
    -------
    dict of str to ParetoPoint
        By student, the best tree that beats it.
    """
    found = {}
    for student in points:
        better = [
            tree
            for tree in points
            if student.kind == STUDENT
            and tree.kind in SMALLER
            and tree.cost.seconds <= most_time * student.cost.seconds
            and bootstrap_ratio(tree.values, student.values, random_state=random_state).low > 1
        ]
        if better:
            found[student.name] = max(better, key=lambda tree: tree.quality)
    return found
