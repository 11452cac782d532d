"""Fast scoring of fitted parameters: folded arrays, and blocks of rows that stay in cache."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.rows import BLOCK_ROWS
from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols import Parameters, ScoringModel

# In float32 products the last bits of a row depend on its place in the block. Up to this many rows
# time goes into overhead, not arithmetic: float64 costs nothing and a row of a short request gets
# the same score alone, in company and in any order.
SHORT = 32


@dataclass(frozen=True)
class Scorer:
    """A model with folded parameters. Calls share no state, so threads may share a scorer.

    Parameters
    ----------
    model : ScoringModel
    folded : dict of ndarray
        What the model's ``fold`` made of its parameters and the scaler.
    scaler : ColumnScaler
        Only its softsign is applied; shift and scale are folded in.
    """

    model: ScoringModel
    folded: Parameters
    scaler: ColumnScaler

    @classmethod
    def fold(cls, model: Any, params: Parameters, scaler: ColumnScaler) -> Scorer:
        scaler = scaler.for_scoring()
        return cls(model, model.fold(params, scaler), scaler)

    @cached_property
    def _precise(self) -> Parameters:
        return {name: array.astype(np.float64) for name, array in self.folded.items()}

    def __call__(self, X: Any, ensure_finite: bool = False) -> NDArray[np.float32]:
        """Scores of float32 rows, C-contiguous or CSR: shape (n_rows,) or (n_rows, n_outputs).

        With ``ensure_finite`` each block of a dense table is looked at while it is in cache.

        Raises
        ------
        NotFiniteError
            Only with ``ensure_finite``: for NaN, infinities and sums that overflow.
        """
        n_rows = X.shape[0]
        widths = self.model.buffer_widths
        if n_rows <= SHORT and not sparse.issparse(X):
            if ensure_finite:
                _refuse_infinite(X)
            bounded = self.scaler.softsign(X).astype(np.float64)
            buffers = [np.empty((n_rows, width)) for width in widths]
            return self.model.score(self._precise, bounded, buffers).astype(np.float32)
        # A CSR block becomes a new one; a dense buffer as wide would be a waste.
        width = 0 if sparse.issparse(X) else X.shape[1]
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
        assert outputs is not None  # a table without rows is refused at the public face
        return outputs


class NotFiniteError(ValueError):
    """A table holds NaN, an infinity, or numbers whose sum overflows."""


def _refuse_infinite(block: NDArray[np.float32]) -> None:
    # Any NaN or infinity makes the sum one.
    if not np.isfinite(block.sum()):
        raise NotFiniteError


class Scratch(threading.local):
    """Memory of one thread that calls use again: fresh pages would cost as much as a layer.

    A call of the same thread never runs inside another, so one piece serves all scorers.
    """

    memory = np.empty(0, dtype=np.float32)

    def buffers(self, n_rows: int, widths: tuple[int, ...]) -> list[NDArray[np.float32]]:
        """Arrays of shape (n_rows, width), with anything in them."""
        if len(self.memory) < n_rows * sum(widths):
            self.memory = np.empty(n_rows * sum(widths), dtype=np.float32)
        arrays, start = [], 0
        for width in widths:
            stop = start + n_rows * width
            arrays.append(self.memory[start:stop].reshape(n_rows, width))
            start = stop
        return arrays


_scratch = Scratch()
