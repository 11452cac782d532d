"""Fast scoring with fitted parameters: folded arrays, and blocks of rows that stay in cache."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.checks import LARGEST
from skdistill.inputs.products import BLOCK_ROWS
from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols import Parameters, ScoringModel

# In float32 products, the last bits of a row depend on its place in the block. Requests of up to
# SHORT rows are computed in float64, so that a row's score does not depend on the other rows or on
# their order. That costs nothing there, because overhead dominates arithmetic.
SHORT = 32
# Parameters of more numbers, such as embeddings of a million ids, are not kept in float64 as well.
LARGEST_COPY = 1 << 22


@dataclass(frozen=True)
class Scorer:
    """A model with folded parameters. Calls have no common state, so threads may use one scorer.

    Parameters
    ----------
    model : ScoringModel
        The model that scores.
    folded : dict of str to ndarray
        What the model's ``fold`` returned.
    scaler : ColumnScaler
        Only its origin and softsign are applied, because shift and scale are folded in.
    """

    model: ScoringModel
    folded: Parameters
    scaler: ColumnScaler

    @classmethod
    def fold(cls, model: Any, params: Parameters, scaler: ColumnScaler) -> Scorer:
        """Build a scorer from trained parameters.

        Raises
        ------
        ValueError
            If a parameter is not finite, also one that becomes so by the folding.
        """
        scaler = scaler.for_scoring()
        folded = model.fold(params, scaler)
        if not all(np.isfinite(array).all() for array in (*params.values(), *folded.values())):
            raise ValueError(
                "The parameters of the model are not finite, so that every score would be NaN. "
                "Lower learning_rate_init, or check X for columns with extreme values."
            )
        return cls(model, folded, scaler)

    @cached_property
    def _precise(self) -> Parameters:
        """The folded parameters in float64, for short requests."""
        return {
            name: array.astype(np.float64) if array.size <= LARGEST_COPY else array
            for name, array in self.folded.items()
        }

    def __call__(self, X: Any, ensure_finite: bool = False) -> NDArray[np.float32]:
        """Score rows.

        Parameters
        ----------
        X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features), float32 or float64
            C-contiguous if dense, with at least one row.
        ensure_finite : bool, default=False
            Check each block of a dense table while it is in cache.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs), float32

        Raises
        ------
        NotFiniteError
            If ``ensure_finite`` is set and a block holds NaN, infinity or numbers near the limit
            of float32.
        """
        n_rows = X.shape[0]
        widths = self.model.buffer_widths
        if n_rows <= SHORT and not sparse.issparse(X):
            if ensure_finite:
                _refuse_infinite(X)
            bounded = self.scaler.softsign(X).astype(np.float64)
            buffers = [np.empty((n_rows, width)) for width in widths]
            return self.model.score(self._precise, bounded, buffers).astype(np.float32)
        # The softsign of a CSR block is a new CSR block and needs no dense buffer.
        width = 0 if sparse.issparse(X) else self.scaler.n_outputs
        bounded, *buffers = _scratch.buffers(min(n_rows, BLOCK_ROWS), (width, *widths))
        outputs = None
        for start in range(0, n_rows, BLOCK_ROWS):
            block = X[start : start + BLOCK_ROWS]
            if ensure_finite:
                _refuse_infinite(block)
            block = self.scaler.softsign(block, bounded[: block.shape[0]])
            scores = self.model.score(self.folded, block, buffers)
            if outputs is None:
                outputs = np.empty((n_rows, *scores.shape[1:]), dtype=np.float32)
            outputs[start : start + BLOCK_ROWS] = scores
        assert outputs is not None  # public methods refuse tables without rows
        return outputs


class NotFiniteError(ValueError):
    """Raised if a table holds NaN, infinity, or numbers whose sum overflows."""


def _refuse_infinite(block: NDArray[Any]) -> None:
    """Raise if a block is not finite in float32."""
    # NaN or infinity in any cell makes the sum NaN or infinite.
    if not abs(block.sum(dtype=np.float32)) <= LARGEST:
        raise NotFiniteError


class Scratch(threading.local):
    """Memory that the calls of one thread reuse; fresh pages would cost as much as a layer.

    Calls of one thread never overlap, so one block of memory is enough for all scorers.
    """

    memory = np.empty(0, dtype=np.float32)

    def buffers(self, n_rows: int, widths: tuple[int, ...]) -> list[NDArray[np.float32]]:
        """Return uninitialised arrays of shape (n_rows, width), one per width."""
        if len(self.memory) < n_rows * sum(widths):
            self.memory = np.empty(n_rows * sum(widths), dtype=np.float32)
        arrays, start = [], 0
        for width in widths:
            stop = start + n_rows * width
            arrays.append(self.memory[start:stop].reshape(n_rows, width))
            start = stop
        return arrays


_scratch = Scratch()
