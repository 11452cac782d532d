"""Columns brought to one scale, heavy tails squashed: what trees never needed and networks do.

``z = (squash(x) - shift) * scale``. The squash is ``arcsinh(gain * x)``: odd, linear near 0,
logarithmic beyond, one vectorised call. Shift and scale are folded into the first layer of a model,
so that scoring pays for the squash alone, and only where a column has a heavy tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# A normal column of a million rows reaches 5 standard deviations.
HEAVY_TAIL = 8.0
# Below this arcsinh bends too little to be worth its time.
LINEAR_ZONE = 3.0
CHUNK = 1 << 16


@dataclass(frozen=True)
class ColumnScaler:
    """Squash and scale of each column.

    Parameters
    ----------
    squashed : ndarray of shape (n_squashed,), int64
        Positions of the columns with a heavy tail.
    gain : ndarray of shape (n_features,), float32, or None
        Factor before the squash, 1 elsewhere; None: 1 everywhere.
    shift, scale : ndarray of shape (n_features,), float32
    """

    squashed: NDArray[np.int64]
    gain: NDArray[np.float32] | None
    shift: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, X: Any, squash: bool, standardize: bool) -> ColumnScaler:
        """Read the columns of a finite float32 table, dense or CSR.

        Dense columns are standardised, a constant one is ignored (scale 0). CSR columns are divided
        by their largest absolute value: centring would fill the matrix, and the standard deviation
        of a rare one-hot column would blow it up.
        """
        n_features = X.shape[1]
        squashed = np.empty(0, dtype=np.int64)
        gain = None
        if squash:
            squashed, gain = _heavy_tails(X)
        without_scale = cls(
            squashed,
            gain,
            np.zeros(n_features, dtype=np.float32),
            np.ones(n_features, dtype=np.float32),
        )
        if not standardize:
            return without_scale
        if sparse.issparse(X):
            largest = np.asarray(abs(without_scale.squash(X)).max(axis=0).todense()).ravel()
            largest[largest == 0] = 1
            return cls(squashed, gain, without_scale.shift, (1 / largest).astype(np.float32))
        mean, deviation = _moments(X, without_scale.squash)
        varies = deviation > 1e-6 * np.abs(mean)
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
        return cls(squashed, gain, mean.astype(np.float32), scale.astype(np.float32))

    def squash(self, X: Any, out: NDArray[np.float32] | None = None) -> Any:
        """The squashed columns of a block, before shift and scale.

        Returns X itself where nothing is to be squashed; else a new CSR matrix, or ``out``.
        """
        if not len(self.squashed):
            return X
        if sparse.issparse(X):
            chosen = np.zeros(X.shape[1], dtype=bool)
            chosen[self.squashed] = True
            data = X.data if self.gain is None else X.data * self.gain[X.indices]
            data = np.where(chosen[X.indices], np.arcsinh(data), X.data)
            return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
        if out is None:
            out = np.empty_like(X)
        source = X if self.gain is None else np.multiply(X, self.gain, out=out)
        n_features = X.shape[1]
        if 2 * len(self.squashed) > n_features:
            # One contiguous call over all columns, then the few that are to stay are put back.
            kept = np.setdiff1d(np.arange(n_features), self.squashed)
            np.arcsinh(source, out=out)
            if len(kept):
                out[:, kept] = X[:, kept]
            return out
        tails = np.arcsinh(np.take(source, self.squashed, axis=1))
        if source is not out:
            np.copyto(out, X)
        out[:, self.squashed] = tails
        return out

    def transform(self, X: Any) -> Any:
        """Squashed, shifted and scaled columns: a new table, what a model is trained on."""
        squashed = self.squash(X)
        if sparse.issparse(X):
            scaled = squashed.copy()
            scaled.data *= self.scale[scaled.indices]
            return scaled
        if squashed is X:
            return (X - self.shift) * self.scale
        squashed -= self.shift
        squashed *= self.scale
        return squashed


def _chunks(X: Any) -> Any:
    for start in range(0, X.shape[0], CHUNK):
        yield X[start : start + CHUNK]


def _moments(X: Any, squash: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of squashed columns, in float64, a chunk of rows at a time."""
    total = sum(squash(chunk).sum(axis=0, dtype=np.float64) for chunk in _chunks(X))
    mean = np.asarray(total) / X.shape[0]
    squares = sum(((squash(chunk) - mean) ** 2).sum(axis=0) for chunk in _chunks(X))
    return mean, np.sqrt(np.asarray(squares) / X.shape[0])


def _heavy_tails(X: Any) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """Columns that reach far beyond their own spread, and the gain each needs.

    The gain brings the median non-zero magnitude of a column below 1 up to 1, where arcsinh begins
    to bend; counts and amounts above 1 are squashed as they are.
    """
    n_features = X.shape[1]
    if sparse.issparse(X):
        n_rows = X.shape[0]
        mean = np.asarray(X.sum(axis=0, dtype=np.float64)).ravel() / n_rows
        square = np.asarray(X.astype(np.float64).power(2).sum(axis=0)).ravel() / n_rows
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        low = X.min(axis=0).toarray().ravel().astype(np.float64)
        high = X.max(axis=0).toarray().ravel().astype(np.float64)
        by_column = X.tocsc()
    else:
        mean, deviation = _moments(X, lambda chunk: chunk)
        low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
        by_column = None
    reach = np.maximum(high - mean, mean - low)
    gain = np.ones(n_features, dtype=np.float32)
    squashed = []
    for column in np.flatnonzero(reach > HEAVY_TAIL * deviation):
        if by_column is None:
            values = np.abs(X[:, column])
        else:
            values = np.abs(by_column.data[by_column.indptr[column] : by_column.indptr[column + 1]])
        values = values[values > 0]
        if not len(values):
            continue
        typical = float(np.median(values))
        factor = 1 / min(typical, 1.0)
        if values.max() * factor > LINEAR_ZONE and values.max() > typical:
            squashed.append(column)
            gain[column] = factor
    return np.asarray(squashed, dtype=np.int64), None if (gain == 1).all() else gain
