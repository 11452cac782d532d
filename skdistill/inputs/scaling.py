"""Scaling of columns and bounding of heavy tails, which networks need and trees do not.

A column becomes ``z = (softsign(x) - shift) * scale``. The softsign is ``x / (half + |x|)``, where
``half`` is a magnitude that one value in a hundred exceeds. It is odd, independent of the column's
unit, nearly linear for the bulk of the column, and bounded by 1. Shift and scale are folded into
the first layer of a model, so that scoring only pays for the softsign, and only if a column has a
heavy tail. ``docs/decisions`` lists the alternatives that were tried.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.rows import BLOCK_ROWS, CHUNK_ROWS

# A heavy tail exceeds so many standard deviations; a million normal values reach 5.
HEAVY_TAIL = 8.0
# Quantile of the non-zero magnitudes that the softsign maps to one half.
BULK = 0.99
# A column has no tail if its largest magnitude is less than so many times the median magnitude.
SHORT_TAIL = 3.0
# A half that exceeds a column's spread by so many bits keeps it linear: float32 has 24 bits.
FAR_OUT = 30


@dataclass(frozen=True)
class ColumnScaler:
    """Softsign, shift and scale of each column.

    Parameters
    ----------
    half : ndarray of shape (n_features,), float32
        Magnitude that the softsign maps to one half; 1 for columns without a softsign.
    has_softsign : ndarray of shape (n_features,), float32
        1 for columns with a softsign, 0 for the others.
    shift, scale : ndarray of shape (n_features,), float32
        Subtracted from each column after the softsign, and then multiplied with it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.inputs import ColumnScaler
    >>> X = np.array([[1.0], [3.0]], dtype=np.float32)
    >>> ColumnScaler.fit(X, squash=True, standardize=True).transform(X)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    half: NDArray[np.float32]
    has_softsign: NDArray[np.float32]
    shift: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, X: Any, squash: bool, standardize: bool) -> ColumnScaler:
        """Determine softsign, shift and scale from a table.

        Dense columns are standardised; a constant column gets scale 0. CSR columns are divided by
        their largest absolute value: centring would fill the matrix, and dividing by the tiny
        standard deviation of a rare one-hot column would make its values huge.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features), float32
            The table, without NaN or infinity.
        squash : bool
            Whether to apply a softsign to columns with a heavy tail.
        standardize : bool
            Whether to bring the columns to one scale. Otherwise shift is 0 and scale is 1.

        Returns
        -------
        ColumnScaler
        """
        n_features = X.shape[1]
        zeros, ones = np.zeros(n_features, np.float32), np.ones(n_features, np.float32)
        half, has_softsign = _heavy_tails(X) if squash else (ones, zeros)
        without_scale = cls(half, has_softsign, zeros, ones)
        if not standardize:
            return without_scale
        if sparse.issparse(X):
            largest = np.asarray(abs(without_scale.softsign(X)).max(axis=0).todense()).ravel()
            largest[largest == 0] = 1
            return cls(half, has_softsign, zeros, (1 / largest).astype(np.float32))
        mean, deviation = _moments(X, without_scale.softsign)
        varies = deviation > 1e-6 * np.abs(mean)
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
        return cls(half, has_softsign, mean.astype(np.float32), scale.astype(np.float32))

    def for_scoring(self) -> ColumnScaler:
        """Return an equal map with a softsign on every column or on none, which is faster.

        A column without a softsign gets a ``half`` so large that the curvature is lost in float32
        rounding. Shift and scale, which are folded into a model, compensate for it.

        Returns
        -------
        ColumnScaler
        """
        if not self.applies_softsign or self.has_softsign.all():
            return self
        spread = np.divide(1, self.scale, out=np.ones_like(self.scale), where=self.scale > 0)
        far = np.exp2(np.ceil(np.log2(spread)) + FAR_OUT).astype(np.float32)
        factor = np.where(self.has_softsign > 0, np.float32(1), far).astype(np.float32)
        return ColumnScaler(
            np.where(self.has_softsign > 0, self.half, far).astype(np.float32),
            np.ones_like(self.has_softsign),
            self.shift / factor,
            self.scale * factor,
        )

    @cached_property
    def _all_have_softsign(self) -> bool:
        """Whether every column has a softsign."""
        return bool(self.has_softsign.all())

    @cached_property
    def applies_softsign(self) -> bool:
        """Whether any column has a softsign."""
        return bool(self.has_softsign.any())

    def softsign(self, X: Any, out: NDArray[np.float32] | None = None) -> Any:
        """Apply the softsign alone, without shift and scale.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features), float32
            Unscaled columns.
        out : ndarray of shape (n_rows, n_features), float32, optional
            Array for the result of a dense X.

        Returns
        -------
        ndarray or CSR matrix of shape (n_rows, n_features), float32
            X itself if no column has a softsign; otherwise a new CSR matrix, or ``out``.
        """
        if not self.applies_softsign:
            return X
        if sparse.issparse(X):
            column = X.indices
            data = X.data / (self.half[column] + self.has_softsign[column] * np.abs(X.data))
            return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
        # Dividing the other columns by 1 is faster than selecting columns.
        out = np.abs(X, out=out)
        if not self._all_have_softsign:
            out *= self.has_softsign
        rows = len(out)
        if rows < BLOCK_ROWS:
            out += self._tiled_half[:rows]
        elif rows % BLOCK_ROWS == 0:
            tiles = out.reshape(-1, BLOCK_ROWS, out.shape[1])
            tiles += self._tiled_half
        else:
            out += self.half
        return np.divide(X, out, out=out)

    @cached_property
    def _tiled_half(self) -> NDArray[np.float32]:
        """``half`` for each row of a block, because adding equal shapes is faster."""
        return np.tile(self.half, (BLOCK_ROWS, 1))

    def fold_layer(self, weights: NDArray[Any], bias: NDArray[Any]) -> tuple[Any, Any]:
        """Fold shift and scale into the first layer of a model.

        The new layer has the same outputs on softsigned, unscaled columns as the given layer has
        on scaled columns.

        Parameters
        ----------
        weights : ndarray of shape (n_features, n_outputs)
            Weights of the first layer.
        bias : ndarray of shape (n_outputs,)
            Bias of the first layer.

        Returns
        -------
        weights : ndarray of shape (n_features, n_outputs)
        bias : ndarray of shape (n_outputs,)
        """
        return weights * self.scale[:, None], bias - (self.shift * self.scale) @ weights

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "bend" in state:  # the name in 0.1.0
            state["has_softsign"] = state.pop("bend")
        self.__dict__.update(state)

    def transform(self, X: Any) -> Any:
        """Apply softsign, shift and scale.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features), float32
            Unscaled columns. It is not changed.

        Returns
        -------
        ndarray or CSR matrix of shape (n_rows, n_features), float32
        """
        bounded = self.softsign(X)
        if sparse.issparse(X):
            scaled = bounded.copy()
            scaled.data *= self.scale[scaled.indices]
            return scaled
        if bounded is X:
            return (X - self.shift) * self.scale
        bounded -= self.shift
        bounded *= self.scale
        return bounded


