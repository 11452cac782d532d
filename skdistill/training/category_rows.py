"""How the weights of categories learn, of which few rows tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CategoryRows:
    """The rows of categories in a wide table, of which a step moves those of its batch.

    Parameters
    ----------
    n_codes : int
        Number of the last rows of each parameter with a row per input: those of categories.
    rate : float
        Factor of the learning rate.
    weight_decay : float
        Decoupled weight decay.
    """

    n_codes: int
    rate: float
    weight_decay: float

    def contains(self, rows: NDArray[np.int64], n_rows: int) -> NDArray[np.bool_]:
        """Whether each of some rows of a parameter, which has ``n_rows``, is that of a category."""
        return rows >= n_rows - self.n_codes
