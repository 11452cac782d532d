"""How much groups differ from each other, beside how much their members do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def variance_ratio(
    squares: float, of_groups: float, n_members: int, weights: NDArray[np.number]
) -> float:
    """Estimate the variance between groups, relative to the variance within them.

    A member of weight w has the mean of its group and noise of variance v / w, as the mean of w
    measurements has. The best linear estimate of the mean of a group with the weight m is
    m / (m + k) of the weighted mean of its members, if the mean of all groups is 0. Here k is the
    inverse of this ratio (Bühlmann and Straub).

    Parameters
    ----------
    squares : float
        Sum over the members of weight times square, about the weighted mean of all. For vectors:
        the sum over their components.
    of_groups : float
        Sum over the groups of weight times square of the weighted mean, about that of all.
    n_members : int
        Number of members.
    weights : ndarray of shape (n_groups,)
        Sum of the weights of the members of each group, all positive.

    Returns
    -------
    float
        By the method of moments. Negative if the means of the groups differ less than the variance
        within them lets expect. 0 if that variance cannot be estimated, because no group has two
        members or the members of each group are alike.

    References
    ----------
    H. Bühlmann, E. Straub, "Glaubwürdigkeit für Schadensätze", Bulletin of the Swiss Association of
    Actuaries 70, 1970.

    Examples
    --------
    Two groups, with the members 3, 1 and -1, -3, all of weight 1:

    >>> import numpy as np
    >>> from skdistill.inputs.variance_components import variance_ratio
    >>> variance_ratio(20.0, 16.0, 4, np.array([2, 2]))
    3.5
    """
    total, n_groups = float(weights.sum()), len(weights)
    n_free = n_members - n_groups
    if n_free <= 0 or n_groups < 2:
        return 0.0
    within = (squares - of_groups) / n_free
    if within <= 0:
        return 0.0
    spread = total - float(np.square(weights, dtype=np.float64).sum()) / total
    return (of_groups - (n_groups - 1) * within) / spread / within
