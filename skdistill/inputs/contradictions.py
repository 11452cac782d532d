"""Tell whether a teacher's scores and the labels of the same rows contradict each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.user_warnings import warn_user

# A correlation is told from 0 if it is so many standard errors away from it, and a standard error
# of so much suffices to say that there is none.
DEVIATIONS, LARGEST_ERROR = 4, 0.02


def warn_of_contradiction(data: RankingData, compares_rows: bool, uses_labels: bool) -> None:
    """Warn if a teacher's scores order rows against their labels, or if one of them has no order.

    Parameters
    ----------
    data : RankingData
        What a student is trained on. Nothing is compared if there are labels of several objectives,
        or an offset, which is added to the scores.
    compares_rows : bool
        Whether rows are compared within their queries only.
    uses_labels : bool
        Whether the student learns from the labels too, so that it matters if they have no order.
    """
    labels, scores = data.labels, data.teacher_scores
    if labels is None or scores is None or labels.ndim > 1 or data.offset is not None:
        return
    is_known = np.isfinite(labels)
    if not is_known.any():
        return
    lists = data.queries.subset(is_known) if compares_rows else Queries.single(is_known.sum())
    if (lists.max(labels[is_known]) == lists.min(labels[is_known])).all():
        if uses_labels and compares_rows:
            warn_user(
                "No query has two rows with different labels, so the student learns from the "
                "teacher alone. Check y, or leave it out."
            )
        return
    labels, scores = (_without_means(values[is_known], lists) for values in (labels, scores))
    scale = lists.spread(np.sqrt(lists.mean(scores**2)))
    scores = np.divide(scores, scale, out=np.zeros_like(scores), where=scale > 0)
    products = labels * scores
    total = float(products.sum())
    error = float(np.linalg.norm(lists.sum(products) if lists.n_queries > 1 else products))
    size = float(np.linalg.norm(labels) * np.linalg.norm(scores))
    if total < -DEVIATIONS * error:
        warn_user(
            "The teacher's scores order the rows against the labels, with a correlation of "
            f"{total / size:.2f}. Higher labels and higher scores must mean better rows. If one of "
            "them holds ranks or distances, negate it."
        )
    elif total < DEVIATIONS * error < DEVIATIONS * LARGEST_ERROR * size:
        warn_user(
            "The teacher's scores agree with the labels no better than chance: their "
            f"correlation is {total / size:.3f}. Are y, or teacher_scores, in another order than "
            "the rows of X? Do the columns of X hold what the teacher was trained on?"
        )


def _without_means(values: NDArray[np.float64], lists: Queries) -> NDArray[np.float64]:
    return values - lists.spread(lists.mean(values))
