"""Learning rates and weight decay of the weights of categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class CategoryRows:
    """The rows of parameters that belong to categories: the last ones.

    Parameters
    ----------
    names : tuple of str
        Names of the parameters with a row per input.
    rates : ndarray of shape (n_codes,), float64
        Factor of the learning rate of each category.
    weight_decay : float
        Decoupled weight decay.
    """

    names: tuple[str, ...]
    rates: NDArray[np.float64]
    weight_decay: float

    def contains(self, rows: NDArray[np.int64], n_rows: int) -> NDArray[np.bool_]:
        """Whether rows of a parameter with ``n_rows`` rows belong to categories."""
        return rows >= n_rows - len(self.rates)

    def rates_of(self, rows: NDArray[np.int64], n_rows: int) -> NDArray[np.float64]:
        """Factors of the learning rate of rows of a parameter with ``n_rows`` rows."""
        code = rows - (n_rows - len(self.rates))
        return np.where(code >= 0, self.rates[np.maximum(code, 0)], 1.0)
