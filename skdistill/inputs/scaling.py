"""Scaling of columns and bounding of heavy tails, which networks need and trees do not.

A column becomes ``z = (softsign(x - origin) - shift) * scale``. The origin is 0 unless the column
lies far from 0, such as a time: float32 would lose the differences between its values, so it is
centred in float64 before it is cast. The softsign is ``x / (half + |x|)``, where ``half`` is a
magnitude that one value in a hundred exceeds. It is odd, independent of the column's unit, nearly
linear for the bulk of the column, and bounded by 1. If that crowds the bulk at 0, the column has a
second view, after all columns, whose ``half`` is a typical magnitude: the first view tells the
large values apart, the second the common ones. Shift and scale are folded into the first layer of
a model, so that scoring only pays for softsigns. A missing value becomes 0, the mean. After the
views follow flags, 1 where a value is missing, for the columns in which ``fit`` saw missing values.
``docs/decisions`` lists the alternatives that were tried.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.canonical_csr import centred_csr
from skdistill.inputs.column_statistics import (
    FAR_OUT,
    LARGEST_EXPONENT,
    ROUNDINGS,
    ColumnStatistics,
    columns_with_missing,
    moments,
    varies,
)
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.products import BLOCK_ROWS


@dataclass(frozen=True)
class ColumnScaler:
    """Origin, softsign, shift and scale of each column.

    Each column has a view. After these follow the second views of columns with a very heavy tail.

    Parameters
    ----------
    half : ndarray of shape (n_views,), float32
        Magnitude that the softsign maps to one half; 1 for views without a softsign.
    has_softsign : ndarray of shape (n_views,), float32
        1 for views with a softsign, 0 for the others.
    shift, scale : ndarray of shape (n_views,), float32
        Subtracted from each view after the softsign, and then multiplied with it.
    origin : ndarray of shape (n_views,), float64, or None
        Subtracted from each view before the softsign; 0 for columns that do not lie far from 0.
        None if no column does. The values are exact in float32.
    flagged : ndarray of shape (n_flagged,), int64, or None
        Columns that get a flag. None if no missing value is accepted.
    sources : ndarray of shape (n_views,), int64, or None
        Column of each view. None if each column has one.

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
    origin: NDArray[np.float64] | None = None
    flagged: NDArray[np.int64] | None = None
    sources: NDArray[np.int64] | None = None

    @classmethod
    def fit(
        cls,
        X: Any,
        squash: bool,
        standardize: bool,
        fills_missing: bool = False,
        flaggable: NDArray[np.int64] | None = None,
    ) -> ColumnScaler:
        """Determine origin, softsign, shift and scale from a table.

        Dense columns are standardised; a constant column gets scale 0. CSR columns are divided by
        their largest absolute value: centring would fill the matrix, and dividing by the tiny
        standard deviation of a rare one-hot column would make its values huge. Only a CSR column
        that is full anyway can get an origin.

        Parameters
        ----------
        X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features), float32 or float64
            The table, without infinity. Only dense numbers may be missing (NaN).
        squash : bool
            Whether to apply a softsign to columns with a heavy tail.
        standardize : bool
            Whether to bring the columns to one scale. Otherwise origin and shift are 0 and scale
            is 1.
        fills_missing : bool, default=False
            Whether dense numbers may be missing later although none is missing in X. Those of a
            MixedTable always may.
        flaggable : ndarray of int64 or None, default=None
            Columns that may get a flag; None for all. Numbers that are missing together, such as
            those of a date, share the flag of the first.

        Returns
        -------
        ColumnScaler
        """
        is_mixed = isinstance(X, MixedTable)
        X = X.numbers if is_mixed else X
        n_features = X.shape[1]
        zeros, ones = np.zeros(n_features, np.float32), np.ones(n_features, np.float32)
        flagged = None if sparse.issparse(X) else columns_with_missing(X)
        if flagged is not None and not (is_mixed or fills_missing or len(flagged)):
            flagged = None
        if flagged is not None and flaggable is not None:
            flagged = flagged[np.isin(flagged, flaggable)]
        if not (squash or standardize) or not n_features:
            return cls(ones, zeros, zeros, ones, flagged=flagged)
        has_missing = flagged is not None and len(flagged) > 0
        columns = ColumnStatistics.of(X, has_missing)
        origin = columns.origin() if standardize else np.zeros(n_features)
        half, has_softsign, sources = ones, zeros, None
        if squash:
            half, has_softsign, sources = columns.heavy_tails(origin)
            origin = origin if sources is None else origin[sources]
        without_scale = cls(
            *(half, has_softsign, np.zeros_like(half), np.ones_like(half)),
            origin=origin if origin.any() else None,
            flagged=flagged,
            sources=sources,
        )
        if not standardize:
            return without_scale
        if sparse.issparse(X):
            largest = np.asarray(abs(without_scale.softsign(X)).max(axis=0).todense()).ravel()
            return replace(without_scale, scale=_inverse(largest, largest > 0, absent=1))
        mean, deviation = moments(X, without_scale.bound, has_missing, sources)
        is_exact = deviation > ROUNDINGS * np.finfo(np.float32).eps * np.abs(mean)
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=is_exact)
        return replace(without_scale, shift=mean.astype(np.float32), scale=scale.astype(np.float32))

    def lost_columns(self, X: NDArray[Any]) -> list[int]:
        """Find the columns of the fitted table that vary, but too little to be scaled.

        Parameters
        ----------
        X : ndarray or MixedTable of shape (n_rows, n_features)
            The dense table that the scaler was fitted on.

        Returns
        -------
        list of int
            Columns with scale 0 whose values, without missing ones, are not all the same.
        """
        numbers = X.numbers if isinstance(X, MixedTable) else X
        flat = np.flatnonzero(self.scale[: self.n_columns] == 0).tolist()
        return [column for column in flat if varies(numbers[:, column])]

    def for_scoring(self) -> ColumnScaler:
        """Return an equal map with a softsign on every column or on none, which is faster.

        A column without a softsign gets a ``half`` so large that the curvature is lost in float32
        rounding. Shift and scale, which are folded into a model, compensate for it.

        Returns
        -------
        ColumnScaler
        """
        if not self.applies_softsign or self.has_softsign.all() or (self.scale == 1).all():
            # Scales of 1 do not tell how large the values of a column are.
            return self
        spread = np.divide(1, self.scale, out=np.ones_like(self.scale), where=self.scale > 0)
        exponent = np.minimum(np.ceil(np.log2(spread)) + FAR_OUT, LARGEST_EXPONENT)
        far = np.exp2(exponent).astype(np.float32)
        factor = np.where(self.has_softsign > 0, np.float32(1), far).astype(np.float32)
        return replace(
            self,
            half=np.where(self.has_softsign > 0, self.half, far).astype(np.float32),
            has_softsign=np.ones_like(self.has_softsign),
            shift=self.shift / factor,
            scale=self.scale * factor,
        )

    @cached_property
    def _all_have_softsign(self) -> bool:
        """Whether every column has a softsign."""
        return bool(self.has_softsign.all())

    @cached_property
    def applies_softsign(self) -> bool:
        """Whether any column has a softsign."""
        return bool(self.has_softsign.any())

    def centre(self, X: Any, out: NDArray[np.float32] | None = None) -> Any:
        """Subtract the origin, in the precision of X, and cast to float32.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_views), float32 or float64
            The unscaled column of each view.
        out : ndarray of shape (n_rows, n_views), float32, optional
            Array for the result of a dense X.

        Returns
        -------
        ndarray or CSR matrix of shape (n_rows, n_views), float32
            X itself if it is float32 and there is no origin.
        """
        if self.origin is None:
            return X.astype(np.float32, copy=False)
        if sparse.issparse(X):
            return centred_csr(X, self.origin)
        if out is None:
            out = np.empty(X.shape, dtype=np.float32)
        return np.subtract(X, self._origin_as[X.dtype], out=out, casting="same_kind")

    @cached_property
    def _origin_as(self) -> dict[Any, NDArray[Any]]:
        assert self.origin is not None  # centre returns early
        return {np.dtype(kind): self.origin.astype(kind) for kind in (np.float32, np.float64)}

    @property
    def n_columns(self) -> int:
        """Number of columns of the table."""
        return len(self.scale) if self.sources is None else int(self.sources.max()) + 1

    @property
    def of_views(self) -> ColumnScaler:
        """The scaler of a table whose columns are the views, which ``sources`` picks."""
        return self if self.sources is None else replace(self, sources=None)

    @property
    def n_outputs(self) -> int:
        """Number of views and flags."""
        return len(self.scale) + (0 if self.flagged is None else len(self.flagged))

    def softsign(self, X: Any, out: NDArray[np.float32] | None = None) -> Any:
        """Subtract the origin, apply the softsign, and flag missing values; do not scale.

        Parameters
        ----------
        X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features), float32 or float64
            Unscaled columns.
        out : ndarray of shape (n_rows, n_outputs), float32, optional
            Array for the dense columns of the result.

        Returns
        -------
        ndarray, MixedTable or CSR matrix of shape (n_rows, n_outputs), float32
            X itself if it is float32 and nothing is to be done; otherwise a new table or matrix, or
            ``out``. Missing values are what ``shift`` and ``scale`` map to 0.
        """
        if isinstance(X, MixedTable):
            return X.with_numbers(self.softsign(X.numbers, out))
        if self.sources is not None:
            X = X[:, self.sources] if sparse.issparse(X) else X.take(self.sources, axis=1)
        if self.flagged is None:
            return self.bound(X, out)
        if out is None:
            out = np.empty((len(X), self.n_outputs), dtype=np.float32)
        missing = np.isnan(X)
        columns = out[:, : X.shape[1]]
        columns[...] = self.bound(X)
        np.copyto(columns, self.shift, where=missing)
        out[:, X.shape[1] :] = missing[:, self.flagged]
        return out

    def bound(self, X: Any, out: NDArray[np.float32] | None = None) -> Any:
        """Subtract the origin and apply the softsign; NaN stays NaN.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_views), float32 or float64
            The unscaled column of each view.
        out : ndarray of shape (n_rows, n_views), float32, optional
            Array for the result of a dense X.

        Returns
        -------
        ndarray or CSR matrix of shape (n_rows, n_views), float32
        """
        if not self.applies_softsign:
            return self.centre(X, out)
        X = self.centre(X)
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

        The new layer has the same outputs on what ``softsign`` returns as the given layer has on
        scaled columns.

        Parameters
        ----------
        weights : ndarray of shape (n_inputs, n_outputs)
            Weights of the first layer. The rows after those of the scaled columns, for flags and
            categories, stay the same.
        bias : ndarray of shape (n_outputs,)
            Bias of the first layer.

        Returns
        -------
        weights : ndarray of shape (n_inputs, n_outputs)
        bias : ndarray of shape (n_outputs,)
        """
        _, scale = self.shift_and_scale(len(weights))
        moved = (self.shift * self.scale) @ weights[: len(self.scale)]
        return weights * scale[:, None], bias - moved

    def shift_and_scale(self, n_inputs: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return shift and scale of all inputs of a model.

        Parameters
        ----------
        n_inputs : int
            Number of columns, flags and codes.

        Returns
        -------
        shift, scale : ndarray of shape (n_inputs,), float32
            0 and 1 after the scaled columns.
        """
        n_more = n_inputs - len(self.scale)
        if not n_more:
            return self.shift, self.scale
        return (
            np.append(self.shift, np.zeros(n_more, np.float32)),
            np.append(self.scale, np.ones(n_more, np.float32)),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "bend" in state:  # the name in 0.1.0
            state["has_softsign"] = state.pop("bend")
        # Files of 0.1.0 have none of them.
        self.__dict__.update({"origin": None, "flagged": None, "sources": None} | state)

    def transform(self, X: Any) -> Any:
        """Apply origin, softsign, shift and scale, and flag missing values.

        Parameters
        ----------
        X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features), float32 or float64
            Unscaled columns. It is not changed.

        Returns
        -------
        ndarray, MixedTable or CSR matrix of shape (n_rows, n_outputs), float32
        """
        if isinstance(X, MixedTable):
            return X.with_numbers(self.transform(X.numbers))
        bounded = self.softsign(X)
        if sparse.issparse(X):
            scaled = bounded.copy()
            scaled.data *= self.scale[scaled.indices]
            return scaled
        if bounded is X:
            bounded = X - self.shift
        else:
            bounded[:, : len(self.scale)] -= self.shift
        # In place: a product of its own would be a third table in memory.
        bounded[:, : len(self.scale)] *= self.scale
        return bounded


def _inverse(values: NDArray[Any], where: NDArray[np.bool_], absent: float) -> NDArray[np.float32]:
    """Return 1 / values, or ``absent`` elsewhere and where float32 cannot hold the result."""
    where = where & (values > 1 / np.finfo(np.float32).max)
    inverse = np.full(len(values), absent, dtype=np.float64)
    return np.divide(1, values, out=inverse, where=where).astype(np.float32)
