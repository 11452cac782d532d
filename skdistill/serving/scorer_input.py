"""Read and check what a compiled scorer is called with: arrays, data frames, dictionaries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import column_names
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.inputs.unknown_categories import columns_without_known, warn_of_unknown
from skdistill.serving.served import Served

Rows = NDArray[np.float32] | NDArray[np.float64]
Codes = NDArray[np.int32]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@dataclass(frozen=True)
class ScorerInput:
    """What a compiled scorer reads.

    Parameters
    ----------
    n_features : int
        Number of numbers of a row.
    n_codes : int
        Number of codes of categories.
    needs_float64 : bool
        Whether float32 rows may lose differences.
    allows_missing : bool
        Whether numbers may be missing.
    encoder : TableEncoder or None
        Reads data frames; None if the model was fitted on an array of numbers.
    """

    n_features: int
    n_codes: int
    needs_float64: bool
    allows_missing: bool
    encoder: TableEncoder | None

    @classmethod
    def of(cls, served: Served) -> ScorerInput:
        """Return what the nets of a model read."""
        net = served.nets[0]
        needs_float64 = any(one.needs_float64 for one in served.nets)
        allows_missing = all(one.allows_missing for one in served.nets)
        return cls(net.n_features, net.n_codes, needs_float64, allows_missing, served.encoder)

    def read(self, X: Any, codes: Codes | None) -> Any:
        """Return rows as an array or a MixedTable, in the precision that the model needs.

        Raises
        ------
        ValueError
            If arrays do not have the shapes and types that a call takes.
        """
        is_table = (
            type(X) is np.ndarray
            and X.dtype in (FLOAT32, FLOAT64)
            and X.ndim == 2
            and X.shape[1] == self.n_features
            and X.flags.c_contiguous
        )
        if is_table and codes is not None:
            return self._with_codes(self._rounded(X), codes)
        if is_table and not self.n_codes:
            return self._rounded(X)
        if column_names(X) is not None and codes is None:
            return self.read_frame(X)
        if codes is None and self._encodes_arrays(X):
            return self.read_frame(X)
        raise self._unfit(X, codes)

    def _encodes_arrays(self, X: Any) -> bool:
        """Whether the model was fitted on an array like X, some of whose columns it encodes."""
        encoder = self.encoder
        if type(X) is not np.ndarray or encoder is None or encoder.reads_only_numbers:
            return False
        return encoder.names is None and X.ndim == 2 and X.shape[1] == len(encoder.kinds)

    def read_frame(self, frame: Any) -> Any:
        """Read a data frame as an array or a MixedTable."""
        return self._known(self._encoder.transform(frame))

    def read_rows(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Read dictionaries as an array or a MixedTable."""
        return self._known(self._encoder.read_rows(rows))

    def _known(self, table: Any) -> Any:
        """Round a table, and check that it holds what the model can score."""
        warn_of_unknown(columns_without_known(self._encoder, table), "model")
        return self._finite(self._rounded(table))

    @property
    def _encoder(self) -> TableEncoder:
        if self.encoder is None:
            raise ValueError(
                "The model was fitted on an array, whose columns have no names. Pass an array, or "
                "fit the model on a data frame."
            )
        return self.encoder

    def _rounded(self, table: Any) -> Any:
        """Round numbers to float32 unless a net needs the digits."""
        dtype = table.dtype if self.needs_float64 and table.dtype == FLOAT64 else FLOAT32
        return table.astype(dtype, copy=False)

    def _finite(self, table: Any) -> Any:
        """Return a table; refuse infinite numbers, and missing ones that the model does not take.

        Arrays are not checked, but who passes a data frame expects what ``predict`` does.
        """
        numbers = table.numbers if isinstance(table, MixedTable) else table
        # A number that is not finite makes the sum so.
        if math.isfinite(numbers.sum(dtype=np.float64)):
            return table
        bad = np.isinf(numbers) if self.allows_missing else ~np.isfinite(numbers)
        if not bad.any():
            return table
        row, column = np.argwhere(bad)[0]
        name = self._encoder.number_names[column]
        raise ValueError(
            f"Row {row} of column {name!r} is {numbers[row, column]}, but the model takes finite "
            f"numbers{' or missing ones' if self.allows_missing else ''}."
        )

    def _with_codes(self, X: Rows, codes: Codes) -> Any:
        """Join numbers and codes, which must be in range: they are addresses in memory."""
        n_categorical = 0 if self.encoder is None else len(self.encoder.categories)
        if type(codes) is not np.ndarray or codes.shape != (len(X), n_categorical):
            raise self._unfit(X, codes)
        if not n_categorical:
            return X
        if codes.dtype.kind not in "iu" or (
            codes.size and not (codes.min() >= 0 and codes.max() < self.n_codes)
        ):
            raise ValueError(
                f"codes must be integers from 0 to {self.n_codes - 1}, as scorer.encode returns "
                "them."
            )
        return MixedTable(X, np.ascontiguousarray(codes, dtype=np.int32), self.n_codes)

    def _unfit(self, X: Any, codes: Any) -> ValueError:
        """Make the error about rows that cannot be scored."""
        if getattr(X, "ndim", 2) == 1:
            return ValueError(
                f"A compiled scorer takes a table of rows, got a {type(X).__name__} of one "
                "dimension. Pass one row as a table, such as frame.iloc[[0]] or X[[0]]."
            )
        if self.n_codes and codes is None and isinstance(X, np.ndarray):
            return ValueError(
                "The model reads categories, which an array of numbers does not hold. Pass a data "
                "frame, dictionaries to scorer.rows, or both arrays that scorer.encode returns."
            )
        if isinstance(X, dict) or (isinstance(X, list) and X and isinstance(X[0], Mapping)):
            return ValueError(
                f"A compiled scorer takes an array or a data frame, got a {type(X).__name__}. Pass "
                "a list of dictionaries to scorer.rows."
            )
        shown = f"{X.dtype} of shape {X.shape}" if hasattr(X, "dtype") else type(X).__name__
        if codes is not None:
            shown += f" and codes of shape {np.shape(codes)}"
        return ValueError(
            f"A compiled scorer takes a C-contiguous float32 or float64 array of shape "
            f"(n_rows, {self.n_features}), got {shown}. Convert it by np.ascontiguousarray(X, "
            "dtype=np.float32)."
        )
