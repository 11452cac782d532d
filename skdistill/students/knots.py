"""Students that may cut columns of numbers at knots."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from scipy import sparse

from skdistill._sklearn_compat import Interval
from skdistill.models import Network, PiecewiseNetwork
from skdistill.students.fitted import FittedStudent

KNOTS_CONSTRAINTS = [Interval(Integral, 0, None, closed="left")]


class WithKnots(FittedStudent):
    """Base class of students with the parameter ``n_knots``, which needs a dense table."""

    n_knots: int

    def read_table(self, X: Any, reset: bool) -> Any:
        if self.n_knots and sparse.issparse(X):
            raise ValueError(
                f"n_knots={self.n_knots} needs a dense table, got a CSR matrix. Set n_knots=0, or "
                "pass a data frame with columns of categories."
            )
        return super().read_table(X, reset)

    def _is_ready(self, X: Any) -> bool:
        return super()._is_ready(X) and not (self.n_knots and sparse.issparse(X))

    @property
    def n_codes(self) -> int:
        """Number of codes of categories, which are not cut."""
        return 0 if self.encoder_ is None else self.encoder_.n_codes

    def _in_pieces(self, network: Network) -> Network | PiecewiseNetwork:
        """Put pieces of columns in front of a network if there are knots."""
        return PiecewiseNetwork(network, self.n_knots, self.n_codes) if self.n_knots else network
