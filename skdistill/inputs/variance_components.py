"""How much groups differ from each other, beside how much their members do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def variance_ratio(squares: float, of_sums: float, counts: NDArray[np.int64]) -> float:
    """Estimate the variance between groups, relative to the variance within them.

    The best estimate of the effect of a group of n members is n / (n + k) of their mean, where k is
    the inverse of this ratio (Bühlmann).

    Parameters
    ----------
    squares : float
        Sum of the squares of all members, whose mean is 0. For vectors: of all their components.
    of_sums : float
        Sum over the groups of the square of the sum of their members, divided by their number.
    counts : ndarray of shape (n_groups,), int64
        Number of members of each group, at least 1.

    Returns
    -------
    float
        By the method of moments (Henderson). Negative if members of one group differ more than
        those of several; 0 if no group has two members, or all members are alike.

    References
    ----------
    H. Bühlmann, "Experience Rating and Credibility", ASTIN Bulletin 4, 1967.

    C. R. Henderson, "Estimation of Variance and Covariance Components", Biometrics 9, 1953.

    Examples
    --------
    Two groups, with the members 3, 1 and -1, -3:

    >>> import numpy as np
    >>> from skdistill.inputs.variance_components import variance_ratio
    >>> variance_ratio(20.0, 16.0, np.array([2, 2]))
    3.5
    """
    n_members, n_groups = int(counts.sum()), len(counts)
    n_free = n_members - n_groups
    spread = n_members - float(np.square(counts, dtype=np.float64).sum()) / max(n_members, 1)
    within = (squares - of_sums) / max(n_free, 1)
    if within <= 0 or spread <= 0:
        return 0.0
    return (of_sums - (n_groups - 1) * within) / spread / within
