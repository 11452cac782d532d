"""Statistics of a table's columns: moments, origins of those far from 0, and heavy tails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.rows import chunks_of_rows

# A heavy tail exceeds so many standard deviations; a million normal values reach 5.
HEAVY_TAIL = 8.0
# Quantile of the non-zero magnitudes that the softsign maps to one half.
BULK = 0.99
# A column has no tail if its largest magnitude is less than so many times the median magnitude.
SHORT_TAIL = 3.0
# Values whose softsign has a greater kurtosis are crowded at 0. The normal distribution has 3, and
# counts of MovieLens have 4 to 7.
CROWDED = 8.0
# Quantile of the non-zero magnitudes that the softsign of their second view maps to one half, for
# values of one sign and of two.
TYPICAL, TYPICAL_OF_TWO_SIGNS = 0.5, 0.75
# A column lies far from 0 if its mean is so many times its standard deviation. Nearer to 0, the
# shift can be folded into a model without losing precision.
FAR_FROM_ZERO = 4.0
# A deviation of less than so many roundings of the mean is noise.
ROUNDINGS = 8
# A half that exceeds a column's spread by so many bits keeps it linear: float32 has 24 bits.
FAR_OUT = 30
# The largest exponent of such a half in float32, and the deviation up to which a column is linear.
LARGEST_EXPONENT = 127
LARGEST_LINEAR = 2.0 ** (LARGEST_EXPONENT - FAR_OUT)


def columns_with_missing(X: NDArray[Any]) -> NDArray[np.int64]:
    """Return the columns that hold NaN, in ascending order."""
    is_missing = np.zeros(X.shape[1], dtype=bool)
    for rows in chunks_of_rows(X):
        chunk = X[rows]
        # NaN in any cell makes the sum NaN, and so may infinite sums.
        with np.errstate(over="ignore", invalid="ignore"):
            may_have_missing = np.isnan(chunk.sum())
        if may_have_missing:
            is_missing |= np.isnan(chunk).any(axis=0)
    return np.flatnonzero(is_missing)


def varies(values: NDArray[Any]) -> bool:
    """Whether values that are not missing differ."""
    present = values[~np.isnan(values)]
    return bool((present != present[:1]).any())


def moments(
    X: NDArray[Any],
    function: Any,
    has_missing: bool,
    sources: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of a function of the columns, in float64, chunk by chunk.

    Missing values are left out. A column of nothing else has mean and deviation 0. With
    ``sources``, the function takes these columns.
    """

    def total(of_chunk: Any) -> NDArray[np.float64]:
        sums = 0.0
        for rows in chunks_of_rows(X):
            chunk = X[rows] if sources is None else X[rows].take(sources, axis=1)
            present = ~np.isnan(chunk) if has_missing else True
            sums = sums + of_chunk(chunk).sum(axis=0, dtype=np.float64, where=present)
        return np.asarray(sums)

    n_present = np.maximum(total(np.ones_like), 1) if has_missing else X.shape[0]
    mean = total(function) / n_present
    return mean, np.sqrt(total(lambda chunk: (function(chunk) - mean) ** 2) / n_present)


