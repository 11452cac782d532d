"""Columns brought to one scale, heavy tails squashed: what trees never needed and networks do.

``z = (squash(x) - shift) * scale``. The squash is ``x / (half + |x|)``, where ``half`` is a
magnitude that one row in a hundred exceeds: odd, free of the column's unit, nearly linear for the
body of the column, and no outlier can stand out by more than the body's width. Shift and scale are
folded into the first layer of a model, so that scoring pays for the squash alone, and only where a
column has a heavy tail.

Rejected: ``arcsinh`` and ``log1p`` are logarithmic at the far end, but NumPy vectorises them only
on some processors (70 and 7 times the time of this squash on one with AVX2), and they depend on a
column's unit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# A normal column of a million rows reaches 5 standard deviations.
HEAVY_TAIL = 8.0
# Share of the non-zero magnitudes that is the body of a column; by cross-validation on
# MovieLens' training users the median does no better (0.6043 both; no squash at all 0.6032).
BODY = 0.99
# A column whose largest magnitude is less than so many times its typical one has no tail.
SHORT_TAIL = 3.0
CHUNK = 1 << 16
# Rows for which halves stand ready, as many as are scored at once: to add two arrays of one shape
# takes 40% of the time of adding a row to each row.
TILE = 448
# Binary places between a straight column's spread and the half of its bend: more than float32 has.
FAR_OUT = 30


@dataclass(frozen=True)
class ColumnScaler:
    """Squash and scale of each column.

    Parameters
    ----------
    half : ndarray of shape (n_features,), float32
        Magnitude that is squashed to one half; 1 for columns that are left alone.
    bend : ndarray of shape (n_features,), float32
        1 for the columns that are squashed, 0 for the others.
    shift, scale : ndarray of shape (n_features,), float32
    """

    half: NDArray[np.float32]
    bend: NDArray[np.float32]
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
        zeros, ones = np.zeros(n_features, np.float32), np.ones(n_features, np.float32)
        half, bend = _heavy_tails(X) if squash else (ones, zeros)
        without_scale = cls(half, bend, zeros, ones)
        if not standardize:
            return without_scale
        if sparse.issparse(X):
            largest = np.asarray(abs(without_scale.squash(X)).max(axis=0).todense()).ravel()
            largest[largest == 0] = 1
            return cls(half, bend, zeros, (1 / largest).astype(np.float32))
        mean, deviation = _moments(X, without_scale.squash)
        varies = deviation > 1e-6 * np.abs(mean)
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
        return cls(half, bend, mean.astype(np.float32), scale.astype(np.float32))

    def for_scoring(self) -> ColumnScaler:
        """The same map with every column bent, or none: a pass less over each block.

        The half of a column that is to stay straight is so far out that float32 does not see the
        bend; shift and scale, which are folded into a model, make up for it.
        """
        if not self.squashes or self.bend.all():
            return self
        spread = np.divide(1, self.scale, out=np.ones_like(self.scale), where=self.scale > 0)
        far = np.exp2(np.ceil(np.log2(spread)) + FAR_OUT).astype(np.float32)
        factor = np.where(self.bend > 0, np.float32(1), far).astype(np.float32)
        return ColumnScaler(
            np.where(self.bend > 0, self.half, far).astype(np.float32),
            np.ones_like(self.bend),
            self.shift / factor,
            self.scale * factor,
        )

    @cached_property
    def _bends_all(self) -> bool:
        return bool(self.bend.all())

    @cached_property
    def squashes(self) -> bool:
        """Whether any column is squashed."""
        return bool(self.bend.any())

    def squash(self, X: Any, out: NDArray[np.float32] | None = None) -> Any:
        """The squashed columns of a block, before shift and scale.

        Returns X itself where nothing is to be squashed; else a new CSR matrix, or ``out``.
        """
        if not self.squashes:
            return X
        if sparse.issparse(X):
            column = X.indices
            data = X.data / (self.half[column] + self.bend[column] * np.abs(X.data))
            return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
        # Columns left alone are divided by 1: four passes over all beat picking columns out.
        out = np.abs(X, out=out)
        if not self._bends_all:
            out *= self.bend
        rows = len(out)
        if rows < TILE:
            out += self._tiled_half[:rows]
        elif rows % TILE == 0:
            tiles = out.reshape(-1, TILE, out.shape[1])
            tiles += self._tiled_half
        else:
            out += self.half
        return np.divide(X, out, out=out)

    @cached_property
    def _tiled_half(self) -> NDArray[np.float32]:
        return np.tile(self.half, (TILE, 1))

    def __getstate__(self) -> dict[str, Any]:
        return {own.name: getattr(self, own.name) for own in fields(self)}

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


def _heavy_tails(X: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``half`` and ``bend`` of each column: those that reach far beyond their spread are squashed.

    ``half`` is a high quantile of the non-zero magnitudes. A rare 0/1 column reaches far too, but
    has no tail: all its magnitudes are the typical one.
    """
    n_features = X.shape[1]
    by_column = X.tocsc() if sparse.issparse(X) else None
    if by_column is None:
        mean, deviation = _moments(X, lambda chunk: chunk)
        low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
    else:
        n_rows = X.shape[0]
        mean = np.asarray(X.sum(axis=0, dtype=np.float64)).ravel() / n_rows
        square = np.asarray(X.astype(np.float64).power(2).sum(axis=0)).ravel() / n_rows
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        low = X.min(axis=0).toarray().ravel().astype(np.float64)
        high = X.max(axis=0).toarray().ravel().astype(np.float64)
    half = np.ones(n_features, dtype=np.float32)
    bend = np.zeros(n_features, dtype=np.float32)
    for column in np.flatnonzero(np.maximum(high - mean, mean - low) > HEAVY_TAIL * deviation):
        if by_column is None:
            values = X[:, column]
        else:
            values = by_column.data[by_column.indptr[column] : by_column.indptr[column + 1]]
        magnitudes = np.abs(values[values != 0])
        if len(magnitudes) and magnitudes.max() > SHORT_TAIL * np.median(magnitudes):
            half[column], bend[column] = np.quantile(magnitudes, BODY), 1
    return half, bend