def _chunks(X: Any) -> Any:
    """Yield consecutive blocks of rows."""
    for start in range(0, X.shape[0], CHUNK_ROWS):
        yield X[start : start + CHUNK_ROWS]


def _moments(X: Any, function: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of a function of the columns, in float64, chunk by chunk."""
    total = sum(function(chunk).sum(axis=0, dtype=np.float64) for chunk in _chunks(X))
    mean = np.asarray(total) / X.shape[0]
    squares = sum(((function(chunk) - mean) ** 2).sum(axis=0) for chunk in _chunks(X))
    return mean, np.sqrt(np.asarray(squares) / X.shape[0])


def _heavy_tails(X: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ``half`` and ``has_softsign`` of each column.

    A column has a heavy tail if values lie many standard deviations from its mean. That is also
    true of a rare 0/1 column, which has no tail because all its non-zero magnitudes are equal.
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
    has_softsign = np.zeros(n_features, dtype=np.float32)
    for column in np.flatnonzero(np.maximum(high - mean, mean - low) > HEAVY_TAIL * deviation):
        if by_column is None:
            values = X[:, column]
        else:
            values = by_column.data[by_column.indptr[column] : by_column.indptr[column + 1]]
        magnitudes = np.abs(values[values != 0])
        if len(magnitudes) and magnitudes.max() > SHORT_TAIL * np.median(magnitudes):
            half[column], has_softsign[column] = np.quantile(magnitudes, BULK), 1
    return half, has_softsign