@dataclass(frozen=True)
class ColumnStatistics:
    """Statistics of a table's columns, and access to their values.

    Parameters
    ----------
    by_column : ndarray or CSC matrix of shape (n_rows, n_features)
        The table.
    mean, deviation, low, high : ndarray of shape (n_features,), float64
        Mean, standard deviation, least and largest value of each column.
    """

    by_column: Any
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, X: Any, has_missing: bool) -> ColumnStatistics:
        """Compute the statistics of a dense table, which may have missing values, or of CSR."""
        if not sparse.issparse(X):
            mean, deviation = moments(X, lambda chunk: chunk, has_missing)
            # They ignore NaN in columns with other values.
            low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
            return cls(X, mean, deviation, low.astype(np.float64), high.astype(np.float64))
        n_rows = X.shape[0]
        mean = np.asarray(X.sum(axis=0, dtype=np.float64)).ravel() / n_rows
        square = np.asarray(X.astype(np.float64).power(2).sum(axis=0)).ravel() / n_rows
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        by_column = X.tocsc()
        # The difference of squares is exact enough unless a column lies far from 0.
        for column in np.flatnonzero(np.diff(by_column.indptr) == n_rows):
            start, stop = by_column.indptr[column : column + 2]
            deviation[column] = by_column.data[start:stop].std(dtype=np.float64)
        low = X.min(axis=0).toarray().ravel().astype(np.float64)
        high = X.max(axis=0).toarray().ravel().astype(np.float64)
        return cls(by_column, mean, deviation, low, high)

    def stored(self, column: np.integer) -> NDArray[Any]:
        """Return the values of a column that are not missing; of a CSC matrix, those stored."""
        if not sparse.issparse(self.by_column):
            values = self.by_column[:, column]
            return values[~np.isnan(values)]
        start, stop = self.by_column.indptr[column : column + 2]
        return self.by_column.data[start:stop]

    def origin(self) -> NDArray[np.float64]:
        """Choose the origin of each column: its median, exact in float32, if it is far from 0."""
        n_rows, n_features = self.by_column.shape
        size = np.abs(self.mean)
        rounding = ROUNDINGS * np.finfo(self.by_column.dtype).eps * size
        is_far = (size > FAR_FROM_ZERO * self.deviation) & (self.deviation > rounding)
        origin = np.zeros(n_features)
        for column in np.flatnonzero(is_far):
            values = self.stored(column)
            # A column with implicit zeros would be filled by another origin than 0.
            if not sparse.issparse(self.by_column) or len(values) == n_rows:
                origin[column] = np.float32(np.median(values))
        return origin

    def heavy_tails(
        self, origin: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64] | None]:
        """Return ``half``, ``has_softsign`` and column of each view, measured from its origin.

        A column has a heavy tail if values lie many standard deviations from its mean. That is also
        true of a rare 0/1 column, which has no tail because all its non-zero magnitudes are equal.

        Each column has a view. If its softsign crowds the values of a dense column at 0, a second
        view that tells these apart follows after those of all columns. The columns of the views
        are None if no column has two. CSR columns have one: gathering them would make a further
        matrix of each block of rows.
        """
        half = np.ones(len(origin), dtype=np.float32)
        has_softsign = np.zeros(len(origin), dtype=np.float32)
        reach = np.maximum(self.high - self.mean, self.mean - self.low)
        is_huge = self.deviation > LARGEST_LINEAR
        may_have_tail = (reach > HEAVY_TAIL * self.deviation) & self._varies_in_size()
        crowded: list[int] = []
        typical: list[float] = []
        for column in np.flatnonzero(may_have_tail | is_huge):
            values = self.stored(column)
            if origin[column]:
                values = values - origin[column]
            values = values[values != 0]
            magnitudes = np.abs(values)
            has_tail = len(magnitudes) and magnitudes.max() > SHORT_TAIL * np.median(magnitudes)
            if has_tail or is_huge[column]:
                # NumPy 2.0 would interpolate between float32 values in float32.
                half[column] = np.quantile(magnitudes.astype(np.float64), BULK)
                has_softsign[column] = 1
                if sparse.issparse(self.by_column):
                    continue
                second = _typical_magnitude(values.astype(np.float64), float(half[column]))
                if second is not None:
                    crowded.append(int(column))
                    typical.append(second)
        if not crowded:
            return half, has_softsign, None
        return (
            np.append(half, np.array(typical, dtype=np.float32)),
            np.append(has_softsign, np.ones(len(crowded), dtype=np.float32)),
            np.append(np.arange(len(origin)), np.array(crowded)),
        )

    def _varies_in_size(self) -> NDArray[np.bool_]:
        """Whether the largest magnitude may exceed the median of the stored ones by far.

        Of a CSC matrix, the median is at least the smallest. This spares the many one-hot columns
        of ids a median each.
        """
        if not sparse.issparse(self.by_column):
            return np.ones(len(self.mean), dtype=bool)
        sizes = np.diff(self.by_column.indptr)
        magnitudes = np.abs(self.by_column.data)
        varies = np.zeros(len(sizes), dtype=bool)
        filled = np.flatnonzero(sizes)
        if len(filled):
            starts = self.by_column.indptr[filled]
            largest = np.maximum.reduceat(magnitudes, starts)
            nonzero = np.where(magnitudes > 0, magnitudes, np.inf)
            varies[filled] = largest > SHORT_TAIL * np.minimum.reduceat(nonzero, starts)
        return varies


def _typical_magnitude(values: NDArray[np.float64], half: float) -> float | None:
    """Return the ``half`` of a second view of non-zero values; None if one view is enough."""
    bounded = values / (half + np.abs(values))
    bounded -= bounded.mean()
    if np.mean(bounded**4) <= CROWDED * np.mean(bounded**2) ** 2:
        return None
    has_two_signs = values.min() < 0 < values.max()
    typical = float(np.quantile(np.abs(values), TYPICAL_OF_TWO_SIGNS if has_two_signs else TYPICAL))
    # A view that bends at almost the same magnitude would tell nothing new.
    return typical if half > SHORT_TAIL * typical else None
